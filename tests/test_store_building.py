"""Building a store: ids, tables, quarantine, dtypes, the lock, and what a kill leaves.

Not here: reading (test_store.py) and damage (test_store_verify.py).
"""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import store_killing

from sklearn_brainlm._stored_values import decode, encode
from sklearn_brainlm.exceptions import (
    DataQualityWarning,
    InvalidRecordingError,
    StoreCorruptionError,
)
from sklearn_brainlm.storage.lock import StoreLockedError
from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store

SCRIPT = Path(store_killing.__file__)


def run_script(*arguments):
    """Start the script of builds that are killed."""
    path = os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")])
    # Without further threads, forking it is safe.
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def read_quarantine(folder):
    return pd.read_csv(folder / "quarantine.tsv", sep="\t")


@pytest.mark.parametrize("kind", ["list", "iterator", "callables", "3-D", "frames"])
def test_recordings_come_in_many_ways(tmp_path, recordings, kind):
    recordings = [recording[:60] for recording in recordings]
    given = {
        "list": recordings,
        "iterator": iter(recordings),
        "callables": [partial(np.copy, recording) for recording in recordings],
        "3-D": np.stack(recordings),
        "frames": [pd.DataFrame(recording) for recording in recordings],
    }[kind]
    store = build_store(tmp_path, given)
    np.testing.assert_array_equal(list(store), recordings)
    assert store.ids == [f"recording-{i:06d}" for i in range(6)]
    assert store.verify() == []


def test_more_processes_build_the_same(tmp_path, recordings):
    given = [partial(np.copy, recording) for recording in recordings]
    for n_jobs in (1, 2):
        build_store(tmp_path / str(n_jobs), given, n_jobs=n_jobs, shard_bytes=9000, dtype="int16")
    assert store_killing.read_files(tmp_path / "1") == store_killing.read_files(tmp_path / "2")


def test_bad_recordings_go_to_quarantine_with_their_reason(tmp_path, recordings):
    with_nan = recordings[0].copy()
    with_nan[7, 3] = np.nan
    given = [recordings[0], with_nan, partial(np.load, tmp_path / "no.npy"), recordings[1].T]
    given += [np.zeros((50, 12)), recordings[2], np.ones(9), recordings[3][:, :11], [["a"]]]
    ids = ["ok-1", "broken", "gone", "turned", "zero", "ok-2", "flat", "narrow", "text"]
    participants = {"recording": ids, "age": range(9)}
    with pytest.warns(DataQualityWarning, match="7 of 9 recordings were not stored.* broken: "):
        store = build_store(tmp_path / "store", given, participants=participants)
    assert store.ids == ["ok-1", "ok-2"] and store.participants["age"].tolist() == [0, 5]
    quarantine = read_quarantine(store.path).set_index("recording")
    assert quarantine["position"].to_dict() == {
        name: i for i, name in enumerate(ids) if not name.startswith("ok")
    }
    for name, words in {
        "broken": "NaN.* broken: 1 values are NaN.*timepoint 7, parcel 3",
        "gone": "FileNotFoundError.*no.npy",
        "turned": "transposed",
        "zero": "zero is all zero",
        "flat": "1D array",
        "narrow": r"shape \(93, 11\); expected \(n_timepoints, 12\), as the first",
        "text": "dtype",
    }.items():
        pd.Series([quarantine["reason"][name]]).str.contains(words).all() or pytest.fail(name)
    assert store.verify() == []


def test_strict_stops_at_a_bad_recording_and_may_go_on_without(tmp_path, recordings):
    given = [*recordings[:3], np.full((50, 12), np.inf), *recordings[3:]]
    with pytest.raises(InvalidRecordingError, match="recording-000003 cannot be stored.*infinity"):
        build_store(tmp_path, given, strict=True)
    with pytest.raises(StoreCorruptionError, match="not finished.*Call build_store again"):
        RecordingStore(tmp_path)
    with pytest.warns(DataQualityWarning, match="1 of 7"):
        assert len(build_store(tmp_path, given)) == 6


def test_nothing_to_store_is_an_error_that_a_second_call_may_mend(tmp_path, recordings):
    with pytest.raises(InvalidRecordingError, match=r"None of 2 recordings.*recording-000000.*NaN"):
        build_store(tmp_path, [np.full((9, 2), np.nan)] * 2)
    assert len(build_store(tmp_path, recordings)) == 6


def test_constant_parcels_are_noted_once(tmp_path, recordings):
    recordings = [np.tile(recording, 4) for recording in recordings]  # 5% are two parcels
    recordings[1][:, [3, 5]] = 4.0
    with pytest.warns(DataQualityWarning, match="constant in 1 of 6 recordings .recordings 1;"):
        store = build_store(tmp_path, recordings, dtype="int16")
    table = pd.read_csv(tmp_path / "recordings.tsv", sep="\t")
    assert table["constant_parcels"].tolist() == [0, 2, 0, 0, 0, 0]
    assert (store[1][:, 5] == 4.0).all()


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["a", "b", "a"], "more than once: a"),
        (["a", "b/c", "d"], "'b/c'"),
        (["a", "..", "d"], "'..'"),
        (["a", "", "d"], "''"),
        (["a", 3, "d"], "recording 1 is 3"),
        (["a", "b\n", "d"], "letters, digits"),
    ],
)
def test_ids_are_names_and_differ(tmp_path, recordings, ids, words):
    with pytest.raises(InvalidRecordingError, match=words):
        build_store(tmp_path, recordings[:3], participants={"recording": ids})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"participants": {"age": [1, 2]}}, "participants has 2 entries for 6"),
        ({"t_r": [1.0, 2.0]}, "t_r has 2 entries for 6"),
        ({"t_r": 735.0}, "milliseconds"),
        ({"participants": {"tr_s": [2000.0] * 6}}, "milliseconds"),
        ({"parcels": {"label": []}}, "0 rows"),
        ({"parcels": {"x": [1.0] * 12}}, "'label'"),
        ({"parcels": {"label": "abc", "index": [0, 2, 1]}}, "must count"),
        ({"dtype": "float64"}, "float64"),
        ({"shard_bytes": 0}, "shard_bytes"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, recordings, given, words):
    if "parcels" in given:
        given["parcels"] = {key: list(column) for key, column in given["parcels"].items()}
    with pytest.raises(InvalidRecordingError, match=words):
        build_store(tmp_path, recordings, **given)
    assert not list(tmp_path.iterdir())


def test_an_iterator_is_counted_against_its_tables(tmp_path, recordings):
    few = {"recording": list("abcd")}
    with pytest.raises(InvalidRecordingError, match="more than 4 recordings"):
        build_store(tmp_path / "few", iter(recordings), participants=few)
    many = {"recording": list("abcdefg")}
    with pytest.raises(InvalidRecordingError, match="6 recordings came.*has 7"):
        build_store(tmp_path / "many", iter(recordings), participants=many)
    with pytest.raises(InvalidRecordingError, match="no recording"):
        build_store(tmp_path / "none", [])


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        ([[65505.0, 1], [2, 3]], "float16", "float16 overflows: .*timepoint 0, parcel 0 is 65505"),
        ([[0, 1], [2, -7e4]], "float16", "timepoint 1, parcel 1 is -70000"),
        ([[1e-8, 1], [3e-8, 3], [2e-8, 2]], "float16", "float16 loses too much of 1 parcels"),
        ([[10000.0, 1], [10001, 3], [10002, 2]], "float16", "loses too much.*baseline"),
        ([[1e-9, 1], [1e-9, 3]], "float16", "loses too much"),
        ([[1e9, 1], *[[i % 7, i] for i in range(50)]], "int16", "int16 loses too much.*spikes"),
        ([[1e-42, 1], [2e-42, 3]], "int16", "int16 loses parcel 0"),
    ],
)
def test_values_a_dtype_cannot_hold_are_refused(tmp_path, values, dtype, words):
    with pytest.raises(InvalidRecordingError, match=words):
        build_store(tmp_path, [np.array(values)], dtype=dtype, strict=True)


def test_the_largest_float16_is_stored(tmp_path):
    store = build_store(tmp_path, [np.array([[65504.0], [-65504.0]])], dtype="float16")
    assert store[0].tolist() == [[65504.0], [-65504.0]]


@pytest.mark.parametrize("baseline", [0.0, 100.0, 1e4, -3e5])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6, 1e30])
def test_error_of_int16_is_within_its_bound(baseline, scale):
    rng = np.random.default_rng(0)
    x = (scale * (baseline + rng.standard_t(3, (400, 20)))).astype(np.float32)
    x[:, 4] = x[0, 4]
    exact = x.astype(np.float64)
    error = np.abs(decode(*encode(x, "int16")) - exact)
    span = exact.max(axis=0) - exact.min(axis=0)
    bound = span / 131068 * (1 + 1e-6) + 2.0**-23 * np.abs(exact).max(axis=0)
    assert (error <= bound).all()
    assert (error[:, 4] == 0).all()
    if abs(baseline) <= 100:  # far from 0, float32 has fewer values than there are codes
        assert (error > 0.8 * bound).any()


def test_a_call_with_the_same_arguments_opens_what_is_there(tmp_path, recordings):
    build_store(tmp_path, recordings)
    before = store_killing.read_files(tmp_path)
    assert len(build_store(tmp_path, recordings)) == 6
    assert store_killing.read_files(tmp_path) == before
    with pytest.raises(FileExistsError, match="another store already: dtype differ"):
        build_store(tmp_path, recordings, dtype="float16")


def test_a_folder_of_something_else_is_left_alone(tmp_path, recordings):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="thesis.txt"):
        build_store(tmp_path, recordings)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_build_does_not_go_on_with_something_else(tmp_path, recordings):
    given = [recordings[0], np.full((50, 12), np.nan)]
    with pytest.raises(InvalidRecordingError, match="cannot be stored"):
        build_store(tmp_path, given, strict=True)
    with pytest.raises(StoreCorruptionError, match="another store: dtype, recordings differ"):
        build_store(tmp_path, recordings, dtype="int16")


def test_a_second_writer_is_told_who_the_first_is(tmp_path, recordings):
    writer = run_script("hold", tmp_path)
    assert writer.stdout.readline() == "held\n"
    with pytest.raises(StoreLockedError) as caught:
        build_store(tmp_path, recordings)
    owner = json.loads((tmp_path / "building.lock").read_text())
    assert owner["pid"] == writer.pid
    named = f"process {writer.pid} on {socket.gethostname()}, since {owner['started']}"
    assert named in str(caught.value)
    writer.kill()
    writer.communicate()
    assert (tmp_path / "building.lock").exists()
    assert len(build_store(tmp_path, recordings)) == 6  # the lock of the dead is taken over
    assert not (tmp_path / "building.lock").exists()


def test_a_lock_of_another_host_is_not_taken(tmp_path, recordings):
    owner = {"host": "elsewhere", "pid": 1, "started": "2024-01-01T00:00:00+00:00"}
    (tmp_path / "building.lock").write_text(json.dumps(owner))
    with pytest.raises(StoreLockedError, match="process 1 on elsewhere, since 2024.*remove"):
        build_store(tmp_path, recordings)
    (tmp_path / "building.lock").write_text("")  # killed before it could say who it is
    assert len(build_store(tmp_path, recordings)) == 6


def test_a_full_disk_stops_the_build_which_then_goes_on(tmp_path, recordings):
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from sklearn_brainlm.store_building import build_store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    build_store(sys.argv[1], list(np.random.default_rng(0).normal(size=(6, 60, 12))))\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    folder = tmp_path / "store"
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.stdout == "OSError\n", done.stderr
    given = list(np.random.default_rng(0).normal(size=(6, 60, 12)))
    build_store(folder, given)
    build_store(tmp_path / "other", given)
    read_files = store_killing.read_files
    assert read_files(folder) == read_files(tmp_path / "other")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_write_a_build_goes_on_and_is_the_same(tmp_path, step):
    done = run_script("every", tmp_path, step)
    n_kills = int(done.communicate()[0])
    assert done.returncode == 0
    assert n_kills > 40 / step


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_at_random_moments_a_build_goes_on_and_is_the_same(tmp_path, n_jobs):
    with pytest.warns(DataQualityWarning, match="16 of 80"):
        store_killing.build(tmp_path / "whole", 80)
    rng = np.random.default_rng(0)
    n_kills = 0
    while True:
        build = run_script("slow", tmp_path / "killed", n_jobs)
        build.stdout.readline()  # it begins
        try:
            build.wait(rng.uniform(0, 0.2) if n_kills < 10 else 60)
            break
        except subprocess.TimeoutExpired:
            build.kill()
            build.communicate()
            n_kills += 1
    build.communicate()
    assert build.returncode == 0 and n_kills == 10
    whole, killed = (store_killing.read_files(tmp_path / name) for name in ("whole", "killed"))
    assert whole == killed
