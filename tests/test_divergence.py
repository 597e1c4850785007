"""Losses and gradients that are not finite, and losses that explode.

Not here: what the error of a whole fit leaves behind (test_transformer.py).
"""

import copy
import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from training_run import make_model, make_recordings

from sklearn_brainlm import TrainingDivergedError
from sklearn_brainlm.callbacks import Explosion
from sklearn_brainlm.nets import ReconstructionNet


@pytest.fixture
def break_steps(monkeypatch):
    """Return a function that lets the loss of some training steps be what it is given."""
    computed = ReconstructionNet.get_loss

    def break_(steps, factor=np.nan):
        n_steps = 0

        def get_loss(self, y_pred, y_true, **kwargs):
            nonlocal n_steps
            loss = computed(self, y_pred, y_true, **kwargs)
            if not self.module_.training:
                return loss
            n_steps += torch.is_grad_enabled()  # not when the message looks for the recordings
            return loss * factor if n_steps in steps else loss

        monkeypatch.setattr(ReconstructionNet, "get_loss", get_loss)

    return break_


class Remember(Callback):
    """Copy weights and optimizer after each step."""

    def on_train_begin(self, net, **kwargs):
        self.states = []

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            state = (net.module_.state_dict(), net.optimizer_.state_dict()["state"])
            self.states.append(copy.deepcopy(state))


class SpoilGradient(Callback):
    """Let a gradient of the second step be infinite."""

    def on_train_begin(self, net, **kwargs):
        seen = []

        def spoil(gradient):
            seen.append(gradient)
            return gradient * torch.inf if len(seen) == 2 else gradient

        net.module_.cls_token.register_hook(spoil)


def same(first, second):
    """Whether two nested states are the same to the last bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)


def fit(**parameters):
    """Fit a model of four steps an epoch, and return it, what it did, and its warnings."""
    remember = Remember()
    model = make_model(**{"net_params": {"callbacks": [remember]}, **parameters})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(make_recordings())
    return model, remember.states, [str(w.message) for w in caught]


def test_step_is_skipped(break_steps):
    break_steps({3, 6})
    model, states, said = fit()
    for which, (weights, optimizer) in enumerate(states[1:], start=1):
        skipped = which + 1 in (3, 6)
        assert same(weights, states[which - 1][0]) == skipped
        assert same(optimizer, states[which - 1][1]) == skipped
    assert len(said) == 2
    assert "loss became nan at epoch 1, step 3 of the epoch (learning rate 0.00" in said[0]
    assert "epoch 2, step 2 of the epoch" in said[1]
    assert "on windows of recordings " in said[0]
    losses = [row["train_loss"] for row in model.history_]
    assert np.isfinite(losses).all()
    kept = [row for row in model.net_.history[0]["batches"] if "train_loss" in row]
    assert len(kept) == 3
    mean = np.average(
        [row["train_loss"] for row in kept], weights=[row["train_batch_size"] for row in kept]
    )
    np.testing.assert_allclose(losses[0], mean)


def test_infinite_gradient_is_skipped_too():
    model = make_model(net_params={"callbacks": [SpoilGradient()]})
    with pytest.warns(RuntimeWarning, match="gradient is not finite at epoch 1, step 2"):
        model.fit(make_recordings())


def test_three_steps_in_a_row_are_skipped_and_no_fourth(break_steps):
    break_steps({2, 3, 4, 6, 7, 8})
    model, _, said = fit()
    assert len(said) == 6
    assert len(model.history_) == 4
    break_steps({2, 3, 4, 5})
    with pytest.warns(RuntimeWarning) as caught, pytest.raises(TrainingDivergedError) as error:
        make_model(net_params=None).fit(make_recordings())
    assert len([w for w in caught if "is skipped" in str(w.message)]) == 3
    assert "epoch 2, step 1 of the epoch (learning rate" in str(error.value)
    assert "on windows of recordings " in str(error.value)
    assert "Lower lr or grad_clip" in str(error.value)


def test_an_epoch_without_a_step_has_no_loss(break_steps):
    break_steps({5, 6, 7})
    model, _, _ = fit(batch_size=3, max_epochs=3)  # three steps an epoch
    assert [np.isnan(row["train_loss"]) for row in model.history_] == [False, False, False]
    break_steps({4, 5, 6})
    model, _, _ = fit(batch_size=3, max_epochs=3)
    assert [np.isnan(row["train_loss"]) for row in model.history_] == [False, True, False]


def test_training_of_skipped_steps_alone_is_no_training(break_steps):
    break_steps({1, 2})
    with pytest.warns(RuntimeWarning), pytest.raises(TrainingDivergedError, match="no step of"):
        make_model(net_params=None, batch_size=4, max_epochs=1).fit(make_recordings())


@pytest.mark.parametrize(
    ("n_epochs", "validation_fraction", "said"),
    [(1, 0.3, "held-out"), (3, 0.3, "step of the last epoch"), (3, 0.0, "step of the last epoch")],
)
def test_weights_that_compute_nothing_are_no_result(n_epochs, validation_fraction, said):
    model = make_model(
        net_params=None,
        lr=1e30,
        batch_size=16,
        max_epochs=n_epochs,
        validation_fraction=validation_fraction,
    )
    with warnings.catch_warnings(), pytest.raises(TrainingDivergedError, match=said):
        warnings.simplefilter("ignore")
        model.fit(make_recordings())


def test_explosion_warns_once(break_steps):
    _, _, said = fit()
    assert said == []
    break_steps(set(range(9, 17)), factor=1e3)
    _, _, said = fit()
    assert len(said) == 1
    assert "training loss has exploded" in said[0]


def follow(explosion, *losses):
    """Return how often a callback warns of epochs of losses."""

    class Net:
        history = []

    explosion.on_train_begin(Net)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch in losses:
            Net.history.append({"train_loss": np.mean(epoch)})
            for loss in epoch:
                explosion.on_batch_end(Net, training=True, loss=torch.tensor(loss))
            explosion.on_epoch_end(Net)
    return len(caught)


def test_explosion_is_far_beyond_the_best_epoch_and_the_first():
    assert follow(Explosion(), [1.0] * 9, [0.5] * 9, [4.9] * 99) == 0
    assert follow(Explosion(), [1.0] * 9, [0.5] * 9, [5.5] * 99) == 1
    assert follow(Explosion(), [1.0] * 9, [1e-3] * 99, [0.5] * 99) == 0  # less than at the start
    assert follow(Explosion(), [1.0] * 9, [9.0]) == 0  # one step of some tens is no explosion
    assert follow(Explosion(), [np.nan] * 9, [1.0] * 9, [np.inf] * 9) == 0  # those are skipped
