"""The recordings of a command: a folder of them or a store, decided by what lies there."""

import argparse
import re
from pathlib import Path

from sklearn_brainlm.commands.recordings import Recordings

__all__ = ["add_input", "add_selection", "count", "is_store", "open_recordings"]

_MANIFEST = "manifest.json"
_PARTICIPANT = re.compile(r"\w[\w.\-]*( [\w.\-]+)*")


def count(text):
    """Read an argument as a number of at least 1.

    Parameters
    ----------
    text : str
        The argument.

    Returns
    -------
    number : int
        The number.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def add_input(parser):
    """Add the argument that names the recordings, and the options on how to read them.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="store, or folder with participants.tsv, parcels.tsv and .npy recordings",
    )
    add_selection(parser)


def add_selection(parser):
    """Add the options on how to read recordings.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument(
        "--t-r",
        type=float,
        metavar="SECONDS",
        help="repetition time of the recordings, instead of the tr_s of participants.tsv",
    )
    parser.add_argument("--atlas", metavar="NAME", help="of a folder that holds several atlases")
    parser.add_argument(
        "--max-recordings",
        type=count,
        metavar="N",
        help="take so many recordings, spread evenly (default: all)",
    )


def is_store(path):
    """Say whether a folder is a store.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    found : bool
        Whether it has the manifest of one, or is one that is not finished.
    """
    return any((Path(path) / name).exists() for name in (_MANIFEST, "building.journal"))


def open_recordings(path, *, atlas=None, max_recordings=None):
    """Open a store or a folder of recordings.

    Parameters
    ----------
    path : str
        Where it is.
    atlas : str, optional
        Of a folder that holds several.
    max_recordings : int, optional
        Take so many, spread evenly.

    Returns
    -------
    opened : Recordings
        The recordings with their tables.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    InvalidRecordingError
        If tables and recordings do not fit together.
    """
    import numpy as np

    opened = _open_store(path) if is_store(path) else _open_folder(path, atlas)
    _check_participants(path, opened.participants["participant_id"])
    if max_recordings is None or max_recordings >= len(opened):
        return opened
    return opened.take(np.linspace(0, len(opened) - 1, max_recordings).round().astype(int))


def _check_participants(path, participants):
    """Refuse names of people that are no names: commands write them into tables."""
    from sklearn_brainlm.exceptions import InvalidRecordingError

    for row, name in enumerate(map(str, participants)):
        if not _PARTICIPANT.fullmatch(name):
            raise InvalidRecordingError(
                f"{path}: participant_id {name[:80]!r} of recording {row} is no name: a "
                "spreadsheet or a page that shows the results might run it. Use letters, digits, "
                "'-', '_', '.' and single spaces."
            )


def _open_store(path):
    """Open a store."""
    import numpy as np

    from sklearn_brainlm.files.checked import file_sha256
    from sklearn_brainlm.store import RecordingStore

    store = RecordingStore(path)
    return Recordings(
        path=str(path),
        kind="store",
        X=store,
        participants=store.participants.reset_index(drop=True),
        t_r=np.asarray(store.t_r, dtype=float),
        parcels=store.parcels,
        parcel_coords=store.parcel_coords,
        sha256={_MANIFEST: file_sha256(Path(path) / _MANIFEST)},
    )


def _open_folder(path, atlas):
    """Open a folder of recordings."""
    from sklearn_brainlm.datasets import load_recordings_folder
    from sklearn_brainlm.files.checked import file_sha256

    folder = load_recordings_folder(path, atlas=atlas)
    tables = ("participants.tsv", "parcels.tsv" if atlas is None else f"parcels_{atlas}.tsv")
    return Recordings(
        path=str(path),
        kind="folder",
        X=folder.recordings,
        participants=folder.participants,
        t_r=folder.t_r,
        parcels=folder.parcels,
        parcel_coords=folder.parcel_coords,
        sha256={name: file_sha256(Path(path) / name) for name in tables},
    )
