"""Checkpoints of the estimators that predict: a training that is resumed ends in the same bits.

Not here: what all trainings share, tested on the transformer (test_checkpoint.py,
test_checkpoint_faults.py).
"""

import os
import pickle
import shutil
import signal
from functools import partial

import numpy as np
import pytest
from command_line import write_folder
from sklearn.frozen import FrozenEstimator
from training_run import SMALL, Act, Cut, cut_at, make_model, make_recordings, names

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMForecaster,
    BrainLMRegressor,
    CheckpointError,
)
from sklearn_brainlm.cli import main
from sklearn_brainlm.training import WindowNet

SIZE = {name: SMALL[name] for name in ("patch_length", "embed_dim", "depth", "n_heads", "mlp_dim")}
LOOP = {**SIZE, "batch_size": 2, "max_epochs": 3, "random_state": 0, "validation_fraction": 0.3}
X = make_recordings(12)
AGE = np.random.default_rng(1).normal(size=(12, 2))
AGE[3, 1] = np.nan
CASES = {
    "regressor": (BrainLMRegressor, AGE, {"window_length": 20, "lr": 0.02}),
    "classifier": (BrainLMClassifier, np.arange(12) % 3, {"window_length": 20, "lr": 0.02}),
    "mlp": (BrainLMClassifier, np.arange(12) % 2, {"window_length": 20, "head": "mlp"}),
    "forecaster": (
        BrainLMForecaster,
        None,
        {
            "context_length": 20,
            "horizon": 5,
            "n_bins": 2,
            "n_coupled": 2,
            "windows_per_recording": 1,
            "calibration_fraction": 0.2,
        },
    ),
}
PREDICTORS = ("regressor", "classifier", "forecaster")
SLOW = pytest.mark.slow


def make(name, folder=None, **parameters):
    """Return an estimator that saves after every third step, and the y it learns."""
    kind, y, own = CASES[name]
    saving = {"callbacks__checkpoint__every_steps": 3, **parameters.pop("net_params", {})}
    given = {**LOOP, "patience": 2, **own, "checkpoint_dir": folder, **parameters}
    return kind(**given, net_params=saving), y


def train(name, folder, **parameters):
    """Train, or go on training, and return the outcome."""
    model, y = make(name, folder, resume=folder is not None, **parameters)
    return outcome(model.fit(X, y))


def outcome(model):
    """Return what a training ended in: weights, history, best epoch, predictions."""
    weights = {name: value.tobytes() for name, value in model.net_.get_weights().items()}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history_]
    return weights, rows, model.best_epoch_, model.predict(X).tobytes()


@pytest.fixture
def cut(monkeypatch):
    """Return a function that ends a training at a phase of its nth checkpoint."""
    return partial(cut_at, monkeypatch)


@pytest.fixture(scope="module")
def whole():
    """What trainings that nobody interrupts, and that save nothing, end in."""
    return {name: train(name, None) for name in CASES}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", [1, pytest.param(3, marks=SLOW)])
def test_goes_on_in_the_same_bits(tmp_path, whole, cut, name, n):
    """From step 3 and 9, both within an epoch."""
    cut("written", n)
    with pytest.raises(Cut):
        train(name, tmp_path)
    cut("written", 0)
    act = Act()
    assert train(name, tmp_path, net_params={"callbacks": [act]}) == whole[name]
    assert act.n_steps == 4 * len(whole[name][1]) - 3 * n


@pytest.mark.parametrize(("lr", "best"), [(0.02, None), (3.0, 0)])
def test_early_stopping_remembers(tmp_path, cut, lr, best):
    """The best weights, and how long ago they were; those of the start where none are better."""
    given = {"max_epochs": 30, "warmup": 0.0, "lr": lr, "grad_clip": None, "dropout": 0.0}
    expected = train("regressor", None, **given)
    n_epochs, found = len(expected[1]), expected[2]
    assert n_epochs < 30 and (best is None or found == best)
    n_saved = (4 * n_epochs - 1) // 3  # in the last epoch, long after the best
    cut("written", n_saved)
    with pytest.raises(Cut):
        train("regressor", tmp_path, **given)
    cut("written", 0)
    assert train("regressor", tmp_path, **given) == expected


def test_seed_of_the_run_is_taken_up(tmp_path, cut):
    """Also what it started from, an encoder that was drawn at random: nothing better is found."""
    given = {"random_state": None, "lr": 3.0, "warmup": 0.0, "grad_clip": None}
    cut("written", 2)
    with pytest.raises(Cut):
        train("regressor", tmp_path, **given)
    cut("written", 0)
    copied = shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    found = train("regressor", tmp_path, **given)
    assert found[2] == 0
    assert train("regressor", copied, **given) == found


@pytest.mark.parametrize("name", ["regressor", "forecaster"])
def test_another_training_is_not_resumed(tmp_path, name):
    train(name, tmp_path, max_epochs=1)
    with pytest.raises(CheckpointError) as error:
        train(name, tmp_path, max_epochs=2, weight_decay=0.1)
    assert "max_epochs: 1 -> 2" in str(error.value)
    assert "weight_decay: 0.05 -> 0.1" in str(error.value)
    assert "batch_size" not in str(error.value)
    model, y = make(name, tmp_path, max_epochs=1, resume=True)
    with pytest.raises(CheckpointError, match="recordings: 1[02] of"):
        model.fit([2 * x for x in X], y)
    groups = np.arange(12) // 2
    with pytest.raises(CheckpointError, match="(held_out|training)_recordings: "):
        model.fit(X, y, groups=groups)
    with pytest.raises(CheckpointError, match="Give resume=True"):
        model.set_params(resume=False).fit(X, y)
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        model.set_params(resume=True, checkpoint_dir=None).fit(X, y)


def test_labels_and_their_weights_are_part_of_it(tmp_path):
    train("classifier", tmp_path, max_epochs=1)
    model, y = make("classifier", tmp_path, max_epochs=1, resume=True)
    with pytest.raises(CheckpointError, match="Saved -> now: y: int64 .12. "):
        model.fit(X, y[::-1].copy())
    with pytest.raises(CheckpointError, match="Saved -> now: sample_weight: float64 .12. "):
        model.fit(X, y, sample_weight=np.arange(1.0, 13.0))
    again = model.fit(X, y)  # a fitted one may be fitted again
    assert outcome(again.fit(X, y)) == outcome(pickle.loads(pickle.dumps(again)))


@pytest.mark.parametrize("name", ["regressor", pytest.param("forecaster", marks=SLOW)])
def test_weights_that_it_starts_from_are_part_of_it(tmp_path, name):
    donors = [make_model(max_epochs=1, random_state=seed).fit(make_recordings()) for seed in (0, 1)]
    first, second = (FrozenEstimator(donor) for donor in donors)
    expected = train(name, tmp_path, weights=first, max_epochs=1)
    assert train(name, tmp_path, weights=first, max_epochs=1) == expected
    with pytest.raises(CheckpointError, match="starting weights"):
        train(name, tmp_path, weights=second, max_epochs=1)


@pytest.mark.parametrize("name", PREDICTORS)
def test_folder_that_cannot_be_written_fails_before_training(tmp_path, name):
    act = Act()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="cannot take checkpoints"):
        train(name, tmp_path / "file" / "run", net_params={"callbacks": [act]})
    if os.geteuid():  # root may write everywhere
        tmp_path.chmod(0o500)
        with pytest.raises(CheckpointError, match="Permission denied"):
            train(name, tmp_path / "run", net_params={"callbacks": [act]})
    assert act.n_steps == 0


@pytest.mark.parametrize("name", [pytest.param("classifier", marks=SLOW), "forecaster"])
def test_sigterm_is_followed_when_the_step_is_saved(tmp_path, whole, name):
    act = Act(5, lambda: signal.raise_signal(signal.SIGTERM))
    saving = {"callbacks__checkpoint__every_steps": 100}
    with pytest.raises(SystemExit) as raised:
        train(name, tmp_path, net_params={"callbacks": [act], **saving})
    assert raised.value.code == 143
    assert names(tmp_path) == ["step-6"]  # it was sent after the fifth
    assert train(name, tmp_path) == whole[name]


def test_command_goes_on(tmp_path, monkeypatch, capsys):
    """``predict`` that was terminated, and is called again, writes what it would have written."""
    folder = write_folder(tmp_path / "recordings", unknown=(3, 7))
    words = ["predict", str(folder), "--target", "age", "--max-epochs", "3", "--output"]
    assert main([*words, str(tmp_path / "whole.tsv")]) == 0
    words = [*words, str(tmp_path / "out.tsv"), "--checkpoint-dir", str(tmp_path / "run")]
    taken, steps = WindowNet.train_step_single, []

    def train_step_single(self, batch, **kwargs):
        steps.append(len(self.history))
        if len(steps) == 2:
            signal.raise_signal(signal.SIGTERM)
        return taken(self, batch, **kwargs)

    monkeypatch.setattr(WindowNet, "train_step_single", train_step_single)
    with pytest.raises(SystemExit) as raised:
        main([*words, "--resume"])
    assert raised.value.code == 143
    assert not (tmp_path / "out.tsv").exists()
    assert main(words) == 1  # without --resume
    assert "Give --resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert (tmp_path / "out.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    assert steps == [1, 2, 3]
    for more in (["--cross-validate", "3"], ["--method", "stack"]):
        assert main([*words, *more]) == 1
        assert "for one training" in capsys.readouterr().err
