"""Recordings in text: one line a timepoint, with or without the names of the parcels on top."""

import csv
import gzip
import io
import itertools
import zlib

import numpy as np

from sklearn_brainlm.exceptions import InvalidRecordingError, UntrustedFileError
from sklearn_brainlm.readers.files import as_read_recording, check_file, refuse_web_page

__all__ = ["SEPARATORS", "read_text"]

# None is any white space, as AFNI writes.
SEPARATORS = {".tsv": "\t", ".csv": ",", ".1D": None, ".dat": None, ".txt": None}
_MAX_BYTES = 1 << 30  # of text: 10 000 timepoints of 1000 parcels are a quarter of it
_PART = 1 << 20


def read_text(path, *, parcels="columns", n_parcels=None):
    r"""Read a recording from text: ``.tsv``, ``.csv``, ``.1D``, ``.dat`` or ``.txt``.

    Parameters
    ----------
    path : path
        The file. Columns are separated by tabs (``.tsv``), commas (``.csv``) or white space (the
        others). It may be compressed: ``.tsv.gz``.
    parcels : {"columns", "rows"}, default="columns"
        Where the parcels are. It is never guessed.
    n_parcels : int or None, default=None
        How many there must be.

    Returns
    -------
    read : ReadRecording
        The recording in float64. Names are those of a first line that is not numbers, or of a
        comment with as many ``#name`` as there are columns, as C-PAC writes.

    Raises
    ------
    InvalidRecordingError
        The file is not a table of numbers, or its compression is damaged.
    AtlasMismatchError
        It has another number of parcels.
    UntrustedFileError
        It unpacks to more than any recording.

    Notes
    -----
    Lines that begin with ``#`` are comments. A first column without a name is the row number that
    pandas writes, and is left out. The short forms of AFNI (``5@0``) are not understood.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_brainlm.readers import read_text
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rest.tsv"
    ...     _ = path.write_text("V1\tV2\n0.5\t1\n-2\t0\n3\t4\n")
    ...     read = read_text(path)
    >>> read.recording.shape, read.parcel_names
    ((3, 2), ['V1', 'V2'])
    """
    path, _ = check_file(path)
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    names, has_index, lines = _find_names(_read_lines(path), SEPARATORS[kind])
    first = next((line for line in lines if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise InvalidRecordingError(f"{path} holds no numbers. Write one line a timepoint.")
    lines = itertools.chain([first], lines)
    try:
        values = np.loadtxt(lines, delimiter=SEPARATORS[kind], comments="#", ndmin=2, quotechar='"')
    except ValueError as error:
        raise InvalidRecordingError(
            f"{path} is not a table of numbers ({error}). Write one line a timepoint and one "
            "number a parcel; interpolate missing values."
        ) from error
    values = values[:, has_index:]
    found_in = values.shape[1] if parcels == "columns" else None
    if names is not None and len(names) != found_in:
        names = None
    return as_read_recording(values, path, parcels=parcels, n_parcels=n_parcels, names=names)


def _read_lines(path):
    """Lines of a text file, unpacked where it is compressed; iterate once."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            # To the end, where the checksum is; in parts, as room for all of one is taken at once.
            parts, n_bytes = [], 0
            while n_bytes <= _MAX_BYTES and (part := file.read(_PART)):
                parts.append(part)
                n_bytes += len(part)
            content = b"".join(parts)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidRecordingError(
            f"{path} is a damaged or truncated gzip file ({error}). Copy it again."
        ) from error
    if len(content) > _MAX_BYTES:
        raise UntrustedFileError(
            f"{path} holds more than {_MAX_BYTES} bytes of text, more than any recording. Save it "
            "as .npy."
        )
    refuse_web_page(path, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRecordingError(
            f"{path} is not text ({error.reason} at byte {error.start}). Check what kind of file "
            "it is."
        ) from error
    if "\0" in text or not text.strip():
        raise InvalidRecordingError(f"{path} holds no text. Check what kind of file it is.")
    return io.StringIO(text)


def _find_names(lines, separator):
    """Names above the numbers or None, whether there is a row number, and the lines to read."""
    comment = []
    for line in lines:
        if line.startswith("#"):
            fields = line.split()
            # C-PAC writes #2001 #2002 ...: one for each column.
            comment = [f[1:] for f in fields] if all(f.startswith("#") for f in fields) else []
        elif line.strip():
            break
    else:
        return None, False, iter(())
    stripped = line.rstrip("\r\n")
    fields = (
        stripped.split() if separator is None else next(csv.reader([stripped], delimiter=separator))
    )
    if all(_is_number(field) for field in fields):
        return (
            comment if len(comment) == len(fields) else None,
            False,
            itertools.chain([line], lines),
        )
    has_index = fields[0].strip() == ""
    return [field.strip() for field in fields[has_index:]], has_index, lines


def _is_number(field):
    """Say whether a field is a number, or missing as one."""
    try:
        float(field)
    except ValueError:
        return field.strip().lower() in ("n/a", "")
    return True
