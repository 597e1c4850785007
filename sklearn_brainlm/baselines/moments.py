"""Second moments of recordings over time: what closed-form forecasts are made of.

Windows are never materialised: the moments of all of them, one starting at every timepoint, follow
from fast Fourier transforms and what enters and leaves at the ends.
"""

import numpy as np
from scipy import fft, linalg

__all__ = [
    "autocovariance",
    "lagged_covariance",
    "principal_modes",
    "solve_ridge",
    "window_moments",
]


def window_moments(recording, length):
    """Sum products of the timepoints of windows, over all windows and all parcels.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        A scaled recording of at least `length` timepoints.
    length : int
        Timepoints of a window; one starts at every timepoint where it fits.

    Returns
    -------
    moments : float64 array of shape (length, length)
        ``sum(x[start + i, parcel] * x[start + j, parcel])`` over starts and parcels, at [i, j].

    Examples
    --------
    >>> window_moments(np.array([[1.0], [2.0], [3.0]]), 2)  # windows (1, 2) and (2, 3)
    array([[ 5.,  8.],
           [ 8., 13.]])
    """
    x = np.asarray(recording, dtype=np.float64)
    n_windows = len(x) - length + 1
    n_fft = fft.next_fast_len(len(x) + n_windows, real=True)
    first = fft.rfft(x[:n_windows], n_fft, axis=0).conj() * fft.rfft(x, n_fft, axis=0)
    moments = np.empty((length, length))
    moments[0] = moments[:, 0] = fft.irfft(first.sum(axis=1), n_fft)[:length]
    # One step down a diagonal, every window moves on by a timepoint.
    leaving, entering = x[: length - 1], x[n_windows:]
    change = entering @ entering.T - leaving @ leaving.T  # (length - 1, length - 1)
    for i in range(length - 1):
        moments[i + 1, 1:] = moments[i, :-1] + change[i]
    return moments


def autocovariance(recordings, n_lags):
    """Estimate the autocovariance of each parcel or component.

    Parameters
    ----------
    recordings : iterable of arrays of shape (n_timepoints, n_components)
        Scaled recordings, centred at 0.
    n_lags : int
        Longest lag.

    Returns
    -------
    covariance : float64 array of shape (n_lags + 1, n_components)
        Sums of lagged products over the number of timepoints, whatever the lag: this keeps every
        spectrum positive. Zero beyond the longest recording.

    Examples
    --------
    >>> autocovariance([np.array([[1.0], [-1.0], [1.0], [-1.0]])], 2).ravel().round(6).tolist()
    [1.0, -0.75, 0.5]
    """
    total, n_timepoints = 0.0, 0
    for recording in recordings:
        x = np.asarray(recording, dtype=np.float64)
        n_fft = fft.next_fast_len(len(x) + n_lags, real=True)
        power = np.abs(fft.rfft(x, n_fft, axis=0)) ** 2
        total = total + fft.irfft(power, n_fft, axis=0)[: n_lags + 1]
        n_timepoints += len(x)
    return total / n_timepoints


def lagged_covariance(recordings, n_lags):
    """Estimate the covariance between components at every lag.

    Parameters
    ----------
    recordings : iterable of arrays of shape (n_timepoints, n_components)
        Scaled recordings, centred at 0.
    n_lags : int
        Longest lag.

    Returns
    -------
    covariance : float64 array of shape (n_lags + 1, n_components, n_components)
        Of component i at ``t + lag`` with component j at t, at [lag, i, j]; sums over the number
        of timepoints, whatever the lag.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])  # the second follows the first
    >>> lagged_covariance([x], 1)[1].tolist()
    [[0.0, 0.0], [0.5, 0.0]]
    """
    total, n_timepoints = 0.0, 0
    for recording in recordings:
        x = np.asarray(recording, dtype=np.float64)
        lagged = [x[lag:].T @ x[: max(0, len(x) - lag)] for lag in range(n_lags + 1)]
        total = total + np.array(lagged)
        n_timepoints += len(x)
    return total / n_timepoints


def principal_modes(recordings):
    """Find the spatial eigenmodes of recordings: principal components about 0.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        Scaled recordings.

    Returns
    -------
    modes : float64 array of shape (n_parcels, n_parcels)
        Orthonormal columns, by descending variance: ``components = x @ modes``.

    Examples
    --------
    >>> modes = principal_modes([np.array([[0.0, 2.0], [1.0, 0.0], [0.0, -2.0]])])
    >>> np.abs(modes).round(6).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    moments = [np.asarray(x, dtype=np.float64) for x in recordings]
    return linalg.eigh(sum(x.T @ x for x in moments))[1][:, ::-1].copy()


def solve_ridge(moments, targets, ridge):
    """Solve the normal equations of a ridge regression.

    Parameters
    ----------
    moments : array of shape (n_inputs, n_inputs)
        Second moments of the inputs.
    targets : array of shape (n_inputs, n_outputs)
        Moments of the inputs with the outputs.
    ridge : float
        Added to the diagonal, in parts of its mean.

    Returns
    -------
    weights : float64 array of shape (n_inputs, n_outputs)
        ``outputs = inputs @ weights``; zeros when the inputs do not vary.

    Examples
    --------
    >>> solve_ridge(np.eye(2), np.array([[1.0], [2.0]]), 1.0).ravel().round(6).tolist()
    [0.5, 1.0]
    """
    level = np.trace(moments) / len(moments)
    if level <= 0:
        return np.zeros_like(targets)
    return linalg.solve(moments + ridge * level * np.eye(len(moments)), targets, assume_a="pos")
