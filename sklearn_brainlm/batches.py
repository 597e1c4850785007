"""Batches: windows cut from recordings, scaled, padded, masked and laid out for a network.

Everything here is NumPy. A batch is a pair of dicts. The first is what the network's ``forward``
takes: ``signals`` (B, P, T) float32, ``ids_keep`` (B, K) and ``ids_mask`` (B, M) int64, and what
the model asks for beside them. The second is what the loss and the messages need: ``observed``
(B, T) bool, ``n_values`` (B,) values to predict in each window, ``recording`` (B,) its index.
"""

import numpy as np

from sklearn_brainlm._stalls import saying_when_slow
from sklearn_brainlm._validation import describe
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.masking import draw_mask, mask_ratios
from sklearn_brainlm.recordings import cut_window, n_columns, window_starts

__all__ = [
    "DrawnBatches",
    "WindowBatches",
    "WindowReader",
    "draw_windows",
    "nothing",
    "place_windows",
]

_MASKS = 1  # keeps the stream of the masks apart from that of the windows


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

    def batch(self, windows, ids_keep, ids_mask):
        """Read windows and put them together with their masks.

        Parameters
        ----------
        windows : int64 array of shape (B, 2)
            Recording and start of each window.
        ids_keep, ids_mask : int64 arrays of shape (B, K), (B, M)
            Tokens to show, and tokens to predict.

        Returns
        -------
        inputs, targets : dict of arrays
            The two halves of a batch.
        """
        signals, observed = self.read(windows)
        inputs = {
            "signals": signals,
            "ids_keep": ids_keep,
            "ids_mask": ids_mask,
            "observed": observed,
            **self.extras(windows[:, 0]),
        }
        targets = {
            "observed": observed,
            "n_values": self.grid.count_values(ids_mask, observed),
            "recording": windows[:, 0],
        }
        return inputs, targets


class DrawnBatches:
    """Steps of an epoch, drawn anew for the next; a subclass says what the batch of a step is.

    Parameters
    ----------
    reader : WindowReader
        Where windows are read.
    draw_windows : callable
        ``draw_windows(epoch)`` returns the windows (B, 2) of each step of an epoch.
    first_epoch : int, default=0
        Number of the first epoch; epochs are counted on when training continues.

    Examples
    --------
    >>> batches = DrawnBatches(None, lambda epoch: [np.array([[0, epoch]])])
    >>> batches.next_epoch()
    >>> len(batches), batches.epoch
    (1, 0)
    """

    def __init__(self, reader, draw_windows, first_epoch=0):
        self.reader = reader
        self.draw_windows = draw_windows
        self.epoch = first_epoch - 1
        self.steps = draw_windows(first_epoch)

    def next_epoch(self):
        """Draw the windows of the next epoch."""
        self.epoch += 1
        self.steps = self.draw_windows(self.epoch)

    def __len__(self):
        return len(self.steps)


class WindowBatches(DrawnBatches):
    """Masked batches of windows, as a pure function of seed, epoch and step.

    Parameters
    ----------
    reader : WindowReader
        Where windows are read.
    draw_windows : callable
        ``draw_windows(epoch)`` returns the windows (B, 2) of each step of an epoch.
    masking : {"random", "future", "block", "parcel"}
        Kind of mask.
    mask_ratio : float or sequence of float
        Part to mask; of several, one is drawn for each batch.
    decoded_fraction : float
        Part of the masked tokens that is predicted.
    seed : int
        Seed of the masks.
    first_epoch : int, default=0
        Number of the first epoch; epochs are counted on when training continues.

    Notes
    -----
    A validation set is the same without ``next_epoch``: its masks stay as they are.

    Examples
    --------
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> reader = WindowReader([np.ones((8, 2))], np.float32, TokenGrid(2, 4), 8, lambda *_: {})
    >>> draw = {"masking": "random", "mask_ratio": 0.5, "decoded_fraction": 1.0, "seed": 0}
    >>> inputs, targets = WindowBatches(reader, lambda epoch: [np.array([[0, 0]])], **draw)[0]
    >>> inputs["ids_mask"].shape, targets["n_values"]
    ((1, 2), array([8.], dtype=float32))
    """

    def __init__(
        self, reader, draw_windows, *, masking, mask_ratio, decoded_fraction, seed, first_epoch=0
    ):
        super().__init__(reader, draw_windows, first_epoch)
        self.masking = masking
        self.mask_ratio = mask_ratio
        self.decoded_fraction = decoded_fraction
        self.seed = seed

    def __getitem__(self, step):
        return self.read_part(step, slice(None))

    def read_part(self, step, part):
        """Read some windows of a step, with the masks that they have in the whole batch.

        Parameters
        ----------
        step : int
            Step.
        part : slice
            Of its windows; not empty.

        Returns
        -------
        inputs, targets : dict of arrays
            Part of the batch.
        """
        rng = np.random.default_rng((self.seed, self.epoch + 1, step, _MASKS))
        windows = self.steps[step]
        grid, reader = self.reader.grid, self.reader
        n_timepoints = min(len(reader.recordings[windows[0, 0]]), reader.window_length)
        ids_keep, hidden = draw_mask(
            self.masking,
            grid.n_rows,
            grid.n_columns(n_timepoints),
            rng.choice(mask_ratios(self.mask_ratio)),
            n_windows=len(windows),
            rng=rng,
        )
        n_decoded = max(1, round(self.decoded_fraction * hidden.shape[1]))
        decoded = hidden
        if n_decoded < hidden.shape[1]:
            decoded = rng.permuted(hidden, axis=1)[:, :n_decoded]
        return reader.batch(windows[part], ids_keep[part], decoded[part])
