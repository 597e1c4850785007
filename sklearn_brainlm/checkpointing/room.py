"""Room for checkpoints: whether a folder takes them, and what to say where it does not."""

import os
import shutil
from contextlib import suppress

from sklearn_brainlm.exceptions import CheckpointError

__all__ = ["CheckpointPermissionError", "check_space", "describe_room"]


class CheckpointPermissionError(CheckpointError, PermissionError):
    """A folder that checkpoints may not be written to."""


def check_space(folder, n_bytes):
    """Make the folder, and make sure that a checkpoint can be written into it.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints.
    n_bytes : int
        About what a checkpoint takes.

    Raises
    ------
    CheckpointError
        If it cannot; the message says how much there is. A CheckpointPermissionError, which is a
        PermissionError too, if nobody lets us.
    """
    probe = folder / f".tmp-probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(probe, "wb") as file:
            if hasattr(os, "posix_fallocate"):  # takes the space without writing it
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                for start in range(0, n_bytes, 1 << 20):
                    file.write(bytes(min(1 << 20, n_bytes - start)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        is_refused = isinstance(error, PermissionError)
        raise (CheckpointPermissionError if is_refused else CheckpointError)(
            f"{folder} cannot take checkpoints: {error.strerror or error}. "
            f"{describe_room(folder, n_bytes)} Make room, or give another checkpoint_dir that can "
            "be written to."
        ) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def describe_room(folder, n_bytes):
    """Say what a checkpoint takes, and how much space there is.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints.
    n_bytes : int
        About what a checkpoint takes.

    Returns
    -------
    text : str
        A sentence.
    """
    free = "how much is free there is not known"
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError):
            free = f"{shutil.disk_usage(place).free / 1e6:.1f} MB are free there"
            break
    return f"One of this network takes about {n_bytes / 1e6:.1f} MB; {free}."
