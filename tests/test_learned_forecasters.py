"""Forecasters that train a network: that they learn what can be learned, and keep to the rules.

What X may be is recording_checks.py, run here on one of them. What
every forecaster does with windows is in test_forecasting_baselines.py.
"""

import pickle
import sys

import numpy as np
import pytest
import torch
from recording_checks import recording_checks
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_brainlm import InvalidRecordingError
from sklearn_brainlm.baselines import LatentODEForecaster, LSTMForecaster, NeuralODEForecaster
from sklearn_brainlm.baselines.forecast_networks import LatentODENetwork, NeuralODENetwork

TINY = {
    "context_length": 20,
    "horizon": 5,
    "n_components": 4,
    "hidden_dim": 8,
    "max_epochs": 1,
    "windows_per_recording": 1,
    "patience": None,
    "random_state": 0,
}
ODE = {"order": 8, "latent_dim": 4, "solver": "euler"}

FORECASTERS = [
    LSTMForecaster(**TINY, depth=1),
    NeuralODEForecaster(**TINY, **ODE),
    LatentODEForecaster(**TINY, **ODE),
]


def name_of(value):
    """Return a test id."""
    return type(value).__name__


def waves(n_recordings, n_timepoints=100, seed=0):
    """Return noise-free oscillations of six parcels at one frequency and random phases."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (n_recordings, 1, 1))
    shifts = np.linspace(0, np.pi, 6)
    return list(np.sin(np.arange(n_timepoints)[:, None] / 4 + shifts + phases))


def same(a, b):
    """Compare exactly."""
    np.testing.assert_array_equal(a, b)


# --- the contract --------------------------------------------------------------------------------


@pytest.mark.parametrize(("forecaster", "check"), recording_checks(FORECASTERS[0]))
def test_recordings(forecaster, check):
    check(type(forecaster).__name__, forecaster)


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_every_parameter_has_legal_values(forecaster):
    assert set(forecaster._parameter_constraints) == set(forecaster.get_params())
    with pytest.raises(ValueError, match="The 'hidden_dim' parameter"):
        clone(forecaster).set_params(hidden_dim=0).fit(waves(3))
    assert not forecaster.__sklearn_is_fitted__()


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_seeds_clones_and_pickles(recordings, forecaster):
    model = clone(forecaster).fit(recordings)
    first = model.predict(recordings)
    same(clone(model).fit(recordings).predict(recordings), first)
    assert (
        clone(model).set_params(random_state=1).fit(recordings).predict(recordings) != first
    ).any()
    state = pickle.dumps(model)
    assert b"torch" not in state
    again = pickle.loads(state)
    same(again.predict(recordings), first)
    assert again.n_parameters_ == model.n_parameters_ > 0
    with pytest.raises(NotFittedError):
        clone(model).predict(recordings)


# --- forecasts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [2, None])
@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_oscillation_is_forecast(forecaster, n_components):
    learning = {"max_epochs": 25, "lr": 0.02, "windows_per_recording": 4, "hidden_dim": 32}
    model = clone(forecaster).set_params(n_components=n_components, **learning)
    if "solver" in model.get_params():
        model.set_params(latent_dim=8)
    model.fit(waves(12))
    X = waves(3, n_timepoints=85, seed=1)
    assert model.score(X) > 0.5
    assert model.score_by_step(X).shape == (5,)
    assert np.shape(model.predict(X)) == (3, 5, 6)


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_windows_of_a_backtest_are_forecast_alone_as_together(recordings, forecaster):
    model = clone(forecaster).fit(recordings)
    windows = model.backtest(recordings[:2])
    one = windows.start[0] - 20
    context = model.scaler_.transform(recordings[:1])[0][one : one + 20]
    expected = model.forecast_windows(context[None])
    np.testing.assert_allclose(windows.predicted[:1], expected, rtol=1e-4, atol=1e-5)
    forecasts = model.set_params(micro_batch_size=1).predict(recordings)
    ends = [scaled[-20:] for scaled in model.scaler_.transform(recordings)]
    scaled = model.set_params(micro_batch_size="auto").forecast_windows(np.stack(ends))
    expected = model.scaler_.inverse_transform(list(scaled))
    np.testing.assert_allclose(forecasts, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_short_recordings(recordings, forecaster):
    X = [recording[:length] for recording, length in zip(recordings, (6, 12, 24, 60), strict=False)]
    model = clone(forecaster).fit(X)
    assert np.isfinite(model.predict([recording[:1] for recording in X])).all()
    with pytest.raises(InvalidRecordingError, match="recording 0 has 6 timepoints; context_length"):
        clone(forecaster).set_params(short="raise").fit(X)
    with pytest.raises(InvalidRecordingError, match="recording 0 has 5 timepoints; at least 6"):
        clone(forecaster).fit([X[0][:5]])


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_nothing_is_forecast_before_training(recordings, forecaster):
    model = clone(forecaster).set_params(max_epochs=0).fit(recordings)
    center = np.broadcast_to(model.scaler_.center_, (6, 5, 12))
    np.testing.assert_allclose(model.predict(recordings), center, rtol=1e-6)
    assert model.history_ == []


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=name_of)
def test_forecasters_hold_people_out(recordings, forecaster):
    groups = np.repeat([4, 7, 9], 2)
    model = clone(forecaster).set_params(patience=1, validation_fraction=0.3)
    model.fit(recordings, groups=groups)
    held_out = model.validation_indices_
    assert len(np.unique(groups[held_out])) == 1
    assert len(held_out) == 2
    assert model.history_[0]["valid_loss"] is not None
    assert 0 <= model.best_epoch_ <= 1
    with pytest.raises(ValueError, match="patience=1 needs recordings to validate on"):
        model.fit(recordings[:2], groups=[1, 1])


def test_what_gets_worse_is_not_kept():
    noise = np.random.default_rng(0).standard_normal((6, 60, 4))
    model = LSTMForecaster(**{**TINY, "patience": 2, "lr": 1.0, "max_epochs": 20})
    model.fit(noise)
    assert model.best_epoch_ == 0
    assert len(model.history_) < 20
    np.testing.assert_allclose(model.score(noise), 0, atol=0.01)


def test_order_is_at_most_the_context(recordings):
    with pytest.raises(ValueError, match="order=21 is more than context_length=20"):
        NeuralODEForecaster(**TINY, order=21).fit(recordings)


# --- differential equations ----------------------------------------------------------------------


def test_missing_solver_is_named(recordings, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(ImportError, match=r"pip install sklearn-brainlm\[baselines\]"):
        FORECASTERS[1].fit(recordings)
    with pytest.raises(NotFittedError):
        FORECASTERS[1].predict(recordings)


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_linear_equation_is_solved(solver):
    network = NeuralODENetwork(
        n_parcels=2, horizon=6, order=1, latent_dim=2, hidden_dim=2, depth=1, solver=solver
    )
    turn = torch.tensor([[0.0, 0.3], [-0.3, 0.0]])
    network.dynamics.rate = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.dynamics.rate.weight.copy_(turn)
        for layer in (network.start, network.decoder):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    context = torch.tensor([[[9.0, 9.0], [1.0, 2.0]]])
    expected = [torch.linalg.matrix_exp(step * turn) @ context[0, -1] for step in range(1, 7)]
    torch.testing.assert_close(network(context)[0], torch.stack(expected), rtol=1e-3, atol=1e-3)


def test_bound_of_the_random_state_is_that_of_torch():
    sizes = {"order": 4, "latent_dim": 3, "hidden_dim": 5, "depth": 1, "solver": "euler"}
    network = LatentODENetwork(n_parcels=2, horizon=3, kl_weight=1.0, **sizes).train()
    contexts, futures = torch.randn(6, 9, 2), torch.randn(6, 3, 2)
    decoded, mean, log_variance = network(contexts)
    assert decoded.shape == (6, 7, 2)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(
        normal(mean, (log_variance / 2).exp()), normal(torch.zeros(3), torch.ones(3))
    )
    true = torch.cat([contexts[:, -4:], futures], dim=1)
    bound = normal(decoded, 1.0).log_prob(true).sum((1, 2)) - divergence.sum(1)
    best = normal(true, 1.0).log_prob(true).sum((1, 2))
    expected = 2 * (best - bound).mean() / true[0].numel()
    found = network.forward_loss((decoded, mean, log_variance), contexts, futures)
    torch.testing.assert_close(found, expected)
    forecasts = network.eval()(contexts)
    torch.testing.assert_close(
        network.forward_loss(forecasts, contexts, futures), ((forecasts - futures) ** 2).mean()
    )
