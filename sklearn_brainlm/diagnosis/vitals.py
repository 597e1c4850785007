"""What is measured on one recording before anything is said about it."""

import dataclasses

import numpy as np

from sklearn_brainlm._spectra import power_by_band
from sklearn_brainlm._statistics import RESOLUTION

__all__ = ["Vitals", "looks_transposed", "take_vitals"]

_START = (40, 8)  # timepoints and parcels that tell a recording from all others
_ZERO = 0.01  # of the standard deviation: a mean that was removed is smaller
_MARGIN = 0.2  # no recording of six public cohorts was smoother over parcels by this much
_CONTRAST = 3.0  # standard deviations between baselines that are those of parcels, not of times


@dataclasses.dataclass(frozen=True, eq=False)
class Vitals:
    """What is measured on one recording with finite values.

    Attributes
    ----------
    mean, sd, median, iqr : float64 array of shape (n_parcels,)
        Location and spread of each parcel.
    dead : bool array of shape (n_parcels,)
        Parcels that do not vary.
    shares : float64 array of shape (n_bands,)
        Power by equal bands of frequency up to the Nyquist frequency.
    start : float32 array
        The first timepoints of some parcels, free of scale and offset, of norm 1 or 0.

    Examples
    --------
    >>> vitals = take_vitals(np.array([[1.0, 5.0], [3.0, 5.0]]), n_bands=2)
    >>> vitals.mean.tolist(), vitals.dead.tolist()
    ([2.0, 5.0], [False, True])
    """

    mean: np.ndarray
    sd: np.ndarray
    median: np.ndarray
    iqr: np.ndarray
    dead: np.ndarray
    shares: np.ndarray
    start: np.ndarray

    @property
    def spread(self):
        """Standard deviation of a typical parcel that varies; 0 without one."""
        return float(np.median(self.sd[~self.dead])) if not self.dead.all() else 0.0

    @property
    def baseline(self):
        """Distance of a typical parcel's mean from zero, in its standard deviations."""
        alive = ~self.dead
        return float(np.median(np.abs(self.mean[alive]) / self.sd[alive])) if alive.any() else 0.0


def take_vitals(recording, n_bands):
    """Measure a recording.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        Finite values.
    n_bands : int
        Bands of frequency.

    Returns
    -------
    vitals : Vitals
        What was measured.
    """
    values = np.asarray(recording, dtype=np.float64)
    mean, sd = values.mean(axis=0), values.std(axis=0)
    low, median, high = np.percentile(values, [25, 50, 75], axis=0)
    dead = sd <= RESOLUTION * np.abs(mean)
    # Rounding of a constant has a spectrum too.
    shares = power_by_band([np.where(dead, 0.0, values)], n_bands)
    return Vitals(mean, sd, median, high - low, dead, shares, _start(values, dead))


def looks_transposed(recording):
    """Tell whether rows of an array look like parcels and columns like timepoints.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        Finite values.

    Returns
    -------
    is_transposed : bool
        Whether they do. Means that were removed say so most surely, then baselines, which differ
        between parcels, and only then how smooth values are along both sides.
    """
    values = np.asarray(recording, dtype=np.float64)
    by_column, by_row = values.mean(axis=0), values.mean(axis=1)
    residual = values - by_column - by_row[:, None] + values.mean()
    spread = residual.std()
    if min(values.shape) < 3 or not spread:
        return False
    column_is_zero, row_is_zero = (np.abs(m).mean() < _ZERO * spread for m in (by_column, by_row))
    if column_is_zero != row_is_zero:
        return bool(row_is_zero)
    column_differs, row_differs = (m.std() > _CONTRAST * spread for m in (by_column, by_row))
    if column_differs != row_differs:
        return bool(row_differs)
    return bool(_smoothness(residual.T) - _smoothness(residual) > _MARGIN)


def _smoothness(residual):
    """Return the mean autocorrelation of columns at a lag of one row."""
    power = (residual**2).sum(axis=0)
    lagged = (residual[1:] * residual[:-1]).sum(axis=0)
    return float(np.mean(lagged[power > 0] / power[power > 0])) if (power > 0).any() else 0.0


def _start(values, dead):
    """Return the first timepoints of some parcels, each free of scale and offset."""
    n_timepoints, n_parcels = _START
    kept = np.unique(np.linspace(0, values.shape[1] - 1, n_parcels).astype(int))
    start = np.zeros(_START)
    first = values[:n_timepoints, kept]
    first = np.where(dead[kept], 0.0, first - first.mean(axis=0))
    sd = first.std(axis=0)
    start[: len(first), : len(kept)] = first / np.where(sd > 0, sd, 1.0)
    norm = np.linalg.norm(start)
    return (start / norm if norm else start).astype(np.float32).ravel()
