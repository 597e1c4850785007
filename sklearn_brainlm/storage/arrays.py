"""Arrays in ``.npy`` files that grow at their end, and whose headers are known to the byte."""

import os
from contextlib import suppress

import numpy as np

__all__ = ["HEADER_BYTES", "GrowingArray", "npy_header"]

HEADER_BYTES = 128  # a multiple of 64, as the format asks, with room for any number of rows


def npy_header(dtype, shape):
    """Write the header of an ``.npy`` file, the same bytes whatever the version of NumPy.

    Parameters
    ----------
    dtype : dtype
        Of the values, with its byte order.
    shape : tuple of int
        Of the array, in C order.

    Returns
    -------
    header : bytes
        Magic string, version 1.0, length and description: 128 bytes.

    Examples
    --------
    >>> import io
    >>> with io.BytesIO(npy_header(np.dtype("<f4"), (0, 3))) as file:
    ...     np.load(file, allow_pickle=False).shape
    (0, 3)
    """
    described = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    prefix = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return prefix + described.encode("ascii").ljust(HEADER_BYTES - 11) + b"\n"


class GrowingArray:
    """An array in a file, to which rows are added.

    Parameters
    ----------
    path : Path
        The file; made when it is not there.
    dtype : dtype
        Of the values.
    row_shape : tuple of int
        Shape of a row.
    n_rows : int, default=0
        Rows to keep of a file that is there; what lies behind them is cut off.

    Attributes
    ----------
    n_rows : int
        Rows so far.

    Notes
    -----
    The header says how many rows there are only once the file is closed by `close`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     array = GrowingArray(Path(folder) / "a.npy", np.dtype("<f4"), (2,))
    ...     array.append(np.ones((3, 2), dtype="<f4"))
    ...     array.close()
    ...     np.load(array.path, allow_pickle=False).shape
    (3, 2)
    """

    def __init__(self, path, dtype, row_shape, n_rows=0):
        self.path = path
        self.dtype = dtype
        self.row_shape = tuple(row_shape)
        self.n_rows = n_rows
        row_bytes = dtype.itemsize * int(np.prod(row_shape))
        if n_rows:
            end = HEADER_BYTES + n_rows * row_bytes
            if path.stat().st_size < end:
                raise ValueError(f"{path} has {path.stat().st_size} bytes; {end} were written.")
            self._file = open(path, "r+b")
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._file = open(path, "wb")
            self._file.write(npy_header(dtype, (0, *self.row_shape)))

    def append(self, rows):
        """Add rows.

        Parameters
        ----------
        rows : C-contiguous array of shape (n_rows, *row_shape)
            What to add, of the dtype of the array.
        """
        self._file.write(memoryview(rows).cast("B"))
        self.n_rows += len(rows)

    def sync(self):
        """Bring all rows so far to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self):
        """Say in the header how many rows there are, and bring the file to the disk."""
        self._file.seek(0)
        self._file.write(npy_header(self.dtype, (self.n_rows, *self.row_shape)))
        self.sync()
        self._file.close()

    def abandon(self):
        """Close the file as it is."""
        with suppress(OSError):  # a full disk refuses what is still to be written, again
            self._file.close()
