"""The network that a folder of this package's own format describes."""

import torch

from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.exceptions import BrainLMError, CheckpointError
from sklearn_brainlm.modules import InformedAutoencoder, MaskedAutoencoder
from sklearn_brainlm.official.networks import make_network
from sklearn_brainlm.weight_folders import DOES_NOT_FIT

__all__ = ["build_own"]

# Classes that a file may name: a name never becomes an import.
_NETWORKS = {
    network.__name__: network for network in (InformedAutoencoder, MaskedAutoencoder, make_network)
}


def build_own(folder, config, arrays):
    """Build the network of a folder, with what it expects of recordings.

    Parameters
    ----------
    folder : Path
        The folder, for messages.
    config : dict
        What its config.json says.
    arrays : dict of str to ndarray
        Its arrays.

    Returns
    -------
    contract : InputContract
        What the network expects of recordings.
    module : torch.nn.Module
        The network, not in training.

    Raises
    ------
    CheckpointError
        If there is no network that can be built alone, or parts do not belong together.
    """
    described = config.get("network")
    named = described.get("class") if isinstance(described, dict) else None
    if not isinstance(named, str) or named not in _NETWORKS:
        raise CheckpointError(
            f"{folder} holds a {config.get('class')} without a network that can be built alone. "
            "Use the from_pretrained of its class."
        )
    try:
        contract = InputContract.from_dict(config["fitted"]["contract_"]["contract"])
        module = _NETWORKS[named](**_resolve(described["parameters"], arrays))
        state = {
            name.removeprefix("net_."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("net_.")
        }
        module.load_state_dict(state)
    except BrainLMError:
        raise
    except DOES_NOT_FIT as error:
        raise CheckpointError(f"{folder} does not fit together: {error}") from error
    return contract, module.eval()


def _resolve(value, arrays):
    """Put arrays in the places of their names."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"array"}:
        return arrays[value["array"]]
    return {key: _resolve(item, arrays) for key, item in value.items()}
