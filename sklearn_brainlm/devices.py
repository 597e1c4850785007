"""Devices of torch: which one to run on, in what precision, and seeded without side effects."""

import contextlib
import warnings

import torch

__all__ = ["forked_rng", "resolve_device", "resolve_precision", "windows_at_a_time"]

# A token of the largest models keeps some 0.1 MB of activations for its gradient: these are about
# 2 GB of memory, and 13 GB on a GPU.
_TOKENS_AT_A_TIME = {"cpu": 2**14, "cuda": 2**17}


def resolve_device(device):
    """Choose the device to run on.

    Parameters
    ----------
    device : str
        "auto" takes CUDA when it is there. Anything else is a device of torch.

    Returns
    -------
    device : str
        A device of torch that exists here; the CPU, with a UserWarning, in place of a CUDA device
        that was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if torch.device(device).type == "cuda" and not available:
        warnings.warn(
            f"device={device!r} was asked for and no CUDA device is available: running on the "
            "CPU. Use device='auto' to take what is there.",
            UserWarning,
            stacklevel=2,
        )
        return "cpu"
    return device


def resolve_precision(precision, device):
    """Choose the precision to compute in.

    Parameters
    ----------
    precision : {"auto", "fp32", "bf16"}
        "auto" is bf16 on CUDA devices that have it, and fp32 elsewhere.
    device : str
        Device of torch.

    Returns
    -------
    precision : {"fp32", "bf16"}
        Precision of the network under autocast.

    Raises
    ------
    ValueError
        If bf16 is asked for on another device than CUDA, where it would only cost accuracy.
    """
    on_cuda = torch.device(device).type == "cuda"
    if precision == "auto":
        return "bf16" if on_cuda and torch.cuda.is_bf16_supported() else "fp32"
    if precision != "fp32" and not on_cuda:
        raise ValueError(
            f"precision={precision!r} needs a CUDA device and this runs on {device!r}. "
            "Use precision='auto' or 'fp32'."
        )
    return precision


@contextlib.contextmanager
def forked_rng(seed, device):
    """Seed torch inside the context and leave its global random state as it was.

    Parameters
    ----------
    seed : int
        Seed of the CPU generator and of the device's.
    device : str
        Device of torch.

    Yields
    ------
    None
        Nothing.
    """
    device = torch.device(device)
    devices = []
    if device.type == "cuda":
        devices = [torch.cuda.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def windows_at_a_time(micro_batch_size, n_tokens, device):
    """Say how many windows a device works on at once.

    Parameters
    ----------
    micro_batch_size : int or "auto"
        What was asked for; "auto" is what fits into the memory of common devices, with the largest
        models.
    n_tokens : int
        Tokens of a window.
    device : str
        Device of torch.

    Returns
    -------
    n_windows : int
        One at least.
    """
    if micro_batch_size != "auto":
        return micro_batch_size
    most = _TOKENS_AT_A_TIME.get(torch.device(device).type, _TOKENS_AT_A_TIME["cpu"])
    return max(1, most // n_tokens)
