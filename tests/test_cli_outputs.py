"""What commands write is whole or not there, and says how it was made.

The results themselves are in the test files of the commands.
"""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from command_line import TINY_OPTIONS, leftovers, read_json, write_folder, write_weights

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.cli import main
from sklearn_brainlm.commands.outputs import (
    check_folder,
    check_table,
    open_table,
    replaced_folder,
    sidecar_of,
)
from sklearn_brainlm.files.checked import file_sha256


@pytest.fixture
def frame():
    """Return a table with a text, a float32 and a missing value."""
    return pd.DataFrame(
        {"id": ["a", "b"], "x": np.array([0.1, 1 / 3], np.float32), "y": [np.nan, 2.5]}
    )


def test_tables_are_written_part_by_part(tmp_path, frame):
    path = tmp_path / "table.tsv"
    with open_table(path) as write:
        write(frame[:1])
        assert not path.exists()
        write(frame[1:])
    found = pd.read_csv(path, sep="\t", na_values=["n/a"], dtype={"x": np.float32})
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    assert "n/a" in path.read_text()


def test_tables_are_written_as_parquet(tmp_path, frame):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet is written")
    path = tmp_path / "table.parquet"
    with open_table(path) as write:
        write(frame[:1])
        write(frame[1:])
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame, check_dtype=False)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_table_that_is_cut_short_leaves_what_was_there(tmp_path, frame, failure):
    path = tmp_path / "table.tsv"
    path.write_text("former\n")
    with pytest.raises(failure), open_table(path) as write:
        write(frame)
        raise failure
    assert path.read_text() == "former\n"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_is_cut_short_leaves_what_was_there(tmp_path, failure):
    path = tmp_path / "weights"
    path.mkdir()
    (path / "config.json").write_text("former")
    with pytest.raises(failure), replaced_folder(path) as folder:
        (folder / "config.json").write_text("new")
        raise failure
    assert (path / "config.json").read_text() == "former"
    assert sorted(os.listdir(tmp_path)) == ["weights"]
    with replaced_folder(path) as folder:
        (folder / "other").write_text("new")
    assert os.listdir(path) == ["other"]
    assert sorted(os.listdir(tmp_path)) == ["weights"]


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of \.tsv, \.parquet"):
        check_table(tmp_path / "table.csv")
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(IsADirectoryError, match="name a file"):
        check_table(tmp_path / "folder.tsv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="--overwrite"):
        check_folder(tmp_path / "full")
    with pytest.raises(FileExistsError, match="does not hold weights"):
        check_folder(tmp_path / "full", overwrite=True)
    with pytest.raises(FileExistsError, match="is a file"):
        check_folder(tmp_path / "full" / "thesis.txt")
    assert check_table(tmp_path / "new" / "table.tsv").parent.is_dir()
    assert sidecar_of(tmp_path / "table.tsv") == tmp_path / "table.json"


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_brainlm.commands.outputs.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        check_table(tmp_path / "table.parquet")


def test_provenance_says_what_was_done_and_nothing_of_the_machine(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "recordings")
    write_weights(tmp_path / "weights", folder)
    (tmp_path / "options.toml").write_text('pooling = "mean"\nbatch = 5\n')
    monkeypatch.chdir(tmp_path)
    words = ["embed", "weights", "recordings", "out.tsv", "--config", "options.toml"]
    assert main([*words, "--batch", "4"]) == 0
    said = read_json(tmp_path / "out.json")
    assert said["command_line"] == ["sklearn-brainlm", *words, "--batch", "4"]
    assert (said["options"]["pooling"], said["options"]["batch"]) == ("mean", 4)
    assert said["config"]["content"] == {"pooling": "mean", "batch": 5}
    assert said["config"]["sha256"] == file_sha256(tmp_path / "options.toml")
    assert said["versions"].keys() >= {"python", "numpy", "torch", "sklearn-brainlm"}
    assert said["input"]["n_recordings"] == said["input"]["n_participants"] == 12
    digest = file_sha256(folder / "participants.tsv")
    assert said["input"]["sha256"]["participants.tsv"] == digest
    assert said["output"]["sha256"] == file_sha256(tmp_path / "out.tsv")
    model = BrainLMTransformer.from_pretrained(tmp_path / "weights")
    assert said["weights"]["sha256"] == model.weights_sha256_
    assert said["weights"]["contract"] == model.contract_.to_dict()
    assert said["doctor"] == []
    text = (tmp_path / "out.json").read_text()
    assert str(tmp_path) not in text
    assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b", text)

    former = said["options_sha256"], said["input"]["ids_and_lengths_sha256"]
    assert main([*words, "--batch", "4", "--max-recordings", "6"]) == 0
    said = read_json(tmp_path / "out.json")
    again = said["options_sha256"], said["input"]["ids_and_lengths_sha256"]
    assert all(old != new for old, new in zip(former, again, strict=True))


@pytest.mark.slow
def test_sigterm_ends_a_training_with_143_and_a_checkpoint(tmp_path):
    folder = write_folder(tmp_path / "recordings")
    output = tmp_path / "weights"
    words = ["pretrain", str(folder), str(output), *TINY_OPTIONS, "--max-epochs", "100000"]
    words += ["--checkpoint-dir", str(tmp_path / "checkpoints")]
    with subprocess.Popen(
        [sys.executable, "-m", "sklearn_brainlm.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        for line in run.stderr:  # until an epoch was trained
            if re.match(r"\s*1\s", line):
                break
        run.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        said, told = run.communicate(timeout=60)
    assert run.returncode == 143
    assert time.monotonic() - begun < 30
    assert "terminated" in told
    assert said == ""
    assert sorted(os.listdir(tmp_path)) == ["checkpoints", "recordings"]
    assert any((tmp_path / "checkpoints").iterdir())  # to go on from
