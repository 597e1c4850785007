"""The values of recordings: finite, not all zero, not constant, not transposed.

Values are read in blocks of rows and never cast as a whole, so a memory map stays mapped.
"""

import mmap
import warnings

import numpy as np

from sklearn_brainlm.exceptions import (
    DataQualityWarning,
    InvalidRecordingError,
    StoreCorruptionError,
)

__all__ = [
    "are_too_many",
    "as_float32",
    "check_values",
    "count_broken",
    "describe",
    "enumerate_first",
    "find_truncation",
    "refuse_constant",
    "row_blocks",
]

_BLOCK_VALUES = 2**18  # 1 MB of float32: stays in cache between the passes over a block
_N_NAMED = 5  # recordings or parcels named in a message before "and n more"
_MAX_CONSTANT = 0.05  # part of the parcels; a single one is never too many
_SQUARE_MARGIN = 0.2  # no recording of six public cohorts was smoother over parcels by this much
# A numpy scalar: a Python float would be cast to float16 in comparisons with such recordings
_FLOAT32_MAX = np.float64(np.finfo(np.float32).max)


def row_blocks(recording):
    """Yield slices that cut a recording into blocks of rows.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        What will be read block by block.

    Yields
    ------
    rows : slice
        Slice of timepoints; a block holds about a megabyte.
    """
    n_rows = max(1, _BLOCK_VALUES // max(1, recording.shape[1]))
    for start in range(0, len(recording), n_rows):
        yield slice(start, min(start + n_rows, len(recording)))


def as_float32(recording):
    """Return a recording or window as a C-contiguous float32 array in native byte order.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        Any real dtype, byte order and memory order; may be read-only.

    Returns
    -------
    recording : ndarray of float32 of shape (n_timepoints, n_parcels)
        The same memory when it has this form already, otherwise a copy. Do not write into it.
    """
    return np.ascontiguousarray(recording, dtype=np.float32)


def describe(index, recording=None):
    """Name a recording in a message.

    Parameters
    ----------
    index : int
        Position of the recording in X.
    recording : array or None, default=None
        The recording; a memory map adds the path of its file.

    Returns
    -------
    name : str
        "recording 3" or "recording 3 (path)".
    """
    path = getattr(recording, "filename", None)
    return f"recording {index}" if path is None else f"recording {index} ({path})"


def check_values(recordings, *, warn_constant=True):
    """Check that the values of recordings are finite in float32 and vary.

    Parameters
    ----------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        Arrays of real numbers.
    warn_constant : bool, default=True
        Whether to warn about parcels that do not vary within a recording, and refuse one where
        they are many: more than 5% of its parcels, and more than one.

    Raises
    ------
    InvalidRecordingError
        A value is not finite in float32, or a recording is all zero or mostly constant.
    StoreCorruptionError
        The file of a memory map has been truncated since it was opened.

    Warns
    -----
    DataQualityWarning
        A parcel is constant within a recording, or a square recording looks transposed.
    """
    constant = {}
    for index, recording in enumerate(recordings):
        low, high = _extremes(index, recording)
        if not low.any() and not high.any():
            raise InvalidRecordingError(
                f"{describe(index, recording)} is all zero: its parcels probably lie outside the "
                "image. Remove it, or check that image and atlas are in the same space."
            )
        if len(recording) > 1:  # a single timepoint varies nowhere, which says nothing
            constant[index] = np.flatnonzero(low == high)
            if recording.shape[0] == recording.shape[1]:
                _warn_if_transposed(index, recording)
    if warn_constant:
        for index, parcels in constant.items():
            refuse_constant(index, recordings[index], parcels)
        _warn_constant(recordings, constant)


def _extremes(index, recording):
    """Return the minimum and maximum of each parcel in float32; raise if one is not finite."""
    _check_mapped(index, recording)
    low = np.full(recording.shape[1], np.inf, dtype=np.float32)
    high = -low
    for rows in row_blocks(recording):
        block = recording[rows]
        block_low, block_high = block.min(axis=0), block.max(axis=0)
        # NaN passes through both, and compares false.
        if not ((block_low >= -_FLOAT32_MAX) & (block_high <= _FLOAT32_MAX)).all():
            raise InvalidRecordingError(_not_finite_message(index, recording))
        # Float32 is what the model sees: a parcel that is constant there is constant.
        np.minimum(low, block_low.astype(np.float32), out=low)
        np.maximum(high, block_high.astype(np.float32), out=high)
    return low, high


def _check_mapped(index, recording):
    """Raise if the file behind a memory map is shorter than the map: reading it kills Python."""
    truncated = find_truncation(recording)
    if truncated is not None:
        raise StoreCorruptionError(
            f"{describe(index, recording)} is truncated: its file has {truncated[0]} bytes, the "
            f"array needs {truncated[1]}. Write the file again."
        )


def find_truncation(recording):
    """Look whether the file behind a memory map has become shorter than the map.

    Parameters
    ----------
    recording : array
        Any array; only a memory map, or a view of one, is looked at.

    Returns
    -------
    sizes : tuple of int or None
        Bytes the file has, and bytes the map needs; None when all that is mapped is there.
    """
    owner, mapped = recording, None
    while isinstance(owner, np.ndarray):
        mapped = owner if isinstance(owner, np.memmap) else mapped
        owner = owner.base
    if mapped is None or not isinstance(owner, mmap.mmap):
        return None
    needed = mapped.offset - mapped.offset % mmap.ALLOCATIONGRANULARITY + len(owner)
    found = owner.size()
    return (found, needed) if found < needed else None


def count_broken(recording):
    """Count values that are not finite in float32.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        A recording; it is read block by block.

    Returns
    -------
    n_nan : int
        Values that are NaN.
    n_infinite : int
        Values that are infinite or too large.
    first : tuple of int or None
        Timepoint and parcel of the first of them.
    """
    n_nan = n_infinite = 0
    first = None
    for rows in row_blocks(recording):
        block = recording[rows]
        is_nan = np.isnan(block)
        is_infinite = (block > _FLOAT32_MAX) | (block < -_FLOAT32_MAX)
        n_nan, n_infinite = n_nan + int(is_nan.sum()), n_infinite + int(is_infinite.sum())
        if first is None and (is_nan | is_infinite).any():
            row, parcel = np.argwhere(is_nan | is_infinite)[0]
            first = (int(row) + rows.start, int(parcel))
    return n_nan, n_infinite, first


def _not_finite_message(index, recording):
    """Say how many values are not finite in float32, and where the first is."""
    n_nan, n_infinite, first = count_broken(recording)
    phrase = (
        "Input X contains NaN."
        if n_nan
        else "Input X contains infinity or a value too large for dtype('float32')."
    )
    return (
        f"{phrase} {describe(index, recording)}: {n_nan} values are NaN and {n_infinite} "
        f"infinite or too large, the first at timepoint {first[0]}, parcel {first[1]}. "
        "Interpolate or remove them; values missing in known places are a case for impute."
    )


def _warn_if_transposed(index, recording):
    """Warn when a square recording varies more smoothly over its columns than over its rows."""
    values = recording.astype(np.float64)
    if _lag_one(values.T) - _lag_one(values) > _SQUARE_MARGIN:
        warnings.warn(
            f"{describe(index, recording)} of shape {recording.shape} is smoother over columns "
            f"than over rows: it may be transposed. If columns are timepoints, pass X[{index}].T.",
            DataQualityWarning,
            stacklevel=5,
        )


def _lag_one(values):
    """Return the mean autocorrelation of the columns at a lag of one row."""
    centred = values - values.mean(axis=0)
    power = (centred**2).sum(axis=0)
    lagged = (centred[1:] * centred[:-1]).sum(axis=0)
    return np.mean(lagged[power > 0] / power[power > 0]) if (power > 0).any() else 0.0


def are_too_many(n_constant, n_parcels):
    """Say whether a recording with so many constant parcels is refused.

    Parameters
    ----------
    n_constant, n_parcels : int
        Constant parcels, and all.

    Returns
    -------
    are_too_many : bool
        Whether they are more than one, and more than 5%.
    """
    return n_constant > max(1, _MAX_CONSTANT * n_parcels)


def refuse_constant(index, recording, parcels):
    """Refuse a recording of which too many parcels are constant.

    Parameters
    ----------
    index : int
        Its position in X.
    recording : array of shape (n_timepoints, n_parcels)
        The recording.
    parcels : array of int
        Which are constant.

    Raises
    ------
    InvalidRecordingError
        They are more than 5% of all, and more than one.
    """
    n_parcels = recording.shape[1]
    if are_too_many(len(parcels), n_parcels):
        raise InvalidRecordingError(
            f"{describe(index, recording)} has {len(parcels)} constant parcels of {n_parcels} "
            f"({enumerate_first(parcels)}); expected at most {_MAX_CONSTANT:.0%}. A masker returns "
            "zeros for a parcel without voxels: leave the recording out, or extract it with an "
            "atlas that its images cover."
        )


def _warn_constant(recordings, constant):
    """Warn once about all constant parcels."""
    affected = [index for index, parcels in constant.items() if len(parcels)]
    if not affected:
        return
    named = "; ".join(
        f"{describe(index, recordings[index])}: {enumerate_first(constant[index])}"
        for index in affected[:_N_NAMED]
    )
    more = len(affected) - _N_NAMED
    warnings.warn(
        f"Parcels that are constant, found in {len(affected)} of {len(recordings)} recordings "
        f"({named}{f'; and {more} more recordings' if more > 0 else ''}). A masker returns zeros "
        "for a parcel without voxels; check that the atlas covers the images.",
        DataQualityWarning,
        stacklevel=4,
    )


def enumerate_first(numbers):
    """Write out the first few numbers.

    Parameters
    ----------
    numbers : sequence of int
        Positions of recordings or parcels.

    Returns
    -------
    text : str
        "1, 2, 3, 4, 5 and 7 more".
    """
    named = ", ".join(str(number) for number in numbers[:_N_NAMED])
    more = len(numbers) - _N_NAMED
    return f"{named} and {more} more" if more > 0 else named
