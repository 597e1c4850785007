"""How well masked activity is filled in: the sums behind the score, by method, ratio and parcel."""

import dataclasses

import numpy as np

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._values import enumerate_first
from sklearn_brainlm.comparison.inference import resample_weights
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.gaussian import GaussianReconstructor
from sklearn_brainlm.masking import mask_ratios
from sklearn_brainlm.preprocessing import RecordingScaler

__all__ = ["CENTRE", "MaskedScores", "score_masked"]

CENTRE = "Centre of each parcel"
_N_BOOTSTRAP = 1000
_SHOWN_RATIO = 0.75  # the article's; the nearest of those of the estimator is drawn


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedScores:
    """Sums of squares of what several methods filled in, of the same windows and masks.

    Attributes
    ----------
    methods : list of str
        The first is the estimator.
    ratios : list of float
        Parts that were masked.
    errors : float64 array of shape (n_methods, n_ratios, n_recordings, n_parcels)
        Sums of squared errors on what was masked.
    spread : float64 array of shape (n_ratios, n_recordings, n_parcels)
        Sums of squares about the mean of the masked values of each window, all parcels together.
    windows : list of tuple
        Windows to draw: index of the recording, then true, predicted and masked, each of shape
        (n_timepoints, n_parcels).

    Examples
    --------
    >>> scores = MaskedScores(["a"], [0.5], np.ones((1, 1, 2, 3)), np.full((1, 2, 3), 4.0), [])
    >>> scores.r2.tolist(), scores.by_parcel(0).tolist()
    ([0.75], [0.75, 0.75, 0.75])
    """

    methods: list
    ratios: list
    errors: np.ndarray
    spread: np.ndarray
    windows: list

    @property
    def by_ratio(self):
        """Return R2 of each method at each ratio.

        Returns
        -------
        r2 : float64 array of shape (n_methods, n_ratios)
            Over all recordings and parcels.
        """
        return 1 - self.errors.sum(axis=(2, 3)) / self.spread.sum(axis=(1, 2))

    @property
    def r2(self):
        """Return R2 of each method, the mean over ratios.

        Returns
        -------
        r2 : float64 array of shape (n_methods,)
            Of the estimator, what ``score`` returns.
        """
        return self.by_ratio.mean(axis=1)

    @property
    def by_recording(self):
        """Return R2 of each method and recording, the mean over ratios.

        Returns
        -------
        r2 : float64 array of shape (n_methods, n_recordings)
            Over all parcels.
        """
        return (1 - self.errors.sum(axis=3) / self.spread.sum(axis=2)).mean(axis=1)

    @property
    def shown(self):
        """Return the position of the ratio that is drawn.

        Returns
        -------
        position : int
            In `ratios`.
        """
        return int(np.argmin(np.abs(np.array(self.ratios) - _SHOWN_RATIO)))

    def by_parcel(self, method):
        """Return R2 of each parcel at the ratio that is drawn.

        Parameters
        ----------
        method : int
            Which method.

        Returns
        -------
        r2 : float64 array of shape (n_parcels,)
            NaN for parcels that do not vary. The sums behind it add up to those of all parcels.
        """
        errors = self.errors[method, self.shown].sum(axis=0)
        spread = self.spread[self.shown].sum(axis=0)
        return 1 - np.divide(errors, spread, out=np.full(len(errors), np.nan), where=spread > 0)

    def resample(self):
        """Return R2 of each method in resamples of the recordings.

        Returns
        -------
        r2 : float64 array of shape (n_methods, n_resamples)
            NaN where there is one recording only.
        """
        n_recordings = self.spread.shape[1]
        if n_recordings < 2:
            return np.full((len(self.methods), 1), np.nan)
        draws = resample_weights(np.arange(n_recordings), _N_BOOTSTRAP, np.random.default_rng(0))
        weights = np.concatenate(list(draws))  # (n_resamples, n_recordings)
        spread = weights @ self.spread.sum(axis=2).T  # (n_resamples, n_ratios)
        errors = np.einsum("bn,mrn->mbr", weights, self.errors.sum(axis=3))
        return (1 - errors / spread).mean(axis=2)


def score_masked(given):
    """Fill in masked windows, those of `score`, with the estimator and with simple methods.

    Parameters
    ----------
    given : Given
        A fitted estimator that reconstructs, and recordings. Simple methods are fitted on its
        training recordings, where there are any.

    Returns
    -------
    scores : MaskedScores
        Of the estimator first, as ``score`` computes them.

    Raises
    ------
    InvalidRecordingError
        If X cannot be used, or what is filled in is not finite.
    """
    estimator = given.estimator
    recordings = estimator._check_fitted_X(given.X)
    simple = {} if given.X_train is None else _fit_simple(estimator, given.X_train)
    methods = [given.label, CENTRE, *simple]
    ratios = mask_ratios(estimator.mask_ratio).tolist()
    shape = (len(ratios), len(recordings), estimator.n_parcels_)
    scores = MaskedScores(methods, ratios, np.zeros((len(methods), *shape)), np.zeros(shape), [])
    spaced = np.linspace(0, len(recordings) - 1, max(given.n_shown, 0)).round().astype(int)
    drawn = set(spaced.tolist())
    for position, ratio in enumerate(ratios):
        made = estimator._reconstructions(recordings, ratio, draw_seed(0), cover=False)
        for index, start, true, predicted, masked in made:
            others = [
                model.reconstruct_windows(true[None], masked[None]) for model in simple.values()
            ]
            filled = [predicted, np.zeros_like(true), *(window[0] for window in others)]
            true64 = true.astype(np.float64)
            for method, values in enumerate(filled):
                squares = np.where(masked, true64 - values, 0.0) ** 2
                scores.errors[method, position, index] += squares.sum(axis=0)
            about_mean = np.where(masked, true64 - true64[masked].mean(), 0.0)
            scores.spread[position, index] += (about_mean**2).sum(axis=0)
            if start == 0 and index in drawn and position == scores.shown:
                scores.windows.append((int(index), true, predicted, masked))
    broken = np.flatnonzero(~np.isfinite(scores.errors[0]).all(axis=(0, 2)))
    if len(broken):
        raise InvalidRecordingError(
            f"What was filled in of {enumerate_first([given.ids[i] for i in broken])} is not "
            "finite: look at what the doctor says of it, or leave it out."
        )
    return scores


def _fit_simple(estimator, X_train):
    """Fit the closed forms on training recordings, at the scale of the estimator."""
    recordings = estimator._check_fitted_X(X_train)
    scaler = estimator.scaler_
    if scaler is None:  # released weights bring no statistics
        contract = estimator.contract_
        scaler = RecordingScaler(contract.scaler, divisor=contract.divisor).fit(recordings)
    scaled = scaler.transform(recordings)
    window = {name: estimator._setting(name) for name in ("window_length", "patch_length")}
    plain = GaussianReconstructor(**window, scaler=None, temporal=False, adaptive=False)
    adaptive = GaussianReconstructor(**window, scaler=None)
    return {
        "Gaussian": plain.fit(scaled),
        "Gaussian, adaptive in space and time": adaptive.fit(scaled),
    }
