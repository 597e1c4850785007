"""The methods of the imputation table, by names that stay.

They have ``fit`` and ``reconstruct_windows``, as those of ``_methods.py``. Those that know nothing
of a missing parcel, or of a censored timepoint, are measured where they know something.
"""

from dataclasses import dataclass

import numpy as np
from _holes import CENSORED, PARCELS, PARTS
from _methods import ADAPTIVE, GAUSSIAN, Entry, brainlm
from _methods import METHODS as METHODS_OF_RECONSTRUCTION
from scipy import linalg
from scipy.interpolate import CubicSpline
from scipy.spatial.distance import cdist

from sklearn_brainlm.baselines.moments import autocovariance
from sklearn_brainlm.imputation import interpolate

SPACE_TIME = "Space-time Gaussian"
REFERENCES = (ADAPTIVE, SPACE_TIME)  # whose R2 is subtracted from everyone's
N_NEAREST = 5


@dataclass(frozen=True)
class Row:
    """A line of the table, and where it is measured."""

    entry: Entry
    tasks: tuple = (CENSORED, PARCELS)
    needs_coords: bool = False


class LinearInterpolation:
    """Fill in between the neighbours in time of a parcel; the ends keep the last value."""

    def fit(self, recordings):
        """Learn nothing."""
        return self

    def reconstruct_windows(self, windows, masked):
        """Fill in windows."""
        center = np.zeros(windows.shape[2])
        return np.stack([interpolate(x, m, center) for x, m in zip(windows, masked, strict=True)])


class SplineInterpolation(LinearInterpolation):
    """Fill in by cubic splines through what is left of a parcel, as nilearn's ``clean`` does.

    Beyond the first and the last of it a spline runs away: there the value stays what it was.
    """

    def reconstruct_windows(self, windows, masked):
        """Fill in windows."""
        filled = super().reconstruct_windows(windows, masked)
        for window, gaps in zip(filled, masked, strict=True):
            for parcel in np.flatnonzero(gaps.any(axis=0) & ~gaps.all(axis=0)):
                kept = np.flatnonzero(~gaps[:, parcel])
                inside = np.flatnonzero(gaps[:, parcel])
                inside = inside[(inside > kept[0]) & (inside < kept[-1])]
                if len(inside) and len(kept) > 3:
                    window[inside, parcel] = CubicSpline(kept, window[kept, parcel])(inside)
        return filled


class ARInterpolation:
    """Fill in the conditional mean of a parcel given what is left of it, before and behind.

    The parcel is a stationary Gaussian series of the autocovariance that all parcels of the
    training recordings have on average, at every lag of a window: an autoregression of the highest
    order there is.
    """

    ridge = 1e-3  # in parts of the variance

    def fit(self, recordings):
        """Learn the autocovariance."""
        n_lags = min(map(len, recordings)) - 1
        self.autocovariance_ = autocovariance(recordings, n_lags).mean(axis=1)
        self.n_parameters_ = n_lags + 1
        return self

    def reconstruct_windows(self, windows, masked):
        """Fill in windows."""
        filled = windows.astype(np.float64)
        lags = np.zeros(windows.shape[1])
        n_known = min(len(lags), len(self.autocovariance_))
        lags[:n_known] = self.autocovariance_[:n_known]
        covariance = linalg.toeplitz(lags)
        noise = self.ridge * lags[0]
        for window, gaps in zip(filled, masked, strict=True):
            patterns, which = np.unique(gaps, axis=1, return_inverse=True)
            for number, hidden in enumerate(patterns.T):
                parcels, seen = np.flatnonzero(which.ravel() == number), ~hidden
                noisy = covariance[np.ix_(seen, seen)] + noise * np.eye(seen.sum())
                weights = np.linalg.solve(noisy, window[np.ix_(seen, parcels)])
                window[np.ix_(hidden, parcels)] = covariance[np.ix_(hidden, seen)] @ weights
        return filled


class NearestParcels:
    """Fill in the mean of the nearest parcels that are there."""

    def __init__(self, parcel_coords):
        self.parcel_coords = parcel_coords

    def fit(self, recordings):
        """Measure how far parcels are apart."""
        self.distance_ = cdist(self.parcel_coords, self.parcel_coords)
        return self

    def reconstruct_windows(self, windows, masked):
        """Fill in windows, of which whole parcels are missing."""
        filled = windows.copy()
        for window, gaps in zip(filled, masked.any(axis=1), strict=True):
            there = np.flatnonzero(~gaps)
            for parcel in np.flatnonzero(gaps):
                nearest = there[np.argsort(self.distance_[parcel, there])[:N_NEAREST]]
                window[:, parcel] = window[:, nearest].mean(axis=1)
        return filled


def _of_reconstruction(name):
    """Return the line of a method of the reconstruction table."""
    return Row(METHODS_OF_RECONSTRUCTION[name])


def _in_time(method):
    """Return the line of a method that goes by the rest of a parcel."""
    return Row(Entry(lambda setting, seed: method()), tasks=(CENSORED,))


METHODS = {
    "Mean": _of_reconstruction("Mean"),
    "Linear interpolation": _in_time(LinearInterpolation),
    "Cubic spline": _in_time(SplineInterpolation),
    "AR": _in_time(ARInterpolation),
    "Nearest parcels": Row(
        Entry(lambda setting, seed: NearestParcels(setting.parcel_coords)),
        tasks=(PARCELS,),
        needs_coords=True,
    ),
    GAUSSIAN: _of_reconstruction(GAUSSIAN),
    SPACE_TIME: _of_reconstruction(SPACE_TIME),
    ADAPTIVE: _of_reconstruction(ADAPTIVE),
    "BrainLM": _of_reconstruction("BrainLM"),
    "BrainLM (trained on bursts)": Row(
        brainlm(masking="burst", mask_ratio=PARTS[CENSORED]), tasks=(CENSORED,)
    ),
}
