"""Checkpoints: what is saved, which are kept, and how a training goes on from one.

Not here: damage, full disks, signals and other trainings (test_checkpoint_faults.py), processes
that are killed (test_checkpoint_kill.py).
"""

import json
import pickle
import shutil
import warnings
from functools import partial

import numpy as np
import pytest
from skorch.callbacks import Callback
from training_run import Act, Cut, cut_at, make_model, make_recordings, names, outcome, train

from sklearn_brainlm import CheckpointError
from sklearn_brainlm.checkpoint import Checkpoint
from sklearn_brainlm.checkpointing import files


@pytest.fixture
def cut(monkeypatch):
    """Return a function that ends a training at a phase of its nth checkpoint."""
    return partial(cut_at, monkeypatch)


@pytest.fixture(scope="module")
def whole():
    """What a training that nobody interrupts ends in."""
    return outcome(make_model().fit(make_recordings()))


# --- going on ------------------------------------------------------------------------------------


def test_saving_changes_nothing(tmp_path, whole):
    assert train(tmp_path) == whole
    assert names(tmp_path) == ["step-12", "step-15", "step-16-end"]


@pytest.mark.parametrize("n", [1, 3, 4])
def test_goes_on_in_the_same_bits(tmp_path, whole, cut, n):
    """From step 3, within an epoch; 9; and 12, the end of an epoch."""
    cut("written", n)
    with pytest.raises(Cut):
        train(tmp_path)
    cut("written", 0)
    act = Act()
    assert train(tmp_path, net_params={"callbacks": [act]}) == whole
    assert act.n_steps == 16 - 3 * n


@pytest.mark.parametrize("phase", ["begun", "weights", "optimizer", "state", "manifest"])
def test_half_a_checkpoint_is_none(tmp_path, whole, cut, monkeypatch, phase):
    cut(phase, 3)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # a kill does not tidy up
        train(tmp_path)
    assert (tmp_path / ".tmp-step-000000009").is_dir()
    assert names(tmp_path) == ["step-3", "step-6"]
    cut("written", 0)
    assert train(tmp_path) == whole
    assert not list(tmp_path.glob(".tmp-*"))


def test_with_prior_and_early_stopping(tmp_path, cut):
    """The best weights are put back, also those of before the interruption."""
    given = {"prior": "gaussian", "patience": 1, "lr": 0.01, "max_epochs": 12, "every_steps": 2}
    expected = outcome(make_model(**given).fit(make_recordings()))
    losses = [row["valid_loss"] for row in expected["history"]]
    assert int(np.argmin(losses)) + 2 == len(losses) < 12
    cut("written", 2 * len(losses) - 1)
    with pytest.raises(Cut):
        train(tmp_path, **given)
    cut("written", 0)
    assert train(tmp_path, **given) == expected


def test_finished_training_returns_at_once(tmp_path, whole):
    train(tmp_path)
    act = Act()
    assert train(tmp_path, net_params={"callbacks": [act]}) == whole
    assert act.n_steps == 0


def test_seed_of_the_run_is_taken_up(tmp_path, cut):
    """Without random_state, weights and held-out recordings are drawn at random, but once."""
    cut("written", 2)
    with pytest.raises(Cut):
        train(tmp_path, random_state=None)
    cut("written", 0)
    copied = shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    outcomes = [train(folder, random_state=None) for folder in (tmp_path, copied)]
    assert outcomes[0] == outcomes[1]


def test_partial_fit_is_a_training_of_its_own(tmp_path, cut):
    X = make_recordings()
    first = make_model().fit(X)
    expected = outcome(pickle.loads(pickle.dumps(first)).partial_fit(X))
    cut("written", 2)
    model = pickle.loads(pickle.dumps(first)).set_params(checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(Cut):
        model.partial_fit(X)
    cut("written", 0)
    again = pickle.loads(pickle.dumps(first)).set_params(checkpoint_dir=tmp_path, resume=True)
    assert outcome(again.partial_fit(X)) == expected
    with pytest.raises(CheckpointError, match="epochs before: 4 -> 8"):
        again.partial_fit(X)


def test_pickle_holds_no_tensor(tmp_path):
    model = make_model(tmp_path).fit(make_recordings())
    assert b"torch" not in pickle.dumps(model.set_params(net_params=None))


# --- which are kept ------------------------------------------------------------------------------


def test_best_is_kept(tmp_path):
    """The end of the second epoch, as a high learning rate makes later ones worse."""
    given = {"lr": 0.2, "max_epochs": 5, "warmup": 0.0, "grad_clip": None}
    saving = {"callbacks__checkpoint__every_seconds": None, "callbacks__checkpoint__every_steps": 2}
    model = make_model(tmp_path, net_params=saving, **given).fit(make_recordings())
    losses = [row["valid_loss"] for row in model.history_]
    best = 4 * (1 + int(np.argmin(losses)))
    assert best < 16
    assert names(tmp_path) == [f"step-{best}-epoch", "step-18", "step-2", "step-2-end"]
    manifest = files.read_manifest(tmp_path / f"step-{best:09d}-epoch")
    assert manifest["valid_loss"] == min(losses)


def test_every_seconds(tmp_path):
    saving = {"callbacks__checkpoint__every_seconds": 0, "callbacks__checkpoint__keep": 99}
    make_model(tmp_path, net_params=saving, max_epochs=1).fit(make_recordings())
    assert names(tmp_path) == ["step-1", "step-2", "step-3", "step-4", "step-4-epoch", "step-4-end"]
    saved = tmp_path / "default"
    make_model(saved, net_params=None, max_epochs=1).fit(make_recordings())
    assert names(saved) == ["step-4-end"]  # ten minutes have not passed


# --- small parts ---------------------------------------------------------------------------------


def test_nothing_is_pickled(tmp_path):
    train(tmp_path)
    names = sorted(path.name for path in (tmp_path / "step-000000016-end").iterdir())
    assert names == [
        "manifest.json",
        "optimizer.safetensors",
        "state.json",
        "training.safetensors",
        "weights.safetensors",
    ]
    json.loads((tmp_path / "step-000000016-end" / "state.json").read_text())


def test_callbacks_with_state_are_saved(tmp_path, cut):
    class Counting(Callback):
        n_steps = 0

        def on_batch_end(self, net, training=False, **kwargs):
            self.n_steps += training

        def state_dict(self):
            return {"n_steps": self.n_steps + 1}  # that of the step is counted after it is saved

        def load_state_dict(self, state):
            self.n_steps = state["n_steps"]

    cut("written", 2)
    saving = {"callbacks__checkpoint__every_steps": 3}
    with pytest.raises(Cut):
        train(tmp_path, net_params={"callbacks": [("counting", Counting())], **saving})
    cut("written", 0)
    counting = Counting()
    train(tmp_path, net_params={"callbacks": [("counting", counting)]})
    assert counting.n_steps == 16


def test_parameters_of_the_callback():
    assert Checkpoint("here").get_params() == {
        "folder": "here",
        "every_steps": None,
        "every_seconds": 600,
        "keep": 3,
        "resume": False,
        "configuration": None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_model().fit(make_recordings())  # without a folder nothing is saved, and nothing said
