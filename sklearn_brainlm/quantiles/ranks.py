"""Where a quantile lies among sorted values."""

import numpy as np

__all__ = ["interpolate", "ranks"]


def ranks(q, n_values):
    """Say between which of the sorted values a quantile lies, as `numpy.quantile` does.

    Parameters
    ----------
    q : sequence of float
        Quantiles.
    n_values : int
        How many values there are.

    Returns
    -------
    ranks : ndarray of int of shape (2, n_quantiles)
        The values below and above, counted from 0.
    fraction : ndarray of float64 of shape (n_quantiles,)
        How far the quantile is on the way from one to the other.
    """
    place = np.asarray(q, np.float64) * (n_values - 1)
    below = np.floor(place).astype(np.int64)
    return np.stack([below, np.minimum(below + 1, n_values - 1)]), place - below


def interpolate(below, above, fraction):
    """Interpolate with the rounding of `numpy.quantile`, so that quantiles are its to the last bit.

    Parameters
    ----------
    below, above, fraction : ndarray of float64
        Two values, and how far to go from the one to the other.

    Returns
    -------
    value : ndarray of float64
        What lies there.
    """
    step = above - below
    return np.where(fraction < 0.5, below + step * fraction, above - step * (1 - fraction))
