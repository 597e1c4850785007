"""Batches of windows: which ones a step learns from, and what is masked in them."""

import numpy as np

from sklearn_brainlm.bursts import BURSTS, draw_bursts
from sklearn_brainlm.masking import draw_mask, mask_ratios

__all__ = ["DrawnBatches", "WindowBatches"]

_MASKS = 1  # keeps the stream of the masks apart from that of the windows


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
    masking : {"random", "future", "block", "parcel", "burst"}
        Kind of mask; bursts of timepoints are the same in all windows of a batch.
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
    >>> from sklearn_brainlm.windows import WindowReader
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
        ratio, censored = rng.choice(mask_ratios(self.mask_ratio)), None
        if self.masking == BURSTS:  # the same for all: their tokens are then as many
            censored = draw_bursts(n_timepoints, ratio, rng)
            ids_keep, hidden = grid.hide(censored, len(windows))
        else:
            size = grid.n_rows, grid.n_columns(n_timepoints)
            ids_keep, hidden = draw_mask(
                self.masking, *size, ratio, n_windows=len(windows), rng=rng
            )
        n_decoded = max(1, round(self.decoded_fraction * hidden.shape[1]))
        decoded = hidden
        if n_decoded < hidden.shape[1]:
            decoded = rng.permuted(hidden, axis=1)[:, :n_decoded]
        return reader.batch(windows[part], ids_keep[part], decoded[part], censored)
