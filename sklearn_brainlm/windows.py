"""Windows of recordings: where they lie, and how they are cut, scaled, padded and laid out.

Everything here is NumPy. What :meth:`WindowReader.batch` returns is a pair of dicts. The first is
what the network's ``forward`` takes: ``signals`` (B, P, T) float32, ``ids_keep`` (B, K) and
``ids_mask`` (B, M) int64, and what the model asks for beside them. The second is what the loss and
the messages need: ``observed`` (B, T) bool, ``n_values`` (B,) values to predict in each window,
``recording`` (B,) its index.
"""

import numpy as np

from sklearn_brainlm._stalls import saying_when_slow
from sklearn_brainlm._validation import describe
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.recordings import cut_window, n_columns, window_starts

__all__ = ["WindowReader", "draw_windows", "nothing", "place_windows"]


def place_windows(lengths, window_length, patch_length, batch_size, *, stride=None, cover=True):
    """Place windows over recordings at a fixed stride, in batches of as many patch columns.

    Parameters
    ----------
    lengths : sequence of int
        Timepoints of each recording.
    window_length, patch_length : int
        Timepoints of a window and of a patch.
    batch_size : int or None
        Most windows in a batch; None is no limit.
    stride : int, optional
        Timepoints between windows; ``window_length`` when None.
    cover : bool, default=True
        Whether a last window flush with the end covers what the stride leaves.

    Returns
    -------
    batches : list of int64 arrays of shape (B, 2)
        Recording and start of each window; the windows of a batch have as many
        patch columns.
    """
    windows = np.array(
        [
            (recording, start)
            for recording, n_timepoints in enumerate(lengths)
            for start in window_starts(n_timepoints, window_length, stride, cover=cover)
        ]
    )
    counts = n_columns(np.minimum(lengths, window_length), patch_length)[windows[:, 0]]
    batches = []
    for count in np.unique(counts):
        group = windows[counts == count]
        step = batch_size or len(group)
        batches += [group[start : start + step] for start in range(0, len(group), step)]
    return batches


def draw_windows(sampler, which, at_random, epoch):
    """Draw the windows of an epoch from some of the recordings of X.

    Parameters
    ----------
    sampler : WindowSampler
        Made of the lengths of these recordings.
    which : int64 array
        Their indices in X.
    at_random : bool
        Whether windows are drawn, or at the same places in every epoch, as for validation.
    epoch : int
        Number of the epoch.

    Returns
    -------
    batches : list of int64 arrays of shape (B, 2)
        Recording in X, and start, of each window.
    """
    batches = sampler.epoch(epoch) if at_random else sampler.fixed()
    return [np.column_stack([which[batch[:, 0]], batch[:, 1]]) for batch in batches]


def nothing(recordings):
    """Give a network no further inputs.

    Parameters
    ----------
    recordings : int64 array of shape (B,)
        Recording of each window.

    Returns
    -------
    extras : dict
        Empty. A worker process can be sent this function, and no lambda.
    """
    return {}


class WindowReader:
    """Read windows of recordings in the form a network takes.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, P)
        Checked recordings; a memory map is read window by window.
    scale : callable
        Turns a window (T, P) into a scaled float32 window.
    grid : TokenGrid
        Layout of the tokens.
    window_length : int
        Timepoints of a window.
    extras : callable
        ``extras(recordings (B,))`` returns a dict of further inputs of the network.

    Examples
    --------
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> grid = TokenGrid(n_parcels=2, patch_length=4)
    >>> reader = WindowReader([np.ones((10, 2))], np.float32, grid, 6, lambda *_: {})
    >>> signals, observed = reader.read(np.array([[0, 3]]))
    >>> signals.shape, observed[0].astype(int)
    ((1, 2, 8), array([1, 1, 1, 1, 1, 1, 0, 0]))
    """

    def __init__(self, recordings, scale, grid, window_length, extras):
        self.recordings = recordings
        self.scale = scale
        self.grid = grid
        self.window_length = window_length
        self.extras = extras

    def read(self, windows):
        """Cut, scale and pad windows.

        Parameters
        ----------
        windows : int64 array of shape (B, 2)
            Recording and start of each window; all have the same number of patch columns.

        Returns
        -------
        signals : float32 array of shape (B, P, C * L)
            Scaled windows, parcel-major, filled up with zeros.
        observed : bool array of shape (B, C * L)
            False where they were filled up.
        """
        with saying_when_slow(lambda: f"recordings {', '.join(map(str, windows[:10, 0]))}"):
            padded, observed = zip(*map(self._read_one, windows), strict=True)
        signals = np.stack([window.T for window in padded])  # (B, P, C * L)
        finite = np.isfinite(signals).all(axis=(1, 2))
        if not finite.all():
            recording, start = windows[~finite][0]
            raise InvalidRecordingError(
                f"{describe(recording, self.recordings[recording])} has values too large for "
                f"float32 once scaled, from timepoint {start}. Look for a spike in it, or set clip."
            )
        return signals, np.stack(observed)

    def _read_one(self, window):
        """Cut, scale and pad one window."""
        cut = cut_window(self.recordings[window[0]], window[1], self.window_length)
        return self.grid.pad(self.scale(cut))

    def whole(self, windows):
        """Read windows of which nothing is masked.

        Parameters
        ----------
        windows : int64 array of shape (B, 2)
            Recording and start of each window.

        Returns
        -------
        inputs : dict of arrays
            ``signals`` and ``observed``.
        """
        signals, observed = self.read(windows)
        return {"signals": signals, "observed": observed}

    def batch(self, windows, ids_keep, ids_mask, censored=None):
        """Read windows and put them together with their masks.

        Parameters
        ----------
        windows : int64 array of shape (B, 2)
            Recording and start of each window.
        ids_keep, ids_mask : int64 arrays of shape (B, K), (B, M)
            Tokens to show, and tokens to predict.
        censored : bool array of shape (T,), optional
            Timepoints to predict of these tokens, the rest of which may be gone by; all when None.

        Returns
        -------
        inputs, targets : dict of arrays
            The two halves of a batch. With `censored` the first has ``seen`` (B, P, C * L), the
            values that may be gone by, too, and ``observed`` of the second are the timepoints to
            predict.
        """
        signals, observed = self.read(windows)
        asked = observed
        inputs = {
            "signals": signals,
            "ids_keep": ids_keep,
            "ids_mask": ids_mask,
            "observed": observed,
            **self.extras(windows[:, 0]),
        }
        if censored is not None:
            hidden = np.zeros_like(observed)
            hidden[:, : len(censored)] = censored
            inputs["seen"] = np.repeat(~hidden[:, np.newaxis], signals.shape[1], axis=1)
            asked = observed & hidden
        targets = {
            "observed": asked,
            "n_values": self.grid.count_values(ids_mask, asked),
            "recording": windows[:, 0],
        }
        return inputs, targets
