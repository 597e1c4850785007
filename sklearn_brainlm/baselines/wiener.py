"""WienerForecaster: the best linear forecast of each spatial eigenmode from its own past."""

from numbers import Integral

import numpy as np
from scipy import linalg
from sklearn.utils._param_validation import Interval

from sklearn_brainlm._parameters import COUNT, POSITIVE
from sklearn_brainlm.baselines.coupling import CouplingMoments
from sklearn_brainlm.baselines.forecasting import BaseForecaster
from sklearn_brainlm.baselines.moments import autocovariance, principal_modes
from sklearn_brainlm.recordings import window_starts

__all__ = ["WienerForecaster"]

_COUPLING_STRIDE = 5  # timepoints between the windows that couplings are learned from


class WienerForecaster(BaseForecaster):
    r"""Forecast spatial eigenmodes by Wiener filters, each bin of modes with its own memory.

    The strongest forecast without training loop: modes with much variance are slower than those
    with little, and a filter made for each kind forecasts further than one made for all.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a context: those before their beginning count as
        the centre of the parcel, or they are refused.
    context_length : int, default=180
        Timepoints that are forecast from.
    horizon : int, default=20
        Timepoints that are forecast.
    n_bins : int, default=8
        Bins that eigenmodes are put in, by descending variance.
    ridge : float, default=0.01
        Variance of noise on the context, in parts of the variance of a bin.
    n_coupled : int, default=0
        Leading modes whose forecasts are corrected by what they say about each other.
    coupling_order : int, default=3
        Last timepoints of these modes that the correction goes by.

    Attributes
    ----------
    modes_ : float32 array of shape (n_parcels, n_parcels)
        Spatial eigenmodes of the scaled training recordings, in columns.
    bins_ : int64 array of shape (n_parcels,)
        Bin of each mode.
    weights_ : float32 array of shape (n_bins, context_length, horizon)
        Filters: ``future = context.T @ weights`` of a mode, the last row for the last timepoint.
        There are fewer bins than `n_bins` where there are too few parcels.
    coupling_ : float32 array of shape (coupling_order, n_coupled, horizon, n_coupled)
        What a mode at one of the last timepoints adds to the forecast of another at a step.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    n_parcels_, n_features_in_ : int
        Number of parcels, twice.
    feature_names_in_ : ndarray of str
        Names of the parcels, when X had them.

    See Also
    --------
    ARForecaster : One set of weights for all parcels.

    Notes
    -----
    With the autocovariance :math:`r` of a bin, pooled over its modes, the weights :math:`w_h` of
    step :math:`h` solve :math:`(\mathrm{toeplitz}(r) + \lambda r_0 I) w_h = r_{\cdot + h}` by
    Levinson's recursion. Bins widen geometrically: the leading modes hold most of the variance and
    differ most from each other.

    The correction is a ridge regression of what these forecasts leave on the last timepoints of the
    coupled modes; its penalty is chosen for each step by leaving recordings out.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import WienerForecaster
    >>> rng = np.random.default_rng(0)
    >>> waves = np.sin(np.arange(300)[:, None] / 4 + rng.uniform(0, 6, (4, 1, 1)))
    >>> recordings = waves * rng.standard_normal(6) + 0.1 * rng.standard_normal((4, 300, 6))
    >>> model = WienerForecaster(context_length=50, horizon=10).fit(recordings[:3])
    >>> model.predict(recordings[3:]).shape
    (1, 10, 6)
    >>> model.score(recordings[3:]) > 0.8
    True
    """

    _parameter_constraints = {
        **BaseForecaster._parameter_constraints,
        "n_bins": [COUNT],
        "ridge": [POSITIVE],
        "n_coupled": [Interval(Integral, 0, None, closed="left")],
        "coupling_order": [COUNT],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        n_bins=8,
        ridge=0.01,
        n_coupled=0,
        coupling_order=3,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.n_bins = n_bins
        self.ridge = ridge
        self.n_coupled = n_coupled
        self.coupling_order = coupling_order

    def _learn(self, recordings):
        """Find eigenmodes, their memory, and the filters that follow."""
        modes = principal_modes(recordings)
        self.modes_ = modes.astype(np.float32)
        self.bins_ = _geometric_bins(len(modes), self.n_bins)
        n_lags = self.context_length + self.horizon - 1
        covariance = autocovariance((x @ self.modes_ for x in recordings), n_lags)
        pooled = [covariance[:, self.bins_ == b].sum(axis=1) for b in range(self.bins_[-1] + 1)]
        self.weights_ = np.array([self._solve(r) for r in pooled], dtype=np.float32)
        self.coupling_ = self._couple(recordings).astype(np.float32)

    def _couple(self, recordings):
        """Solve for what the leading modes say about each other."""
        n_modes = min(self.n_coupled, self.n_parcels_)
        order = min(self.coupling_order, self.context_length)
        moments = CouplingMoments(n_modes, order, self.horizon)
        length = self.context_length + self.horizon
        for number, recording in enumerate(recordings if n_modes else []):
            components = recording @ self.modes_[:, :n_modes]
            starts = window_starts(len(components), length, _COUPLING_STRIDE, cover=False)
            windows = np.stack([components[start : start + length] for start in starts])
            contexts = windows[:, : -self.horizon]
            if contexts.shape[1] >= order:
                residual = windows[:, -self.horizon :] - self._filter(contexts)
                moments.add(number, contexts[:, -order:], residual)
        return moments.solve()

    def _solve(self, covariance):
        """Solve for the filters (context_length, horizon) of one autocovariance."""
        n, horizon = self.context_length, self.horizon
        if covariance[0] <= 0:
            return np.zeros((n, horizon))
        lags = np.arange(n, 0, -1)[:, None] + np.arange(horizon)  # (context_length, horizon)
        column = covariance[:n].copy()
        column[0] *= 1 + self.ridge
        return linalg.solve_toeplitz(column, covariance[lags])

    def _forecast(self, contexts):
        """Forecast contexts (B, T, P); what precedes a short one is at the centre."""
        components = contexts @ self.modes_
        forecasts = self._filter(components)
        order, n_modes = self.coupling_.shape[:2]
        last = components[:, -order:, :n_modes]
        coupling = self.coupling_[order - last.shape[1] :]
        forecasts[:, :, :n_modes] += np.einsum("btk,tkhj->bhj", last, coupling, optimize=True)
        return forecasts @ self.modes_.T

    def _filter(self, components):
        """Forecast leading components (B, T, K), each from its own past, (B, horizon, K)."""
        n_windows, n_timepoints, n_modes = components.shape
        forecasts = np.empty((n_windows, self.horizon, n_modes), dtype=np.float32)
        for index, weights in enumerate(self.weights_):
            chosen = self.bins_[:n_modes] == index
            forecasts[:, :, chosen] = weights[-n_timepoints:].T @ components[:, :, chosen]
        return forecasts


def _geometric_bins(n_modes, n_bins):
    """Put modes into bins that widen geometrically, and hold one mode at least."""
    edges = np.geomspace(1, n_modes, n_bins + 1)[1:-1]
    return np.searchsorted(np.unique(np.rint(edges)), np.arange(n_modes), side="right")
