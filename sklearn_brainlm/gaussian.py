"""GaussianReconstructor: hidden values of recordings in closed form."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_brainlm._base import BaseRecordingEstimator
from sklearn_brainlm._parameters import COUNT, POSITIVE
from sklearn_brainlm.conditioning import (
    adapt_mixing,
    complete_in_time,
    complete_timepoints,
    visible_patterns,
)
from sklearn_brainlm.reconstruction import ReconstructionMixin
from sklearn_brainlm.stationary import fit_statistics

__all__ = ["GaussianReconstructor"]

_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


class GaussianReconstructor(ReconstructionMixin, BaseRecordingEstimator):
    r"""Fill in masked and missing values by their conditional mean, without a network.

    What is hidden is predicted from what is visible by covariances alone: of parcels, of
    timepoints, and of the person as the visible values show them. It is learned in seconds, and is
    what a network has to beat.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window. Nothing needs padding here: "pad" takes
        them as they are.
    window_length : int, default=200
        Timepoints that are filled in together.
    patch_length : int, default=20
        Timepoints of a patch, which ``reconstruct`` and ``score`` mask as a whole.
    mask_ratio : float or sequence of float, default=0.75
        Part of the patches that ``reconstruct`` and ``score`` mask.
    masking : {"random", "future", "block", "parcel", "burst"}, default="random"
        What they mask: patches, the last columns, consecutive columns, whole parcels, or bursts of
        1 to 10 timepoints of all parcels.
    temporal : bool, default=True
        Whether all timepoints of a window are used for each, or only its own.
    adaptive : bool, default=True
        Whether the covariance of the group is moved toward that of the person.
    cross_spectra : bool, default=True
        Whether components predict each other over time, not only themselves.
    ridge : float, default=0.15
        Variance of noise on the visible values, in scaled units.
    prior_weight : float, default=800
        Timepoints that the group counts for, against those of the window, when adapting.
    n_lags : int, default=30
        Longest lag of the autocorrelations, in timepoints.
    n_cross_components, n_cross_lags : int, default=60, 20
        Principal components that have cross-spectra, and their longest lag in timepoints.
    cross_gain : float, default=0.7
        Part of the cross-spectra that is used.
    n_iterations : int, default=25
        Steps of conjugate gradients.

    Attributes
    ----------
    statistics_ : GaussianStatistics
        Covariance of the parcels, and correlations of their principal components over time.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    n_parcels_, n_features_in_ : int
        Number of parcels, twice.
    feature_names_in_ : ndarray of str
        Names of the parcels, when X had them.

    See Also
    --------
    BrainLMTransformer : The network, which starts from this by default.
    scaling_curve : Measures both by the number of recordings.
    sklearn_brainlm.metrics.masked_r2 : A score of what was filled in.

    Notes
    -----
    **Conditional mean.** With covariance :math:`C` of the parcels and ridge :math:`r`, hidden
    parcels :math:`h` of a timepoint are filled in from the visible :math:`v` by
    :math:`C_{hv} (C_{vv} + r I)^{-1} x_v`. Values are in scaled units and centred at 0.

    **The person** (`adaptive`). Two steps of expectation maximisation: the window is completed,
    and the second moments :math:`S` expected of it, with the conditional covariance of what was
    filled in, are mixed with those of the group as :math:`(w C + T S) / (w + T)` for a
    `prior_weight` of :math:`w` and :math:`T` timepoints. The square root of the mixture is taken
    to first order, in whitened components.

    **Time** (`temporal`). Principal components of unit variance are stationary, component
    :math:`i` with the autocorrelation :math:`\rho_i`, tapered by Bartlett's triangle. With the
    columns :math:`a_i` of a mixing :math:`A`, :math:`A A^\top = C`, the covariance of a window is
    :math:`K = \sum_i a_i a_i^\top \otimes \mathrm{toeplitz}(\rho_i)`; `cross_spectra` adds the
    correlations between different leading components. :math:`(K_{vv} + r I)^{-1} x_v` is solved by
    conjugate gradients: fast Fourier transforms multiply by :math:`K`, and the exact inverse for
    timepoints without memory preconditions.

    With `temporal`, timepoints at which all parcels are missing are filled in from their
    neighbours; without it they are set to the centre. `temporal`, `adaptive`, `cross_spectra`,
    `ridge`, `prior_weight`, `cross_gain` and `n_iterations` only matter after ``fit`` and can be
    changed without another one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> rng = np.random.default_rng(0)
    >>> networks = rng.standard_normal((4, 200, 2)).cumsum(axis=1)
    >>> recordings = networks @ rng.standard_normal((2, 8)) + rng.standard_normal((4, 200, 8))
    >>> model = GaussianReconstructor(window_length=100).fit(recordings[:3])
    >>> model.score(recordings[3:]) > 0.5
    True
    >>> missing = np.zeros((1, 200, 8), dtype=bool)
    >>> missing[0, 50:60, 2] = True
    >>> filled = model.impute(recordings[3:], missing)[0]
    >>> bool((filled == recordings[3])[~missing[0]].all())
    True
    """

    _parameter_constraints = {
        "n_parcels": [COUNT, None],
        "scaler": [StrOptions({"robust", "standard", "legacy"}), None],
        "clip": [POSITIVE, None],
        "short": [StrOptions({"pad", "raise"})],
        "window_length": [COUNT],
        "patch_length": [COUNT],
        "mask_ratio": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "masking": [StrOptions({"random", "future", "block", "parcel", "burst"})],
        "temporal": ["boolean"],
        "adaptive": ["boolean"],
        "cross_spectra": ["boolean"],
        "ridge": [POSITIVE],
        "prior_weight": [_NOT_NEGATIVE],
        "n_lags": [Interval(Integral, 0, None, closed="left")],
        "n_cross_components": [Interval(Integral, 0, None, closed="left")],
        "n_cross_lags": [Interval(Integral, 0, None, closed="left")],
        "cross_gain": [Interval(Real, 0, 1, closed="both")],
        "n_iterations": [COUNT],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        window_length=200,
        patch_length=20,
        mask_ratio=0.75,
        masking="random",
        temporal=True,
        adaptive=True,
        cross_spectra=True,
        ridge=0.15,
        prior_weight=800,
        n_lags=30,
        n_cross_components=60,
        n_cross_lags=20,
        cross_gain=0.7,
        n_iterations=25,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.window_length = window_length
        self.patch_length = patch_length
        self.mask_ratio = mask_ratio
        self.masking = masking
        self.temporal = temporal
        self.adaptive = adaptive
        self.cross_spectra = cross_spectra
        self.ridge = ridge
        self.prior_weight = prior_weight
        self.n_lags = n_lags
        self.n_cross_components = n_cross_components
        self.n_cross_lags = n_cross_lags
        self.cross_gain = cross_gain
        self.n_iterations = n_iterations

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn covariances from recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.
        y : None
            Ignored.

        Returns
        -------
        self : GaussianReconstructor
            The fitted reconstructor.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        """
        recordings = self._check_X(X, reset=True)
        self._learn_input(recordings)
        self.statistics_ = fit_statistics(
            self.scaler_.transform(recordings),
            n_lags=self.n_lags,
            n_cross_components=self.n_cross_components,
            n_cross_lags=self.n_cross_lags,
        )
        return self

    def __sklearn_is_fitted__(self):
        """Say whether there are statistics to fill in from."""
        return hasattr(self, "statistics_")

    def _fill(self, windows, masked, tokens=None):
        """Fill in masked values; nothing is hidden that is not masked."""
        return np.stack([self._complete(*pair) for pair in zip(windows, ~masked, strict=True)])

    def _complete(self, window, visible):
        """Fill in what is not visible of one window (T, P)."""
        if not visible.any():
            return np.full_like(window, np.nan)
        statistics, patterns = self.statistics_, visible_patterns(visible)
        mixing, covariance = statistics.colouring, statistics.covariance
        if self.adaptive:
            mixing = adapt_mixing(
                statistics, window, patterns, self.ridge, prior_weight=self.prior_weight
            )
            covariance = mixing @ mixing.T
        if not self.temporal:
            return complete_timepoints(covariance, window, patterns, self.ridge)
        return complete_in_time(
            statistics,
            mixing,
            window,
            visible,
            patterns,
            self.ridge,
            cross_gain=self.cross_gain if self.cross_spectra else 0.0,
            n_iterations=self.n_iterations,
        )
