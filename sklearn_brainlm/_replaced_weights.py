"""The files of a folder of weights, replaced together: all former ones are read, or all new ones.

New files are written beside the former ones, ``config.json``, which vouches for them, last. From
the moment it is there, the new ones are what the folder holds, wherever the machine stops; then
each is moved to its place.
"""

import os
import time
from contextlib import ExitStack, contextmanager, suppress

from sklearn_brainlm.exceptions import BrainLMError, CheckpointError
from sklearn_brainlm.files.durable import fsync_folder
from sklearn_brainlm.storage.lock import StoreLock, StoreLockedError

__all__ = ["current", "read_steadily", "replaced_weights"]

_BESIDE = ".new-"
_LOCK = ".new.lock"  # not that of a training, which may save weights beside its checkpoints
_VOUCHING = "config.json"
_NAMES = ("README.md", "model.safetensors", _VOUCHING)
_MAX_WAIT = 60.0  # seconds for another writer; weights of gigabytes are written in less
_MAX_READINGS = 20  # of a folder that is written to all the time


@contextmanager
def replaced_weights(folder):
    """Write files that replace those of a folder of weights, all of them or none.

    Parameters
    ----------
    folder : Path
        The folder; it is made when it is not there.

    Yields
    ------
    beside : function
        Returns the place to write a file to, from its name. config.json is to be written last.

    Raises
    ------
    StoreLockedError
        If another process is writing there, and goes on for a minute.

    Notes
    -----
    What reads a folder without :func:`current` after a kill in the moment the files are moved
    misses config.json: it never finds files that do not belong together.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replaced_weights(Path(folder)) as beside:
    ...         n_characters = beside("config.json").write_text("{}")
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['config.json']
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder):
        _move(folder)  # what a kill interrupted
        try:
            yield lambda name: folder / f"{_BESIDE}{name}"
        except BaseException:
            if not (folder / f"{_BESIDE}{_VOUCHING}").exists():
                with suppress(OSError):
                    _remove_leftovers(folder)
            raise
        fsync_folder(folder)
        _move(folder)


def current(path):
    """Say where a file of weights lies, which may not have been moved to its place yet.

    Parameters
    ----------
    path : Path
        Its place.

    Returns
    -------
    path : Path
        The place, or one beside it.

    Examples
    --------
    >>> from pathlib import Path
    >>> current(Path("no-folder/config.json")).name
    'config.json'
    """
    beside = path.with_name(f"{_BESIDE}{path.name}")
    are_written = path.with_name(f"{_BESIDE}{_VOUCHING}").is_file()
    return beside if are_written and beside.is_file() else path


def read_steadily(folder, read):
    """Read files of a folder of weights, again when they were replaced meanwhile.

    Parameters
    ----------
    folder : Path
        The folder.
    read : function
        Reads them; called without arguments.

    Returns
    -------
    found : object
        What it returned.

    Raises
    ------
    CheckpointError
        If they are replaced every time.

    Examples
    --------
    >>> from pathlib import Path
    >>> read_steadily(Path("no-folder"), lambda: 1)
    1
    """
    for _ in range(_MAX_READINGS):
        before = _marks(folder)
        try:
            found = read()
        except BrainLMError:
            if _marks(folder) == before:
                raise
        else:
            if _marks(folder) == before:
                return found
        time.sleep(0.01)
    raise CheckpointError(f"{folder} is being written to all the time. Read it later.")


def _marks(folder):
    """Return what changes when a file of weights is replaced."""
    found = []
    for name in (*_NAMES, *(f"{_BESIDE}{name}" for name in _NAMES)):
        with suppress(OSError):
            stat = os.stat(folder / name)
            found.append((name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


@contextmanager
def _only_writer(folder):
    """Hold the lock of a folder; wait for another writer if there is one."""
    end = time.monotonic() + _MAX_WAIT
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(StoreLock(folder, _LOCK))
                break
            except StoreLockedError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)
        yield


def _move(folder):
    """Move new files that are complete to their places, and remove others."""
    if (folder / f"{_BESIDE}{_VOUCHING}").is_file():
        # The former one must not be taken for that of the new ones.
        (folder / _VOUCHING).unlink(missing_ok=True)
        for name in _NAMES:
            with suppress(FileNotFoundError):  # moved already
                os.replace(folder / f"{_BESIDE}{name}", folder / name)
        fsync_folder(folder)
    _remove_leftovers(folder)


def _remove_leftovers(folder):
    """Remove new files that were never complete."""
    for name in _NAMES:
        for path in folder.glob(f"{_BESIDE}{name}*"):
            path.unlink(missing_ok=True)
