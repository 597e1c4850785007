"""Windows that nothing is learned from, and for which memory is too short: fewer at a time.

Not here: steps of a training (test_out_of_memory.py).
"""

import warnings

import numpy as np
import pytest
import torch
from test_out_of_memory import ERRORS
from training_run import SMALL, make_model, make_recordings

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMForecaster,
    BrainLMRegressor,
    OutOfMemoryError,
)
from sklearn_brainlm.baselines import LSTMForecaster, LSTMRegressor, MaskedGCN
from sklearn_brainlm.modules import PredictionNetwork

X = make_recordings(10)
AGE = np.arange(10.0)
SIZE = {name: SMALL[name] for name in ("patch_length", "embed_dim", "depth", "n_heads", "mlp_dim")}
ONCE = {"max_epochs": 1, "random_state": 0, "micro_batch_size": 16}
NETWORK = {**SIZE, **ONCE}
TIMES = {"context_length": 20, "horizon": 5}
WINDOW = {"window_length": 20, "patience": None}
COMPARED = {**ONCE, "hidden_dim": 4, "depth": 1}


def reconstruct(model):
    """Return what a model makes of what is masked."""
    made = model.reconstruct(X, mask_ratio=0.5)
    return np.stack([one.predicted for one in made])


def backtest(model):
    """Return forecasts within recordings."""
    return model.backtest(X, stride=2).predicted


CASES = {
    "transform": (lambda: make_model(**ONCE, net_params=None), lambda model: model.transform(X)),
    "covariance": (
        lambda: make_model(**ONCE, net_params=None, pooling="covariance"),
        lambda model: model.transform(X),
    ),
    "reconstruct": (lambda: make_model(**ONCE, net_params=None, prior="gaussian"), reconstruct),
    "regressor": (lambda: BrainLMRegressor(**NETWORK, **WINDOW), lambda model: model.predict(X)),
    "classifier": (
        lambda: BrainLMClassifier(**NETWORK, **WINDOW),
        lambda model: model.predict_proba(X),
    ),
    "forecaster": (lambda: BrainLMForecaster(**NETWORK, **TIMES), backtest),
    "LSTM": (lambda: LSTMRegressor(**COMPARED, **WINDOW), lambda model: model.predict(X)),
    "LSTM forecaster": (
        lambda: LSTMForecaster(**COMPARED, **TIMES, n_components=2),
        backtest,
    ),
    "masked GCN": (
        lambda: MaskedGCN(**COMPARED, window_length=20, patch_length=5),
        lambda model: model.transform(X),
    ),
}


def fit(name):
    """Return a fitted model."""
    y = AGE % 2 if name == "classifier" else AGE
    return CASES[name][0]().fit(X, y)


def short_of(monkeypatch, model, n_windows, error):
    """Let the network of a model fail for more windows than some number; note what is tried."""
    network, tried = model.net_.module_, []

    def guard(compute):
        def guarded(*args, **kwargs):
            values = args[0] if args else next(iter(kwargs.values()))
            tried.append(len(values))
            if len(values) > n_windows:
                raise error
            return compute(*args, **kwargs)

        return guarded

    for name in ("forward", "forward_encoder", "embed"):
        if hasattr(network, name):
            monkeypatch.setattr(network, name, guard(getattr(network, name)))
    return tried


@pytest.mark.parametrize("name", CASES)
def test_fewer_windows_at_a_time_give_the_same(monkeypatch, name):
    model, compute = fit(name), CASES[name][1]
    expected = compute(model)
    tried = short_of(monkeypatch, model, 3, ERRORS["cuda"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = compute(model)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    said = [str(w.message) for w in caught if w.category is RuntimeWarning]
    first = tried[0]
    fits = next(size for size in (first // 2, first // 4, first // 8) if size <= 3)
    assert first > 3 and max(tried[tried.index(fits) :]) == fits
    assert len(said) == 1  # also of several batches, the first of which finds out
    assert f"with {first} windows at a time: going on with {fits}." in said[0]


@pytest.mark.parametrize("kind", ERRORS)
def test_however_it_is_said(monkeypatch, kind):
    model, compute = fit("regressor"), CASES["regressor"][1]
    expected = compute(model)
    short_of(monkeypatch, model, 8, ERRORS[kind])
    with pytest.warns(RuntimeWarning, match="with 16 windows at a time: going on with 8"):
        np.testing.assert_allclose(compute(model), expected, rtol=1e-5)
    np.testing.assert_allclose(compute(model), expected, rtol=1e-5)  # it is known by now


@pytest.mark.parametrize("name", ["transform", "reconstruct", "regressor", "forecaster"])
def test_one_window_is_too_much(monkeypatch, name):
    model = fit(name)
    tried = short_of(monkeypatch, model, 0, ERRORS["cuda"])
    with pytest.raises(OutOfMemoryError, match="One window.*'cpu'.*CUDA out.*smaller") as error:
        CASES[name][1](model)
    assert tried[-1] == 1
    assert isinstance(error.value.__cause__, torch.OutOfMemoryError)


def test_other_errors_are_passed_on(monkeypatch):
    model = fit("regressor")
    tried = short_of(monkeypatch, model, 0, RuntimeError("mat1 and mat2 shapes"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        model.predict(X)
    assert tried == [16]


def test_closed_form_that_a_head_starts_from(monkeypatch):
    """Features of the recordings are computed before anything is trained."""
    expected = BrainLMRegressor(**{**NETWORK, "max_epochs": 0}, **WINDOW).fit(X, AGE).predict(X)
    computed = PredictionNetwork.forward_features

    def forward_features(self, signals):
        if len(signals) > 4:
            raise ERRORS["cpu"]
        return computed(self, signals)

    monkeypatch.setattr(PredictionNetwork, "forward_features", forward_features)
    with pytest.warns(RuntimeWarning, match="with 16 windows at a time: going on with 4"):
        model = BrainLMRegressor(**{**NETWORK, "max_epochs": 0}, **WINDOW).fit(X, AGE)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-3)
