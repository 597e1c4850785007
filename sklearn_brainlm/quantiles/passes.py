"""Quantiles of each parcel over all timepoints: passes over recordings that stay where they are.

One pass counts values in narrow bins (`ParcelHistograms`). A second one gathers the few values of
the bins in which quantiles lie, which makes them exact. Where bins turn out to be misplaced or
crowded, their parcels are counted again with others.
"""

from functools import reduce

import numpy as np
from joblib import effective_n_jobs

from sklearn_brainlm._jobs import run_jobs
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.quantiles.blocks import read_in_blocks
from sklearn_brainlm.quantiles.histograms import QUARTILES, ParcelHistograms
from sklearn_brainlm.quantiles.ranks import interpolate, ranks

__all__ = ["stream_quantiles"]

_TOLERANCE = 2e-4  # width of a bin, as part of the spread of the quantiles
_MAX_PASSES = 40  # each narrows or widens bins a thousandfold; all of float32 takes 26
_WIDENING = 1000
_MAX_GATHERED = 2**16  # different values around one quantile of one parcel
_GATHERED_SHARE = 1e-3  # or this part of its timepoints; bins as narrow as asked hold less
_N_PENDING = 2**19  # gathered values before equal ones are put together


def stream_quantiles(recordings, q=QUARTILES, *, exact=True, n_jobs=None):
    """Compute quantiles of each parcel over the timepoints of all recordings.

    Parameters
    ----------
    recordings : sequence of array of shape (n_timepoints, n_parcels)
        Checked recordings; anything whose slices of rows are arrays. They are read two times, or
        once where `exact` is False; more often for few parcels, should their bins not fit.
    q : sequence of float, default=(0.25, 0.5, 0.75)
        Quantiles, between 0 and 1.
    exact : bool, default=True
        Whether quantiles are those of `numpy.quantile`. Otherwise they may be off by 2e-4 of the
        difference between the largest and the smallest of them.
    n_jobs : int or None, default=None
        Processes that read; see :class:`joblib.Parallel`.

    Returns
    -------
    quantiles : ndarray of float64 of shape (n_quantiles, n_parcels)
        The quantiles.

    Raises
    ------
    InvalidRecordingError
        The values of a parcel spread over more than float32 can tell apart.
    """
    bins = ParcelHistograms.first_look(recordings, q).bins
    parcels = np.arange(recordings[0].shape[1])
    parts = _split(recordings, effective_n_jobs(n_jobs))
    return _resolve(parts, q, bins, parcels, exact, n_jobs)


def _resolve(parts, q, bins, parcels, exact, n_jobs):
    """Count, and count again what the bins do not hold, until every quantile is known."""
    quantiles = np.empty((len(q), len(parcels)))
    left = np.arange(len(parcels))  # those that are not known yet
    for _ in range(_MAX_PASSES):
        first, *others = _run(_count, parts, n_jobs, bins, parcels[left])
        histograms = reduce(ParcelHistograms.merge, others, first)
        quantiles[:, left] = found = histograms.estimate(q)
        covered = histograms.covers(q)
        constant = histograms.minimum == histograms.maximum
        near = bins.widths <= _TOLERANCE * np.ptp(found, axis=0)
        chosen = np.flatnonzero(covered & ~constant & (exact | ~near))
        if len(chosen):
            columns = left[chosen]
            gathered, crowded = _gather_all(parts, q, histograms, parcels[columns], chosen, n_jobs)
            quantiles[:, columns] = np.where(crowded, quantiles[:, columns], gathered)
            # At the limit all values of a bin are the same in float32, and the estimate is good.
            crowded &= ~bins.at_limit[chosen]
            for number in np.flatnonzero(crowded.any(axis=1)):
                which = crowded[number]
                below, above = histograms.locate([q[number]])[0][:, 0, chosen[which]]
                inner = bins[chosen[which]].between(below, above)
                args = [q[number]], inner, parcels[columns[which]], True, n_jobs
                quantiles[number, columns[which]] = _resolve(parts, *args)[0]
        if covered.all():
            return quantiles
        minimum, maximum = histograms.minimum[~covered], histograms.maximum[~covered]
        bins, left = bins[~covered].widen(_WIDENING, minimum, maximum), left[~covered]
    raise InvalidRecordingError(
        f"Parcel {parcels[left[0]]} has values from {minimum[0]:.3g} to {maximum[0]:.3g}, which "
        "float32 cannot hold side by side. Look for spikes."
    )


def _split(recordings, n_parts):
    """Split recordings into runs of about as many timepoints."""
    lengths = np.array([len(recording) for recording in recordings])
    middles = np.cumsum(lengths) - lengths / 2
    owners = np.minimum((n_parts * middles / lengths.sum()).astype(int), n_parts - 1)
    places = [np.flatnonzero(owners == part) for part in range(n_parts)]
    return [recordings[own[0] : own[-1] + 1] for own in places if len(own)]


def _run(work, parts, n_jobs, *arguments):
    """Do the work on each part, in processes of their own where there are several."""
    if len(parts) == 1:
        return [work(parts[0], *arguments)]
    return list(run_jobs(work, [(part, *arguments) for part in parts], n_jobs=n_jobs))


def _count(recordings, bins, parcels):
    """Count one part."""
    return ParcelHistograms.with_bins(bins).update(recordings, parcels)


def _gather_all(parts, q, histograms, parcels, chosen, n_jobs):
    """Return exact quantiles of the chosen parcels, and which had too many different values."""
    numbers, n_before, fraction = histograms.locate(q)
    numbers, n_before = numbers[..., chosen], n_before[0][:, chosen]
    limit = max(_MAX_GATHERED, int(_GATHERED_SHARE * histograms.n_timepoints))
    gathered = _run(_gather, parts, n_jobs, histograms.bins[chosen], parcels, numbers, limit)
    crowded, *entries = zip(*gathered, strict=True)
    slots, values, counts = _put_together(*map(np.concatenate, entries))
    crowded = np.any(crowded, axis=0)
    edges = np.searchsorted(slots, np.arange(crowded.size + 1))
    rank, _ = ranks(q, histograms.n_timepoints)
    ends = np.zeros((2, *crowded.shape))
    for slot in np.flatnonzero(~crowded.ravel()):
        number, parcel = divmod(slot, len(chosen))
        own = slice(edges[slot], edges[slot + 1])
        places = np.searchsorted(
            np.cumsum(counts[own]), rank[:, number] - n_before[number, parcel], side="right"
        )
        ends[:, number, parcel] = values[own][places]
    return interpolate(*ends, fraction[:, None]), crowded


def _gather(recordings, bins, parcels, numbers, limit):
    """Gather the values of the bins from that of the value below to that of the value above.

    Returns
    -------
    crowded : ndarray of bool of shape (n_quantiles, n_parcels)
        Where there are more than `limit` different values, which are then left out.
    slots : ndarray of int
        What each value is for, counted through `crowded`; in order.
    values : ndarray
        The values; in order within a slot.
    counts : ndarray of int
        How often each is there.
    """
    first, stop = numbers[0].astype(np.float32), numbers[1].astype(np.float32) + 1
    crowded = np.zeros(first.shape, bool)
    n_parcels = first.shape[1]
    done, pending, n_pending = None, [], 0

    def tidy():
        """Put equal values together, and give up slots that hold too many others."""
        nonlocal done, pending, n_pending
        parts = [*pending] if done is None else [done, *pending]
        done = _put_together(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        n_values = np.bincount(done[0], minlength=crowded.size)
        if (n_values > limit).any():
            crowded.ravel()[n_values > limit] = True
            stop[crowded] = -np.inf  # no value is below: nothing more is gathered
            keep = ~crowded.ravel()[done[0]]
            done = tuple(each[keep] for each in done)
        pending, n_pending = [], 0

    for block in read_in_blocks(recordings, parcels):
        for group in bins.groups():
            places = bins.place(block[:, group], group)
            for number in range(len(first)):
                inside = places >= first[number, group]
                inside &= places < stop[number, group]
                # Twice as fast as numpy.nonzero of rows and columns, where few are inside.
                rows, columns = np.divmod(np.flatnonzero(inside), inside.shape[1])
                columns += group.start
                slots = columns + number * n_parcels
                pending.append((slots, block[rows, columns], np.ones(len(rows), np.int64)))
                n_pending += len(rows)
            if n_pending > _N_PENDING:
                tidy()
    tidy()
    return crowded, *done


def _put_together(slots, values, counts):
    """Sort values by slot and size, and count equal ones once."""
    order = np.lexsort((values, slots))
    slots, values, counts = slots[order], values[order], counts[order]
    is_new = np.ones(len(slots), bool)
    is_new[1:] = (slots[1:] != slots[:-1]) | (values[1:] != values[:-1])
    starts = np.flatnonzero(is_new)
    counts = np.add.reduceat(counts, starts) if len(starts) else counts
    return slots[starts], values[starts], counts
