"""What is missing of a recording, and how filling it in is measured.

The protocol is that of masked reconstruction (``_protocol.py``) with other masks. They follow from
what is missing, the part, the draw, the name of the recording and the start of the window.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from _protocol import Protocol

from sklearn_brainlm.bursts import draw_bursts

CENSORED = "censored timepoints"
PARCELS = "missing parcels"
PARTS = {CENSORED: (0.2, 0.4), PARCELS: (0.1,)}


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
            mask[draw_bursts(n_timepoints, part, rng)] = True
        return masks
