"""Recordings in ``.npy`` and ``.npz`` files, which are looked at before they are opened."""

import io
import math
import zipfile
import zlib

import numpy as np

from sklearn_brainlm.exceptions import InvalidRecordingError, UntrustedFileError
from sklearn_brainlm.files.checked import shown
from sklearn_brainlm.readers.files import as_read_recording, check_file, refuse_web_page

__all__ = ["read_npy"]

_MAX_BYTES = 1 << 32  # of one recording, unpacked
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path, *, key=None, parcels="columns", n_parcels=None):
    """Read a recording that NumPy saved: ``.npy``, or one array of an ``.npz``.

    Parameters
    ----------
    path : path
        The file.
    key : str or None, default=None
        Name of the array in an ``.npz``; None takes its only one.
    parcels : {"columns", "rows"}, default="columns"
        Where the parcels are. It is never guessed.
    n_parcels : int or None, default=None
        How many there must be.

    Returns
    -------
    read : ReadRecording
        The recording in the dtype of the file; a read-only memory map of an ``.npy``.

    Raises
    ------
    InvalidRecordingError
        The file is not what its name says, truncated or damaged, or holds no table of numbers.
    AtlasMismatchError
        It has another number of parcels.
    UntrustedFileError
        It holds objects, which could run code, or unpacks to more than any recording.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_brainlm.readers import read_npy
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rest.npz"
    ...     np.savez(path, bold=np.zeros((200, 424), dtype=np.float32))
    ...     read_npy(path, key="bold").recording.shape
    (200, 424)
    """
    path, size = check_file(path)
    with open(path, "rb") as file:
        begin = file.read(256)
    if begin.startswith(b"PK\x03\x04"):
        values = _read_archive(path, key)
    else:
        values = _map_array(path, begin, size)
    return as_read_recording(values, path, parcels=parcels, n_parcels=n_parcels)


def _map_array(path, begin, size):
    """Memory map of an .npy file."""
    refuse_web_page(path, begin)
    with open(path, "rb") as file:
        n_bytes = _check_header(path, file)
        needed = file.tell() + n_bytes
    if size < needed:
        raise InvalidRecordingError(
            f"{path} is truncated: it has {size} bytes, its array needs {needed}. Copy it again."
        )
    if not n_bytes:
        raise InvalidRecordingError(f"{path} holds no number. Write it again.")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _check_header(path, file):
    """Read the header of an array; return the size of what follows it."""
    begin = file.read(6)
    file.seek(0)
    if begin[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise UntrustedFileError(
            f"{path} is a pickle: reading it would run what it says. Save the array with "
            "numpy.save, as numbers."
        )
    try:
        _, _, dtype = header = _HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # a damaged header makes NumPy's tokenizer raise nearly anything
        raise InvalidRecordingError(
            f"{path} is not an .npy file, or damaged ({error}). Save it again with numpy.save."
        ) from error
    if dtype.hasobject:
        raise UntrustedFileError(
            f"{path} holds Python objects: reading it would run what it says. Save the array as "
            "numbers."
        )
    return math.prod(header[0]) * dtype.itemsize


def _read_archive(path, key):
    """One array of an .npz file, its checksum compared."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            if key is None and len(members) == 1:
                (key,) = members
            if key not in members:
                raise InvalidRecordingError(
                    f"{path} holds {shown(sorted(members))}; "
                    + ("pass key= to say which." if key is None else f"there is no {key!r}.")
                )
            if members[key].file_size > _MAX_BYTES:
                raise UntrustedFileError(
                    f"{path}: {key} unpacks to {members[key].file_size} bytes, more than any "
                    "recording. Save it as .npy."
                )
            content = io.BytesIO(archive.read(members[key]))
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,  # packed in a way Python does not know
        OSError,  # a list of members that leads outside the file
        RuntimeError,  # a member that needs a password
    ) as error:
        raise InvalidRecordingError(
            f"{path} is a damaged or truncated archive ({error}). Copy it again."
        ) from error
    _check_header(f"{path}: {key}", content)
    content.seek(0)
    try:
        return np.lib.format.read_array(content, allow_pickle=False)
    except ValueError as error:
        raise InvalidRecordingError(
            f"{path}: {key} is not a whole array ({error}). Save it again."
        ) from error
