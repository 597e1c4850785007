"""What is missing of a recording, and how filling it in is measured.

The protocol is that of masked reconstruction (``_protocol.py``) with other masks. They follow from
what is missing, the part, the draw, the name of the recording and the start of the window.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from _protocol import Protocol

CENSORED = "censored timepoints"
PARCELS = "missing parcels"
PARTS = {CENSORED: (0.2, 0.4), PARCELS: (0.1,)}
LONGEST_BURST = 10  # timepoints


@dataclass(frozen=True)
class Holes(Protocol):
    """What is measured, of windows that have holes."""

    task: str = CENSORED

    def masks(self, file, starts, shape, part, draw):
        """Draw what is missing (n_windows, T, P) of the windows of a recording.

        Timepoints are censored window by window, the same part of each. Parcels are missing from
        the whole recording.
        """
        n_timepoints, n_parcels = shape
        key = (round(1000 * part), draw, zlib.crc32(file.encode()))
        masks = np.zeros((len(starts), *shape), dtype=bool)
        if self.task == PARCELS:
            rng = np.random.default_rng((*key, 1))
            n_missing = max(1, round(part * n_parcels))
            masks[:, :, rng.choice(n_parcels, n_missing, replace=False)] = True
            return masks
        for mask, start in zip(masks, starts, strict=True):
            rng = np.random.default_rng((*key, 2, int(start)))
            mask[censor(n_timepoints, part, rng)] = True
        return masks


def censor(n_timepoints, part, rng):
    """Mark timepoints that a motion scrubbing could leave out, (n_timepoints,).

    Bursts have 1 to 10 timepoints, each length as probable; the last one is cut short, so that the
    part is exact. They lie inside the window, at places that are drawn, with at least one timepoint
    between two of them.
    """
    n_censored = max(1, round(part * n_timepoints))
    lengths = rng.integers(1, LONGEST_BURST + 1, size=n_censored)
    n_bursts = np.searchsorted(np.cumsum(lengths), n_censored) + 1
    lengths = lengths[:n_bursts]
    lengths[-1] -= lengths.sum() - n_censored
    # A burst stands before one of the kept timepoints, or behind the last: never two at one place.
    places = np.sort(rng.choice(n_timepoints - n_censored + 1, n_bursts, replace=False))
    starts = places + np.cumsum(lengths) - lengths
    censored = np.zeros(n_timepoints, dtype=bool)
    for start, length in zip(starts, lengths, strict=True):
        censored[start : start + length] = True
    return censored
