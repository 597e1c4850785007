"""Every byte of a store, compared with what was written."""

import hashlib
import os
import re
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sklearn_brainlm.exceptions import StoreCorruptionError
from sklearn_brainlm.files.checked import shown
from sklearn_brainlm.storage.arrays import HEADER_BYTES, npy_header
from sklearn_brainlm.storage.files import (
    MANIFEST,
    RECORDING_ID,
    read_manifest,
    scales_name,
    shard_name,
)
from sklearn_brainlm.storage.tables import read_offsets

__all__ = ["StoreFinding", "check_described", "verify_store"]

# What a store that was written here names: nothing outside of its folder.
_OWN = re.compile(
    r"(shards|scales)/[0-9]{5,}\.npy|(recordings|participants|parcels|quarantine)\.tsv"
)


@dataclass(frozen=True)
class StoreFinding:
    """Something wrong with a store.

    Attributes
    ----------
    file : str
        The file, relative to the store.
    recording : str or None
        The recording whose values it concerns, where it is one.
    kind : {"missing", "size", "header", "changed", "unlisted"}
        What is wrong: a file is not there, shorter or longer, its header differs, its content
        differs, or it does not belong to the store.
    text : str
        What was found, what was expected, and what to do.

    Examples
    --------
    >>> finding = StoreFinding("shards/00000.npy", "sub-01", "changed", "Its CRC-32 differs.")
    >>> finding.recording, finding.kind
    ('sub-01', 'changed')
    """

    file: str
    recording: str | None
    kind: str
    text: str


def verify_store(path):
    """Read every byte of a store and compare it with what was written.

    For a store that was copied, or that a long training is to use. Estimators themselves compare a
    recording with its checksum only when they first read it.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    list of StoreFinding
        What is wrong; empty when every byte is as it was written.

    Raises
    ------
    FileNotFoundError
        There is no such folder.

    See Also
    --------
    RecordingStore : Opens a store.
    build_store : Writes one.

    Notes
    -----
    Without its manifest, or its table of recordings, nothing else of a store can be compared, and
    that is the only finding.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_brainlm import build_store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = build_store(folder, [np.eye(4)])
    ...     _ = (store.path / "notes.txt").write_text("mine")
    ...     [(finding.file, finding.kind) for finding in verify_store(folder)]
    [('notes.txt', 'unlisted')]
    """
    folder = Path(path)
    try:
        manifest = read_manifest(folder)
    except StoreCorruptionError as error:
        kind = "changed" if (folder / MANIFEST).is_file() else "missing"
        return [StoreFinding(MANIFEST, None, kind, str(error))]
    findings, whole = [], set()
    for name, expected in {**manifest["tables"], **manifest["arrays"]}.items():
        found = _look_at(folder, name, expected["bytes"])
        findings += found
        if not found:
            whole.add(name)
    for name in sorted(whole & set(manifest["tables"])):
        found = _compare_table(folder, name, manifest["tables"][name]["sha256"])
        findings += found
        if found:
            whole.remove(name)
    for name in sorted(set(manifest["arrays"])):
        if (folder / name).is_file():
            findings += _compare_header(folder, name, manifest["arrays"][name])
    if "recordings.tsv" in whole:
        findings += _compare_recordings(folder, manifest)
    return findings + _list_others(folder, manifest)


def check_described(folder, manifest):
    """Check that the manifest and the offsets of a store name its own files, and recordings.

    Parameters
    ----------
    folder : Path
        The store.
    manifest : dict
        Its manifest, the hashes of which say what was written, not by whom.

    Returns
    -------
    offsets : Offsets
        Where recordings lie.

    Raises
    ------
    StoreCorruptionError
        They name files elsewhere, ids that are none, or rows that are not there.
    """
    own = {*manifest["tables"], *manifest["arrays"]}
    strange = [name for name in sorted(own) if not _OWN.fullmatch(name)]
    if strange:
        raise StoreCorruptionError(
            f"{folder / MANIFEST} names files that no store has: {shown(strange)}. Do not use it, "
            "and build the store anew."
        )
    try:
        offsets = read_offsets(folder, manifest)
    except ValueError as error:
        raise StoreCorruptionError(
            f"{folder / 'recordings.tsv'} cannot be read ({error}). Build the store anew."
        ) from error
    for name in offsets.recording:
        if not RECORDING_ID.fullmatch(name):
            raise StoreCorruptionError(
                f"{folder / 'recordings.tsv'}: {shown([name])} is no id: letters, digits, '-', "
                "'_' and '.', no separators and no leading dot. Do not use this store."
            )
    for i, shard in enumerate(offsets.shard):
        listed = manifest["arrays"].get(shard_name(int(shard)), {"shape": [0]})
        end = offsets.first_row[i] + offsets.n_timepoints[i]
        if not 0 <= offsets.first_row[i] < end <= listed["shape"][0]:
            raise StoreCorruptionError(
                f"{folder / 'recordings.tsv'}: {offsets.recording[i]} lies outside of its shard. "
                "Build the store anew."
            )
    return offsets


def _look_at(folder, name, expected):
    """Compare the size of a file."""
    path = folder / name
    try:
        found = os.stat(path)
    except OSError:
        text = f"{path} is missing; {expected} bytes were written. Restore it."
        return [StoreFinding(name, None, "missing", text)]
    if not stat.S_ISREG(found.st_mode):
        text = f"{path} is not a regular file. Restore it."
        return [StoreFinding(name, None, "missing", text)]
    if found.st_size != expected:
        text = f"{path} has {found.st_size} bytes; {expected} were written. Restore it."
        return [StoreFinding(name, None, "size", text)]
    return []


def _compare_table(folder, name, expected):
    """Compare the SHA-256 of a table."""
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if found == expected:
        return []
    text = f"The SHA-256 of {folder / name} is {found}, expected {expected}. Restore it."
    return [StoreFinding(name, None, "changed", text)]


def _compare_header(folder, name, expected):
    """Compare the header of an array with the only one that may be there, byte by byte."""
    with open(folder / name, "rb") as file:
        found = file.read(HEADER_BYTES)
    if found == npy_header(np.dtype(expected["dtype"]), expected["shape"]):
        return []
    text = (
        f"The header of {folder / name} is not that of an array of {expected['dtype']} of shape "
        f"{tuple(expected['shape'])}. Restore it."
    )
    return [StoreFinding(name, None, "header", text)]


def _compare_recordings(folder, manifest):
    """Compare the checksum of every recording; files are read, not mapped, as they may be short."""
    offsets = read_offsets(folder, manifest)
    has_scales = manifest["dtype"] == "int16"
    scale_bytes = 2 * manifest["n_parcels"] * 4
    findings = []
    for shard in np.unique(offsets.shard):
        name = shard_name(shard)
        here = np.flatnonzero(offsets.shard == shard)
        values = _open(folder / name)
        scales = _open(folder / scales_name(shard)) if has_scales else None
        row_bytes = np.dtype(manifest["arrays"][name]["dtype"]).itemsize * manifest["n_parcels"]
        try:
            for rank, i in enumerate(here):
                start = HEADER_BYTES + int(offsets.first_row[i]) * row_bytes
                crc = _crc(values, start, int(offsets.n_timepoints[i]) * row_bytes, 0)
                if has_scales:
                    crc = _crc(scales, HEADER_BYTES + rank * scale_bytes, scale_bytes, crc)
                if crc != offsets.crc32[i]:
                    found = "not all there" if crc is None else f"{crc:08x}"
                    text = (
                        f"The CRC-32 of {offsets.recording[i]} in {folder / name} is {found}, "
                        f"expected {offsets.crc32[i]:08x}. Restore the file, or build the store "
                        "anew."
                    )
                    findings.append(StoreFinding(name, offsets.recording[i], "changed", text))
        finally:
            for file in (values, scales):
                if file is not None:
                    file.close()
    return findings


def _open(path):
    """Open a file for reading; None where there is none."""
    return open(path, "rb") if path.is_file() else None


def _crc(file, start, n_bytes, crc):
    """Go on with a CRC-32 over part of a file; None when it is not all there."""
    if file is None or crc is None:
        return None
    file.seek(start)
    while n_bytes:
        block = file.read(min(n_bytes, 1 << 22))
        if not block:
            return None
        crc = zlib.crc32(block, crc)
        n_bytes -= len(block)
    return crc


def _list_others(folder, manifest):
    """Find what lies in the folder and does not belong to the store."""
    files = {MANIFEST, *manifest["tables"], *manifest["arrays"]}
    folders = {name.rpartition("/")[0] for name in files}
    findings = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        known = folders if path.is_dir() and not path.is_symlink() else files
        if name not in known:
            text = f"{path} does not belong to the store. Move it elsewhere."
            findings.append(StoreFinding(name, None, "unlisted", text))
    return findings
