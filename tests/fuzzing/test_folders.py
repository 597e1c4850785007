"""Stores and folders of recordings, changed at random: a changed byte never goes unnoticed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing.attempts import attempt
from fuzzing.changes import NASTY, changed_bytes, changed_json
from sklearn_brainlm import RecordingStore, build_store, read_recording, verify_store
from sklearn_brainlm.datasets import load_recordings_folder

CELLS = st.sampled_from(NASTY) | st.floats().map(str) | st.integers().map(str) | st.text(max_size=6)


def draw_recordings(n=6, n_parcels=4):
    """Return small recordings of several lengths."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((20 + i, n_parcels)).astype(np.float32) for i in range(n)]


@pytest.fixture(scope="module", params=["float32", "int16"])
def store(request, tmp_path_factory):
    """A sound store, which nobody changes."""
    folder = tmp_path_factory.mktemp("stores") / "sound"
    build_store(
        folder, draw_recordings(), dtype=request.param, shard_bytes=600,
        participants=pd.DataFrame({"age": range(6)}),
    )  # fmt: skip
    return folder


def copy_of(folder):
    """Return a copy of a folder, in the place of the last one."""
    copy = folder.with_name("changed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy


def read_all(folder):
    """Read every recording of a store."""
    return [np.array(recording) for recording in RecordingStore(folder)]


@given(data=st.data())
def test_bytes_of_a_store(store, data):
    copy = copy_of(store)
    names = sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
    file = copy / data.draw(st.sampled_from(names))
    file.write_bytes(data.draw(changed_bytes(file.read_bytes())))
    with attempt("bytes of a store, verified"):
        assert verify_store(copy), f"{file.name} was changed, and nothing was found"
    with attempt("bytes of a store, read"):
        read_all(copy)


@given(data=st.data())
def test_manifest_of_a_store(store, data):
    copy = copy_of(store)
    (file,) = copy.glob("manifest*")
    content = file.read_bytes()
    manifest = json.loads(content)
    made = data.draw(changed_json(manifest))
    file.write_text(json.dumps(made))
    with attempt("manifest of a store, verified"):
        found = verify_store(copy)
        # Numbers are compared as they are written: -0.0 is another manifest than 0.
        assert found or json.dumps(made, sort_keys=True) == json.dumps(manifest, sort_keys=True)
    with attempt("manifest of a store, read"):
        read_all(copy)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sound folder of recordings with its tables."""
    path = tmp_path_factory.mktemp("folders") / "sound"
    path.mkdir()
    rows = []
    for i, recording in enumerate(draw_recordings()):
        np.save(path / f"sub-{i}.npy", recording)
        rows.append({"participant_id": f"sub-{i}", "recording": f"sub-{i}.npy", "tr_s": 2.0})
    pd.DataFrame(rows).to_csv(path / "participants.tsv", sep="\t", index=False)
    parcels = pd.DataFrame({"index": range(4), "label": list("abcd"), "x": 1.0, "y": 2.0, "z": 3.0})
    parcels.to_csv(path / "parcels.tsv", sep="\t", index=False)
    return path


@given(data=st.data())
def test_cells_of_tables(folder, data):
    copy = copy_of(folder)
    file = copy / data.draw(st.sampled_from(["participants.tsv", "parcels.tsv"]))
    rows = [line.split("\t") for line in file.read_text().splitlines()]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.integers(0, len(rows) - 1))
        column = data.draw(st.integers(0, len(rows[row]) - 1))
        rows[row][column] = data.draw(CELLS)
    file.write_text("\n".join("\t".join(row) for row in rows) + "\n", errors="replace")
    with attempt("cells of participants.tsv and parcels.tsv"):
        load_recordings_folder(copy)


@given(data=st.data())
def test_bytes_of_a_folder(folder, data):
    copy = copy_of(folder)
    names = sorted(path.name for path in folder.iterdir())
    file = copy / data.draw(st.sampled_from(names))
    file.write_bytes(data.draw(changed_bytes(file.read_bytes())))
    with attempt("bytes of a folder of recordings"):
        for recording in load_recordings_folder(copy).recordings:
            np.asarray(recording)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tsv", ".csv", ".1D", ".dat", ".nii"])
@given(data=st.data())
def test_any_recording_file(tmp_path_factory, suffix, data):
    file = tmp_path_factory.getbasetemp() / f"recording{suffix}"
    if suffix == ".npy":
        np.save(file, draw_recordings()[0])
    elif suffix == ".npz":
        np.savez(file, draw_recordings()[0])
    else:
        separator = {".csv": ",", ".tsv": "\t"}.get(suffix, " ")
        np.savetxt(file, draw_recordings()[0], delimiter=separator)
    content = file.read_bytes()
    file.write_bytes(data.draw(changed_bytes(content) | st.binary(max_size=100)))
    with attempt(f"bytes of a recording ({suffix})"):
        read_recording(file)
