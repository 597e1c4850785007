"""Windows of recordings: where they start, how they are cut and padded, in which batches they come.

A window is the stretch of ``window_length`` timepoints the model sees, known by the index of its
recording and the timepoint it starts at. It is cut into patch columns of ``patch_length``
timepoints.
"""

import numpy as np

from sklearn_brainlm._stored_values import check_mapped
from sklearn_brainlm._validation import as_float32, describe
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = [
    "WindowSampler",
    "check_lengths",
    "cut_window",
    "n_columns",
    "pad_to_patches",
    "window_starts",
]


def window_starts(n_timepoints, window_length, stride=None, *, cover=True):
    """Place windows over a recording at a fixed stride.

    Parameters
    ----------
    n_timepoints : int
        Length of the recording.
    window_length : int
        Timepoints of a window.
    stride : int or None, default=None
        Timepoints between the starts of neighbouring windows; None is ``window_length``.
    cover : bool, default=True
        Whether a last window is added flush with the end where the stride leaves a rest.

    Returns
    -------
    starts : ndarray of int64 of shape (n_windows,)
        First timepoint of each window, ascending; ``[0]`` for a recording shorter than a window.

    Examples
    --------
    >>> window_starts(500, 200).tolist()
    [0, 200, 300]
    >>> window_starts(500, 200, cover=False).tolist()
    [0, 200]
    """
    stride = window_length if stride is None else stride
    if n_timepoints < 1 or window_length < 1 or stride < 1:
        raise InvalidRecordingError(
            f"n_timepoints={n_timepoints}, window_length={window_length} and stride={stride} must "
            "be at least 1."
        )
    last = max(0, n_timepoints - window_length)
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    if cover and starts[-1] < last:
        starts = np.append(starts, last)
    return starts


def n_columns(n_timepoints, patch_length):
    """Count the patch columns that hold a number of timepoints.

    Parameters
    ----------
    n_timepoints : int or array of int
        Timepoints of a window.
    patch_length : int
        Timepoints of a patch.

    Returns
    -------
    n_columns : int or array of int
        ``n_timepoints / patch_length``, rounded up.
    """
    return -(-n_timepoints // patch_length)


def cut_window(recording, start, window_length):
    """Read one window of a recording.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        Any real dtype; only the timepoints of the window are read from a memory map.
    start : int
        First timepoint of the window.
    window_length : int
        Timepoints of a window.

    Returns
    -------
    window : ndarray of float32 of shape (min(window_length, n_timepoints - start), n_parcels)
        The values; the memory of the recording itself where no cast is needed, so not for writing.

    Raises
    ------
    InvalidRecordingError
        The recording does not reach as far as `start`.
    StoreCorruptionError
        The file of a memory map has been truncated since it was opened.
    """
    if not 0 <= start < len(recording):
        raise InvalidRecordingError(
            f"A window cannot start at timepoint {start} of a recording of {len(recording)}."
        )
    check_mapped(recording)  # reading beyond the end of a file would kill the process
    return as_float32(recording[start : start + window_length])


def pad_to_patches(window, patch_length):
    """Fill a window up to whole patch columns with zeros at its end.

    Parameters
    ----------
    window : array of shape (n_timepoints, n_parcels)
        A window.
    patch_length : int
        Timepoints of a patch.

    Returns
    -------
    padded : ndarray of float32 of shape (n_columns * patch_length, n_parcels)
        The window and the zeros, always a copy.
    observed : ndarray of bool of shape (n_columns * patch_length,)
        True where a timepoint is the window's.
    """
    n_timepoints = len(window)
    n_padded = n_columns(n_timepoints, patch_length) * patch_length
    padded = np.zeros((n_padded, window.shape[1]), dtype=np.float32)
    padded[:n_timepoints] = window
    return padded, np.arange(n_padded) < n_timepoints


def check_lengths(lengths, window_length, patch_length, short="pad"):
    """Check that recordings are long enough for windows.

    Parameters
    ----------
    lengths : sequence of int of shape (n_recordings,)
        Timepoints of each recording.
    window_length : int
        Timepoints of a window.
    patch_length : int
        Timepoints of a patch.
    short : {"pad", "raise"}, default="pad"
        What becomes of a recording shorter than a window: padded and masked, or refused. One
        shorter than a patch is always refused.

    Returns
    -------
    lengths : ndarray of int64 of shape (n_recordings,)
        The lengths.

    Raises
    ------
    InvalidRecordingError
        A recording is too short.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    for needed, why in ((patch_length, "patch"), (window_length, "window")):
        too_short = np.flatnonzero(lengths < needed)
        if (why == "window" and short == "pad") or not len(too_short):
            continue
        first = int(too_short[0])
        others = f" (and {len(too_short) - 1} more recordings)" if len(too_short) > 1 else ""
        found = f"{describe(first)} has {lengths[first]} timepoints{others}"
        if why == "patch":
            raise InvalidRecordingError(
                f"{found}; at least {patch_length} timepoints (one patch) are needed. Leave it "
                "out, or lower patch_length."
            )
        raise InvalidRecordingError(
            f"{found}; window_length={window_length} needs at least {window_length}. Leave it out, "
            "lower window_length, or pad short recordings with short='pad'. (A list of 3-D images "
            "gives one short recording: join them into 4-D images.)"
        )
    return lengths


class WindowSampler:
    """Batches of training windows, as a pure function of seed and epoch.

    Parameters
    ----------
    lengths : sequence of int of shape (n_recordings,)
        Timepoints of each recording.
    window_length : int
        Timepoints of a window.
    patch_length : int
        Timepoints of a patch.
    batch_size : int
        Windows of a batch; the last batch of those with one number of patch columns may be smaller.
    windows_per_recording : int, default=1
        Windows drawn from each recording in an epoch.
    seed : int, default=0
        Seed of the draws.

    Attributes
    ----------
    n_batches : int
        Batches of an epoch; the same in every epoch.

    Notes
    -----
    Nothing is remembered between epochs, so a resumed run, or another process, draws the same
    windows. Recordings shorter than a window are batched with those that have as many patch
    columns: all windows of a batch have the same number of tokens.

    Examples
    --------
    >>> sampler = WindowSampler([300, 300, 60], window_length=100, patch_length=20, batch_size=4)
    >>> [len(batch) for batch in sampler.fixed()]
    [1, 2]
    >>> bool((sampler.epoch(3)[0] == sampler.epoch(3)[0]).all())
    True
    """

    def __init__(
        self, lengths, window_length, patch_length, batch_size, *, windows_per_recording=1, seed=0
    ):
        self.lengths = check_lengths(lengths, window_length, patch_length)
        self.window_length = window_length
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.windows_per_recording = windows_per_recording
        self.seed = seed
        self._recordings = np.repeat(np.arange(len(self.lengths)), windows_per_recording)
        self._last_starts = np.maximum(0, self.lengths - window_length)[self._recordings]
        seen = np.minimum(self.lengths, window_length)[self._recordings]
        self._n_columns = n_columns(seen, patch_length)
        counts = np.unique(self._n_columns, return_counts=True)[1]
        self.n_batches = int(n_columns(counts, batch_size).sum())

    def epoch(self, epoch):
        """Draw the batches of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.

        Returns
        -------
        batches : list of ndarray of int64 of shape (n_windows, 2)
            Recording and start of each window. Every recording occurs ``windows_per_recording``
            times in the epoch, at starts drawn uniformly.
        """
        rng = np.random.default_rng((self.seed, epoch))
        starts = rng.integers(0, self._last_starts + 1)
        batches = self._batches(starts, rng.permutation(len(starts)))
        return [batches[i] for i in rng.permutation(len(batches))]

    def fixed(self):
        """Place the windows without chance, for validation.

        Returns
        -------
        batches : list of ndarray of int64 of shape (n_windows, 2)
            Recording and start of each window, in the order of the recordings within each number
            of patch columns. The windows of a recording are spread evenly over it.
        """
        rank = np.tile(np.arange(self.windows_per_recording), len(self.lengths))
        starts = (2 * rank + 1) * self._last_starts // (2 * self.windows_per_recording)
        return self._batches(starts, np.arange(len(starts)))

    def _batches(self, starts, order):
        """Cut windows, taken in an order, into batches of one number of patch columns."""
        windows = np.column_stack([self._recordings, starts])
        batches = []
        for count in np.unique(self._n_columns):
            group = windows[order[self._n_columns[order] == count]]
            batches += np.split(group, range(self.batch_size, len(group), self.batch_size))
        return batches
