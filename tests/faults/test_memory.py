"""Rows 95 to 97: trainings for which memory is too short, or that diverge.

Not here: trainings that are cut short (test_training.py).
"""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from test_out_of_memory import ERRORS
from training_run import make_model, make_recordings, train

from sklearn_brainlm import (
    OutOfMemoryError,
    TrainingDivergedError,
)
from sklearn_brainlm.checkpointing import files
from sklearn_brainlm.nets import ReconstructionNet

SAVING = {"callbacks__checkpoint__every_steps": 3}


@pytest.fixture
def change_loss(monkeypatch):
    """Return a function that replaces the loss of training by a function of it and its windows."""
    computed = ReconstructionNet.get_loss

    def change(changed):
        def get_loss(self, y_pred, y_true, **kwargs):
            loss = computed(self, y_pred, y_true, **kwargs)
            return changed(loss, len(y_pred)) if self.module_.training else loss

        monkeypatch.setattr(ReconstructionNet, "get_loss", get_loss)

    return change


def short_of_memory(error, n_windows, loss, n):
    """Raise for more windows than there is memory for."""
    if n > n_windows:
        raise error
    return loss


@pytest.mark.fault(95, "out of memory", "micro-batch halved, said, the same is learned")
@pytest.mark.parametrize("kind", ERRORS)
def test_fault_095_smaller_parts(change_loss, observe, kind):
    given = {"batch_size": 8, "max_epochs": 2, "net_params": None}
    expected = make_model(**given, micro_batch_size=2).fit(make_recordings())
    change_loss(partial(short_of_memory, ERRORS[kind], 2))
    with observe.warns(
        RuntimeWarning, match="Memory ran out with [84] windows.*micro_batch_size=[42]"
    ):
        found = make_model(**given, micro_batch_size=8).fit(make_recordings())
    for name, value in expected.net_.get_weights().items():
        np.testing.assert_array_equal(found.net_.get_weights()[name], value)


@pytest.mark.fault(95, "out of memory with one window", "OutOfMemoryError with what was needed")
def test_fault_095_nothing_smaller(change_loss, observe):
    change_loss(partial(short_of_memory, ERRORS["cuda"], 0))
    with (
        pytest.warns(RuntimeWarning, match="micro_batch_size=1"),
        observe.raises(OutOfMemoryError, match="One window at a time.*2.00 GiB") as caught,
    ):
        make_model(net_params=None, micro_batch_size=2).fit(make_recordings())
    for remedy in ("gradient_checkpointing=True", "precision='bf16'", "smaller network"):
        assert remedy in str(caught.value)
    assert isinstance(caught.value, MemoryError)


@pytest.mark.fault(96, "NaN loss", "3 steps skipped, then TrainingDivergedError; checkpoints kept")
def test_fault_096_diverged(tmp_path, change_loss, observe):
    n_steps = 0

    def loss_of(loss, n_windows):
        nonlocal n_steps
        n_steps += torch.is_grad_enabled()
        return loss * torch.nan if n_steps > 6 else loss

    change_loss(loss_of)
    with (
        pytest.warns(RuntimeWarning, match="The step is skipped") as warned,
        observe.raises(TrainingDivergedError, match="loss became nan at epoch 3, step 2") as caught,
    ):
        train(tmp_path, net_params=SAVING)
    assert len([w for w in warned if "is skipped" in str(w.message)]) == 3
    for words in ("learning rate", "on windows of recordings", "Lower lr or grad_clip"):
        assert words in str(caught.value)
    found = files.read_last(files.list_checkpoints(tmp_path))
    assert found[1]["step"] >= 6
    assert all(np.isfinite(array).all() for array in found[2]["weights"].values())


@pytest.mark.fault(96, "NaN in one batch", "that step is skipped, and training goes on")
def test_fault_096_one_batch(change_loss, observe):
    seen = []

    def loss_of(loss, n_windows):
        seen.append(n_windows)
        return loss * torch.nan if len(seen) == 3 else loss

    change_loss(loss_of)
    with observe.warns(RuntimeWarning, match="loss became nan at epoch 1, step 3"):
        model = make_model(net_params=None).fit(make_recordings())
    assert all(np.isfinite(value).all() for value in model.net_.get_weights().values())


@pytest.mark.fault(97, "loss ten times that of before", "RuntimeWarning, once")
def test_fault_097_explosion(change_loss, observe):
    n_steps = 0

    def loss_of(loss, n_windows):
        nonlocal n_steps
        n_steps += 1
        return loss * (1e3 if n_steps > 8 else 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_model(net_params=None).fit(make_recordings())  # silent otherwise
    change_loss(loss_of)
    with observe.warns(RuntimeWarning, match="training loss has exploded") as caught:
        make_model(net_params=None).fit(make_recordings())
    assert len(caught) == 1
