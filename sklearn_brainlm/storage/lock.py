"""One writer a folder: a lock file that names its owner."""

import json
import os
import socket
from datetime import UTC, datetime

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

from sklearn_brainlm.exceptions import BrainLMError

__all__ = ["LOCK", "StoreLock", "StoreLockedError"]

LOCK = "building.lock"


class StoreLockedError(BrainLMError, OSError):
    """Somebody else is writing the store."""


class StoreLock:
    """The right to write into a folder, held by one process at a time.

    Parameters
    ----------
    folder : Path
        The folder. The lock is its file ``building.lock``, which names host, process and time.

    Raises
    ------
    StoreLockedError
        On entering: another process has the lock, or had it on another host, where whether it
        still runs cannot be seen.

    Notes
    -----
    The kernel lets go of the file when its process ends, however it ends, so the lock of a dead
    process on this host is taken over, and no reuse of a process number deceives.

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

    def __init__(self, folder):
        self.path = folder / LOCK
        self._descriptor = None

    def __enter__(self):
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._seize(descriptor)
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
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, (json.dumps(owner) + "\n").encode())
        os.fsync(descriptor)
        self._descriptor = descriptor
        return self

    def __exit__(self, *exception):
        os.unlink(self.path)  # while it is still ours
        os.close(self._descriptor)

    def _seize(self, descriptor):
        """Take the lock of an open file, or raise."""
        held = False
        if fcntl is None:
            held = os.fstat(descriptor).st_size > 0
        else:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = True
        owner = _read_owner(descriptor)
        host = owner.get("host")
        elsewhere = host is not None and host != socket.gethostname()
        if held or elsewhere:
            named = f"process {owner.get('pid', 'of unknown number')} on {host or 'this host'}"
            remedy = (
                f"If that process is gone, remove {self.path}."
                if elsewhere or fcntl is None
                else "Wait for it, or stop it."
            )
            raise StoreLockedError(
                f"{self.path.parent} is being written by {named}, since "
                f"{owner.get('started', 'just now')}. {remedy}"
            )


def _read_owner(descriptor):
    """Read who owns a lock; {} when it does not say, as in the moment it is made."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 4096))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}
