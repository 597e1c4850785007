"""One writer a folder: a lock file that names its owner and says that it is alive."""

import json
import os
import socket
import threading
import time
import warnings
from contextlib import suppress
from datetime import UTC, datetime

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

from sklearn_brainlm.exceptions import BrainLMError

__all__ = ["LOCK", "StoreLock", "StoreLockedError"]

LOCK = "building.lock"
BEAT_SECONDS = 5.0  # between two signs of life of an owner
SILENT_SECONDS = 60.0  # without one, an owner on another host is taken for dead
_N_BYTES = 512  # of a record: always as many, so that nobody reads half of one


class StoreLockedError(BrainLMError, OSError):
    """Somebody else is writing the store."""


class StoreLock:
    """The right to write into a folder, held by one process at a time.

    Parameters
    ----------
    folder : Path
        The folder.
    name : str, default="building.lock"
        The lock is this file of it, which names host, process and time, and counts the signs of
        life of its owner.

    Raises
    ------
    StoreLockedError
        On entering: another process has the lock. On leaving: another has taken it over.

    Warns
    -----
    RuntimeWarning
        The lock of a process on another host is taken over.

    Notes
    -----
    The kernel lets go of the file when its process ends, however it ends, so the lock of a dead
    process on this host is taken over at once, and no reuse of a process number deceives.

    Of a process on another host, no kernel can be asked everywhere. An owner counts on every 5
    seconds, in a thread of its own. Whoever wants its lock looks at the counter for 60 seconds: one
    that moves is an error at once, one that stands still is the lock of the dead. Neither clocks
    nor times of files are compared. An owner that was only stopped for so long, and wakes up, finds
    another name in its lock: it stops counting, and :meth:`check` raises. Of two that take over at
    the same moment, the one whose name stays has the lock.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder, StoreLock(Path(folder)):
    ...     try:
    ...         with StoreLock(Path(folder)):
    ...             pass
    ...     except StoreLockedError as error:
    ...         str(os.getpid()) in str(error)
    True
    """

    def __init__(self, folder, name=LOCK):
        self.path = folder / name
        self._descriptor = None

    def __enter__(self):
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                former = self._seize(descriptor)
                found = os.stat(self.path)
                mine = os.fstat(descriptor)
            except FileNotFoundError:  # its owner has just let go, and removed it
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                break
            os.close(descriptor)
        self._descriptor = descriptor
        self._taken_by = None  # the record of who has taken it over
        self._owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._n_beats = 0
        try:
            self._write()
            os.ftruncate(descriptor, _N_BYTES)
            if former:
                self._claim(former)
        except BaseException:
            os.close(descriptor)
            raise
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name="store-lock")
        self._thread.start()
        return self

    def __exit__(self, kind=None, error=None, traceback=None):
        self.release()
        if kind is None:
            self._refuse_taken()

    def check(self):
        """Make sure that the lock is still held.

        Raises
        ------
        StoreLockedError
            If this process was silent for so long that another has taken it for dead.
        """
        self._look()
        self._refuse_taken()

    def release(self):
        """Let go of the lock, unless another has taken it over."""
        self._is_done.set()
        self._thread.join()
        self._look()
        if self._taken_by is None:
            with suppress(OSError):  # removed by hand, or where nothing may be written any more
                os.unlink(self.path)  # while it is still ours
        os.close(self._descriptor)

    def _seize(self, descriptor):
        """Take the lock of an open file, or raise; return the owner it is taken from, if any."""
        held = False
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = True
        record = _read(self.path)
        owner = _parse(record)
        if held:
            raise self._locked(owner, "Wait for it, or stop it.")
        is_here = fcntl is not None and owner.get("host") == socket.gethostname()
        if not owner or is_here:
            return None
        if "beats" not in owner:  # of a version that gave no signs of life
            raise self._locked(owner, f"If that process is gone, remove {self.path}.")
        self._watch(record, owner)
        return owner

    def _watch(self, record, owner):
        """Look for signs of life of an owner, for as long as it may take; raise if there are."""
        end = time.monotonic() + SILENT_SECONDS
        while time.monotonic() < end:
            time.sleep(min(BEAT_SECONDS, SILENT_SECONDS) / 5)
            # Opened anew each time: on a network disk, only that asks the server.
            found = _read(self.path)
            if found != record:
                raise self._locked(_parse(found) or owner, "It is alive: wait for it, or stop it.")

    def _claim(self, former):
        """Let others who take over at the same moment write, and see whose name stays."""
        time.sleep(BEAT_SECONDS / 5)
        self._look()
        self._refuse_taken()
        warnings.warn(
            f"The lock of {self.path.parent} is taken over from {_name(former)}, which had it "
            f"since {former.get('started')} and gave no sign of life for {SILENT_SECONDS:g} "
            "seconds.",
            RuntimeWarning,
            stacklevel=3,
        )

    def _live(self):
        """Give signs of life until the lock is let go of, or lost."""
        while not self._is_done.wait(BEAT_SECONDS):
            self._look()
            if self._taken_by is not None:
                return
            self._n_beats += 1
            with suppress(OSError):  # a disk that is away for a moment
                self._write()

    def _look(self):
        """Note who has the lock, if it is somebody else."""
        with suppress(OSError):  # removed by hand, or on a disk that is away for a moment
            owner = _parse(_read(self.path))
            if {name: owner.get(name) for name in self._owner} != self._owner:
                self._taken_by = owner

    def _write(self):
        """Write who has the lock, over what is there."""
        # Digits in their places: whoever reads while this is written reads one or the other number.
        text = json.dumps({**self._owner, "beats": f"{self._n_beats:012d}"})
        record = text.ljust(_N_BYTES - 1).encode() + b"\n"
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, record)
        os.fsync(self._descriptor)

    def _refuse_taken(self):
        """Raise if another process has taken the lock over."""
        if self._taken_by is not None:
            raise self._locked(
                self._taken_by,
                "It has taken the lock from this process, which gave no sign of life for "
                f"{SILENT_SECONDS:g} seconds. Leave the folder to it.",
            )

    def _locked(self, owner, remedy):
        """Make the error that names who has the lock."""
        return StoreLockedError(
            f"{self.path.parent} is being written by {_name(owner)}, since "
            f"{owner.get('started', 'just now')}. {remedy}"
        )


def _name(owner):
    """Name a process."""
    return f"process {owner.get('pid', 'of unknown number')} on {owner.get('host') or 'this host'}"


def _read(path):
    """Read the record of a lock."""
    with open(path, "rb") as file:
        return file.read(4096)


def _parse(record):
    """Read who owns a lock; {} when it does not say, as in the moment it is made."""
    try:
        owner = json.loads(record)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}
