"""Statistics of recordings as a function of the coordinates of parcels.

What :mod:`sklearn_brainlm.stationary` learns belongs to an atlas. Here the same statistics are
carried to the parcels of another one, of which nothing is known but where they are.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize
from scipy.spatial.distance import cdist

from sklearn_brainlm._parcels import check_parcel_coords
from sklearn_brainlm.stationary import GaussianStatistics, fit_statistics

__all__ = [
    "CoordinateStatistics",
    "DistanceStatistics",
    "fit_coordinate_statistics",
    "fit_distance_statistics",
]

# How covariances are interpolated. Chosen on HCP recordings of 360 parcels: half of the parcels
# were left out, and predicted in closed form with the covariance carried to them from the others.
_SCALE = 25.0  # mm; from 12 to 100 it makes .003 of R2
_MIRRORED = 0.8  # likeness of a place and its mirror image; without it .02 less
_NUGGET = 0.02  # of the weights, on top of 1; 0.2 cost .007
_SMOOTH_SCALES = np.array([6.0, 12.0, 25.0, 50.0, 100.0])  # mm, of the smooth covariance
_TRUST_WITHIN = 5.0  # mm: pairs of parcels count by the inverse of their distance, up to this one
_MIRROR = np.array([-1.0, 1.0, 1.0])  # to the other hemisphere
_SMALLEST = 1e-3  # eigenvalue of a covariance, in parts of their mean
_WEAK_POWER = 0.1  # of the weaker components of the group in every new one
_N_DISTANCES = 60  # bins with as many pairs of parcels each


@dataclass(frozen=True)
class CoordinateStatistics:
    r"""Statistics of a group of recordings, for parcels anywhere in the brain.

    Attributes
    ----------
    parcel_coords : float64 array of shape (P, 3)
        Where the parcels of the group are, in MNI mm.
    colouring : float32 array of shape (P, P)
        As in :class:`~sklearn_brainlm.stationary.GaussianStatistics`, of those parcels.
    autocorrelation : float32 array of shape (n_lags + 1, P)
        Of their components.
    t_r : float64 array of shape ()
        Seconds between timepoints; NaN when not known.

    Notes
    -----
    **Covariance.** Two models of it are joined. The smooth one, :math:`K`, sees coordinates only:
    a sum of exponential kernels of the distance between two places, and of the distance between
    one and the mirror image of the other, with the weights that fit the covariance :math:`C` of
    the group best. :math:`\nu` is what it leaves of the variance of a parcel, shared with no other
    one. The second model is :math:`C` itself, interpolated between parcels by weights :math:`W`
    (simple kriging). With the parcels :math:`s` of the group and the new ones :math:`t`,

    .. math::

        C' = W (C - \nu I) W^\top + K_{tt} - W K_{st} - K_{ts} W^\top + W K_{ss} W^\top,

    brought to the mean variance of the group. Where the group has parcels it is their covariance,
    and far from all of them the smooth one. Both parts are covariances, and so is their sum.
    :math:`\nu` stays behind: it is the noise of that atlas and that scanner, and what there is of
    it in new recordings is what the ridge on visible values stands for.

    **Time.** A new component is a mixture of those of the group, and has their autocorrelations in
    proportion to their power in it. There are no cross-correlations.

    Recordings that were measured at a longer TR, and then brought to that of the group, hold
    nothing above the Nyquist frequency they were measured with. Told their TR, the statistics are
    those of what the group has below it, which is smoother over time, and over the brain.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> coords = rng.uniform(-70, 70, (30, 3))
    >>> recordings = [rng.standard_normal((200, 30), dtype=np.float32)]
    >>> everywhere = fit_coordinate_statistics(recordings, coords, t_r=0.72)
    >>> everywhere.at(rng.uniform(-70, 70, (12, 3)), t_r=2.0).covariance.shape
    (12, 12)
    """

    parcel_coords: np.ndarray
    colouring: np.ndarray
    autocorrelation: np.ndarray
    t_r: np.ndarray

    def at(self, parcel_coords, t_r=None):
        """Return the statistics of the group as they would be at other parcels.

        Parameters
        ----------
        parcel_coords : array of shape (n_parcels, 3)
            Centre of each parcel in MNI millimetres.
        t_r : float or None, default=None
            TR in seconds that recordings were measured at, before they were brought to that of
            the group. None, or one that is not longer, changes nothing.

        Returns
        -------
        statistics : GaussianStatistics
            Statistics of the parcels; lags are in timepoints of the group.
        """
        coords = check_parcel_coords(parcel_coords)
        colouring, autocorrelation = self._measured_at(t_r)
        covariance, weights = _carry(colouring @ colouring.T, self.parcel_coords, coords)
        whitening, new_colouring = _roots(covariance)
        power = (whitening.T @ weights @ colouring) ** 2  # (new components, components)
        # A component that the group says little of is like the weaker half of the group's.
        weak = autocorrelation[:, len(colouring) // 2 :].mean(axis=1)
        mixed = autocorrelation @ power.T + _WEAK_POWER * weak[:, None]
        return _statistics(covariance, whitening, new_colouring, mixed / mixed[0])

    def _measured_at(self, t_r):
        """Return colouring and autocorrelation below the Nyquist frequency of a TR."""
        colouring = self.colouring.astype(np.float64)
        autocorrelation = self.autocorrelation.astype(np.float64)
        if t_r is None or not t_r > self.t_r:
            return colouring, autocorrelation
        lags = np.arange(len(autocorrelation))
        part = float(self.t_r) / t_r  # of the frequencies
        # The ideal low-pass filter, over lags on both sides of 0.
        after, before = lags[:, None] - lags, lags[:, None] + lags
        low_pass = part * (np.sinc(part * after) + np.sinc(part * before) * (lags > 0))
        left = low_pass @ autocorrelation
        variance = np.maximum(left[0], _SMALLEST)  # of each component, of 1
        # Frequencies cut off have spread lags out: they are tapered once more.
        autocorrelation = left / variance * (1 - lags / len(lags))[:, None]
        autocorrelation[0] = 1.0
        quieter = colouring * np.sqrt(variance)
        # Scaled by their own spread, recordings keep the variance of the group.
        return quieter * np.sqrt(np.mean(colouring**2) / np.mean(quieter**2)), autocorrelation


@dataclass(frozen=True)
class DistanceStatistics:
    """Statistics that follow from the distances between parcels alone.

    Attributes
    ----------
    distances, profile : float64 arrays of shape (n_bins,)
        Covariance of two parcels, which never rises with their distance in mm.
    variance : float64 array of shape ()
        Variance of a parcel.
    autocorrelation : float32 array of shape (n_lags + 1, P)
        Of the components of the group, by descending variance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> coords = rng.uniform(-70, 70, (30, 3))
    >>> recordings = [rng.standard_normal((200, 30), dtype=np.float32)]
    >>> fit_distance_statistics(recordings, coords).at(coords[:7]).colouring.shape
    (7, 7)
    """

    distances: np.ndarray
    profile: np.ndarray
    variance: np.ndarray
    autocorrelation: np.ndarray

    def at(self, parcel_coords):
        """Return the statistics of parcels at other places.

        Parameters
        ----------
        parcel_coords : array of shape (n_parcels, 3)
            Centre of each parcel in MNI millimetres.

        Returns
        -------
        statistics : GaussianStatistics
            Statistics of the parcels, without cross-correlations. A component has the
            autocorrelation of that of the group with the same rank, from first to last.
        """
        coords = check_parcel_coords(parcel_coords)
        covariance = np.interp(cdist(coords, coords), self.distances, self.profile)
        np.fill_diagonal(covariance, self.variance)
        covariance = _scale(_nearest_covariance(covariance), self.variance)
        rank = np.linspace(0, 1, len(coords))
        known = np.linspace(0, 1, self.autocorrelation.shape[1])
        autocorrelation = np.array([np.interp(rank, known, lag) for lag in self.autocorrelation])
        return _statistics(covariance, *_roots(covariance), autocorrelation)


def fit_coordinate_statistics(recordings, parcel_coords, *, t_r=None, n_lags=30):
    """Estimate statistics that can be carried to other parcels.

    Parameters
    ----------
    recordings : list of float32 arrays of shape (n_timepoints, P)
        Scaled recordings.
    parcel_coords : array of shape (P, 3)
        Centre of each parcel in MNI millimetres.
    t_r : float or None, default=None
        Seconds between timepoints.
    n_lags : int, default=30
        Longest lag of the autocorrelations.

    Returns
    -------
    statistics : CoordinateStatistics
        The statistics.
    """
    coords = check_parcel_coords(parcel_coords, recordings[0].shape[1])
    group = fit_statistics(recordings, n_lags=n_lags, n_cross_components=0)
    return CoordinateStatistics(
        parcel_coords=coords,
        colouring=group.colouring,
        autocorrelation=group.autocorrelation,
        t_r=np.array(np.nan if t_r is None else t_r, dtype=np.float64),
    )


def fit_distance_statistics(recordings, parcel_coords, *, n_lags=30):
    """Estimate statistics as a function of distance alone.

    Parameters
    ----------
    recordings : list of float32 arrays of shape (n_timepoints, P)
        Scaled recordings.
    parcel_coords : array of shape (P, 3)
        Centre of each parcel in MNI millimetres.
    n_lags : int, default=30
        Longest lag of the autocorrelations.

    Returns
    -------
    statistics : DistanceStatistics
        The statistics.
    """
    coords = check_parcel_coords(parcel_coords, recordings[0].shape[1])
    group = fit_statistics(recordings, n_lags=n_lags, n_cross_components=0)
    pairs = np.triu_indices(len(coords), 1)
    distance, covariance = cdist(coords, coords)[pairs], group.covariance[pairs].astype(np.float64)
    bins = np.array_split(np.argsort(distance, kind="stable"), min(_N_DISTANCES, len(distance)))
    means = [covariance[members].mean() for members in bins]
    return DistanceStatistics(
        distances=np.array([distance[members].mean() for members in bins]),
        profile=optimize.isotonic_regression(means, increasing=False).x,
        variance=np.diagonal(group.covariance).mean(dtype=np.float64),
        autocorrelation=group.autocorrelation,
    )


def _carry(covariance, coords, new_coords):
    """Carry a covariance to other places; return it and the weights of the interpolation."""
    own = _likeness(coords, coords)
    own[np.diag_indices_from(own)] += _NUGGET
    weights = linalg.solve(own, _likeness(coords, new_coords), assume_a="pos").T
    kernel, nugget = _fit_smooth(coords, covariance)
    shared = _nearest_covariance(covariance - nugget * np.eye(len(coords)))
    half = _smooth(new_coords, coords, kernel) @ weights.T
    carried = weights @ (shared + _smooth(coords, coords, kernel)) @ weights.T - half - half.T
    carried = _nearest_covariance(carried + _smooth(new_coords, new_coords, kernel))
    return _scale(carried, np.diagonal(covariance).mean()), weights


def _likeness(rows, columns):
    """Return how much places are expected to have in common."""
    near, mirrored = cdist(rows, columns), cdist(rows, columns * _MIRROR)
    likeness = np.exp(-near / _SCALE) + _MIRRORED * np.exp(-mirrored / _SCALE)
    return likeness / (1 + _MIRRORED)


def _smooth_bases(rows, columns):
    """Yield kernels, those that are even and odd about the midline in turn, and a constant."""
    near, mirrored = cdist(rows, columns), cdist(rows, columns * _MIRROR)
    for scale in _SMOOTH_SCALES:
        here, there = np.exp(-near / scale), np.exp(-mirrored / scale)
        yield (here + there) / 2
        yield (here - there) / 2
    yield np.ones_like(near)


def _smooth(rows, columns, kernel):
    """Return the smooth covariance of places."""
    bases = _smooth_bases(rows, columns)
    return sum(weight * basis for weight, basis in zip(kernel, bases, strict=True))


def _fit_smooth(coords, covariance):
    """Fit the smooth covariance; return its weights, and the variance it leaves of a parcel."""
    pairs = np.triu_indices(len(coords), 1)
    # Neighbours are few among all pairs, and tell most of one another.
    trust = 1 / np.maximum(cdist(coords, coords)[pairs], _TRUST_WITHIN)
    bases = np.stack([basis[pairs] for basis in _smooth_bases(coords, coords)], axis=1)
    kernel, _ = optimize.nnls(bases * trust[:, None], covariance[pairs] * trust)
    explained = np.diagonal(_smooth(coords, coords, kernel)).mean()
    return kernel, max(np.diagonal(covariance).mean() - explained, 0.0)


def _nearest_covariance(matrix):
    """Clip the eigenvalues of a symmetric matrix to be positive."""
    values, axes = linalg.eigh((matrix + matrix.T) / 2)
    smallest = _SMALLEST * max(np.abs(values).mean(), 1e-12)
    return (axes * np.maximum(values, smallest)) @ axes.T


def _scale(covariance, variance):
    """Bring the diagonal of a covariance to a variance."""
    gain = np.sqrt(variance / np.diagonal(covariance))
    return covariance * gain * gain[:, None]


def _roots(covariance):
    """Return whitening and colouring, components by descending variance."""
    variance, axes = linalg.eigh(covariance)
    variance, axes = variance[::-1], axes[:, ::-1]
    sd = np.sqrt(np.maximum(variance, 1e-4 * max(variance.mean(), 1e-12)))
    return axes / sd, axes * sd


def _statistics(covariance, whitening, colouring, autocorrelation):
    """Write statistics down as the closed form takes them."""
    arrays = (covariance, whitening, colouring, autocorrelation, np.zeros((1, 1, 1)))
    return GaussianStatistics(*(np.ascontiguousarray(array, np.float32) for array in arrays))
