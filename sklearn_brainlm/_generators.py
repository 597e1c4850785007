"""The random generators of torch: read, and put back where they were."""

import torch

__all__ = ["generator_states", "restore_generators"]


def generator_states(device):
    """Copy the state of the generators that training draws from.

    Parameters
    ----------
    device : str
        Device of torch.

    Returns
    -------
    states : dict of str to uint8 tensor
        That of the CPU and, on CUDA, that of the device. Nothing waits for the device.
    """
    states = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(device, states):
    """Put the generators back to where they were.

    Parameters
    ----------
    device : str
        Device of torch.
    states : dict of str to uint8 tensor
        As :func:`generator_states` gave them; what is of another kind of device is left out.
    """
    torch.set_rng_state(states["cpu"])
    if torch.device(device).type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
