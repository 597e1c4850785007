"""Files that came from somewhere else: what is looked at before anything of them is used.

Also how files are written, so that no half of one is ever seen.
"""

import hashlib
import json
import math
import os
import stat
from collections import Counter
from contextlib import contextmanager

import numpy as np

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError

__all__ = [
    "check_digest",
    "check_finite",
    "file_sha256",
    "open_checked",
    "parse_json",
    "read_json",
    "shown",
]

_MAX_DEPTH = 32  # brackets within brackets
_STEP = 1 << 20  # elements that are looked at at a time, so that the answer needs little memory


@contextmanager
def open_checked(path, max_bytes=None):
    """Open a regular file for reading, if it is not too large.

    Parameters
    ----------
    path : Path
        The file, or a link to it.
    max_bytes : int, optional
        Refuse a larger file.

    Yields
    ------
    file : file object
        Open for reading bytes.
    size : int
        Its size in bytes.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    UntrustedFileError
        If it is not a file but, say, a pipe or a device, or too large.
    """
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise CheckpointError(f"{path} is a folder; a file is needed here.")
        if not stat.S_ISREG(found.st_mode):  # opening one may wait for ever, reading never end
            raise UntrustedFileError(f"{path} is not a regular file.")
        if max_bytes is not None and found.st_size > max_bytes:
            raise UntrustedFileError(
                f"{path} has {found.st_size} bytes; at most {max_bytes} are expected here."
            )
        with open(path, "rb") as file:
            yield file, found.st_size
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def file_sha256(path):
    """Compute the SHA-256 of a file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    digest : str
        In hexadecimal.
    """
    with open_checked(path) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path, expected, digest):
    """Compare the SHA-256 of a file with the one it must have.

    Parameters
    ----------
    path : Path
        The file, for the message.
    expected, digest : str or None, str
        In hexadecimal. None expects nothing.

    Raises
    ------
    CheckpointError
        If they differ.
    """
    if expected is not None and digest != expected.lower():
        raise CheckpointError(
            f"{path} is not the file it should be: its SHA-256 is {digest}, expected {expected}. "
            "It is damaged, or another file. Get it again."
        )


def check_finite(path, arrays):
    """Refuse arrays with NaN or infinity.

    Parameters
    ----------
    path : Path
        Where they are, for the message.
    arrays : dict of str to array
        The arrays by name.

    Raises
    ------
    CheckpointError
        If one is not finite; the message names all of them.
    """
    broken = [name for name, array in sorted(arrays.items()) if not _is_finite(array)]
    if broken:
        raise CheckpointError(f"There are non-finite weights in {path}: {shown(broken)}.")


def read_json(path, *, max_bytes=1 << 20):
    """Read a JSON file that holds one object.

    Parameters
    ----------
    path : str or Path
        The file.
    max_bytes : int, default=1048576
        Refuse a larger file.

    Returns
    -------
    content : dict
        The object.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is not JSON, or not an object.
    UntrustedFileError
        If it is larger or nested deeper than settings are, repeats a key, or holds a number that
        is not finite.
    """
    with open_checked(path, max_bytes) as (file, size):
        text = file.read(size)
    content = parse_json(path, text)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a JSON object.")
    return content


def parse_json(path, text):
    """Parse JSON that somebody else wrote.

    Parameters
    ----------
    path : Path
        Where it is from, for the message.
    text : bytes
        UTF-8.

    Returns
    -------
    content : object
        What it says.

    Raises
    ------
    CheckpointError
        If it is not JSON.
    UntrustedFileError
        If it is nested too deeply, repeats a key, or holds a number that is not finite.
    """

    def unique(pairs):
        content = dict(pairs)
        if len(content) < len(pairs):
            twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
            raise UntrustedFileError(f"{path} holds {shown(twice)} more than once.")
        return content

    def finite(number):
        if not math.isfinite(float(number)):
            raise UntrustedFileError(f"{path} holds {number[:20]}, which is no finite number.")
        return float(number)

    try:
        content = json.loads(
            text.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=finite
        )
    except UntrustedFileError:
        raise
    except ValueError as error:  # also text that is not UTF-8
        raise CheckpointError(f"{path} is not JSON: {error}.") from error
    except RecursionError:
        content, deepest = None, True
    else:
        deepest = _is_deeper(content, _MAX_DEPTH)
    if deepest:
        raise UntrustedFileError(f"{path} is nested too deeply: at most {_MAX_DEPTH} is read.")
    return content


def shown(names):
    """Write names into a message, not more than one wants to read.

    Parameters
    ----------
    names : list of str
        Names, perhaps hostile ones.

    Returns
    -------
    text : str
        The first of them, each cut to a line, escaped where they would not be printed.
    """
    listed = ", ".join(repr(name if len(name) <= 80 else name[:80] + "...") for name in names[:10])
    return listed if len(names) <= 10 else f"{listed} and {len(names) - 10} more"


def _is_finite(array):
    """Say whether an array holds neither NaN nor infinity."""
    values = np.asarray(array).reshape(-1)
    return all(
        np.isfinite(values[begin : begin + _STEP]).all() for begin in range(0, values.size, _STEP)
    )


def _is_deeper(content, limit):
    """Say whether lists and objects of JSON lie more than `limit` within one another."""
    layer = [[content]]
    for _ in range(limit + 1):
        inner = [value.values() if isinstance(value, dict) else value for value in layer]
        layer = [v for values in inner for v in values if isinstance(v, (dict, list))]
    return bool(layer)
