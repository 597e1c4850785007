"""Folders of weights in the format of this package: safetensors and JSON, never a pickle.

A folder holds ``model.safetensors`` (every array), ``config.json`` (everything else, with the
SHA-256 of the arrays) and ``README.md`` (a model card for people).
"""

import json
import math
from pathlib import Path

import numpy as np

from sklearn_brainlm._replaced_weights import current, read_steadily, replaced_weights
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.files.checked import read_json
from sklearn_brainlm.files.durable import write_bytes_atomically
from sklearn_brainlm.weight_files import read_safetensors, write_safetensors

__all__ = ["DOES_NOT_FIT", "FORMAT", "check_names", "read_weights", "save_weights"]

FORMAT = "sklearn_brainlm weights"
_FORMAT_VERSION = 1
# What comes of building something from settings that do not belong together.
DOES_NOT_FIT = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# What decides how much memory a network takes.
_DEPTHS = ("depth", "decoder_depth")
_SIZES = ("embed_dim", "mlp_dim", "decoder_embed_dim", "decoder_mlp_dim", "n_heads", "n_parcels")
_SIZES += ("decoder_n_heads", "n_parcels_", "parcels_per_patch", "patch_length", "token_conv")
_HARMLESS = 10**7  # values


def save_weights(path, config, arrays, *, card=None):
    """Write weights and everything needed to use them into a folder.

    Parameters
    ----------
    path : str or Path
        Folder; it is made when it is not there, and its files of these names are replaced: all of
        them or, when the process is killed before, none.
    config : dict
        What JSON can hold.
    arrays : dict of str to array
        Numeric and bool arrays by name.
    card : str, optional
        Text of README.md.

    Returns
    -------
    path : Path
        The folder.

    Raises
    ------
    CheckpointError
        If an array is not finite.
    StoreLockedError
        If another process is writing there, and goes on for a minute.
    TypeError
        If `config` holds something that JSON cannot.
    """
    folder = Path(path)
    broken = [name for name, array in sorted(arrays.items()) if not np.isfinite(array).all()]
    if broken:
        raise CheckpointError(f"Weights of {folder} are not finite: {', '.join(broken)}.")
    described = {name: [str(a.dtype), list(a.shape)] for name, a in sorted(arrays.items())}
    config = {**config, "format": FORMAT, "format_version": _FORMAT_VERSION, "arrays": described}
    json.dumps(config, allow_nan=False)  # before anything is written
    with replaced_weights(folder) as beside:
        if card is not None:
            write_bytes_atomically(beside("README.md"), card.encode())
        config["sha256"] = write_safetensors(beside("model.safetensors"), arrays)
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        write_bytes_atomically(beside("config.json"), text.encode())
    return folder


def read_weights(path):
    """Read a folder that :func:`save_weights` wrote, and check all of it before use.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    config : dict
        What was saved with the arrays.
    arrays : dict of str to array
        The arrays by name.

    Raises
    ------
    CheckpointError
        If files are missing, damaged, of another format, or do not belong together.
    UntrustedFileError
        If a file is not what its format allows.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder. Give the folder that save_pretrained wrote."
        )
    config, arrays = read_steadily(folder, lambda: _read_files(folder))
    found = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    check_names(config["arrays"], found, str(folder))
    _check_sizes(folder, config, arrays)
    return config, arrays


def check_names(expected, found, where):
    """Compare two sets of names, and what they stand for, strictly.

    Parameters
    ----------
    expected, found : dict
        Descriptions by name.
    where : str
        What holds `found`, for the message.

    Raises
    ------
    CheckpointError
        If they differ; the message lists how.
    """
    faults = {
        "missing": sorted(set(expected) - set(found)),
        "unexpected": sorted(set(found) - set(expected)),
        "different": [
            f"{name} is {found[name]}, expected {expected[name]}"
            for name in sorted(set(found) & set(expected))
            if found[name] != expected[name]
        ],
    }
    listed = [f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names]
    if listed:
        raise CheckpointError(f"{where} does not hold what is needed. {'; '.join(listed)}.")


def _read_files(folder):
    """Read config.json and the arrays that it vouches for."""
    here = sorted(entry.name for entry in folder.iterdir())
    for name in ("config.json", "model.safetensors"):
        if current(folder / name).name not in here:
            raise CheckpointError(
                f"{folder / name} is missing. The folder holds: {', '.join(here) or 'nothing'}."
            )
    config = _read_config(folder)
    path = current(folder / "model.safetensors")
    return config, read_safetensors(path, sha256=config["sha256"])[0]


def _check_sizes(folder, config, arrays):
    """Refuse a network that is larger than the arrays it shall hold, before memory is taken."""
    n_values = sum(array.size for array in arrays.values())
    most = max((len(arrays), *(side for array in arrays.values() for side in array.shape)))
    network = config.get("network")
    network = network.get("parameters") if isinstance(network, dict) else None
    for part in (config.get("parameters"), config.get("fitted"), network):
        part = part if isinstance(part, dict) else {}
        said = {name: part[name] for name in _DEPTHS + _SIZES if part.get(name) is not None}
        for name, value in said.items():
            if type(value) is not int or not 0 < value <= most:
                raise CheckpointError(
                    f"{folder / 'config.json'} says {name}={value!r:.80}, and the {len(arrays)} "
                    f"arrays beside it have at most {most} of anything. Get the folder again."
                )
        sides = sorted(said[name] for name in _SIZES if name in said)[-2:]
        n_needed = math.prod(sides) * max(said.get(name, 1) for name in _DEPTHS)
        if n_needed > max(4 * n_values, _HARMLESS):
            raise CheckpointError(
                f"{folder / 'config.json'} describes a network of about {n_needed} values, and "
                f"{n_values} are beside it. Get the folder again."
            )


def _read_config(folder):
    """Read config.json and check that it is one of ours."""
    config = read_json(current(folder / "config.json"))
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / 'config.json'} does not say that it is of the format {FORMAT!r}."
        )
    if config.get("format_version") != _FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} is of format version {config.get('format_version')}; this version of "
            f"sklearn_brainlm reads version {_FORMAT_VERSION}. Upgrade sklearn_brainlm."
        )
    kinds = {"arrays": dict, "sha256": str}
    lacking = [name for name, kind in kinds.items() if not isinstance(config.get(name), kind)]
    if lacking:
        raise CheckpointError(f"{folder / 'config.json'} lacks {', '.join(lacking)}.")
    return config
