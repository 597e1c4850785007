"""How a result was made: by which command, of which recordings, with which versions."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

__all__ = ["describe_run", "describe_weights", "write_sidecar"]

# What the parser keeps for itself.
_OWN = {"command_line", "config", "debug", "input", "name", "run"}
_PACKAGES = ("pandas", "nilearn", "scipy")


def describe_run(options, opened, **about):
    """Say how a result was made.

    Parameters
    ----------
    options : Namespace
        What the command was told, by flags and by a file.
    opened : Recordings
        What it was done on.
    **about : dict
        What else there is to say, in what JSON can hold.

    Returns
    -------
    described : dict
        The command line as it was typed, every option with its digest, the file they came from,
        the recordings, and versions. Nothing of the machine, and no path that was not given.
    """
    import platform

    from sklearn_brainlm._versions import package_versions

    chosen = {name: value for name, value in vars(options).items() if name not in _OWN}
    versions = {**package_versions(), **{name: version(name) for name in _PACKAGES}}
    return {
        "command": options.name,
        "command_line": options.command_line,
        "options": chosen,
        "options_sha256": hashlib.sha256(_as_json(chosen).encode()).hexdigest(),
        "config": _describe_config(getattr(options, "config", None)),
        "input": opened.describe(),
        "versions": {"python": platform.python_version(), **versions},
        **about,
    }


def describe_weights(source, model):
    """Say which weights were used.

    Parameters
    ----------
    source : str
        How they were named.
    model : BrainLMTransformer
        Read from them, or fitted from them.

    Returns
    -------
    described : dict
        Their SHA-256, what they were trained on, and what they expect of recordings.
    """
    trained_on = getattr(model, "trained_on_", {})
    return {
        "source": str(source),
        "sha256": getattr(model, "weights_sha256_", None),
        "trained_on": {key: value for key, value in trained_on.items() if key != "subjects"},
        "contract": model.contract_.to_dict(),
    }


def write_sidecar(path, described):
    """Write what is known of a result beside it.

    Parameters
    ----------
    path : Path
        The JSON file.
    described : dict
        What to write.
    """
    from sklearn_brainlm.files.durable import write_bytes_atomically

    text = json.dumps(described, indent=2, ensure_ascii=False, default=str)
    write_bytes_atomically(path, f"{text}\n".encode())


def _describe_config(path):
    """Say what the file of options held."""
    if path is None:
        return None
    from sklearn_brainlm.commands.config import read_config
    from sklearn_brainlm.files.checked import file_sha256

    return {
        "path": path,
        "sha256": file_sha256(path),
        "content": read_config(Path(path).as_posix()),
    }


def _as_json(value):
    """Write a value the same way whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, default=str)
