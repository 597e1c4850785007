"""Batches of windows whose last timepoints are to be forecast."""

import numpy as np

from sklearn_brainlm.batches import DrawnBatches

__all__ = ["ForecastBatches", "future_tokens"]


def future_tokens(grid, n_timepoints, horizon):
    """Find the tokens that reach into the future, and the others.

    Parameters
    ----------
    grid : TokenGrid
        Layout of the tokens.
    n_timepoints : int
        Timepoints of a window, the future included.
    horizon : int
        Its last timepoints.

    Returns
    -------
    ids_keep, ids_mask : int64 arrays
        Tokens to show, and tokens to predict: a patch that holds context and future is of the
        latter, so that the future is never seen.

    Examples
    --------
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> future_tokens(TokenGrid(n_parcels=2, patch_length=4), n_timepoints=10, horizon=3)
    (array([0, 3]), array([1, 2, 4, 5]))
    """
    hidden = np.zeros((n_timepoints, grid.n_parcels), dtype=bool)
    hidden[n_timepoints - horizon :] = True
    touched = grid.touched(hidden)
    return np.flatnonzero(~touched), np.flatnonzero(touched)


class ForecastBatches(DrawnBatches):
    """Windows of contexts and what follows them, never across recordings.

    Parameters
    ----------
    reader : WindowReader
        Where windows are read; its window holds context and horizon.
    draw_windows : callable
        ``draw_windows(epoch)`` returns the windows (B, 2) of each step of an epoch; those of a step
        have the same number of timepoints.
    horizon : int
        Timepoints to forecast.

    Examples
    --------
    >>> from sklearn_brainlm.windows import WindowReader
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> reader = WindowReader([np.ones((8, 2))], np.float32, TokenGrid(2, 4), 8, lambda *_: {})
    >>> inputs, _ = ForecastBatches(reader, lambda epoch: [np.array([[0, 0]])], horizon=3)[0]
    >>> inputs["ids_keep"], inputs["ids_mask"]
    (array([[0, 2]]), array([[1, 3]]))
    """

    def __init__(self, reader, draw_windows, horizon):
        super().__init__(reader, draw_windows)
        self.horizon = horizon

    def __getitem__(self, step):
        windows = self.steps[step]
        reader = self.reader
        n_timepoints = min(len(reader.recordings[windows[0, 0]]), reader.window_length)
        ids = future_tokens(reader.grid, n_timepoints, self.horizon)
        return reader.batch(windows, *(np.tile(tokens, (len(windows), 1)) for tokens in ids))
