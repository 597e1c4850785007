"""LSTM and GCN that predict labels: that they learn what can be learned, and keep to the rules.

What X may be is recording_checks.py, run here on one estimator of each kind. The learned
forecasters are in test_learned_forecasters.py.
"""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import recording_checks
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_brainlm import baselines
from sklearn_brainlm.baselines import (
    GCNClassifier,
    GCNRegressor,
    LSTMClassifier,
    LSTMRegressor,
)
from sklearn_brainlm.baselines.graph import correlation_graph
from sklearn_brainlm.baselines.networks import GraphNetwork

TINY = {
    "window_length": 20,
    "hidden_dim": 4,
    "depth": 1,
    "max_epochs": 1,
    "batch_size": 4,
    "patience": None,
    "random_state": 0,
}
PREDICTORS = [LSTMRegressor(**TINY), LSTMClassifier(**TINY), GCNRegressor(**TINY)]
PREDICTORS += [GCNClassifier(**TINY)]
REGRESSORS = [PREDICTORS[0], PREDICTORS[2]]
CLASSIFIERS = [PREDICTORS[1], PREDICTORS[3]]
CHECKED = recording_checks.recording_checks(REGRESSORS[0], CLASSIFIERS[1])


def name_of(value):
    """Return a test id."""
    return type(value).__name__


def loud_and_quiet(n_recordings, n_timepoints=40, n_parcels=4, seed=0):
    """Return noise whose standard deviation is that of the recording, and the deviations."""
    rng = np.random.default_rng(seed)
    sd = rng.uniform(0.5, 2.0, n_recordings)
    noise = rng.standard_normal((n_recordings, n_timepoints, n_parcels))
    return list((sd[:, None, None] * noise).astype(np.float32)), sd


def same(a, b):
    """Compare exactly."""
    np.testing.assert_array_equal(a, b)


# --- the contract --------------------------------------------------------------------------------


@pytest.mark.parametrize(("estimator", "check"), CHECKED)
def test_recordings(estimator, check):
    check(type(estimator).__name__, estimator)


def test_importing_the_baselines_loads_no_torch():
    script = (
        "import sys, sklearn_brainlm.baselines as b; "
        "assert 'LSTMForecaster' in dir(b); "
        "assert not {'torch', 'torchdiffeq', 'skorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_names_of_the_baselines():
    assert set(baselines._LAZY_NAMES) < set(baselines.__all__)
    with pytest.raises(AttributeError, match="no attribute 'LTSMRegressor'"):
        baselines.LTSMRegressor  # noqa: B018  (looking it up is the test)


@pytest.mark.parametrize("estimator", PREDICTORS, ids=name_of)
def test_every_parameter_has_legal_values(estimator):
    assert set(estimator._parameter_constraints) == set(estimator.get_params())
    with pytest.raises(ValueError, match="The 'hidden_dim' parameter"):
        clone(estimator).set_params(hidden_dim=0).fit(*loud_and_quiet(3))
    assert not estimator.__sklearn_is_fitted__()


@pytest.mark.parametrize("estimator", PREDICTORS, ids=name_of)
def test_seeds_clones_and_pickles(recordings, estimator):
    y = np.arange(6) % 2
    answer = lambda model: getattr(model, "predict_proba", model.predict)(recordings)  # noqa: E731
    model = clone(estimator).fit(recordings, y)
    first = answer(model)
    same(answer(clone(model).fit(recordings, y)), first)
    assert (answer(clone(model).set_params(random_state=1).fit(recordings, y)) != first).any()
    state = pickle.dumps(model)
    assert b"torch" not in state
    again = pickle.loads(state)
    same(answer(again), first)
    assert again.n_parameters_ == model.n_parameters_ > 0
    with pytest.raises(NotFittedError):
        answer(clone(model))


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("regressor", REGRESSORS, ids=name_of)
def test_amplitude_is_learned(regressor):
    X, y = loud_and_quiet(80)
    learning = {"max_epochs": 25, "lr": 0.03, "hidden_dim": 16, "batch_size": 6}
    model = clone(regressor).set_params(**learning, validation_fraction=0.0)
    model.fit(X[:60], 10 * y[:60] + 50)
    assert model.score(X[60:], 10 * y[60:] + 50) > 0.5


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=name_of)
def test_loud_and_quiet_are_told_apart(classifier):
    X, sd = loud_and_quiet(80, seed=1)
    y = np.array(["loud", "soft", "quiet"])[np.digitize(-sd, [-1.5, -1.0])]
    learning = {"max_epochs": 25, "lr": 0.03, "hidden_dim": 16, "batch_size": 6}
    model = clone(classifier).set_params(**learning, validation_fraction=0.0).fit(X[:60], y[:60])
    assert list(model.classes_) == ["loud", "quiet", "soft"]
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X[60:], y[60:]) > 0.55  # the largest class is 0.4


@pytest.mark.parametrize("regressor", REGRESSORS, ids=name_of)
def test_mean_is_predicted_before_training(regressor):
    X, y = loud_and_quiet(6)
    model = clone(regressor).set_params(max_epochs=0, validation_fraction=0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y.mean())


@pytest.mark.parametrize("regressor", REGRESSORS, ids=name_of)
def test_missing_targets_are_left_out(regressor):
    X, sd = loud_and_quiet(8)
    y = np.column_stack([sd, -sd])
    y[2, 1] = y[5] = np.nan
    model = clone(regressor).fit(X, y)
    assert model.predict(X).shape == (8, 2)
    assert np.isfinite(model.predict(X)).all()
    alone = clone(regressor).fit(X, sd)
    assert alone.predict(X).shape == (8,)


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=name_of)
def test_one_label_a_recording(classifier):
    X, _ = loud_and_quiet(4)
    with pytest.raises(ValueError, match=r"1d array, got an array of shape \(4, 2\)"):
        clone(classifier).fit(X, np.eye(4)[:, :2])


@pytest.mark.parametrize("predictor", PREDICTORS, ids=name_of)
def test_labels_without_weight_do_not_matter(predictor):
    X, _ = loud_and_quiet(8)
    y, weight = np.arange(8) % 2, np.ones(8)
    weight[[3, 6]] = 0
    other = y.copy()
    other[[3, 6]] = 1 - y[[3, 6]]
    if predictor in REGRESSORS:
        other[[3, 6]] = 1000
    first = clone(predictor).fit(X, y, sample_weight=weight).predict(X)
    same(first, clone(predictor).fit(X, other, sample_weight=weight).predict(X))


@pytest.mark.parametrize("predictor", PREDICTORS, ids=name_of)
def test_labels_of_people_held_out_are_not_trained_on(predictor):
    X, y = loud_and_quiet(12)
    y = (y > np.median(y)).astype(int)
    groups = np.repeat(np.arange(6), 2)
    model = clone(predictor).set_params(validation_fraction=0.3).fit(X, y, groups=groups)
    held_out = model.validation_indices_
    assert 0 < len(held_out) < 12
    assert not set(groups[held_out]) & set(np.delete(groups, held_out))
    assert model.history_[0]["valid_loss"] is not None
    other = y.copy()
    other[held_out] = 1 - y[held_out]
    again = clone(model).fit(X, other, groups=groups)
    same(model.predict(X), again.predict(X))


def test_early_stopping_of_predictors():
    X, _ = loud_and_quiet(12)
    y = np.random.default_rng(1).standard_normal(12)  # nothing to learn
    model = GCNRegressor(**{**TINY, "max_epochs": 40, "patience": 2, "lr": 0.1}).fit(X, y)
    assert len(model.history_) < 40


def test_graph_of_pairs():
    rng = np.random.default_rng(0)
    recordings = []
    for n_timepoints in (50, 80):
        shared = np.repeat(rng.standard_normal((n_timepoints, 3)), 2, axis=1)
        signs = np.array([1, -1, 1, 1, 1, 1])  # the size counts, not the sign
        recordings.append(signs * shared + 0.1 * rng.standard_normal((n_timepoints, 6)))
    recordings[0][:, 5] = 7  # dead in one of them
    pairs = np.kron(np.eye(3), np.full((2, 2), 0.5))
    np.testing.assert_allclose(correlation_graph(recordings, 1), pairs)
    everybody = correlation_graph(recordings, 99)
    np.testing.assert_allclose(everybody, np.full((6, 6), 1 / 6), rtol=1e-6)
    np.testing.assert_allclose(correlation_graph([recordings[0][:, :1]], 3), [[1]])


def test_graph_convolution_is_that_of_kipf_and_welling():
    adjacency = correlation_graph([np.random.default_rng(0).standard_normal((30, 5))], 2)
    network = GraphNetwork(adjacency, 7, 2, hidden_dim=3, depth=2, dropout=0.5).eval()
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(1))
    signals = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    features = signals.numpy()
    for layer in network.layers:
        weight, bias = layer.weight.detach().numpy().T, layer.bias.detach().numpy()
        features = np.maximum(adjacency @ (features @ weight + bias), 0)
    expected = features.reshape(2, -1) @ network.head.weight.detach().numpy().T
    expected = expected + network.head.bias.detach().numpy()
    np.testing.assert_allclose(network(signals).detach(), expected, rtol=1e-4, atol=1e-5)
    padded = torch.cat([signals[..., :4], torch.zeros(2, 5, 3)], dim=2)
    torch.testing.assert_close(network(signals[..., :4]), network(padded))
