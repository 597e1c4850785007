"""Center and spread of each parcel over all timepoints of recordings."""

import numpy as np

from sklearn_brainlm._values import row_blocks
from sklearn_brainlm.quantiles.passes import stream_quantiles

__all__ = ["RESOLUTION", "mean_and_sd", "median_and_iqr", "quotient_and_one", "zero_and_one"]

RESOLUTION = 10 * np.finfo(np.float32).eps  # a spread below this part of the level is rounding


def median_and_iqr(recordings, *, algorithm="exact", n_jobs=None):
    """Return median and interquartile range of each parcel over all timepoints.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Checked recordings.
    algorithm : {"exact", "histogram"}, default="exact"
        Whether quartiles are those of `numpy.percentile`, or off by 2e-4 of the interquartile
        range at most, for half the reading.
    n_jobs : int or None, default=None
        Processes that read.

    Returns
    -------
    median : ndarray of float64 of shape (n_parcels,)
        The median.
    iqr : ndarray of float64 of shape (n_parcels,)
        The interquartile range.
    level : ndarray of float64 of shape (n_parcels,)
        How large values are: a spread far below it is rounding.
    """
    exact = algorithm == "exact"
    low, median, high = stream_quantiles(recordings, exact=exact, n_jobs=n_jobs)
    return median, high - low, np.maximum(np.abs(low), np.abs(high))


def quotient_and_one(recordings, *, algorithm="exact", n_jobs=None):
    """Return median / interquartile range and a scale of 1 for each parcel.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Checked recordings.
    algorithm : {"exact", "histogram"}, default="exact"
        Whether quartiles are those of `numpy.percentile`, or off by 2e-4 of the interquartile
        range at most, for half the reading.
    n_jobs : int or None, default=None
        Processes that read.

    Returns
    -------
    quotient : ndarray of float64 of shape (n_parcels,)
        The median divided by the interquartile range; the median of dead parcels.
    one : ndarray of float64 of shape (n_parcels,)
        Ones; zeros for parcels without spread.
    level : ndarray of float64 of shape (n_parcels,)
        Zeros.
    """
    median, iqr, level = median_and_iqr(recordings, algorithm=algorithm, n_jobs=n_jobs)
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
    total = sum(
        recording[rows].sum(axis=0, dtype=np.float64)
        for recording in recordings
        for rows in row_blocks(recording)
    )
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
