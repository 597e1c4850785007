"""What is done when memory runs out: the same windows again, in smaller parts."""

import warnings

import numpy as np
import torch

from sklearn_brainlm._generators import generator_states, restore_generators
from sklearn_brainlm.exceptions import OutOfMemoryError

__all__ = ["compute_in_parts", "infer_in_parts", "is_out_of_memory"]

# How torch says so where it raises a plain RuntimeError: its allocators, and the libraries of CUDA.
_SAID = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed")


def is_out_of_memory(error):
    """Say whether an error means that memory ran out.

    Parameters
    ----------
    error : Exception
        The error.

    Returns
    -------
    is_memory : bool
        True of a MemoryError, of CUDA's OutOfMemoryError, and of what the CPU's allocator raises.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("shapes do not fit"))
    False
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def compute_in_parts(net, compute, batch):
    """Compute something of a batch, halving the parts it is worked on in while memory is short.

    Parameters
    ----------
    net : WindowNet
        Its ``micro_batch_size`` becomes what fits, and stays so.
    compute : callable
        ``compute(batch)`` works through the batch in parts of ``net.micro_batch_size`` windows.
    batch : pair of dicts
        A batch.

    Returns
    -------
    computed : object
        What `compute` returns. Gradients of an attempt that failed are dropped, and the random
        generators put back, so the result is that of parts of this size from the start.

    Raises
    ------
    OutOfMemoryError
        If memory is too short for one window.
    """
    while True:
        states = generator_states(net.device)
        try:
            return compute(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            size = _half(net, len(batch[1]["recording"]), error)
        # Here, as the error is forgotten: its traceback keeps the tensors of the attempt alive.
        net._zero_grad_optimizer()
        _free(net.device)
        net.micro_batch_size = size
        restore_generators(net.device, states)


def infer_in_parts(net, compute, inputs):
    """Compute something of windows that nothing is learned from, in parts that memory holds.

    Parameters
    ----------
    net : WindowNet
        Its ``windows_at_once_`` becomes what fits, and stays so.
    compute : callable
        ``compute(inputs)`` takes `inputs`, or those of some of the windows, and returns a tensor
        (B, ...) of them.
    inputs : dict of arrays of shape (B, ...)
        What is known of the windows.

    Returns
    -------
    computed : float32 array of shape (B, ...)
        What `compute` returns of all windows.

    Raises
    ------
    OutOfMemoryError
        If memory is too short for one window.

    Warns
    -----
    RuntimeWarning
        Memory ran out, and fewer windows fit. This is said once, when it is known how many.
    """
    net._set_training(False)
    n_windows = len(next(iter(inputs.values())))
    first = size = max(1, min(net.windows_at_once_ or n_windows, n_windows))
    while True:
        parts = [slice(start, start + size) for start in range(0, max(1, n_windows), size)]
        try:
            with torch.inference_mode():
                computed = [_compute_part(compute, inputs, part) for part in parts]
            break
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise _too_much(
                    net,
                    error,
                    "Free memory that others hold, use device='cpu' or a device with more, or "
                    "weights of a smaller network, with larger patches or a shorter window_length.",
                ) from error
        _free(net.device)
        size //= 2
    if size < first:
        net.windows_at_once_ = size
        warnings.warn(
            f"Memory ran out with {first} windows at a time: going on with {size}. What comes of "
            f"each is the same; micro_batch_size={size} asks for so many from the start.",
            RuntimeWarning,
            stacklevel=2,
        )
    return computed[0] if len(computed) == 1 else np.concatenate(computed)


def _compute_part(compute, inputs, part):
    """Compute something of some windows."""
    made = compute({name: values[part] for name, values in inputs.items()})
    return made.float().cpu().numpy()


def _half(net, n_windows, error):
    """Return the next smaller size of parts, and say so, or raise when there is none."""
    size = min(net.micro_batch_size or n_windows, n_windows)
    if size == 1:
        raise _too_much(
            net,
            error,
            "Shorten window_length, take a smaller network or larger patches, set "
            "gradient_checkpointing=True, lower decoded_fraction, or use precision='bf16' on CUDA.",
        ) from error
    warnings.warn(
        f"Memory ran out with {size} windows at a time: going on with micro_batch_size={size // 2}."
        " Steps are of as many windows as before, and learn the same.",
        RuntimeWarning,
        stacklevel=2,
    )
    return size // 2


def _too_much(net, error, remedy):
    """Make the error that ends the attempts."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return OutOfMemoryError(
        f"One window at a time is more than the memory of {net.device!r} holds ({said}). {remedy}"
    )


def _free(device):
    """Give back what the allocator of CUDA keeps for later."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
