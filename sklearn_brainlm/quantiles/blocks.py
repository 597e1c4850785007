"""Rows of several recordings put together in blocks, so that no recording is read as a whole."""

import numpy as np

__all__ = ["draw_rows", "read_in_blocks"]

_BLOCK_BYTES = 2**23  # enough rows to outweigh what every block costs


def read_in_blocks(recordings, columns=slice(None)):
    """Yield the rows of recordings, one after the other, in blocks of some megabytes.

    Parameters
    ----------
    recordings : sequence of array of shape (n_timepoints, n_parcels)
        Anything whose slices of rows are arrays, memory maps included.
    columns : slice or array of int, default=slice(None)
        Which parcels to read.

    Yields
    ------
    block : ndarray of shape (n_rows, n_columns)
        In float32, or in the type of the recordings where float32 would not hold their values.
        The next block overwrites it.
    """
    block, n_filled = None, 0
    for recording in recordings:
        if block is None:
            width = np.empty(recording.shape[1], bool)[columns].size
            kind = holding_type(recordings)
            n_rows = max(1, _BLOCK_BYTES // (width * kind.itemsize))
            n_rows = min(n_rows, sum(len(each) for each in recordings))
            block = np.empty((n_rows, width), kind)
        start = 0
        while start < len(recording):
            stop = min(len(recording), start + len(block) - n_filled)
            block[n_filled : n_filled + stop - start] = recording[start:stop][:, columns]
            n_filled, start = n_filled + stop - start, stop
            if n_filled == len(block):
                yield block
                n_filled = 0
    if n_filled:
        yield block[:n_filled]


def draw_rows(recordings, n_rows):
    """Draw rows spread evenly over all timepoints, the same ones every time.

    Parameters
    ----------
    recordings : sequence of array of shape (n_timepoints, n_parcels)
        Anything whose slices of rows are arrays.
    n_rows : int
        How many; all of them where there are no more.

    Returns
    -------
    rows : ndarray of shape (n_rows, n_parcels)
        One from each of `n_rows` equal parts, so that every long recording is in it.
    """
    stops = np.cumsum([len(recording) for recording in recordings])
    n_rows = min(n_rows, int(stops[-1]))
    edges = np.linspace(0, stops[-1], n_rows + 1).astype(np.int64)
    numbers = np.random.default_rng(0).integers(edges[:-1], edges[1:])
    owners = np.searchsorted(stops, numbers, side="right")
    rows = np.empty((n_rows, recordings[0].shape[1]), holding_type(recordings))
    for place, (owner, number) in enumerate(zip(owners, numbers, strict=True)):
        row = number - (stops[owner] - len(recordings[owner]))
        rows[place] = recordings[owner][row : row + 1][0]
    return rows


def holding_type(recordings):
    """Return the type that holds the values of all recordings, float32 at least.

    Parameters
    ----------
    recordings : sequence of array
        Recordings.

    Returns
    -------
    kind : dtype
        A type of floats.
    """
    return np.result_type(np.float32, *{np.dtype(recording.dtype) for recording in recordings})
