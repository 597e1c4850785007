"""Checkpoints on disk: each a folder that appears complete or not at all.

A checkpoint is written beside its place (``.tmp-...``), every file flushed to the disk and hashed,
``manifest.json`` with the hashes last, and then renamed. What a kill leaves behind is never taken
for a checkpoint.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path

from sklearn_brainlm.exceptions import BrainLMError, CheckpointError
from sklearn_brainlm.files.checked import check_digest, file_sha256, read_json
from sklearn_brainlm.files.durable import fsync_folder, write_bytes_atomically
from sklearn_brainlm.weight_files import read_safetensors, write_safetensors

__all__ = [
    "list_checkpoints",
    "name_checkpoint",
    "phase",
    "read_last",
    "read_manifest",
    "read_state",
    "remove_leftovers",
    "write_checkpoint",
]

FORMAT = "sklearn_brainlm checkpoint"
PARTS = ("weights", "optimizer", "training")
_FORMAT_VERSION = 1
_MAX_JSON = 1 << 30  # bytes; the losses of ten million steps
_STAGES = ("", "-epoch", "-end")  # after a step, after the epoch it ended, after the training
_NAME = re.compile(r"step-(\d{9,})(-epoch|-end)?")


def phase(name):
    """Mark a point of a write; does nothing.

    Parameters
    ----------
    name : str
        "begun", each of `PARTS`, "state", "manifest", "renamed", "written".

    Notes
    -----
    Tests replace this function, to fail or to kill the process at these points.
    """


def name_checkpoint(folder, step, stage=""):
    """Say where a checkpoint lies.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints.
    step : int
        Optimizer steps until then.
    stage : {"", "-epoch", "-end"}, default=""
        What ended with this step.

    Returns
    -------
    path : Path
        The checkpoint.
    """
    return folder / f"step-{step:09d}{stage}"


def write_checkpoint(path, parts, state, notes):
    """Write a checkpoint.

    Parameters
    ----------
    path : Path
        Where; nothing is there yet.
    parts : dict of str to dict of arrays
        For each of `PARTS`, arrays by name.
    state : dict
        What JSON holds.
    notes : dict
        More of the kind, which is read without the rest.

    Raises
    ------
    OSError
        If it cannot be written, or an array is not finite. Former checkpoints are not touched.
    """
    folder, beside = path.parent, path.with_name(f".tmp-{path.name}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        phase("begun")
        digests = {}
        for part in PARTS:
            name = f"{part}.safetensors"
            digests[name] = write_safetensors(beside / name, parts[part])
            phase(part)
        text = json.dumps(state, allow_nan=False).encode()
        write_bytes_atomically(beside / "state.json", text)
        digests["state.json"] = hashlib.sha256(text).hexdigest()
        phase("state")
        manifest = {"format": FORMAT, "format_version": _FORMAT_VERSION, **notes, "sha256": digests}
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        write_bytes_atomically(beside / "manifest.json", text.encode())
        phase("manifest")
        fsync_folder(beside)
        os.replace(beside, path)
        phase("renamed")
        fsync_folder(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    phase("written")


def list_checkpoints(folder):
    """List the checkpoints of a folder, whole or damaged.

    Parameters
    ----------
    folder : str or Path
        The folder; it need not exist.

    Returns
    -------
    paths : list of Path
        The oldest first.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    placed = [(int(name[1]), _STAGES.index(name[2] or ""), path) for name, path in found if name]
    return [path for *_, path in sorted(placed)]


def read_manifest(path):
    """Read what a checkpoint says of itself.

    Parameters
    ----------
    path : Path
        The checkpoint.

    Returns
    -------
    manifest : dict
        Step, notes, and the SHA-256 of every file.

    Raises
    ------
    CheckpointError
        If it is not there, damaged, or of another format.
    """
    manifest = read_json(path / "manifest.json")
    known = (manifest.get("format"), manifest.get("format_version"))
    if known != (FORMAT, _FORMAT_VERSION):
        raise CheckpointError(
            f"{path} is in format {known[0]!r}, version {known[1]!r}; expected {FORMAT!r}, version "
            f"{_FORMAT_VERSION}. Resume with the version of the package that wrote it."
        )
    digests = manifest.get("sha256")
    expected = {"state.json", *(f"{part}.safetensors" for part in PARTS)}
    if not isinstance(digests, dict) or digests.keys() != expected:
        raise CheckpointError(f"{path / 'manifest.json'} does not name the files of a checkpoint.")
    return manifest


def read_state(path):
    """Read the state of a checkpoint, checked.

    Parameters
    ----------
    path : Path
        The checkpoint.

    Returns
    -------
    state : dict
        What was written with the arrays.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged.
    """
    digest = read_manifest(path)["sha256"]["state.json"]
    check_digest(path / "state.json", digest, file_sha256(path / "state.json"))
    return read_json(path / "state.json", max_bytes=_MAX_JSON)


def read_last(paths):
    """Read the last checkpoint that is whole; damaged ones after it are put aside.

    Parameters
    ----------
    paths : list of Path
        Checkpoints of a folder, the oldest first.

    Returns
    -------
    manifest, state : dict
        What it says of itself, and what was written with the arrays.
    parts : dict of str to dict of arrays
        For each of `PARTS`, arrays by name.

    Raises
    ------
    CheckpointError
        If none is whole.
    """
    for path in reversed(paths):
        try:
            manifest, state = read_manifest(path), read_state(path)
            parts = {}
            for part in PARTS:
                name = f"{part}.safetensors"
                parts[part], _ = read_safetensors(path / name, sha256=manifest["sha256"][name])
            return manifest, state, parts
        except BrainLMError as error:
            aside = path.with_name(f"damaged-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
            warnings.warn(
                f"A checkpoint is damaged: {error} It is put aside as {aside}, and training "
                "resumes from the one before.",
                RuntimeWarning,
                stacklevel=2,
            )
    raise CheckpointError(
        f"No checkpoint in {paths[-1].parent} is whole. Give another checkpoint_dir to train from "
        "the start."
    )


def remove_leftovers(folder):
    """Remove what a process that was killed left behind.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints, which nobody else is writing to.
    """
    for path in folder.glob(".tmp-*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
