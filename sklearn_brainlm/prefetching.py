"""Batches that are made while the device works on the ones before."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["prefetch"]

_DEPTH = 2  # batches that are made ahead


def prefetch(batches, steps, device):
    """Make batches in a thread, ahead of their use, and send their inputs to the device.

    Parameters
    ----------
    batches : sequence
        Batches, pairs of dicts of arrays or tensors; each is a function of its index alone.
    steps : iterable of int
        Which of them to make, in this order.
    device : str
        Device of torch.

    Yields
    ------
    batch : tuple of two dicts
        Inputs, as tensors on the device, and targets, as tensors of the host. An error that a
        batch raises is raised where the batch is taken.

    Notes
    -----
    Inputs go through pinned memory, so that a copy to a CUDA device waits for nothing. Targets
    stay on the host: the loop reads numbers from them, and the device should not be asked.

    Examples
    --------
    >>> import numpy as np
    >>> batches = [({"signals": np.zeros(3)}, {"n_values": np.ones(3)})]
    >>> [(inputs, _)] = prefetch(batches, [0], "cpu")
    >>> type(inputs["signals"]).__name__
    'Tensor'
    """
    device = torch.device(device)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        ahead = deque()
        try:
            for step in steps:
                ahead.append(pool.submit(_make, batches, step, device))
                if len(ahead) > _DEPTH:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for waiting in ahead:  # the loop ended early, or a batch could not be made
                waiting.cancel()


def _make(batches, step, device):
    """Make a batch and send its inputs."""
    inputs, targets = batches[step]
    sent = {name: _send(values, device) for name, values in inputs.items()}
    return sent, {name: torch.as_tensor(values) for name, values in targets.items()}


def _send(values, device):
    """Send an array to the device; a tensor that is there stays."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
