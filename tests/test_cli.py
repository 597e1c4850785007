"""The commands do their work, say what is wrong, and open fast.

What importing the package loads is in test_import.py; that a method is good is for benchmarks.
"""

import subprocess
import sys

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.utils import Bunch

from sklearn_brainlm import (
    BrainLMTransformer,
    GaussianReconstructor,
    __version__,
    _cohorts,
    demo,
)
from sklearn_brainlm._cohorts import load_cohort
from sklearn_brainlm.cli import main

N_PARCELS = 6
N_RECORDINGS = 12


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test drew."""
    yield
    plt.close("all")


@pytest.fixture
def folder(tmp_path):
    """Twelve recordings of three sites, of two repetition times, in a folder with its tables."""
    rng = np.random.default_rng(0)
    rows = ["participant_id\trecording\tage\tsex\tsite\ttr_s"]
    for index in range(N_RECORDINGS):
        name = f"sub-{index:02d}"
        shared = rng.standard_normal((90, 1))
        recording = 100 + shared + rng.standard_normal((90, N_PARCELS))
        np.save(tmp_path / f"{name}.npy", recording.astype("f4"))
        t_r = 2.0 if index % 2 else 1.5
        rows.append(f"{name}\t{name}.npy\t{20 + index}\tF\tsite{index % 3}\t{t_r}")
    (tmp_path / "participants.tsv").write_text("\n".join(rows) + "\n")
    coords = rng.uniform(-50, 50, (N_PARCELS, 3)).round(1)
    parcels = [f"{i}\tparcel {i}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(coords)]
    (tmp_path / "parcels.tsv").write_text("\n".join(["index\tlabel\tx\ty\tz", *parcels]) + "\n")
    return tmp_path


def test_help_of_the_demo_loads_nothing_heavy():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sklearn_brainlm.cli", "demo", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for option in ("--recordings", "--target", "--output", "--max-epochs", "--random-state"):
        assert option in run.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}
    assert "argparse" in loaded
    assert loaded.isdisjoint({"torch", "sklearn", "nilearn", "matplotlib", "numpy"})


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["demo", "--max-epochs", "0"], ["demo", "--n-subjects", "many"]]
)
def test_wrong_arguments_exit_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_demo_on_a_simulated_cohort(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_cohorts, "SIMULATED", {"n_timepoints": 60, "t_r": 2.0, "atlas": 8})
    arguments = ["demo", "--n-subjects", "10", "--max-epochs", "1", "--output", str(tmp_path)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for expected in ("Dummy (mean)", "Connectivity + ridge", "BrainLM + SVR", "Verdict", "Truth"):
        assert expected in printed
    for expected in ("Mean", "Gaussian", "Adaptive space-time Gaussian", "BrainLM"):
        assert f"\n  {expected}  " in printed
    assert "r = 0.3" in " ".join(printed.split())
    assert all(len(line) <= 92 for line in printed.splitlines() if str(tmp_path) not in line)
    for name in ("loss_curve.png", "reconstruction.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert str(tmp_path / name) in printed
    assert len(list((tmp_path / "images").glob("sub-*.nii.gz"))) == 10


def test_demo_on_a_folder_holds_out_sites(folder, tmp_path, capsys):
    output = tmp_path / "results"
    arguments = ["demo", "--recordings", str(folder), "--output", str(output)]
    assert main([*arguments, "--max-epochs", "1", "--max-recordings", "11"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"11 of 12 in {folder} (seed 0)" in printed
    assert "3 folds, whole sites held out" in printed
    assert "Resampled to t_r" in printed
    assert (output / "reconstruction.png").is_file()


def test_folds_never_share_a_site(folder):
    cohort = load_cohort(folder, "age", 200, 0)
    assert len(cohort.X) == N_RECORDINGS
    assert set(cohort.groups) == {"site0", "site1", "site2"}
    folds = demo._split(cohort, "age", 0)
    assert len(folds) == 3
    for train, test in folds:
        assert set(cohort.groups[train]).isdisjoint(cohort.groups[test])


def test_recordings_of_a_folder_are_standardised(folder):
    cohort = load_cohort(folder, "age", 200, 0)
    for recording in cohort.X:
        np.testing.assert_allclose(recording.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(recording.std(axis=0), 1, atol=1e-4)


def test_same_seed_same_recordings(folder):
    draws = [load_cohort(folder, "age", 10, seed).y for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "iq"], r"no column 'iq'. Pass --target, one of ['age', 'tr_s']"),
        (["--target", "sex"], "'sex' of participants.tsv is not numeric"),
        (["--max-recordings", "5"], "has 5 recordings of 2 sites"),
    ],
)
def test_folders_that_cannot_be_used(folder, tmp_path, capsys, options, message):
    arguments = ["demo", "--recordings", str(folder), "--output", str(tmp_path / "results")]
    assert main([*arguments, *options]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recordings", "nowhere"], "nowhere is not a folder"),
        (["--target", "sex"], "has no 'sex', only age"),
        (["--n-subjects", "9"], "9 recordings of 9 subjects"),
    ],
)
def test_demos_that_cannot_be_run(tmp_path, capsys, options, message):
    assert main(["demo", "--output", str(tmp_path), *options]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("sklearn-brainlm demo: ")
    assert message in captured.err


def test_interrupting_is_not_a_traceback(monkeypatch, capsys):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    assert main(["demo"]) == 1
    assert "interrupted" in capsys.readouterr().err


class Copycat:
    """Reconstructs by a look at what was masked, times a gain."""

    def __init__(self, gain):
        self.gain = gain

    def reconstruct(self, X, *, mask_ratio):
        """Mask every other value."""
        return [
            Bunch(true=x, predicted=self.gain * x, masked=np.indices(x.shape).sum(axis=0) % 2 == 0)
            for x in X
        ]


@pytest.fixture
def cohorts():
    """Three recordings to train on and three to test on."""
    recordings = np.random.default_rng(0).standard_normal((6, 60, N_PARCELS)).astype("f4")
    return list(recordings[:3]), list(recordings[3:])


def test_reconstructions_are_scored_whoever_wins(cohorts, capsys):
    scores = demo._compare_reconstructions(Copycat(1.0), *cohorts)
    assert list(scores) == ["Mean", "Gaussian", "Adaptive space-time Gaussian", "BrainLM"]
    assert scores["BrainLM"] == [1.0, 1.0, 1.0]
    assert max(scores["Gaussian"]) < 0.2  # there is nothing to know
    printed = capsys.readouterr().out
    assert "20%     75%     90%" in printed
    # To fill in zeros is what the mean of the training recordings does.
    blind = demo._compare_reconstructions(Copycat(0.0), *cohorts)
    assert blind["BrainLM"] == blind["Mean"]


def test_everything_that_is_compared_has_the_same_masks(cohorts):
    train, test = cohorts
    gaussian = GaussianReconstructor(**demo.WINDOWS).fit(train)
    brainlm = BrainLMTransformer(**demo.SMALL, max_epochs=1, random_state=0).fit(train)
    for ratio in demo.MASK_RATIOS:
        made = [model.reconstruct(test, mask_ratio=ratio) for model in (gaussian, brainlm)]
        for one, other in zip(*made, strict=True):
            np.testing.assert_array_equal(one.masked, other.masked)
            np.testing.assert_allclose(one.true, other.true, rtol=1e-6)


def test_verdict_follows_the_errors():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(200)
    mean, good = np.zeros(200), y + 0.1 * rng.standard_normal(200)
    names = ("Dummy (mean)", "Connectivity + ridge", "BrainLM + SVR")
    verdicts = {
        "BrainLM + SVR wins": (mean, 0.5 * y, good),
        "does not clearly differ from": (mean, good, good + 1e-6),
        "No method beats": (mean, mean + 0.1, rng.permutation(y)),
    }
    for expected, predictions in verdicts.items():
        assert expected in demo._verdict(y, dict(zip(names, predictions, strict=True)))
