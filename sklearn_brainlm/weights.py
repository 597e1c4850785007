"""Weights on disk: safetensors and JSON, never a pickle.

A folder of weights holds ``model.safetensors`` (every array), ``config.json`` (everything else,
with the SHA-256 of the arrays) and ``README.md`` (a model card for people).
"""

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sklearn_brainlm import __version__
from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError

__all__ = ["check_names", "load_weights", "package_versions", "save_weights"]

_FORMAT = "sklearn_brainlm weights"
_FORMAT_VERSION = 1
_PICKLES = {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
_PACKAGES = ("torch", "scikit-learn", "skorch", "numpy", "safetensors")


def save_weights(path, config, arrays, *, card=None):
    """Write weights and everything needed to use them into a folder.

    Parameters
    ----------
    path : str or Path
        Folder; it is made when it is not there, and its files of these names are replaced.
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
    TypeError
        If `config` holds something that JSON cannot.
    """
    folder = Path(path)
    _check_finite(folder, arrays)
    content = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    config = {
        **config,
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "sha256": hashlib.sha256(content).hexdigest(),
        "arrays": {name: [str(a.dtype), list(a.shape)] for name, a in sorted(arrays.items())},
    }
    text = json.dumps(config, indent=2, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    if card is not None:
        _replace(folder / "README.md", card.encode())
    _replace(folder / "model.safetensors", content)
    _replace(folder / "config.json", text.encode())  # last: it vouches for the arrays
    return folder


def load_weights(path):
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
        If the path is a pickle, whose reading would run its code.
    """
    folder = Path(path)
    if folder.suffix in _PICKLES:
        raise UntrustedFileError(
            f"{folder} may hold pickled objects, and reading those runs their code. Weights are "
            "folders with config.json and model.safetensors, as save_pretrained writes them."
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is not a folder. Give the folder that save_pretrained wrote."
        )
    config = _read_config(folder)
    content = _read(folder, "model.safetensors")
    if hashlib.sha256(content).hexdigest() != config["sha256"]:
        raise CheckpointError(
            f"{folder / 'model.safetensors'} is not the file that config.json describes (its "
            "SHA-256 differs): it is damaged, or of another set of weights. Copy both again."
        )
    try:
        arrays = load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / 'model.safetensors'} cannot be read: {error}.") from error
    found = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    check_names(config["arrays"], found, str(folder))
    _check_finite(folder, arrays)
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


def package_versions():
    """Name the versions of the packages that matter for weights.

    Returns
    -------
    versions : dict of str to str
        Version by package.
    """
    return {"sklearn-brainlm": __version__, **{name: version(name) for name in _PACKAGES}}


def _read_config(folder):
    """Read config.json and check that it is one of ours."""
    try:
        config = json.loads(_read(folder, "config.json"))
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'} is not JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise CheckpointError(
            f"{folder / 'config.json'} does not say that it is of the format {_FORMAT!r}."
        )
    if config.get("format_version") != _FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} is of format version {config.get('format_version')}; this version of "
            f"sklearn_brainlm reads version {_FORMAT_VERSION}. Upgrade sklearn_brainlm."
        )
    lacking = {"arrays", "sha256"} - set(config)
    if lacking:
        raise CheckpointError(f"{folder / 'config.json'} lacks {', '.join(sorted(lacking))}.")
    return config


def _read(folder, name):
    """Read a file of the folder."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        here = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        raise CheckpointError(
            f"{folder / name} cannot be read: {error.strerror}. The folder holds: {here}."
        ) from error


def _replace(path, content):
    """Write a file beside its place and move it there, so that no half of it is ever seen."""
    beside = path.with_name(path.name + ".part")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _check_finite(folder, arrays):
    """Refuse arrays with NaN or infinity."""
    broken = [name for name, array in sorted(arrays.items()) if not np.isfinite(array).all()]
    if broken:
        raise CheckpointError(f"Weights of {folder} are not finite: {', '.join(broken)}.")
