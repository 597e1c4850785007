"""Weights in files: every array into its own memory, and nothing that is not understood.

What a header claims is compared with the size of the file before memory is taken, and the digest
of all bytes is computed while they are read. Nothing in a file is ever run.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import (
    check_digest,
    check_finite,
    open_checked,
    parse_json,
    shown,
)
from sklearn_brainlm.files.durable import replaced
from sklearn_brainlm.files.torch_archives import read_torch_file

__all__ = ["read_safetensors", "read_torch_file", "write_safetensors"]

_MAX_HEADER = 16 << 20  # bytes; 4096 arrays need less than 1 MB
_MAX_ARRAYS = 4096
_MAX_RANK = 16
_MAX_ELEMENTS = 1 << 40
_STEP = 1 << 22  # bytes that are read at a time: they are still at hand for the digest

# Little-endian, as the format says. NumPy has no bfloat16: it is read as uint16 and widened. Arrays
# are written in this order, which is that of the safetensors library: the widest first.
_DTYPES = {
    "I64": "<i8",
    "F64": "<f8",
    "F32": "<f4",
    "I32": "<i4",
    "BF16": "<u2",
    "F16": "<f2",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
_WRITTEN = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if name != "BF16"}


def read_safetensors(path, *, sha256=None, max_bytes=None):
    """Read every array of a safetensors file, each into memory of its own.

    Parameters
    ----------
    path : str or Path
        The file.
    sha256 : str, optional
        What the SHA-256 of the file must be, in hexadecimal.
    max_bytes : int, optional
        Refuse a larger file.

    Returns
    -------
    arrays : dict of str to array
        The arrays by name, in the order of the file. bfloat16 comes back as float32.
    digest : str
        SHA-256 of the file, in hexadecimal.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is not the one that `sha256` says, or holds NaN or infinity.
    UntrustedFileError
        If the file is not what the format allows, or larger than it may be.
    """
    path = Path(path)
    with open_checked(path, max_bytes) as (file, size):
        sha = hashlib.sha256()
        try:
            entries = _read_header(path, file, size, sha)
            arrays = {entry[0]: _read_array(path, file, sha, *entry) for entry in entries}
        except UntrustedFileError as error:
            if sha256 is not None:
                # Of a file that is known, the first thing to say is that this is another one.
                file.seek(0)
                found = hashlib.file_digest(file, "sha256").hexdigest()
                try:
                    check_digest(path, sha256, found)
                except CheckpointError as damage:
                    raise damage from error
            raise
    digest = sha.hexdigest()
    check_digest(path, sha256, digest)
    check_finite(path, arrays)
    return arrays, digest


def write_safetensors(path, arrays, metadata=None):
    """Write arrays to a safetensors file, which appears complete or not at all.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced when it is there. Its folder must exist.
    arrays : dict of str to array
        Numeric and bool arrays by name.
    metadata : dict of str to str, optional
        What the header says besides.

    Returns
    -------
    digest : str
        SHA-256 of the file, in hexadecimal.

    Raises
    ------
    CheckpointError
        If an array is not finite. Nothing is written then.
    TypeError
        If an array is of a dtype that the format does not know, or `metadata` is not text.

    Notes
    -----
    The same arrays give the same bytes, in whatever order they are given: those that the
    safetensors library writes.
    """
    path = Path(path)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    header = {}
    if metadata is not None:
        _check_texts(metadata)
        header["__metadata__"] = dict(sorted(metadata.items()))
    dtypes = {name: _WRITTEN.get(a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    for name, dtype in dtypes.items():
        if dtype is None or not isinstance(name, str) or name == "__metadata__":
            raise TypeError(f"safetensors cannot hold {name!r}, an array of {arrays[name].dtype}.")
    order, end = list(_DTYPES), 0
    for name in sorted(arrays, key=lambda name: (order.index(dtypes[name]), name)):
        shape, begin, end = list(arrays[name].shape), end, end + arrays[name].nbytes
        header[name] = {"dtype": dtypes[name], "shape": shape, "data_offsets": [begin, end]}
    check_finite(path, arrays)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the arrays then lie where processors like to read them
    sha = hashlib.sha256()
    with replaced(path) as file:
        for content in (len(text).to_bytes(8, "little"), text):
            sha.update(content)
            file.write(content)
        for name in (name for name in header if name in arrays):
            content = _bytes_of(arrays[name])
            sha.update(content)
            file.write(content)
    return sha.hexdigest()


def _read_header(path, file, size, sha):
    """Read and check the header; return name, dtype and shape of every array, in file order."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _MAX_HEADER):
        raise UntrustedFileError(
            f"{path} is no safetensors file, or cut off: it has {size} bytes, and a header of "
            f"{length} is announced (at most {_MAX_HEADER} are read)."
        )
    text = file.read(length)
    sha.update(start + text)
    if not text.startswith(b"{"):
        raise UntrustedFileError(f"{path} is no safetensors file: its header is no JSON object.")
    try:
        header = parse_json(path, text)
        _check_texts(header.pop("__metadata__", {}))
    except (CheckpointError, TypeError) as error:
        raise UntrustedFileError(f"{path} is no safetensors file: {error}") from error
    if len(header) > _MAX_ARRAYS:
        raise UntrustedFileError(
            f"{path} names {len(header)} arrays; no weights here need more than {_MAX_ARRAYS}."
        )
    placed = [(*_check_entry(path, name, header[name]), name) for name in header]
    placed.sort(key=lambda entry: entry[:2])
    position = 0
    for begin, end, _, _, name in placed:
        if begin != position:
            what = "overlaps the one before it" if begin < position else "leaves a hole before it"
            raise UntrustedFileError(f"{path}: array {shown([name])} {what}.")
        position = end
    if position != size - 8 - length:
        raise UntrustedFileError(
            f"{path} has {size - 8 - length} bytes after its header, which describes {position}. "
            "The file is cut off, or holds more than arrays."
        )
    return [(name, dtype, shape) for _, _, dtype, shape, name in placed]


def _check_texts(metadata):
    """Refuse what is not a dictionary of texts."""
    if not isinstance(metadata, dict) or not all(
        isinstance(text, str) for pair in metadata.items() for text in pair
    ):
        raise TypeError("metadata must be texts by name.")


def _check_entry(path, name, entry):
    """Check what the header says of one array; return begin, end, dtype and shape."""
    where = f"{path}: array {shown([name])}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise UntrustedFileError(f"{where} must have dtype, shape and data_offsets, nothing else.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise UntrustedFileError(f"{where} is of no dtype of {', '.join(_DTYPES)}.")
    if not _are_counts(shape) or len(shape) > _MAX_RANK:
        raise UntrustedFileError(f"{where}: its shape is not a list of sizes.")
    if math.prod(max(size, 1) for size in shape) > _MAX_ELEMENTS:
        raise UntrustedFileError(f"{where}: its shape is larger than any weights.")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise UntrustedFileError(f"{where}: its data_offsets are not two positions.")
    needed, given = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize, offsets[1] - offsets[0]
    if needed != given:
        raise UntrustedFileError(
            f"{where} of dtype {dtype} and shape {shape} needs {needed} bytes; it has {given}."
        )
    return *offsets, dtype, tuple(shape)


def _are_counts(values):
    """Say whether a value of JSON is a list of integers that are not negative."""
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _read_array(path, file, sha, name, dtype, shape):
    """Read the bytes that come next into a new array, piece by piece with the digest."""
    array = np.empty(shape, _DTYPES[dtype])
    content = _bytes_of(array)
    for begin in range(0, len(content), _STEP):
        piece = content[begin : begin + _STEP]
        if file.readinto(piece) != len(piece):
            raise CheckpointError(f"{path} became shorter while it was read. Try again.")
        sha.update(piece)
    if dtype == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        raise UntrustedFileError(f"{path}: array {shown([name])} of dtype BOOL holds other values.")
    if dtype == "BF16":  # the upper half of a float32
        array = array.astype("<u4")
        array <<= 16
        array = array.view("<f4")
    return array


def _bytes_of(array):
    """Bytes of an array, little-endian and in C order; its own memory where it is so already."""
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return memoryview(ordered.reshape(-1).view(np.uint8))
