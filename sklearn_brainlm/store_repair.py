"""Recordings of a store that have changed, written once more from their sources."""

from pathlib import Path

import numpy as np

from sklearn_brainlm.exceptions import StoreCorruptionError
from sklearn_brainlm.files.durable import fsync_folder, replaced
from sklearn_brainlm.storage.arrays import HEADER_BYTES, npy_header
from sklearn_brainlm.storage.files import read_manifest, scales_name, shard_name
from sklearn_brainlm.storage.lock import StoreLock
from sklearn_brainlm.store_building import encode_source
from sklearn_brainlm.store_checks import check_described, verify_store

__all__ = ["repair_store"]


def repair_store(path, recordings):
    """Write recordings of a store that have changed once more, from where they came from.

    Parameters
    ----------
    path : str or Path
        The folder of the store.
    recordings : dict of str to array or callable
        Recordings by their ids, as `build_store` was given them; those that are whole are not read.

    Returns
    -------
    repaired : list of str
        Ids of the recordings that were written.

    Raises
    ------
    StoreCorruptionError
        A table or the manifest is damaged, or a recording is not the one that was stored: its
        checksum differs. Then its shard stays as it was.
    StoreLockedError
        Another process is writing this folder.
    KeyError
        A recording that has changed is not given.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_brainlm import build_store
    >>> from sklearn_brainlm.store_repair import repair_store
    >>> recording = np.random.default_rng(0).normal(size=(60, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = build_store(folder, [recording])
    ...     _ = (store.path / "shards" / "00000.npy").write_bytes(b"damaged")
    ...     repair_store(folder, {"recording-000000": recording})
    ['recording-000000']
    """
    folder = Path(path).absolute()
    manifest = read_manifest(folder)
    offsets = check_described(folder, manifest)
    findings = [finding for finding in verify_store(folder) if finding.kind != "unlisted"]
    with StoreLock(folder) as lock:
        damaged = {finding.recording for finding in findings}
        repaired = []
        for shard in np.unique(offsets.shard):
            names = {shard_name(int(shard)), scales_name(int(shard))}
            if not any(finding.file in names for finding in findings):
                continue
            is_whole = all(
                (folder / name).is_file()
                and (folder / name).stat().st_size == manifest["arrays"][name]["bytes"]
                for name in names & set(manifest["arrays"])
            )
            # Of a file that is not whole, no recording is taken.
            here = np.flatnonzero(offsets.shard == shard)
            ids = [offsets.recording[i] for i in here]
            chosen = [name for name in ids if not is_whole or name in damaged]
            made = {
                name: _read_again(folder, manifest, offsets, i, recordings[name])
                for name, i in zip(ids, here, strict=True)
                if name in chosen
            }
            lock.check()
            _write_shard(folder, manifest, offsets, int(shard), made)
            repaired += chosen
    left = [finding for finding in verify_store(folder) if finding.kind != "unlisted"]
    if left:
        raise StoreCorruptionError(f"{left[0].text} It could not be repaired: build it anew.")
    return repaired


def _read_again(folder, manifest, offsets, i, source):
    """Read and encode a recording, which must be the one that was stored."""
    name = offsets.recording[i]
    outcome = encode_source(source, name, manifest["dtype"])
    if isinstance(outcome, str) or outcome[2] != offsets.crc32[i]:
        why = outcome if isinstance(outcome, str) else f"its CRC-32 is {outcome[2]:08x}"
        raise StoreCorruptionError(
            f"{name} of {folder}: what was given is not the recording that was stored ({why}; "
            f"expected {int(offsets.crc32[i]):08x}). Give its source, or build the store anew."
        )
    return outcome[:2]


def _write_shard(folder, manifest, offsets, shard, made):
    """Write the files of a shard anew: the recordings in `made`, and the others as they are."""
    here = np.flatnonzero(offsets.shard == shard)
    for which, file_name in enumerate((shard_name(shard), scales_name(shard))):
        if file_name not in manifest["arrays"]:
            continue
        listed = manifest["arrays"][file_name]
        dtype, shape = np.dtype(listed["dtype"]), tuple(listed["shape"])
        row_bytes = dtype.itemsize * int(np.prod(shape[1:]))
        with replaced(folder / file_name) as file:
            file.write(npy_header(dtype, shape))
            for rank, i in enumerate(here):
                if offsets.recording[i] in made:
                    file.write(np.ascontiguousarray(made[offsets.recording[i]][which]).tobytes())
                    continue
                row, n_rows = (offsets.first_row[i], offsets.n_timepoints[i])
                row, n_rows = (row, n_rows) if which == 0 else (rank, 1)
                with open(folder / file_name, "rb") as before:
                    before.seek(HEADER_BYTES + int(row) * row_bytes)
                    file.write(before.read(int(n_rows) * row_bytes))
    fsync_folder(folder)
