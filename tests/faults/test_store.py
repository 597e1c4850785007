"""Rows 103 to 111: stores that are damaged, killed, or written by two at once.

Not here: what comes over the network, and clocks (test_network.py).
"""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import warnings

import numpy as np
import pytest
import store_killing
from joblib import Parallel, delayed
from test_store_building import run_script

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.cli import main
from sklearn_brainlm.exceptions import (
    DataQualityWarning,
    InvalidRecordingError,
    StoreCorruptionError,
)
from sklearn_brainlm.storage.lock import StoreLockedError
from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store
from sklearn_brainlm.store_checks import verify_store
from sklearn_brainlm.store_repair import repair_store

IDS = [f"sub-{i:02d}" for i in range(6)]
DTYPES = ["float32", "float16", "int16"]


@pytest.fixture
def recordings():
    """Return six recordings (40 to 45, 5)."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(40 + i, 5)).astype(np.float32) for i in range(6)]


@pytest.fixture(params=DTYPES)
def folder(request, tmp_path, recordings):
    """Return the folder of a store of several shards."""
    given = {"participants": {"recording": IDS}, "dtype": request.param, "shard_bytes": 1800}
    return build_store(tmp_path / "store", recordings, **given).path


def flip(path, position):
    """Change one bit of a file."""
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, position)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 4]), position)


def last_shard(folder):
    """Return the last shard, and the ids of the recordings in it."""
    shards = sorted((folder / "shards").iterdir())
    lines = [line.split("\t") for line in (folder / "recordings.tsv").read_text().splitlines()]
    return shards[-1], [line[0] for line in lines[1:] if int(line[1]) == len(shards) - 1]


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.fault(103, "flipped byte in a shard", "StoreCorruptionError with the recording's id")
def test_fault_103_flipped_byte(folder, observe, capsys):
    shard, ids = last_shard(folder)
    flip(shard, 128 + 7)
    store = RecordingStore(folder)
    assert len(store[0]) == 40  # the others can be read
    with observe.raises(StoreCorruptionError, match=f"{ids[0]} has changed in .*CRC-32") as caught:
        store[IDS.index(ids[0])]
    assert "store verify" in str(caught.value) and str(shard) in str(caught.value)
    with pytest.raises(StoreCorruptionError, match=ids[0]):
        list(store)
    (finding,) = verify_store(folder)
    assert (finding.recording, finding.kind) == (ids[0], "changed")
    assert main(["store", "verify", str(folder)]) == 1
    assert ids[0] in capsys.readouterr().out


@pytest.mark.fault(103, "flipped byte under an estimator", "StoreCorruptionError")
def test_fault_103_under_an_estimator(tmp_path, recordings, observe):
    store = build_store(tmp_path / "store", recordings)
    flip(store.path / "shards" / "00000.npy", 128 + 4 * 5 * 100)
    model = BrainLMTransformer(window_length=20, patch_length=5, embed_dim=8, max_epochs=1)
    with observe.raises(StoreCorruptionError, match="recording-000002 has changed"):
        model.fit(RecordingStore(store.path))


@pytest.mark.fault(103, "store verify --repair", "re-extracted from the source, same bytes")
@pytest.mark.parametrize("damage", ["flip", "missing", "empty"])
def test_fault_103_repaired(folder, recordings, observe, damage):
    whole = store_killing.read_files(folder)
    shard, ids = last_shard(folder)
    if damage == "flip":
        flip(shard, 128 + 7)
    else:
        shard.unlink()
        if damage == "empty":
            shard.touch()
    sources = dict(zip(IDS, recordings, strict=True))
    with pytest.raises(StoreCorruptionError, match=f"{ids[0]}.*is not the recording"):
        repair_store(folder, {**sources, ids[0]: recordings[0] + 1})
    assert store_killing.read_files(folder) != whole
    assert ids[0] in repair_store(folder, sources)
    assert store_killing.read_files(folder) == whole
    assert verify_store(folder) == [] and repair_store(folder, sources) == []
    observe(f"{damage}: {ids[0]} written again, every byte as it was")


@pytest.mark.fault(103, "store verify --repair on the command line", "exit 0, same bytes")
def test_fault_103_repaired_by_command(tmp_path, observe, capsys):
    from command_line import write_folder

    source, store = write_folder(tmp_path / "source"), tmp_path / "store"
    assert main(["store", "build", str(source), str(store)]) == 0
    whole = store_killing.read_files(store)
    flip(store / "shards" / "00000.npy", 500)
    assert main(["store", "verify", str(store)]) == 1
    assert main(["store", "verify", str(store), "--repair", str(source)]) == 0
    assert "1 recordings were written again: sub-00.npy" in capsys.readouterr().out
    assert store_killing.read_files(store) == whole
    observe("written again, every byte as it was")


@pytest.mark.fault(104, "missing shard", "StoreCorruptionError, never zeros")
@pytest.mark.parametrize("when", ["before", "after"])
def test_fault_104_missing(folder, observe, when):
    shard, _ = last_shard(folder)
    opened = RecordingStore(folder)
    shard.unlink()
    with observe.raises(StoreCorruptionError, match=f"{shard} is missing; .* bytes were written"):
        RecordingStore(folder) if when == "before" else opened[5]
    assert {finding.kind for finding in verify_store(folder)} >= {"missing"}


@pytest.mark.fault(105, "shard of no length", "StoreCorruptionError, never zeros")
@pytest.mark.parametrize("n_bytes", [0, 128, 129])
def test_fault_105_truncated(folder, observe, n_bytes):
    shard, _ = last_shard(folder)
    opened = RecordingStore(folder)
    os.truncate(shard, n_bytes)
    for read in (lambda: RecordingStore(folder), lambda: opened[5]):
        with observe.raises(StoreCorruptionError, match=f"{shard} has {n_bytes} bytes"):
            read()


@pytest.mark.fault(106, "flipped byte in Parquet", "an error when it is read")
@pytest.mark.parametrize("name", ["embeddings.parquet"])
def test_fault_106_parquet(tmp_path, observe, name):
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="cannot run here: pyarrow is not installed"
    )
    import pandas as pd

    from sklearn_brainlm.commands.outputs import open_table

    values = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    path = tmp_path / name
    with open_table(path) as write:
        write(pd.DataFrame(values, columns=[f"feature{i}" for i in range(8)]))
    content, n_found = bytearray(path.read_bytes()), 0
    positions = range(40, 6000, 397)
    for position in positions:
        content[position] ^= 4
        path.write_bytes(content)
        try:
            parquet.read_table(path, page_checksum_verification=True)
        except (OSError, ValueError) as error:
            observe(error)
            n_found += 1
        content[position] ^= 4
    assert n_found == len(positions)


# --- building ------------------------------------------------------------------------------------


@pytest.mark.fault(107, "killed while building", "goes on, the same bytes; no half store is read")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot run here: processes are not forked")
def test_fault_107_killed(tmp_path, observe):
    done = run_script("every", tmp_path, 6)
    n_kills = int(done.communicate()[0])
    assert done.returncode == 0 and n_kills >= 10
    observe(f"killed at {n_kills} writes, tree equal each time")


@pytest.mark.fault(107, "a store that is not finished", "StoreCorruptionError until it is")
def test_fault_107_half_a_store(tmp_path, recordings, observe):
    def sources(stop):
        for number, recording in enumerate(recordings):
            if number == stop:
                raise KeyboardInterrupt
            yield recording

    ids = {"recording": IDS}
    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "store", sources(4), participants=ids)
    with observe.raises(StoreCorruptionError, match="not finished.*Call build_store again"):
        RecordingStore(tmp_path / "store")
    build_store(tmp_path / "store", sources(None), participants=ids)
    build_store(tmp_path / "whole", sources(None), participants=ids)
    read = store_killing.read_files
    assert read(tmp_path / "store") == read(tmp_path / "whole")


def sum_up(store):
    """Return a sum of each recording."""
    return [float(np.asarray(recording, dtype=np.float64).sum()) for recording in store]


READ = """
import json, sys
import numpy as np
from sklearn_brainlm.store import RecordingStore
store = RecordingStore(sys.argv[1])
print(json.dumps([float(np.asarray(x, dtype=np.float64).sum()) for x in store]))
"""


@pytest.mark.fault(108, "8 readers at once", "the same values in each")
def test_fault_108_readers(folder, observe):
    store = RecordingStore(folder)
    expected = sum_up(store)
    command = [sys.executable, "-c", READ, str(folder)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    found = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]
    assert found == [expected] * 8
    threads = Parallel(n_jobs=8, backend="threading")(delayed(sum_up)(store) for _ in range(8))
    assert threads == found
    observe("8 processes and 8 threads read the same")


@pytest.mark.fault(109, "two writers", "StoreLockedError naming process, host and since when")
def test_fault_109_second_writer(tmp_path, recordings, observe):
    writer = run_script("hold", tmp_path)
    try:
        assert writer.stdout.readline() == "held\n"
        with observe.raises(StoreLockedError) as caught:
            build_store(tmp_path, recordings)
        said = str(caught.value)
        assert (
            f"is being written by process {writer.pid} on {socket.gethostname()}, since 2" in said
        )
        assert isinstance(caught.value, OSError)
        assert not (tmp_path / "manifest.json").exists()
    finally:
        writer.kill()
        writer.communicate()
    assert len(build_store(tmp_path, recordings)) == 6  # the lock of the dead is stale


@pytest.mark.fault(110, "disk full while building", "OSError, resumable, the same bytes")
def test_fault_110_full_disk(tmp_path, recordings, observe):
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, former[1]))
    try:
        with observe.raises(OSError, match="File too large"):
            build_store(tmp_path / "store", recordings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    with pytest.raises(StoreCorruptionError, match="not finished"):
        RecordingStore(tmp_path / "store")
    build_store(tmp_path / "store", recordings)
    build_store(tmp_path / "whole", recordings)
    read = store_killing.read_files
    assert read(tmp_path / "store") == read(tmp_path / "whole")


@pytest.mark.fault(110, "tmpfs full while building", "OSError, resumable, the same bytes")
def test_fault_110_small_disk(tmp_path, observe):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot run here: no file system may be mounted")
    rng = np.random.default_rng(0)
    recordings = [rng.normal(size=(500, 20)).astype(np.float32) for _ in range(8)]
    try:
        with observe.raises(OSError, match="No space left"):
            build_store(disk / "store", recordings)
        whole = build_store(tmp_path / "whole", recordings)
        grow = ["mount", "-o", "remount,size=2m", str(disk)]
        subprocess.run(grow, check=True)
        build_store(disk / "store", recordings)
        read = store_killing.read_files
        assert read(disk / "store") == read(whole.path)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.fault(111, "overflow in a float16 store", "InvalidRecordingError before the cast")
@pytest.mark.parametrize("value", [70_000.0, -70_000.0, 300.0**2, 65_505.0])
def test_fault_111_overflow(tmp_path, recordings, observe, value):
    recordings[2] = recordings[2].copy()
    recordings[2][7, 3] = value
    given = {"participants": {"recording": IDS}, "dtype": "float16"}
    words = "sub-02 cannot be stored.*float16 overflows: .*timepoint 7, parcel 3"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no overflow ever happens
        with observe.raises(InvalidRecordingError, match=words):
            build_store(tmp_path / "strict", recordings, strict=True, **given)
    with observe.warns(DataQualityWarning, match="1 of 6 recordings were not stored"):
        store = build_store(tmp_path / "store", recordings, **given)
    assert store.ids == IDS[:2] + IDS[3:]
    assert all(np.isfinite(np.asarray(x)).all() for x in store)
    assert "float16 overflows" in (store.path / "quarantine.tsv").read_text()
    recordings[2][7, 3] = 65_504.0
    shutil.rmtree(store.path)
    assert float(build_store(store.path, recordings, **given)[2][7, 3]) == 65_504.0
    assert json.loads((store.path / "manifest.json").read_text())["n_quarantined"] == 0
