"""The files of a store: their names, and the manifest that vouches for them.

A store is a folder::

    shards/00000.npy    values of recordings one after another, (n_timepoints, n_parcels)
    scales/00000.npy    int16 only: step and offset of each recording and parcel, (n, 2, n_parcels)
    recordings.tsv      where each recording lies, and its CRC-32
    participants.tsv    whose recordings they are
    parcels.tsv         what the columns are, where it is known
    quarantine.tsv      what could not be stored, and why
    manifest.json       written last: what all the others must be, to the byte

The manifest has a SHA-256 of itself, and is refused if it is not written exactly as it would be
here: so no byte of the folder can change without being found.
"""

import hashlib
import json
import re

from sklearn_brainlm._stored_values import DTYPES
from sklearn_brainlm.exceptions import BrainLMError, StoreCorruptionError
from sklearn_brainlm.files.checked import read_json

__all__ = [
    "FORMAT_VERSION",
    "JOURNAL",
    "MANIFEST",
    "RECORDING_ID",
    "check_size",
    "check_sizes",
    "pack_manifest",
    "read_manifest",
    "read_table_bytes",
    "scales_name",
    "shard_name",
]

FORMAT = "sklearn_brainlm store"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
JOURNAL = "building.journal"
# No separators and no leading dot: an id may become the name of a file.
RECORDING_ID = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*")

_MAX_MANIFEST_BYTES = 1 << 26  # a shard takes a hundred bytes of it
_KEYS = {"format", "format_version", "dtype", "n_recordings", "n_timepoints", "n_parcels"} | {
    "n_quarantined",
    "plan",
    "tables",
    "columns",
    "arrays",
    "versions",
    "sha256",
}


def shard_name(shard):
    """Name the file of a shard.

    Parameters
    ----------
    shard : int
        Its number.

    Returns
    -------
    name : str
        Relative to the store.
    """
    return f"shards/{shard:05d}.npy"


def scales_name(shard):
    """Name the file of the scales of a shard.

    Parameters
    ----------
    shard : int
        Its number.

    Returns
    -------
    name : str
        Relative to the store.
    """
    return f"scales/{shard:05d}.npy"


def pack_manifest(content):
    """Write a manifest, with the SHA-256 of itself.

    Parameters
    ----------
    content : dict
        What JSON can hold.

    Returns
    -------
    packed : bytes
        JSON; the same content gives the same bytes.
    """
    content = {key: value for key, value in content.items() if key != "sha256"}
    content |= {"format": FORMAT, "format_version": FORMAT_VERSION}
    return _to_json({**content, "sha256": hashlib.sha256(_to_json(content)).hexdigest()})


def read_manifest(folder):
    """Read the manifest of a store, and check that none of its bytes has changed.

    Parameters
    ----------
    folder : Path
        The store.

    Returns
    -------
    manifest : dict
        What it says.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    StoreCorruptionError
        The manifest is missing or damaged, or the folder is no store of this version.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Give the folder build_store wrote.")
    if not path.is_file():
        raise StoreCorruptionError(
            f"{folder} is not finished: its {MANIFEST} is still to be written. Call build_store "
            "again with the same recordings."
            if (folder / JOURNAL).is_file()
            else f"{path} is missing: {folder} is no store, or not all of it. Restore the file, or "
            "build the store anew."
        )
    try:
        manifest = read_json(path, max_bytes=_MAX_MANIFEST_BYTES)
    except BrainLMError as error:
        raise StoreCorruptionError(f"{error} Restore it, or build the store anew.") from error
    if manifest.get("format") != FORMAT:
        raise StoreCorruptionError(f"{path} does not say that it is of the format {FORMAT!r}.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise StoreCorruptionError(
            f"{folder} is of format version {manifest.get('format_version')}; this version of "
            f"sklearn_brainlm reads version {FORMAT_VERSION}. Upgrade sklearn_brainlm."
        )
    if pack_manifest(manifest) != path.read_bytes() or set(manifest) != _KEYS:
        raise StoreCorruptionError(
            f"{path} has changed: its SHA-256 is not the one it was written with. Restore it, or "
            "build the store anew."
        )
    if manifest["dtype"] not in DTYPES:
        raise StoreCorruptionError(f"{path} names the dtype {manifest['dtype']!r}.")
    return manifest


def check_sizes(folder, manifest):
    """Check that every file of a store is there and has its size; nothing is read.

    Parameters
    ----------
    folder : Path
        The store.
    manifest : dict
        Its manifest.

    Raises
    ------
    StoreCorruptionError
        A file is missing, or shorter or longer than it was written.
    """
    for name, expected in {**manifest["arrays"], **manifest["tables"]}.items():
        check_size(folder / name, expected["bytes"])


def check_size(path, expected):
    """Check that a file is there and has its size.

    Parameters
    ----------
    path : Path
        The file.
    expected : int
        Bytes that were written.

    Raises
    ------
    StoreCorruptionError
        It is missing, or shorter or longer.
    """
    if not path.is_file():
        raise StoreCorruptionError(
            f"{path} is missing; {expected} bytes were written. Restore it, or build the store "
            "anew."
        )
    found = path.stat().st_size
    if found != expected:
        raise StoreCorruptionError(
            f"{path} has {found} bytes; {expected} were written. Restore it, or build the store "
            "anew."
        )


def read_table_bytes(folder, manifest, name):
    """Read a table of text, and check that none of its bytes has changed.

    Parameters
    ----------
    folder : Path
        The store.
    manifest : dict
        Its manifest.
    name : str
        Name of the file.

    Returns
    -------
    content : bytes
        All of it.

    Raises
    ------
    StoreCorruptionError
        It is not what was written.
    """
    content = (folder / name).read_bytes()
    expected = manifest["tables"][name]["sha256"]
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise StoreCorruptionError(
            f"{folder / name} has changed: its SHA-256 is {found}, expected {expected}. Restore "
            "it, or build the store anew."
        )
    return content


def _to_json(content):
    """Write JSON that depends on the content alone."""
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
