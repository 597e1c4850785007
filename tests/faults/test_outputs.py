"""Rows 83 to 86: objects in files, and what could run in a page or a spreadsheet.

Not here: archives, names and images (test_other_files.py).
"""

import ast
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import write_folder, write_weights
from hostile.conftest import Payload

import sklearn_brainlm
from faults.conftest import listing
from sklearn_brainlm import BrainLMTransformer, build_store, load_weights
from sklearn_brainlm.cli import main
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.exceptions import (
    InvalidRecordingError,
    UntrustedFileError,
)
from sklearn_brainlm.readers import read_recording


@pytest.fixture
def recordings():
    """Return three recordings (30, 2)."""
    return list(np.random.default_rng(0).normal(size=(3, 30, 2)))


def sources():
    """Yield the syntax tree of every file of the package."""
    for path in Path(sklearn_brainlm.__file__).parent.rglob("*.py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.fault(83, "joblib and .npy files of objects", "UntrustedFileError, nothing executed")
@pytest.mark.parametrize("name", ["w.joblib", "w.pkl", "w.npy", "w.npz"])
def test_fault_083_objects(tmp_path, observe, name):
    import joblib

    folder = tmp_path / "files"
    folder.mkdir()
    objects, path = np.array([[Payload(tmp_path / "ran")]], object), folder / name
    if path.suffix == ".npz":
        np.savez(path, a=objects)
    elif path.suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    else:
        joblib.dump(objects[0, 0], path)
    with observe.leaves(tmp_path):
        with observe.raises(UntrustedFileError, match=name):
            load_weights(path)
        with pytest.raises((UntrustedFileError, InvalidRecordingError), match=name) as caught:
            read_recording(path)
    observe(caught.value)
    if path.suffix in (".npy", ".npz"):
        assert type(caught.value) is UntrustedFileError
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault(83, "an .npy of objects in a folder", "InvalidRecordingError, nothing executed")
def test_fault_083_objects_in_a_folder(tmp_path, observe):
    folder = write_folder(tmp_path / "folder")
    objects = np.full((90, 6), Payload(tmp_path / "ran"), object)
    np.save(folder / "sub-03.npy", objects, allow_pickle=True)
    with observe.raises(InvalidRecordingError, match=r"sub-03\.npy cannot be opened"):
        load_recordings_folder(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault(84, "skops file with a foreign function", "UntrustedFileError, not called")
def test_fault_084_skops(tmp_path, observe):
    folder = tmp_path / "files"
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        called = {"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode"}
        archive.writestr("schema.json", json.dumps({**called, "content": "touch ran"}))
    with observe.leaves(tmp_path):
        with observe.raises(UntrustedFileError, match=r"model\.skops may hold objects"):
            load_weights(folder / "model.skops")
        with pytest.raises(InvalidRecordingError):
            read_recording(folder / "model.skops")


@pytest.mark.fault(84, "skops file with a foreign function", "UntrustedTypesFoundException")
def test_fault_084_skops_itself(tmp_path, observe):
    skops = pytest.importorskip("skops.io", reason="cannot run here: skops is not installed")
    from os import system

    from skops.io.exceptions import UntrustedTypesFoundException

    path = tmp_path / "model.skops"
    skops.dump({"a": system}, path)
    with observe.raises(UntrustedTypesFoundException, match="posix.system"):
        skops.load(path)


# --- what is written -----------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>"


@pytest.mark.fault(85, "a subject called <script>", "InvalidRecordingError, never written")
def test_fault_085_subjects(tmp_path, observe):
    folder = write_folder(tmp_path / "folder")
    weights = write_weights(tmp_path / "weights", folder)
    table = folder / "participants.tsv"
    table.write_text(table.read_text().replace("sub-03\t", f"{SCRIPT}\t"))
    before = listing(tmp_path)
    assert main(["embed", str(weights), str(folder), str(tmp_path / "out.tsv")]) != 0
    assert listing(tmp_path) == before
    from sklearn_brainlm.commands.inputs import open_recordings

    with observe.raises(InvalidRecordingError, match="of recording 3 is no name"):
        open_recordings(folder)


@pytest.mark.fault(85, "HTML in what weights say of themselves", "escaped in the model card")
def test_fault_085_model_card(tmp_path, observe):
    from sklearn_brainlm import cards

    folder = write_folder(tmp_path / "folder")
    weights = write_weights(tmp_path / "weights", folder)
    config = json.loads((weights / "config.json").read_text())
    contract = config["fitted"]["contract_"]["contract"]
    contract |= {"atlas": SCRIPT, "units": SCRIPT, "licence": SCRIPT, "atlas_bound": [SCRIPT]}
    (weights / "config.json").write_text(json.dumps(config))
    again = BrainLMTransformer.from_pretrained(weights).save_pretrained(tmp_path / "again")
    card = (again / "README.md").read_text()
    observe("&lt;script&gt;" if SCRIPT not in card else card[:80])
    assert SCRIPT not in card and card.count("&lt;script&gt;alert(1)") == 4
    page = BrainLMTransformer(device=SCRIPT)._repr_html_()
    assert SCRIPT not in page and "&lt;script&gt;" in page
    assert cards.write_card.__module__ in {f"sklearn_brainlm.{p.stem}" for p, _ in sources()}


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-1+cmd|' /C calc'!A0", "a\t=1", "\r=1", "="]


@pytest.mark.fault(86, "a formula as an id", "InvalidRecordingError, no table written")
@pytest.mark.parametrize("formula", FORMULAS)
def test_fault_086_formulas(tmp_path, observe, recordings, formula):
    """Decided: ids hold letters, digits, '-', '_' and '.', no separators, no leading dot."""
    from sklearn_brainlm.commands.inputs import open_recordings

    with observe.raises(InvalidRecordingError, match="letters, digits"):
        build_store(tmp_path / "s", recordings, participants={"recording": ["a", formula, "b"]})
    people = pd.DataFrame({"participant_id": ["sub-1", formula, "sub 3"], "recording": list("abc")})
    store = build_store(tmp_path / "people", recordings, participants=people)
    with observe.raises(InvalidRecordingError, match="a spreadsheet .* might run it"):
        open_recordings(store.path)


@pytest.mark.fault(86, "a formula as a subject to embed", "exit 2 or 1, no table written")
def test_fault_086_no_table(tmp_path, observe, capsys):
    folder = write_folder(tmp_path / "folder")
    weights = write_weights(tmp_path / "weights", folder)
    words = ["embed", str(weights), str(folder), str(tmp_path / "out.tsv")]
    assert main(words) == 0
    assert (tmp_path / "out.tsv").read_text().startswith("recording\t")
    (tmp_path / "out.tsv").unlink()
    table = folder / "participants.tsv"
    table.write_text(table.read_text().replace("sub-03\t", "=cmd()\t"))
    assert main(words) != 0
    said = capsys.readouterr().err
    observe(said.strip().splitlines()[-1][-80:])
    assert "'=cmd()' of recording 3" in said
    assert not (tmp_path / "out.tsv").exists()
