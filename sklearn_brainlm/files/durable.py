"""Files that are whole or not there, whenever the machine stops."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path

__all__ = ["fsync_folder", "replaced", "write_bytes_atomically"]


@contextmanager
def replaced(path):
    """Open a file beside its place, and move it there once it is complete and on the disk.

    Parameters
    ----------
    path : Path
        Where it shall be. A file or link that is there is replaced; what a link leads to is not
        touched.

    Yields
    ------
    file : file object
        Open for writing bytes.
    """
    # Named at random: two processes that write the same weights do not write into one another.
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:  # also an interrupt: nothing half written stays
        beside.unlink(missing_ok=True)
        raise


def write_bytes_atomically(path, content):
    """Write a file, which appears complete or not at all.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced when it is there. Its folder must exist.
    content : bytes
        What it shall hold.
    """
    with replaced(Path(path)) as file:
        file.write(content)


def fsync_folder(folder):
    """Bring the names of the files of a folder to the disk.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
