"""Quantiles of recordings that do not fit in memory: counts by parcel, which add up."""

import numpy as np

from sklearn_brainlm.quantiles.bins import ParcelBins
from sklearn_brainlm.quantiles.blocks import draw_rows, read_in_blocks
from sklearn_brainlm.quantiles.ranks import interpolate, ranks

__all__ = ["QUARTILES", "ParcelHistograms"]

QUARTILES = (0.25, 0.5, 0.75)
_N_BINS = 8192  # with uint32 as large as 4096 bins of int64, and half as wide
_MARGIN = 0.2  # interquartile ranges that the bins reach beyond the outermost quantiles
_N_ROWS = 4000  # of the first look: the standard error of a quartile is then .016 IQR


class ParcelHistograms:
    """Count the values of each parcel in narrow bins, for quantiles from a single pass.

    For medians and quartiles of more recordings than fit in memory: each is read once, and none is
    kept. With 424 parcels and 8,192 bins the counts take 14 MB.

    Parameters
    ----------
    low, high : array of shape (n_parcels,)
        Where the bins of each parcel begin and end, in the units of the recordings. Values beyond
        are counted in two further bins, so that ranks stay right.
    n_bins : int, default=8192
        Bins a parcel.

    Attributes
    ----------
    counts : ndarray of uint32 of shape (n_parcels, n_bins + 2)
        Values below the bins, in each of them, and above.
    widths : ndarray of float64 of shape (n_parcels,)
        Widths of the bins, in the units of the recordings.
    minimum, maximum : ndarray of float64 of shape (n_parcels,)
        Smallest and largest value.
    n_timepoints : int
        Rows counted.

    See Also
    --------
    RecordingScaler : Does all of this where quartiles are wanted, and looks after bins that do
        not fit.

    Notes
    -----
    Bins lie where the wanted quantiles are expected (`first_look`), which makes them narrow. A
    quantile is off by a bin's width at most, whatever the values, and by far less where they are
    spread evenly over a bin.

    Histograms with the same bins add up (`merge`), so parts of a store can be counted by several
    processes: give each a copy of one first look, let it update its copy, merge the copies.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.quantiles.histograms import ParcelHistograms
    >>> rng = np.random.default_rng(0)
    >>> recordings = [rng.normal(100, 5, (2000, 4)) for _ in range(3)]
    >>> first, second = (ParcelHistograms.first_look(recordings) for _ in range(2))
    >>> merged = first.update(recordings[:1]).merge(second.update(recordings[1:]))
    >>> median = np.median(np.concatenate(recordings), axis=0)
    >>> bool(np.all(np.abs(merged.quantiles([0.5])[0] - median) <= merged.widths))
    True
    """

    def __init__(self, low, high, n_bins=_N_BINS):
        self._begin(ParcelBins(low, high, n_bins))

    def _begin(self, bins):
        """Count nothing yet."""
        n_parcels = len(bins.start)
        self.bins, self.widths = bins, bins.widths
        self.counts = np.zeros((n_parcels, bins.n_bins + 2), np.uint32)
        self.minimum, self.maximum = np.full(n_parcels, np.inf), np.full(n_parcels, -np.inf)
        self.n_timepoints = 0
        return self

    @classmethod
    def with_bins(cls, bins):
        """Make empty histograms.

        Parameters
        ----------
        bins : ParcelBins
            Their bins.

        Returns
        -------
        histograms : ParcelHistograms
            Empty ones.
        """
        return object.__new__(cls)._begin(bins)

    @classmethod
    def first_look(cls, recordings, q=QUARTILES, n_bins=_N_BINS, n_rows=_N_ROWS):
        """Place bins where the quantiles of some rows lie, and a margin around them.

        Parameters
        ----------
        recordings : sequence of array of shape (n_timepoints, n_parcels)
            Checked recordings; anything whose slices of rows are arrays.
        q : sequence of float, default=(0.25, 0.5, 0.75)
            Wanted quantiles, between 0 and 1.
        n_bins : int, default=8192
            Bins a parcel.
        n_rows : int, default=4000
            Rows to look at; one is drawn from each of as many equal parts of all timepoints.

        Returns
        -------
        histograms : ParcelHistograms
            Empty histograms. The same recordings give the same bins.
        """
        rows = draw_rows(recordings, n_rows)
        wanted = [min(q), max(q), 0.25, 0.75]
        low, high, *quartiles = np.quantile(np.ascontiguousarray(rows.T), wanted, axis=1)
        margin = _MARGIN * (quartiles[1] - quartiles[0])
        return cls(low - margin, high + margin, n_bins)

    @property
    def nbytes(self):
        """Return the bytes that the counts and what belongs to them take.

        Returns
        -------
        nbytes : int
            Bytes of memory.
        """
        arrays = [*vars(self).values(), *vars(self.bins).values()]
        return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))

    def update(self, recordings, parcels=slice(None)):
        """Count the values of recordings.

        Parameters
        ----------
        recordings : sequence of array of shape (n_timepoints, n_parcels)
            Checked recordings; anything whose slices of rows are arrays. They are read once, some
            megabytes at a time.
        parcels : slice or array of int, default=slice(None)
            The columns of the recordings that are counted here.

        Returns
        -------
        self : ParcelHistograms
            The histograms.

        Raises
        ------
        OverflowError
            There are more timepoints than a count can hold, 2**32 - 1.
        """
        self._add_timepoints(sum(len(recording) for recording in recordings))
        for block in read_in_blocks(recordings, parcels):
            np.minimum(self.minimum, block.min(axis=0), out=self.minimum)
            np.maximum(self.maximum, block.max(axis=0), out=self.maximum)
            for group in self.bins.groups():
                self._count(block[:, group], group)
        return self

    def merge(self, other):
        """Add the counts of other histograms with the same bins.

        Parameters
        ----------
        other : ParcelHistograms
            Counted elsewhere; a copy of these, or placed by the same first look.

        Returns
        -------
        self : ParcelHistograms
            The histograms, as if they had counted all of it.

        Raises
        ------
        ValueError
            The bins differ.
        """
        if self.bins != other.bins:
            raise ValueError(
                f"The bins differ: {len(self.counts)} parcels with {self.bins.n_bins} bins here, "
                f"{len(other.counts)} with {other.bins.n_bins} there, or other ranges. Give every "
                "process a copy of one first look."
            )
        self._add_timepoints(other.n_timepoints)
        self.counts += other.counts
        np.minimum(self.minimum, other.minimum, out=self.minimum)
        np.maximum(self.maximum, other.maximum, out=self.maximum)
        return self

    def quantiles(self, q=QUARTILES):
        """Estimate quantiles, as `numpy.quantile` defines them.

        Parameters
        ----------
        q : sequence of float, default=(0.25, 0.5, 0.75)
            Quantiles, between 0 and 1.

        Returns
        -------
        quantiles : ndarray of float64 of shape (n_quantiles, n_parcels)
            Off by `widths` at most; those of constant parcels are exact.

        Raises
        ------
        ValueError
            Nothing has been counted, or a quantile lies outside the bins of some parcel.
        """
        covered = self.covers(q)
        if not covered.all():
            raise ValueError(
                f"A quantile of {np.sum(~covered)} parcels lies outside their bins, the first is "
                f"parcel {np.argmin(covered)}. Count again with bins from minimum to maximum, or "
                "after a first look at more rows."
            )
        return self.estimate(q)

    def covers(self, q=QUARTILES):
        """Tell for which parcels quantiles lie inside the bins.

        Parameters
        ----------
        q : sequence of float, default=(0.25, 0.5, 0.75)
            Quantiles, between 0 and 1.

        Returns
        -------
        covered : ndarray of bool of shape (n_parcels,)
            Whether all of them do, or the parcel is constant.
        """
        numbers, _, _ = self.locate(q)
        inside = ((numbers > 0) & (numbers <= self.bins.n_bins)).all(axis=(0, 1))
        return inside | (self.minimum == self.maximum)

    def estimate(self, q):
        """Estimate quantiles without asking whether the bins cover them.

        Parameters
        ----------
        q : sequence of float
            Quantiles, between 0 and 1.

        Returns
        -------
        quantiles : ndarray of float64 of shape (n_quantiles, n_parcels)
            Meaningless where `covers` says no.
        """
        numbers, n_before, fraction = self.locate(q)
        rank, _ = ranks(q, self.n_timepoints)
        n_inside = self.counts[np.arange(len(self.counts)), numbers]
        # The values of a bin are taken to be spread evenly over it.
        place = numbers + (rank[..., None] - n_before + 0.5) / n_inside
        values = np.clip(self.bins.start + place * self.widths, self.minimum, self.maximum)
        return interpolate(values[0], values[1], fraction[:, None])

    def locate(self, q):
        """Find the bins of the two values between which each quantile lies.

        Parameters
        ----------
        q : sequence of float
            Quantiles, between 0 and 1.

        Returns
        -------
        numbers : ndarray of int of shape (2, n_quantiles, n_parcels)
            The bins of the value below and of the value above: 0 is below all bins, `n_bins` + 1
            above.
        n_before : ndarray of int of shape (2, n_quantiles, n_parcels)
            How many values the bins before hold.
        fraction : ndarray of float64 of shape (n_quantiles,)
            How far the quantile is on the way from one value to the other.
        """
        if not self.n_timepoints:
            raise ValueError("Nothing has been counted yet. Call update with recordings first.")
        rank, fraction = ranks(q, self.n_timepoints)
        numbers = np.empty((*rank.shape, len(self.counts)), np.intp)
        n_before = np.empty_like(numbers)
        for parcel, counts in enumerate(self.counts):
            n_until = np.cumsum(counts, dtype=np.int64)
            numbers[..., parcel] = found = np.searchsorted(n_until, rank, side="right")
            n_before[..., parcel] = n_until[found] - counts[found]
        return numbers, n_before, fraction

    def _count(self, block, group):
        """Count the values of a block in the bins of a group of parcels."""
        places = self.bins.place(block, group)
        np.clip(places, 0, self.bins.n_bins + 1, out=places)
        numbers = places.astype(np.intp)
        counts = self.counts[group]
        numbers += np.arange(len(counts)) * counts.shape[1]
        found = np.bincount(numbers.ravel(), minlength=counts.size)
        np.add(counts, found.reshape(counts.shape), out=counts, casting="unsafe")

    def _add_timepoints(self, n_timepoints):
        """Count rows, as long as there is room for them."""
        if self.n_timepoints + n_timepoints >= 2**32:
            raise OverflowError("More than 2**32 - 1 timepoints. Learn from a part of the store.")
        self.n_timepoints += n_timepoints
