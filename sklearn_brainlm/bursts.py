"""Bursts of censored timepoints, as scrubbing of motion leaves them behind."""

import numpy as np

from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["BURSTS", "draw_bursts"]

BURSTS = "burst"  # the kind of `masking`; the others mask tokens: see masking.py
_LONGEST = 10  # timepoints


def draw_bursts(n_timepoints, part, rng):
    """Mark timepoints that a scrubbing of motion could leave out.

    Parameters
    ----------
    n_timepoints : int
        Timepoints of a window.
    part : float
        Part of them to mark, from 0 to 1; one at least, and never all.
    rng : numpy.random.Generator
        Source of the lengths and places.

    Returns
    -------
    censored : bool array of shape (n_timepoints,)
        Bursts of 1 to 10 timepoints, each length as probable; the last one is cut short, so that
        the part is exact. They lie at places that are drawn, with at least one timepoint between
        two of them where there are as many.

    Raises
    ------
    InvalidRecordingError
        If there are fewer than two timepoints.

    Examples
    --------
    >>> draw_bursts(12, 0.25, np.random.default_rng(0)).sum()
    np.int64(3)
    """
    if n_timepoints < 2:
        raise InvalidRecordingError(
            "The window has one timepoint; masking needs one to hide and one to see. Use a longer "
            "window."
        )
    n_censored = min(max(1, round(part * n_timepoints)), n_timepoints - 1)
    lengths = rng.integers(1, _LONGEST + 1, size=n_censored)
    n_bursts = np.searchsorted(np.cumsum(lengths), n_censored) + 1
    lengths = lengths[:n_bursts]
    lengths[-1] -= lengths.sum() - n_censored
    # A burst stands before one of the kept timepoints, or behind the last: never two at one place,
    # unless there are more bursts than places.
    n_places = n_timepoints - n_censored + 1
    places = np.sort(rng.choice(n_places, n_bursts, replace=n_bursts > n_places))
    starts = places + np.cumsum(lengths) - lengths
    censored = np.zeros(n_timepoints, dtype=bool)
    for start, length in zip(starts, lengths, strict=True):
        censored[start : start + length] = True
    return censored
