"""What every file of a recording has to be before anything is read of it, and what is read."""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    InvalidRecordingError,
    UntrustedFileError,
)

__all__ = ["ReadRecording", "as_read_recording", "check_file", "check_key", "refuse_web_page"]

# The name git-annex gives a file: MD5E-s1234--<digest>.nii.gz
_KEY = re.compile(r"(MD5|SHA1|SHA224|SHA256|SHA384|SHA512)E?(?:-s(\d+))?--([0-9a-f]+)(?:\..*)?")


class ReadRecording(NamedTuple):
    """A recording and what its file says about it.

    Attributes
    ----------
    recording : ndarray of shape (n_timepoints, n_parcels)
        In the dtype of the file; text is float64. A memory map where the file allows it.
    t_r : float or None
        Seconds between timepoints; None where the file does not say.
    parcel_names : list of str or None
        Name of each column; None where the file does not say.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.readers import ReadRecording
    >>> read = ReadRecording(np.zeros((5, 2)), t_r=0.72)
    >>> read.recording.shape, read.t_r, read.parcel_names
    ((5, 2), 0.72, None)
    """

    recording: np.ndarray
    t_r: float | None = None
    parcel_names: list | None = None


def check_file(path):
    """Check that a path leads to a file with something in it.

    Parameters
    ----------
    path : path
        The file, or a link to it.

    Returns
    -------
    path : Path
        The same.
    size : int
        Its size in bytes.

    Raises
    ------
    FileNotFoundError
        There is no such file, or it is a link whose content was not fetched.
    InvalidRecordingError
        It is a folder, or empty.
    UntrustedFileError
        It is, say, a pipe or a device: opening it may wait for ever.
    """
    path = Path(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if path.is_symlink():  # as git-annex leaves behind what it has not fetched
            raise FileNotFoundError(
                f"{path} is a link to a file that is not here. If DataLad made it, run "
                f"'datalad get {path.name}' in its folder."
            ) from None
        raise FileNotFoundError(f"{path} does not exist. Check the path.") from None
    if stat.S_ISDIR(found.st_mode):
        raise InvalidRecordingError(f"{path} is a folder. Give the file of one recording.")
    if not stat.S_ISREG(found.st_mode):
        raise UntrustedFileError(f"{path} is not a regular file. Copy its content into one.")
    if not found.st_size:
        raise InvalidRecordingError(f"{path} is empty. Copy or write it again.")
    return path, found.st_size


def check_key(path):
    """Compare a file with the checksum that git-annex, and so DataLad, named it by.

    Parameters
    ----------
    path : path
        The file, or a link to it. One that is named otherwise is not looked at.

    Raises
    ------
    InvalidRecordingError
        Its bytes are not those it was named by.

    Notes
    -----
    An uncompressed image has no checksum of its own: this is where a flipped byte of one shows.
    """
    key = _KEY.fullmatch(Path(os.path.realpath(path)).name)
    if key is None:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, key[1].lower()).hexdigest()
    if found != key[3]:
        raise InvalidRecordingError(
            f"{path} is damaged: its {key[1]} is {found}, git-annex stored it as {key[3]}. Run "
            f"'datalad drop --reckless availability' and 'datalad get' on it."
        )


def refuse_web_page(path, begin):
    """Refuse the page of a server in the place of the file that was asked for.

    Parameters
    ----------
    path : path
        The file, for the message.
    begin : bytes
        Its first bytes.

    Raises
    ------
    InvalidRecordingError
        They are those of a web page.
    """
    if begin.lstrip()[:200].lower().startswith((b"<!doctype html", b"<html")):
        raise InvalidRecordingError(
            f"{path} is a web page, probably the message of a server that did not have the file. "
            "Download it again."
        )


def as_read_recording(values, path, *, parcels="columns", n_parcels=None, t_r=None, names=None):
    """Check the array of a file, and turn it so that parcels are its columns.

    Parameters
    ----------
    values : array
        What the file holds.
    path : path
        The file, for messages.
    parcels : {"columns", "rows"}, default="columns"
        Where the parcels of the file are.
    n_parcels : int or None, default=None
        How many there must be.
    t_r : float or None, default=None
        Seconds between timepoints, where the file says so.
    names : list of str or None, default=None
        Names of the parcels, where the file says so.

    Returns
    -------
    read : ReadRecording
        The recording with parcels in columns.

    Raises
    ------
    InvalidRecordingError
        It is not a table of real numbers.
    AtlasMismatchError
        It has another number of parcels.
    """
    if parcels not in ("columns", "rows"):
        raise InvalidRecordingError(f"parcels must be 'columns' or 'rows', got {parcels!r}.")
    if values.ndim != 2 or not values.size:
        raise InvalidRecordingError(
            f"{path} holds an array of shape {values.shape}; expected (n_timepoints, n_parcels). "
            "Write one recording a file."
        )
    if values.dtype.kind not in "iuf":
        raise InvalidRecordingError(
            f"{path} holds {values.dtype}; expected real numbers. Save them as float32."
        )
    recording = values.T if parcels == "rows" else values
    if n_parcels is not None and recording.shape[1] != n_parcels:
        other = "rows" if parcels == "columns" else "columns"
        remedy = (
            f"Pass parcels={other!r}: its {other} are {n_parcels}."
            if recording.shape[0] == n_parcels
            else "Take the file of the other atlas, or give its number of parcels."
        )
        raise AtlasMismatchError(
            f"{path} has {recording.shape[1]} parcels in {parcels}; expected {n_parcels}. {remedy}"
        )
    return ReadRecording(recording, t_r, names)
