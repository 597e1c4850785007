"""``store`` builds what ``build_store`` does and finds damage; stores serve as any folder does.

What a store is, and what it survives, is in the test files of stores.
"""

import numpy as np
import pytest
from command_line import N_PARCELS, TINY_OPTIONS, read_json, write_folder, write_weights

from sklearn_brainlm import BrainLMTransformer, catalogue
from sklearn_brainlm.cli import main
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.files.checked import file_sha256
from sklearn_brainlm.store import RecordingStore


@pytest.fixture
def folder(tmp_path):
    """Twelve recordings."""
    return write_folder(tmp_path / "recordings")


@pytest.fixture
def store(folder, tmp_path):
    """Return a store of them, built by the command."""
    assert main(["store", "build", str(folder), str(tmp_path / "store")]) == 0
    return tmp_path / "store"


def test_a_store_holds_what_the_folder_holds(folder, store):
    opened, found = load_recordings_folder(folder), RecordingStore(store)
    for one, other in zip(opened.recordings, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.ids == opened.participants["recording"].tolist()
    np.testing.assert_array_equal(found.t_r, opened.t_r)
    np.testing.assert_array_equal(found.parcel_coords, opened.parcel_coords)
    assert found.participants["age"].tolist() == opened.participants["age"].tolist()


def test_files_without_tables_are_found_by_their_names(folder, tmp_path, capsys):
    for index in range(2):
        values = np.load(folder / f"sub-{index:02d}.npy")
        np.savetxt(tmp_path / f"sub-{index:02d}_bold.1D", values)
    (tmp_path / "sub-09_bold.1D").write_text("nothing to see\n")
    store = tmp_path / "store"
    words = ["store", "build", str(tmp_path), str(store), "--pattern", "*.1D", "--t-r", "0.72"]
    assert main([*words, "--dtype", "float16"]) == 0
    found = RecordingStore(store)
    assert found.participants["participant_id"].tolist() == ["sub-00", "sub-01"]
    assert (found.dtype, found.t_r.tolist()) == (np.float16, [0.72, 0.72])
    captured = capsys.readouterr()
    assert "quarantine.tsv says why" in captured.err
    assert captured.out.startswith(f"{store}: 2 recordings, ")


def test_verify_finds_a_flipped_byte(store, capsys):
    assert main(["store", "verify", str(store)]) == 0
    assert "every byte is as it was written" in capsys.readouterr().out
    shard = store / "shards" / "00000.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert main(["store", "verify", str(store)]) == 1
    printed = capsys.readouterr().out
    assert "shards/00000.npy (sub-11.npy)" in printed
    assert main(["store", "verify", str(store.parent / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_commands_take_a_store_as_they_take_a_folder(folder, store, tmp_path, capsys):
    weights = write_weights(tmp_path / "weights", folder)
    tables = []
    for source in (folder, store):
        output = tmp_path / f"{source.name}.tsv"
        assert main(["embed", str(weights), str(source), str(output), "--batch", "5"]) == 0
        tables.append(output.read_text())
    assert tables[0] == tables[1]
    said = read_json(tmp_path / "store.json")["input"]
    assert said["kind"] == "store"
    assert said["sha256"] == {"manifest.json": file_sha256(store / "manifest.json")}
    assert main(["doctor", "--recordings", str(store), "--weights", str(weights)]) == 0
    words = ["predict", str(store), "--target", "age", "--output", str(tmp_path / "age.tsv")]
    words += ["--method", "connectivity-ridge", "--cross-validate", "3"]
    assert main(words) == 0
    capsys.readouterr()


def test_pretraining_on_a_store_is_that_on_the_folder(folder, store, tmp_path, capsys):
    parameters = []
    for source in (folder, store):
        output = tmp_path / f"weights of {source.name}"
        assert main(["pretrain", str(source), str(output), *TINY_OPTIONS]) == 0
        parameters.append(BrainLMTransformer.from_pretrained(output).net_.get_weights())
    for name, array in parameters[0].items():
        np.testing.assert_array_equal(array, parameters[1][name])
    assert parameters[0]
    assert BrainLMTransformer.from_pretrained(output).n_parcels_ == N_PARCELS
    capsys.readouterr()


def test_a_store_that_is_not_finished_is_no_input(store, tmp_path, capsys):
    (store / "building.journal").write_bytes(b"")
    (store / "manifest.json").unlink()
    words = ["embed", "somewhere", str(store), str(tmp_path / "out.tsv")]
    assert main(words) == 1
    assert "manifest.json" in capsys.readouterr().err


def test_weights_are_listed_with_their_terms(capsys):
    assert main(["weights", "list"]) == 0
    printed = capsys.readouterr().out
    for known in catalogue.list_weights():
        assert known.name in printed
    assert printed.count(catalogue.RELEASED_LICENCE) == len(catalogue.list_weights())


def test_weights_are_downloaded_and_their_place_is_printed(folder, tmp_path, capsys):
    weights = write_weights(tmp_path / "weights", folder)
    assert main(["weights", "download", str(weights)]) == 0
    assert capsys.readouterr().out == f"{weights / 'model.safetensors'}\n"
    assert main(["weights", "download", "nowhere"]) == 1
    assert "nor a name of weights" in capsys.readouterr().err
