"""How a store keeps the values of recordings: float32, float16, or 16-bit codes with a scale."""

import zlib

import numpy as np

from sklearn_brainlm._values import as_float32, find_truncation
from sklearn_brainlm.exceptions import InvalidRecordingError, StoreCorruptionError

__all__ = ["DTYPES", "StoredRecording", "check_mapped", "checksum", "decode", "encode"]

# Little-endian on every machine: a store may be copied to another.
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("float32", "float16", "int16")}

_MAX_CODE = 32767
_MAX_LOSS = 0.02  # root mean squared rounding error, in interquartile ranges of a parcel
_MAX_CONSTANT_LOSS = 2.0**-10  # relative; float16 rounds a normal number by at most 2**-11
_TINY = np.finfo(np.float32).tiny


def encode(recording, dtype):
    """Turn a checked recording into the values a store keeps.

    Parameters
    ----------
    recording : ndarray of shape (n_timepoints, n_parcels)
        Finite real numbers.
    dtype : {"float32", "float16", "int16"}
        How they are kept.

    Returns
    -------
    values : C-contiguous array of shape (n_timepoints, n_parcels)
        What is written.
    scales : float32 array of shape (2, n_parcels) or None
        For "int16": the step of each parcel, and its offset.

    Raises
    ------
    InvalidRecordingError
        The values overflow in `dtype`, or rounding would change a parcel by more than 2% of its
        interquartile range (root mean square).

    Notes
    -----
    "int16" keeps ``round((x - offset) / step)``, where the offset is the middle between smallest
    and largest value of a parcel and the step their distance divided by 65534. What is read differs
    from x by at most half a step, (max - min) / 131068, and the rounding of float32, 2**-23 of
    max|x|. A parcel that is constant in the recording is exact.

    Examples
    --------
    >>> values, scales = encode(np.array([[0.0, 7.0], [2.0, 7.0]]), "int16")
    >>> values.tolist()
    [[-32767, 0], [32767, 0]]
    >>> decode(values, scales).round(6).tolist()
    [[-0.0, 7.0], [2.0, 7.0]]
    """
    x = as_float32(recording)
    if dtype == "float32":  # what estimators compute in: nothing is lost to them
        return x.astype(DTYPES[dtype], copy=False), None
    if dtype == "float16":
        largest = float(np.abs(x).max())
        if largest > 65504.0:  # as float32: in float16, what is larger would be rounded to it
            row, parcel = np.unravel_index(np.abs(x).argmax(), x.shape)
            raise InvalidRecordingError(
                f"float16 overflows: the value at timepoint {row}, parcel {parcel} is "
                f"{x[row, parcel]:g}, the largest is 65504. Scale it, or keep it as float32."
            )
        values = x.astype(DTYPES[dtype])
        _check_loss(x, values.astype(np.float32), dtype)
        return values, None
    low, high = (extreme.astype(np.float64) for extreme in (x.min(axis=0), x.max(axis=0)))
    offset = ((low + high) / 2).astype(np.float32)
    offset = np.where(low == high, x[0], offset)
    half = np.maximum(high - offset, offset - low)
    step = (half / _MAX_CODE).astype(np.float32)
    # Rounded up where it was rounded down, so that no code is beyond the largest.
    step = np.where(step * np.float64(_MAX_CODE) < half, np.nextafter(step, np.float32(1)), step)
    lost = np.flatnonzero((half > 0) & (step < _TINY))
    if len(lost):
        raise InvalidRecordingError(
            f"int16 loses parcel {lost[0]}: it varies by {2 * half[lost[0]]:g}, too little for a "
            "step in float32. Scale the recording, or keep it as float32."
        )
    divisor = np.where(step > 0, step, 1).astype(np.float64)
    values = np.rint((x - offset.astype(np.float64)) / divisor).astype(DTYPES[dtype])
    scales = np.stack([step, offset]).astype(DTYPES["float32"])
    with np.errstate(over="ignore"):  # the check of the loss finds it
        decoded = decode(values, scales)
    _check_loss(x, decoded, dtype)
    return values, scales


def decode(values, scales):
    """Turn 16-bit codes back into float32.

    Parameters
    ----------
    values : int16 array of shape (..., n_parcels)
        Codes.
    scales : float32 array of shape (2, n_parcels)
        Step and offset of each parcel.

    Returns
    -------
    decoded : ndarray of float32 of the shape of values
        ``values * step + offset``.
    """
    decoded = np.multiply(values, scales[0], dtype=np.float32)
    decoded += scales[1]
    return decoded


def checksum(values, scales=None):
    """Compute the checksum of a recording.

    Parameters
    ----------
    values : C-contiguous array of shape (n_timepoints, n_parcels)
        What is written.
    scales : C-contiguous array of shape (2, n_parcels) or None, default=None
        What is written beside it.

    Returns
    -------
    crc : int
        CRC-32 of all the bytes.

    Notes
    -----
    A CRC-32 finds every change that spans at most 32 bits, so every flipped byte, and any other
    accident but one in four thousand million. It is no protection against somebody who wants to
    deceive: the tables have a SHA-256.
    """
    crc = zlib.crc32(memoryview(values).cast("B"))
    return crc if scales is None else zlib.crc32(memoryview(scales).cast("B"), crc)


def check_mapped(recording):
    """Raise if the file behind a memory map has become shorter: reading it would kill Python.

    Parameters
    ----------
    recording : ndarray
        Any array. One that is not, or not a view of, a memory map is not looked at.

    Raises
    ------
    StoreCorruptionError
        The file no longer holds all that was mapped.
    """
    truncated = find_truncation(recording)
    if truncated is not None:
        while not isinstance(recording, np.memmap):
            recording = recording.base
        raise StoreCorruptionError(
            f"{recording.filename} was truncated while it was in use: it has {truncated[0]} bytes, "
            f"at least {truncated[1]} are needed. Restore it."
        )


class StoredRecording(np.lib.mixins.NDArrayOperatorsMixin):
    """A recording kept as 16-bit codes: float32 to whoever reads it, decoded row by row.

    Parameters
    ----------
    codes : int16 array of shape (n_timepoints, n_parcels)
        Codes; stay on disk when they are a memory map.
    scales : float32 array of shape (2, n_parcels)
        Step and offset of each parcel.

    Notes
    -----
    Indexing decodes what is asked for and gives plain arrays. Whatever needs all values, such as
    arithmetic or ``np.asarray``, decodes all of this recording each time.

    Examples
    --------
    >>> codes = np.array([[-32767, 0], [32767, 0]], dtype=np.int16)
    >>> recording = StoredRecording(codes, np.array([[1, 0], [0, 7]], dtype=np.float32))
    >>> recording.shape, recording.dtype
    ((2, 2), dtype('float32'))
    >>> recording[1].tolist(), recording[:, 1].tolist()
    ([32767.0, 7.0], [7.0, 7.0])
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, codes, scales):
        self.codes = codes
        self.scales = scales

    @property
    def shape(self):
        """Numbers of timepoints and parcels."""
        return self.codes.shape

    @property
    def size(self):
        """Number of values."""
        return self.codes.size

    @property
    def T(self):  # noqa: N802  (as numpy calls it)
        """Decoded values, an array of shape (n_parcels, n_timepoints)."""
        return np.asarray(self).T

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, key):
        check_mapped(self.codes)
        if isinstance(key, (slice, int, np.integer)):
            return decode(self.codes[key], self.scales)
        step, offset = (np.broadcast_to(each, self.shape)[key] for each in self.scales)
        return decode(self.codes[key], (step, offset))

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("A recording kept as 16-bit codes cannot be read without a copy.")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        arrays = [np.asarray(x) if isinstance(x, StoredRecording) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __repr__(self):
        return f"StoredRecording(shape={self.shape})"

    def astype(self, dtype, **kwargs):
        """Decode all values into an array of a dtype.

        Parameters
        ----------
        dtype : dtype
            The dtype.
        **kwargs : dict
            As of ``numpy.ndarray.astype``.

        Returns
        -------
        values : ndarray of shape (n_timepoints, n_parcels)
            The values.
        """
        return self[:].astype(dtype, **kwargs)

    def mean(self, *args, **kwargs):
        """Average the values.

        Parameters
        ----------
        *args, **kwargs : tuple, dict
            As of ``numpy.ndarray.mean``.

        Returns
        -------
        mean : ndarray or float
            The mean.
        """
        return self[:].mean(*args, **kwargs)

    def sum(self, *args, **kwargs):
        """Sum the values.

        Parameters
        ----------
        *args, **kwargs : tuple, dict
            As of ``numpy.ndarray.sum``.

        Returns
        -------
        sum : ndarray or float
            The sum.
        """
        return self[:].sum(*args, **kwargs)


def _check_loss(x, decoded, dtype):
    """Raise if rounding changes a parcel by much of what it varies."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = decoded - x
        # In float64: the square of a small number would be 0.
        loss = np.sqrt(np.mean(np.square(error, dtype=np.float64), axis=0))
    if not loss.any():
        return  # exact, such as float16 kept as float16
    ordered = np.sort(np.ascontiguousarray(x.T), axis=1)  # a fifth of the time of percentile
    rank = (len(x) - 1) // 4
    low, high = ordered[:, rank], ordered[:, -1 - rank]
    spread = np.where(high > low, high - low, x.std(axis=0, dtype=np.float64))
    constant = ordered[:, 0] == ordered[:, -1]
    limit = np.where(constant, _MAX_CONSTANT_LOSS * np.abs(x[0]), _MAX_LOSS * spread)
    lost = np.flatnonzero(~(loss <= limit))
    if len(lost):
        parcel = lost[0]
        raise InvalidRecordingError(
            f"{dtype} loses too much of {len(lost)} parcels, the first of them {parcel}: values "
            f"from {ordered[parcel, 0]:g} to {ordered[parcel, -1]:g}, with an interquartile range "
            f"of {high[parcel] - low[parcel]:g}, would change by {loss[parcel]:g} "
            f"(root mean square; {_MAX_LOSS:.0%} of that range is allowed). Scale the recording, "
            "remove its baseline or spikes, or keep it as float32."
        )
