"""How masked reconstruction is measured, the same for every method.

Every non-overlapping window of every test recording is masked at random, patch by patch, several
times at each mask ratio. The masks follow from the mask ratio, the draw, the name of the recording
and the start of the window, and from nothing else: all methods fill in the same values. What is
masked is taken out of the windows before a method gets them.

A method is any object with

- ``fit(recordings)``: learn from a list of scaled recordings (n_timepoints, n_parcels);
- ``reconstruct_windows(windows, masked)``: fill in windows (n_windows, n_timepoints, n_parcels)
  where the truth values of `masked`, of the same shape, are True. All windows of a call are of one
  recording.

An oracle also has ``see_recording(recording, windows)``, and is called before with all there is.
"""

import time
import zlib
from dataclasses import asdict, dataclass

import numpy as np
from _kept import name_protocol

from sklearn_brainlm.masking import mask_to_bool, random_mask
from sklearn_brainlm.metrics import masked_sums
from sklearn_brainlm.recordings import check_lengths, cut_window, n_columns, window_starts

MASK_RATIOS = (0.2, 0.75, 0.9)


@dataclass(frozen=True)
class Protocol:
    """What is measured, without which two scores cannot be compared."""

    window_length: int = 200
    patch_length: int = 20
    n_draws: int = 3  # masks of each window at each mask ratio
    short: str = "pad"  # what becomes of recordings shorter than a window
    max_windows: int | None = None  # of a recording, to try things out

    def windows(self, recording):
        """Cut the non-overlapping windows (n_windows, T, P) of a recording; return their starts."""
        check_lengths([len(recording)], self.window_length, self.patch_length, self.short)
        starts = window_starts(len(recording), self.window_length, cover=False)[: self.max_windows]
        return np.stack([cut_window(recording, s, self.window_length) for s in starts]), starts

    def masks(self, file, starts, shape, mask_ratio, draw):
        """Draw the masks (n_windows, T, P) of the windows of a recording, each on its own."""
        n_timepoints, n_parcels = shape
        columns = n_columns(n_timepoints, self.patch_length)
        masks = []
        for start in starts:
            key = (round(1000 * mask_ratio), draw, zlib.crc32(file.encode()), int(start))
            rng = np.random.default_rng(key)
            _, ids_mask = random_mask(n_parcels, columns, mask_ratio, n_windows=1, rng=rng)
            tokens = mask_to_bool(ids_mask, n_parcels * columns).reshape(n_parcels, columns)
            # A window shorter than its last patch masks what there is of it.
            masks.append(np.repeat(tokens, self.patch_length, axis=1)[:, :n_timepoints].T)
        return np.stack(masks)

    def fingerprint(self, train, test, **preparation):
        """Name this protocol on these people in eight letters."""
        said = {**asdict(self), **preparation, "train": list(train.files), "test": list(test.files)}
        return name_protocol(**said)


@dataclass
class Sums:
    """Squared errors of a method at one mask ratio, by test subject in the order of their names."""

    sse: np.ndarray  # (n_subjects,)
    ss: np.ndarray  # (n_subjects,) about the mean of the masked values of each window
    n_windows: np.ndarray  # (n_subjects,) windows that were filled in, draws counted
    cpu_seconds: float  # of all windows together


def score(method, test, protocol, mask_ratio):
    """Let a fitted method fill in every window of every test recording."""
    subjects, owner = np.unique(test.subjects, return_inverse=True)
    sse, ss, n_windows = np.zeros((3, len(subjects)))
    cpu_seconds = 0.0
    for recording, file, subject in zip(test.recordings, test.files, owner, strict=True):
        windows, starts = protocol.windows(recording)
        if hasattr(method, "see_recording"):  # an oracle
            method.see_recording(recording, windows)
        for draw in range(protocol.n_draws):
            masked = protocol.masks(file, starts, windows.shape[1:], mask_ratio, draw)
            hidden = np.where(masked, np.float32(0), windows)
            began = time.process_time()
            filled = method.reconstruct_windows(hidden, masked)
            cpu_seconds += time.process_time() - began
            window_sse, window_ss = masked_sums(windows, filled, masked)
            sse[subject] += window_sse.sum()
            ss[subject] += window_ss.sum()
            n_windows[subject] += len(windows)
    return Sums(sse, ss, n_windows.astype(int), cpu_seconds)
