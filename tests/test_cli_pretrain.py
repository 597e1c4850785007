"""``pretrain`` writes weights of people it names, and ``embed`` makes of them what Python does.

How outputs are written, and their provenance, is in test_cli_outputs.py.
"""

import signal

import numpy as np
import pandas as pd
import pytest
from command_line import (
    N_PARCELS,
    TINY,
    TINY_OPTIONS,
    leftovers,
    read_json,
    write_folder,
    write_weights,
)

from sklearn_brainlm import BrainLMTransformer, TrainingDivergedError, resample_recordings
from sklearn_brainlm.cli import main
from sklearn_brainlm.datasets import load_recordings_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve recordings of one repetition time."""
    return write_folder(tmp_path_factory.mktemp("cli") / "recordings")


@pytest.fixture(scope="module")
def weights(tmp_path_factory, folder):
    """Small weights."""
    return write_weights(tmp_path_factory.mktemp("cli") / "weights", folder)


def read_table(path):
    """Return features and the names in front of them."""
    table = pd.read_csv(path, sep="\t")
    names = table[["recording", "participant_id"]]
    return names, table.drop(columns=list(names)).to_numpy(np.float32)


def test_pretraining_writes_weights_and_their_score(folder, tmp_path, capsys):
    output = tmp_path / "weights"
    words = ["pretrain", str(folder), str(output), *TINY_OPTIONS, "--test-fraction", "0.25"]
    assert main(words) == 0
    captured = capsys.readouterr()
    said = read_json(output / "provenance.json")
    assert len(said["test_recordings"]) == 3
    model = BrainLMTransformer.from_pretrained(output)
    assert said["weights"]["sha256"] == model.weights_sha256_
    assert model.n_parcels_ == N_PARCELS
    assert model.t_r_ == 2.0
    tested = {name.removesuffix(".npy") for name in said["test_recordings"]}
    trained = set(model.trained_on_["subjects"])
    assert len(trained) == 9
    assert trained.isdisjoint(tested)
    assert model.get_params()["depth"] == 1
    assert {name: model.get_params()[name] for name in TINY} == TINY
    assert model.random_state == 0
    # The same, without the command line.
    opened = load_recordings_folder(folder)
    people = opened.participants["participant_id"].to_numpy()
    kept = [index for index, name in enumerate(people) if name in trained]
    again = BrainLMTransformer(
        **TINY, parcel_coords=opened.parcel_coords, t_r=2.0, random_state=0
    ).fit([opened.recordings[index] for index in kept], groups=people[kept])
    np.testing.assert_array_equal(
        again.transform(opened.recordings), model.transform(opened.recordings)
    )
    scores = said["masked_r2"]
    assert list(scores) == [
        "mask_ratio", "Mean", "Gaussian", "Adaptive space-time Gaussian", "BrainLM"
    ]  # fmt: skip
    np.testing.assert_allclose(scores["Mean"], 0, atol=0.05)
    for name in list(scores)[1:]:
        assert f"\n{name}  " in captured.out
    assert str(output) in captured.out
    assert "train_loss" in captured.err  # progress
    assert "train_loss" not in captured.out


def test_pretraining_starts_from_a_preset_and_a_file(folder, tmp_path):
    (tmp_path / "options.json").write_text('{"embed_dim": 8, "n_heads": 2, "depth": 2}')
    output = tmp_path / "weights"
    words = ["pretrain", str(folder), str(output), *TINY_OPTIONS, "--depth", "1"]
    words += ["--preset", "13M", "--config", str(tmp_path / "options.json")]
    assert main([*words, "--token-conv", "3", "--test-fraction", "0"]) == 0
    parameters = BrainLMTransformer.from_pretrained(output).get_params()
    assert (parameters["depth"], parameters["norm"], parameters["token_conv"]) == (1, "post", 3)
    assert read_json(output / "provenance.json")["masked_r2"] == {}


def test_weights_that_are_there_are_kept_until_told_otherwise(folder, weights, tmp_path, capsys):
    output = tmp_path / "weights"
    words = ["pretrain", str(folder), str(output), *TINY_OPTIONS, "--test-fraction", "0"]
    output.mkdir()
    (output / "config.json").write_text("former")
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--lr", "-1"]) == 1
    assert "'lr' parameter" in capsys.readouterr().err
    assert (output / "config.json").read_text() == "former"
    assert main([*words, "--overwrite"]) == 0
    assert BrainLMTransformer.from_pretrained(output).n_parcels_ == N_PARCELS
    assert leftovers(tmp_path) == []


def test_training_goes_on_from_a_checkpoint(folder, tmp_path, capsys):
    words = [*TINY_OPTIONS, "--max-epochs", "2", "--test-fraction", "0"]
    words += ["--checkpoint-dir", str(tmp_path / "checkpoints")]
    assert main(["pretrain", str(folder), str(tmp_path / "first"), *words]) == 0
    epochs = capsys.readouterr().err.count("\n      1")
    assert epochs == 1
    assert main(["pretrain", str(folder), str(tmp_path / "again"), *words, "--resume"]) == 0
    assert capsys.readouterr().err.count("\n      1") == 0  # nothing was left to be trained
    first, again = (
        BrainLMTransformer.from_pretrained(tmp_path / name).net_.get_weights()
        for name in ("first", "again")
    )
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


@pytest.mark.parametrize("failure", [TrainingDivergedError("no"), SystemExit(143)])
def test_a_training_that_fails_leaves_nothing(folder, tmp_path, monkeypatch, failure):
    def fit(*_, **__):
        raise failure

    monkeypatch.setattr(BrainLMTransformer, "fit", fit)
    words = ["pretrain", str(folder), str(tmp_path / "weights")]
    if isinstance(failure, SystemExit):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 143
    else:
        assert main(words) == 1
        with pytest.raises(TrainingDivergedError):
            main([*words, "--debug"])
    assert list(tmp_path.iterdir()) == []


def test_processes_that_are_not_the_first_write_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert main(["pretrain", str(folder), str(tmp_path / "weights"), *TINY_OPTIONS]) == 0
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("pooling", ["cls", "covariance"])
def test_embeddings_are_those_of_the_estimator(folder, weights, tmp_path, pooling, capsys):
    output = tmp_path / "out.tsv"
    words = ["embed", str(weights), str(folder), str(output), "--pooling", pooling]
    assert main([*words, "--batch", "5"]) == 0
    opened = load_recordings_folder(folder)
    model = BrainLMTransformer(weights=str(weights), max_epochs=0, pooling=pooling)
    expected = model.fit(opened.recordings).transform(opened.recordings)
    names, features = read_table(output)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    assert names["recording"].tolist() == opened.participants["recording"].tolist()
    assert names["participant_id"].tolist() == opened.participants["participant_id"].tolist()
    header = output.read_text().partition("\n")[0].split("\t")
    assert header[2:] == list(model.get_feature_names_out())
    captured = capsys.readouterr()
    assert "no finding" in captured.err
    assert captured.out == f"12 recordings, {expected.shape[1]} features: {output}\n"


def test_recordings_of_several_repetition_times_are_resampled(weights, tmp_path, capsys):
    folder = write_folder(tmp_path / "recordings", t_rs=(2.0, 1.0))
    output = tmp_path / "out.tsv"
    assert main(["embed", str(weights), str(folder), str(output), "--force"]) == 0
    assert "resampled to 2 s" in capsys.readouterr().err
    opened = load_recordings_folder(folder)
    model = BrainLMTransformer.from_pretrained(weights)
    at_2_s = resample_recordings(opened.recordings, opened.t_r, 2.0)
    features = read_table(output)[1]
    np.testing.assert_allclose(features, model.transform(at_2_s), rtol=1e-5, atol=1e-6)
    assert main(["embed", str(weights), str(folder), str(output), "--t-r", "2", "--force"]) == 0
    as_if = read_table(output)[1]
    expected = model.transform(opened.recordings)
    np.testing.assert_allclose(as_if, expected, rtol=1e-5, atol=1e-6)


def test_errors_of_the_doctor_stop_embedding(folder, weights, tmp_path, capsys):
    output = tmp_path / "out.tsv"
    words = ["embed", str(weights), str(folder), str(output), "--t-r", "2000"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert "milliseconds were given" in captured.err
    assert "--force" in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
    assert main(["doctor", "--recordings", str(folder), "--t-r", "2000"]) == 1
    assert "milliseconds" in capsys.readouterr().out


def test_a_batch_that_fails_leaves_no_table(folder, weights, tmp_path, monkeypatch):
    embed = BrainLMTransformer.transform
    calls = []

    def transform(model, X):
        calls.append(len(X))
        if len(calls) == 2:
            raise OSError("the disk is full")
        return embed(model, X)

    monkeypatch.setattr(BrainLMTransformer, "transform", transform)
    output = tmp_path / "out.tsv"
    assert main(["embed", str(weights), str(folder), str(output), "--batch", "5"]) == 1
    assert calls == [5, 5]
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_with_143_and_leaves_no_table(folder, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        BrainLMTransformer, "transform", lambda *_: signal.raise_signal(signal.SIGTERM)
    )
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        main(["embed", str(weights), str(folder), str(tmp_path / "out.tsv")])
    assert stopped.value.code == 143
    assert "sklearn-brainlm embed: terminated" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is former


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "RECORDINGS", "OUT.tsv"], "neither a folder nor a file"),
        (["WEIGHTS", "nowhere", "OUT.tsv"], "nowhere is not a folder"),
        (["WEIGHTS", "RECORDINGS", "OUT.csv"], "must end in one of"),
    ],
)
def test_what_cannot_be_embedded_is_said(folder, weights, tmp_path, capsys, words, message):
    places = {"WEIGHTS": str(weights), "RECORDINGS": str(folder)}
    words = [places.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in words]
    assert main(["embed", *words]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("sklearn-brainlm embed: ")
    assert message in captured.err
