"""The closed form that a network starts from, fitted so that it does not flatter itself."""

import numpy as np

from sklearn_brainlm.coordinates import fit_coordinate_statistics
from sklearn_brainlm.scaling import ScaledRecordings
from sklearn_brainlm.stationary import fit_statistics

__all__ = ["assign_folds", "cross_fit", "fit_elsewhere"]

_N_FOLDS = 5
_MOST_RECORDINGS = 2000  # of a fold; more change no statistic by as much as people differ


def assign_folds(groups, n_folds=_N_FOLDS):
    """Put recordings into folds, all recordings of a group into the same.

    Parameters
    ----------
    groups : array of shape (n_recordings,)
        Who each recording is of.
    n_folds : int, default=5
        Most folds.

    Returns
    -------
    folds : int64 array of shape (n_recordings,)
        Number of the fold of each recording, from 0. Groups that are neighbours in the order of
        the recordings share a fold.

    Examples
    --------
    >>> assign_folds(["a", "a", "b", "c"], n_folds=3).tolist()
    [0, 0, 1, 2]
    """
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    rank = first.argsort().argsort()[which]  # of the group, in the order of the recordings
    n_groups = len(first)
    return rank * min(n_folds, n_groups) // n_groups


def fit_elsewhere(recordings, parcel_coords, seed):
    """Fit the statistics of recordings as if half of the parcels had not been recorded.

    Parameters
    ----------
    recordings : list of float32 arrays of shape (n_timepoints, n_parcels), or ScaledRecordings
        Scaled recordings.
    parcel_coords : array of shape (n_parcels, 3)
        MNI coordinates of the parcels in millimetres.
    seed : int
        Seed of the half that is used.

    Returns
    -------
    statistics : GaussianStatistics
        Of all parcels, carried to them from the half by their coordinates. What learns on such
        statistics learns how far to trust them where no recording has been.
    """
    n_parcels = len(parcel_coords)
    used = np.random.default_rng(seed).permutation(n_parcels)[: max(2, n_parcels // 2)]
    lazy = isinstance(recordings, ScaledRecordings)
    part = recordings.keep_parcels(used) if lazy else [x[:, used] for x in recordings]
    return fit_coordinate_statistics(part, parcel_coords[used]).at(parcel_coords)


def cross_fit(recordings, groups, held_out, parcel_coords=None):
    """Fit the statistics of recordings, and those without each fold of them.

    Parameters
    ----------
    recordings : list of float32 arrays of shape (n_timepoints, n_parcels), or ScaledRecordings
        Scaled recordings; of very many, some spread evenly are used.
    groups : array of shape (n_recordings,)
        Who each recording is of.
    held_out : int64 array
        Recordings to validate on. They are a fold of their own.
    parcel_coords : array of shape (n_parcels, 3), optional
        With them, the statistics without a fold are also those of half of the parcels, see
        :func:`fit_elsewhere`.

    Returns
    -------
    statistics : dict of arrays
        Of all recordings.
    fold_statistics : list of dict of arrays
        Without each fold; empty when there is one fold only.
    folds : int64 array of shape (n_recordings,)
        Fold of each recording, -1 when there is one fold only.
    """
    groups = np.asarray(groups)
    statistics = vars(fit_statistics(_take(recordings, np.arange(len(recordings)))))
    is_trained = np.ones(len(recordings), dtype=bool)
    is_trained[held_out] = False
    folds = np.zeros(len(recordings), dtype=np.int64)
    folds[is_trained] = assign_folds(groups[is_trained])
    folds[~is_trained] = folds.max() + 1
    n_folds = folds.max() + 1
    if n_folds == 1:
        return statistics, [], np.full(len(recordings), -1)
    fold_statistics = []
    for fold in range(n_folds):
        others = _take(recordings, np.flatnonzero(folds != fold))
        if parcel_coords is None:
            fold_statistics.append(vars(fit_statistics(others)))
        else:
            fold_statistics.append(vars(fit_elsewhere(others, parcel_coords, fold)))
    return statistics, fold_statistics, folds


def _take(recordings, which):
    """Return some of the recordings, and of very many only as many as are needed."""
    which = which[:: -(-len(which) // _MOST_RECORDINGS)]
    if isinstance(recordings, ScaledRecordings):
        return recordings.take(which)
    return [recordings[i] for i in which]
