"""Where the bins of each parcel lie, and which of them a value falls into."""

import numpy as np

__all__ = ["ParcelBins"]

_GROUP_BINS = 2**18  # 2 MB of counts: the bins that are written to at random stay in cache
_EDGE = 0.2  # part of a range that is added at its ends, so that its ends lie inside
_LARGEST = np.float64(np.finfo(np.float32).max)
_NARROWEST = 1e-35  # whose inverse is a float32, too


class ParcelBins:
    """Bins of equal widths for each parcel, numbered from 1; 0 is below and `n_bins` + 1 above.

    Parameters
    ----------
    low, high : array of shape (n_parcels,)
        Where they begin and end. Bins narrower than the steps of float32 would be empty, most of
        them, so where the ends are too close the bins reach beyond.
    n_bins : int
        Bins a parcel.

    Attributes
    ----------
    start : ndarray of float32 of shape (n_parcels,)
        Where the bin of number 0 would begin.
    inverse : ndarray of float32 of shape (n_parcels,)
        One by the width.
    widths : ndarray of float64 of shape (n_parcels,)
        The width.
    at_limit : ndarray of bool of shape (n_parcels,)
        Whether the bins are as narrow as the steps of float32.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.quantiles.bins import ParcelBins
    >>> bins = ParcelBins([0.0], [4.0], 8)
    >>> bins.place(np.array([[0.75], [-3.0], [3.75]])).ravel().tolist()
    [2.5, -5.0, 8.5]
    """

    def __init__(self, low, high, n_bins):
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        steps = np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))
        narrowest = np.maximum(steps, _NARROWEST)
        widths = np.maximum((high - low) / n_bins, narrowest)
        start = np.clip((low + high) / 2 - (n_bins / 2 + 1) * widths, -_LARGEST, _LARGEST)
        self.n_bins = n_bins
        self.start, self.inverse = start.astype(np.float32), (1 / widths).astype(np.float32)
        self.at_limit = widths <= narrowest

    @property
    def widths(self):
        """The widths that follow from the inverses as they are rounded."""
        return 1 / self.inverse.astype(np.float64)

    def __eq__(self, other):
        return (
            self.n_bins == other.n_bins
            and np.array_equal(self.start, other.start)
            and np.array_equal(self.inverse, other.inverse)
        )

    __hash__ = None

    def __getitem__(self, parcels):
        """Take the bins of some parcels."""
        new = object.__new__(type(self))
        new.n_bins = self.n_bins
        for name in ("start", "inverse", "at_limit"):
            setattr(new, name, getattr(self, name)[parcels])
        return new

    def groups(self):
        """Yield slices of parcels whose bins fit in cache.

        Yields
        ------
        group : slice
            Slice of parcels.
        """
        n_at_once = max(1, _GROUP_BINS // self.n_bins)
        for first in range(0, len(self.start), n_at_once):
            yield slice(first, min(first + n_at_once, len(self.start)))

    def place(self, block, group=slice(None)):
        """Return the numbers of the bins of values, not cut to whole ones yet.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_parcels_in_group)
            Values.
        group : slice, default=slice(None)
            The parcels they are of.

        Returns
        -------
        places : ndarray of float32 of shape (n_rows, n_parcels_in_group)
            Never smaller for a larger value, rounding or not: a bin holds consecutive values.
        """
        with np.errstate(over="ignore"):  # what is far above the bins is above them
            places = np.subtract(block, self.start[group], dtype=np.float32, casting="same_kind")
            places *= self.inverse[group]
        return places

    def widen(self, factor, minimum, maximum):
        """Return wider bins about the same middles, but not wider than the values need.

        Parameters
        ----------
        factor : float
            How much wider.
        minimum, maximum : ndarray of shape (n_parcels,)
            The smallest and the largest value.

        Returns
        -------
        bins : ParcelBins
            New ones.
        """
        edge = _EDGE * (maximum - minimum)
        half = factor * self.n_bins / 2 * self.widths
        middle = self.start + (self.n_bins / 2 + 1) * self.widths
        low, high = (
            np.clip(end, minimum - edge, maximum + edge) for end in (middle - half, middle + half)
        )
        beside = high <= low  # the values are elsewhere altogether
        low, high = np.where(beside, minimum - edge, low), np.where(beside, maximum + edge, high)
        return type(self)(low, high, self.n_bins)

    def between(self, first, last):
        """Return as many bins in the place of one or a few.

        Parameters
        ----------
        first, last : ndarray of int of shape (n_parcels,)
            Numbers of the first and the last of the bins to divide.

        Returns
        -------
        bins : ParcelBins
            New ones.
        """
        low = self.start + first * self.widths
        high = self.start + (last + 1) * self.widths
        edge = _EDGE * (high - low)
        return type(self)(low - edge, high + edge, self.n_bins)
