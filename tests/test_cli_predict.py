"""``predict`` and ``compare`` do what their estimators do, and nobody is on both sides.

How outputs are written is in test_cli_outputs.py; that a method is good is for benchmarks.
"""

import numpy as np
import pandas as pd
import pytest
from command_line import N_RECORDINGS, read_json, write_folder, write_weights

from sklearn_brainlm.baselines import make_connectome
from sklearn_brainlm.cli import main
from sklearn_brainlm.datasets import load_recordings_folder

UNKNOWN = (3, 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve recordings, the age of two of them not known."""
    return write_folder(tmp_path_factory.mktemp("cli") / "recordings", unknown=UNKNOWN)


def read_tsv(path):
    """Return a table."""
    return pd.read_csv(path, sep="\t", na_values=["n/a"])


def test_unknown_ages_are_predicted_from_the_known_ones(folder, tmp_path, capsys):
    output = tmp_path / "out.tsv"
    words = ["predict", str(folder), "--target", "age", "--output", str(output)]
    assert main([*words, "--method", "connectivity-ridge"]) == 0
    found = read_tsv(output)
    opened = load_recordings_folder(folder)
    age = opened.participants["age"].to_numpy()
    known = np.flatnonzero(np.isfinite(age))
    model = make_connectome("ridge").fit([opened.recordings[i] for i in known], age[known])
    expected = model.predict([opened.recordings[i] for i in UNKNOWN])
    np.testing.assert_allclose(found["predicted"], expected, rtol=1e-6)
    assert found["participant_id"].tolist() == ["sub-03", "sub-07"]
    assert found["true"].isna().all()
    said = read_json(tmp_path / "out.json")
    assert (said["task"], said["n_train"]) == ("regression", 10)
    assert str(output) in capsys.readouterr().out


def test_some_are_learned_from_and_all_others_predicted(folder, tmp_path):
    output = tmp_path / "out.tsv"
    words = ["predict", str(folder), "--target", "sex", "--output", str(output)]
    words += ["--method", "connectivity-ridge", "--train-where", "site=site0"]
    assert main(words) == 0
    found = read_tsv(output)
    opened = load_recordings_folder(folder)
    is_trained = (opened.participants["site"] == "site0").to_numpy()
    assert found["recording"].tolist() == opened.participants["recording"][~is_trained].tolist()
    assert found["true"].tolist() == opened.participants["sex"][~is_trained].tolist()
    assert set(found["predicted"]) <= {"F", "M"}
    chosen = found[["score F", "score M"]].to_numpy().argmax(axis=1)
    assert [["F", "M"][code] for code in chosen] == found["predicted"].tolist()
    assert read_json(tmp_path / "out.json")["task"] == "classification"


def test_folds_hold_out_sites_and_simple_rows_are_printed(folder, tmp_path, capsys):
    output = tmp_path / "out.tsv"
    words = ["predict", str(folder), "--target", "age", "--output", str(output), "--groups", "site"]
    words += ["--cross-validate", "3", "--method", "connectivity-kernel-ridge"]
    assert main(words) == 0
    found = read_tsv(output)
    assert len(found) == N_RECORDINGS - len(UNKNOWN)
    sites = load_recordings_folder(folder).participants.set_index("recording")["site"]
    site = found["recording"].map(sites)
    assert (found.groupby(site)["fold"].nunique() == 1).all()
    assert found["fold"].nunique() == 3
    captured = capsys.readouterr()
    for row in ("Dummy (mean)", "Connectivity + ridge", "Connectivity + kernel ridge"):
        assert f"\n{row}  " in captured.out
    assert "2 of 12 recordings have no label" in captured.err
    said = read_json(tmp_path / "out.json")["scores"]
    r2 = {row["method"]: row["value"] for row in said if row["metric"] == "r2"}
    residual = np.square(found["true"] - found["predicted"]).sum()
    total = np.square(found["true"] - found["true"].mean()).sum()
    assert r2["Connectivity + kernel ridge"] == pytest.approx(1 - residual / total)


def test_weights_that_have_seen_who_is_predicted_are_noted(folder, tmp_path, capsys):
    weights = write_weights(tmp_path / "weights", folder)
    words = ["predict", str(folder), "--target", "age", "--output", str(tmp_path / "out.tsv")]
    words += ["--weights", str(weights), "--max-epochs", "1"]
    assert main([*words, "--method", "brainlm"]) == 0
    assert "pretrained on: sub-03, sub-07" in capsys.readouterr().err
    assert np.isfinite(read_tsv(tmp_path / "out.tsv")["predicted"]).all()
    assert main([*words, "--method", "brainlm-frozen"]) == 0
    assert np.isfinite(read_tsv(tmp_path / "out.tsv")["predicted"]).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "ago"], "no column 'ago'. Did you mean 'age'?"),
        (["--target", "sex", "--task", "regression"], "'sex' is not numeric"),
        (["--target", "sex"], "12 recordings to learn 'sex' from and 0 to predict"),
        (["--target", "age", "--method", "brainlm-frozen"], "pass --weights"),
        (["--target", "age", "--train-where", "site=x", "--cross-validate", "3"], "exclude each"),
    ],
)
def test_what_cannot_be_predicted_is_said(folder, tmp_path, capsys, words, message):
    assert main(["predict", str(folder), "--output", str(tmp_path / "out.tsv"), *words]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("sklearn-brainlm predict: ")
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_comparisons_are_printed_and_written(folder, tmp_path, capsys):
    output = tmp_path / "results"
    words = ["compare", str(folder), "--target", "age", "--folds", "3", "--output", str(output)]
    words += ["--methods", "connectivity-ridge,connectivity-kernel-ridge", "--covariates", "site"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    rows = ["Dummy (mean)", "site only", "Connectivity + ridge", "Connectivity + kernel ridge"]
    table = pd.read_csv(output / "compare.csv")
    assert list(dict.fromkeys(table["method"])) == rows
    text = (output / "compare.md").read_text()
    assert printed.rstrip() in text
    assert all(f"\n{row}  " in printed for row in rows)
    predictions = read_tsv(output / "predictions.tsv")
    assert len(predictions) == len(rows) * (N_RECORDINGS - len(UNKNOWN))
    assert not set(predictions["id"]) & {f"sub-{index:02d}.npy" for index in UNKNOWN}
    assert read_json(output / "compare.json")["methods"] == rows[2:]


def test_methods_are_known_by_name(folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", str(folder), "--target", "age", "--methods", "connectivity-ridge,magic"])
    assert stopped.value.code == 2
    assert "'magic' is none of connectivity-ridge" in capsys.readouterr().err
