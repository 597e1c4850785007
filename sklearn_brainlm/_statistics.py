"""Center and spread of each parcel over all timepoints of recordings."""

import numpy as np

from sklearn_brainlm._values import row_blocks

__all__ = ["RESOLUTION", "mean_and_sd", "median_and_iqr", "quotient_and_one", "zero_and_one"]

RESOLUTION = 10 * np.finfo(np.float32).eps  # a spread below this part of the level is rounding
_COLUMN_VALUES = 2**23  # 64 MB of float64: the parcels whose quantiles are taken at once


def median_and_iqr(recordings):
    """Return median and interquartile range of each parcel, exact over all timepoints.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Checked recordings.

    Returns
    -------
    median : ndarray of float64 of shape (n_parcels,)
        The median.
    iqr : ndarray of float64 of shape (n_parcels,)
        The interquartile range.
    level : ndarray of float64 of shape (n_parcels,)
        How large values are: a spread far below it is rounding.
    """
    stops = np.cumsum([len(recording) for recording in recordings])
    n_parcels = recordings[0].shape[1]
    quartiles = np.empty((3, n_parcels))
    n_at_once = max(1, _COLUMN_VALUES // int(stops[-1]))
    for start in range(0, n_parcels, n_at_once):
        parcels = slice(start, min(start + n_at_once, n_parcels))
        values = np.empty((parcels.stop - start, stops[-1]))  # (parcels, timepoints)
        for recording, stop in zip(recordings, stops, strict=True):
            values[:, stop - len(recording) : stop] = recording[:, parcels].T
        quartiles[:, parcels] = np.percentile(values, [25, 50, 75], axis=1, overwrite_input=True)
    low, median, high = quartiles
    return median, high - low, np.maximum(np.abs(low), np.abs(high))


def quotient_and_one(recordings):
    """Return median / interquartile range and a scale of 1 for each parcel.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Checked recordings.

    Returns
    -------
    quotient : ndarray of float64 of shape (n_parcels,)
        The median divided by the interquartile range; the median of dead parcels.
    one : ndarray of float64 of shape (n_parcels,)
        Ones; zeros for parcels without spread.
    level : ndarray of float64 of shape (n_parcels,)
        Zeros.
    """
    median, iqr, level = median_and_iqr(recordings)
    alive = iqr > RESOLUTION * level
    quotient = np.divide(median, iqr, out=median.copy(), where=alive)
    return quotient, alive.astype(np.float64), np.zeros_like(median)


def mean_and_sd(recordings):
    """Return mean and standard deviation of each parcel, in float64 over two passes.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Checked recordings.

    Returns
    -------
    mean : ndarray of float64 of shape (n_parcels,)
        The mean.
    sd : ndarray of float64 of shape (n_parcels,)
        The standard deviation, dividing by the number of timepoints.
    level : ndarray of float64 of shape (n_parcels,)
        How large values are: a spread far below it is rounding.
    """
    n_timepoints = sum(len(recording) for recording in recordings)
    total = sum(recording.sum(axis=0, dtype=np.float64) for recording in recordings)
    mean = total / n_timepoints
    squares = sum(
        ((recording[rows] - mean) ** 2).sum(axis=0)
        for recording in recordings
        for rows in row_blocks(recording)
    )
    return mean, np.sqrt(squares / n_timepoints), np.abs(mean)


def zero_and_one(recordings):
    """Return a center of 0 and a scale of 1 for each parcel.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Checked recordings.

    Returns
    -------
    center : ndarray of float64 of shape (n_parcels,)
        Zeros.
    scale : ndarray of float64 of shape (n_parcels,)
        Ones.
    level : ndarray of float64 of shape (n_parcels,)
        How large values are: a spread far below it is rounding.
    """
    n_parcels = recordings[0].shape[1]
    return np.zeros(n_parcels), np.ones(n_parcels), np.zeros(n_parcels)
