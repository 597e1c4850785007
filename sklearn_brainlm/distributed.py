"""Several processes that train, or embed, together, as ``torchrun`` starts them.

``torchrun --nproc_per_node 2 -m sklearn_brainlm.cli pretrain ...`` starts two processes that run
the same command. Each reads the recordings, takes its share of every batch, and learns from the sum
of all gradients; the first one writes and prints. With one process, nothing here does anything.
"""

import os
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from sklearn_brainlm.exceptions import BrainLMError

__all__ = [
    "ProcessGroupError",
    "check_processes",
    "meeting",
    "n_processes",
    "process_group",
    "process_rank",
]

MINUTES = 5  # that a process waits for the others, as while the first one writes a checkpoint
_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class ProcessGroupError(BrainLMError, RuntimeError):
    """Processes that should work together do not."""


def n_processes():
    """Count the processes that work together.

    Returns
    -------
    n : int
        1 unless there is a group of processes.

    Examples
    --------
    >>> n_processes(), process_rank()
    (1, 0)
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank():
    """Return the number of this process among those that work together.

    Returns
    -------
    rank : int
        0 in the first, and in the only one.
    """
    return dist.get_rank() if n_processes() > 1 else 0


@contextmanager
def process_group(device="auto"):
    """Work together with the processes that ``torchrun`` started with this one.

    Parameters
    ----------
    device : str, default="auto"
        Device of torch that the work is done on. On CUDA each process of a machine gets a GPU of
        its own, and gradients are added by NCCL; everything else goes through gloo.

    Yields
    ------
    None
        Nothing. Where there is one process, or a group already, nothing is done.

    Raises
    ------
    ProcessGroupError
        If there are not as many processes, or GPUs, as the environment says.

    Notes
    -----
    A process waits for the others for at most 5 minutes. When one of them fails, the others fail
    with an error that says so, and ``torchrun`` ends with another exit code than 0.

    Examples
    --------
    >>> with process_group():
    ...     n_processes()
    1
    """
    n_stated = _stated()
    if n_stated > 1 and n_processes() == 1:
        missing = [name for name in _VARIABLES if name not in os.environ]
        if missing or not dist.is_available():
            what = f"{', '.join(missing)} not" if missing else "torch comes without distributed"
            raise ProcessGroupError(
                f"WORLD_SIZE says that {n_stated} processes work together, but {what}"
                f"{' set' if missing else ''}. Start them with torchrun, or unset WORLD_SIZE."
            )
        _take_gpu(device)
        with meeting():
            dist.init_process_group(timeout=timedelta(minutes=MINUTES))
        check_processes()
        try:
            yield
        except BaseException:
            if not torch.cuda.is_available():  # NCCL would wait for the others, who wait for us
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()
        return
    check_processes()
    yield


def check_processes():
    """Make sure that as many processes work together as the environment says.

    Raises
    ------
    ProcessGroupError
        If not: each would do all the work, and write over what the others write.
    """
    n_stated = _stated()
    if n_stated > 1 and n_processes() != n_stated:
        raise ProcessGroupError(
            f"WORLD_SIZE says that {n_stated} processes work together, but this one is in a group "
            f"of {n_processes()}. Run the commands pretrain and embed with torchrun; in a script, "
            "work within sklearn_brainlm.distributed.process_group(); or unset WORLD_SIZE."
        )


def _stated():
    """Return how many processes the environment says there are."""
    stated = os.environ.get("WORLD_SIZE", "1")
    if not stated.isdecimal() or int(stated) < 1:
        raise ProcessGroupError(
            f"WORLD_SIZE is {stated!r}; expected a number of processes. Start them with torchrun, "
            "or unset it."
        )
    return int(stated)


def _take_gpu(device):
    """Give this process a GPU of its own, if it is to work on one."""
    kind = torch.device("cuda" if device == "auto" else device).type
    if kind != "cuda" or not torch.cuda.is_available():
        return
    local, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= n_gpus:
        raise ProcessGroupError(
            f"This is process {local + 1} of a machine with {n_gpus} GPUs. Start as many processes "
            "as there are GPUs (torchrun --nproc_per_node), or give device='cpu'."
        )
    torch.cuda.set_device(local)


@contextmanager
def meeting():
    """Say what it means when the other processes are not there.

    Yields
    ------
    None
        Nothing; within it, processes exchange numbers.

    Raises
    ------
    ProcessGroupError
        If one of them has ended, or does not come.
    """
    try:
        yield
    except RuntimeError as error:
        raise ProcessGroupError(
            "This process cannot go on without the others: one of them has ended, or has not come "
            f"for {MINUTES} minutes. It says why, if it could ({str(error).splitlines()[0]})."
        ) from error
