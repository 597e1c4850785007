"""BrainLMForecaster: the closed form it starts from, who it learns from, intervals.

What X may be is recording_checks.py, and what scikit-learn asks for is sklearn_adapter.py, both run
from test_common.py. What all forecasters do is test_forecasting_baselines.py.
"""

import pickle

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from sklearn_brainlm import (
    PRESETS,
    BrainLMForecaster,
    BrainLMTransformer,
    InvalidRecordingError,
)
from sklearn_brainlm.baselines import WienerForecaster
from sklearn_brainlm.finetuning.batches import future_tokens
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.intervals import conformal_quantile
from sklearn_brainlm.modules import AdaptiveWiener

SIZE = {"embed_dim": 8, "n_heads": 2, "mlp_dim": 8, "patch_length": 5, "random_state": 0}
TIMES = {"context_length": 30, "horizon": 10}


def oscillations(n_recordings, n_timepoints=150, n_parcels=5, seed=0):
    """Recordings of one rhythm, which differs between people."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n_recordings):
        period = rng.uniform(8, 20)
        time = np.arange(n_timepoints)[:, None]
        wave = np.sin(2 * np.pi * time / period + rng.uniform(0, 6, n_parcels))
        made.append((wave + 0.3 * rng.standard_normal(wave.shape)).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def X():
    return oscillations(14)


def forecaster(**options):
    return BrainLMForecaster(**{**SIZE, **TIMES, "max_epochs": 1, **options})


# --- the closed form -----------------------------------------------------------------------------


def test_that_follows_nobody_is_the_wiener_forecast(X):
    model = forecaster(max_epochs=0, scaler="robust").fit(X)
    closed = model.net_.module_.closed_form
    closed.follow.data.fill_(-1e3)  # do not follow the person
    closed.ridge -= 1e-4  # added for the factorisation
    expected = WienerForecaster(**TIMES, n_coupled=60).fit(X)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-3, atol=1e-3)


def test_following_the_person_helps_where_people_differ(X):
    new = oscillations(6, seed=1)
    wiener = WienerForecaster(**TIMES, n_coupled=60).fit(X).score(new)
    model = forecaster(max_epochs=10, windows_per_recording=8, lr=1e-2, validation_fraction=0.0)
    assert model.fit(X).score(new) > wiener + 0.05
    assert model.net_.module_.closed_form.follow.mean() > 0


def test_people_are_left_out_of_the_closed_form_in_training_only(X):
    memory = torch.tensor([[0.8], [0.5]]) ** torch.arange(20)
    wiener = AdaptiveWiener(torch.eye(2), torch.tensor([0, 1]), memory, horizon=3)
    context = torch.randn(2, 2, 12)
    everybody = wiener(context)
    wiener.leave_out(torch.stack([0.5 * wiener.autocovariance, 0 * wiener.autocovariance]))
    nobody = wiener(context, torch.tensor([-1, -1]))
    torch.testing.assert_close(nobody, everybody)
    without_nothing = wiener(context, torch.tensor([-1, 1]))
    torch.testing.assert_close(without_nothing, everybody)
    model = forecaster().fit(X, groups=np.repeat(np.arange(7), 2))
    assert model.net_.module_.closed_form.people is None


def test_horizon_is_any_integer():
    wiener = AdaptiveWiener(torch.eye(2), torch.tensor([0, 1]), torch.rand(2, 20), np.int64(3))
    assert wiener(torch.randn(1, 2, 12)).shape == (1, 2, 3)


def test_values_out_of_range_give_forecasts_that_are_not_finite():
    memory = torch.tensor([[0.8], [0.5]]) ** torch.arange(20)
    wiener = AdaptiveWiener(torch.eye(2), torch.tensor([0, 1]), memory, horizon=3)
    assert wiener(torch.randn(1, 2, 12)).isfinite().all()
    assert wiener(torch.full((1, 2, 12), 1e30)).isnan().any()


def test_future_is_not_looked_at(X):
    model = forecaster().fit(X)
    known = np.stack([x[:40] for x in X])
    inputs = model.scaler_.transform(list(known))
    changed = [x.copy() for x in inputs]
    for x in changed:
        x[30:] = 100
    grid, ids = model._grid, future_tokens(model._grid, 40, 10)
    assert grid.n_tokens(40) == len(ids[0]) + len(ids[1])
    predicted = [
        model.net_.fill(
            {
                "signals": np.stack([x.T for x in windows]),
                "ids_keep": np.tile(ids[0], (len(X), 1)),
                "ids_mask": np.tile(ids[1], (len(X), 1)),
                "observed": np.ones((len(X), 40), dtype=bool),
            }
        )[:, :, 30:]
        for windows in (inputs, changed)
    ]
    np.testing.assert_array_equal(*predicted)


def test_tokens_that_reach_into_the_future_are_hidden_whole():
    keep, hidden = future_tokens(TokenGrid(n_parcels=1, patch_length=4), 11, horizon=5)
    assert keep.tolist() == [0] and hidden.tolist() == [1, 2]


@pytest.mark.parametrize(("context_length", "horizon"), [(17, 3), (30, 12), (8, 1)])
def test_any_context_and_horizon(X, context_length, horizon):
    model = forecaster(context_length=context_length, horizon=horizon).fit(X)
    assert model.predict(X).shape == (14, horizon, 5)
    assert np.isfinite(model.score(X))


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [None, "gaussian"])
def test_weights_are_trained_further_and_left_as_they_were(X, prior):
    transformer = BrainLMTransformer(**SIZE, window_length=40, prior=prior, max_epochs=1).fit(X)
    before = transformer.transform(X)
    weights = FrozenEstimator(transformer)
    model = forecaster(weights=weights, prior=None, max_epochs=0).fit(X)
    np.testing.assert_array_equal(model.encoder_.transform(X), before)
    tuned = forecaster(weights=weights, prior=None, max_epochs=2, lr=3e-3).fit(X)
    assert not np.allclose(tuned.encoder_.transform(X), before)
    np.testing.assert_array_equal(transformer.transform(X), before)
    np.testing.assert_array_equal(tuned.scaler_.center_, transformer.scaler_.center_)
    drawn = forecaster(weights=weights, prior=None, max_epochs=0, pretrained=False).fit(X)
    assert not np.allclose(drawn.predict(X), model.predict(X))


def test_weights_of_another_repetition_time_do_not_forecast_in_it(X):
    transformer = BrainLMTransformer(**SIZE, window_length=40, t_r=1.0, prior=None, max_epochs=1)
    model = forecaster(weights=FrozenEstimator(transformer.fit(X)), t_r=0.5)
    with pytest.raises(InvalidRecordingError, match="Resample them first"):
        model.fit(oscillations(6, 300)).predict(X)


def test_architecture_of_the_article_forecasts(X):
    small = {name: PRESETS["13M"][name] for name in ("norm", "attention")}
    model = forecaster(**small, prior=None).fit(X)
    assert np.isfinite(model.predict(X)).all()


# --- who it learns from, and intervals -----------------------------------------------------------


def test_people_are_in_one_of_training_validation_and_calibration(X):
    groups = np.repeat(np.arange(7), 2)
    model = forecaster(calibration_fraction=0.3, validation_fraction=0.3).fit(X, groups=groups)
    held_out = groups[model.calibration_indices_], groups[model.validation_indices_]
    assert len(held_out[0]) and len(held_out[1])
    assert not set(held_out[0]) & set(held_out[1])
    assert all(
        (groups == person).sum() == (side == person).sum()
        for side in held_out
        for person in set(side)
    )


def test_calibration_recordings_change_nothing_but_the_width(X):
    model = forecaster(calibration_fraction=0.3).fit(X)
    expected = model.predict(X)
    other = list(X)
    for which in model.calibration_indices_:
        other[which] = 5 * X[which]
    again = forecaster(calibration_fraction=0.3).fit(other)
    np.testing.assert_array_equal(again.predict(X), expected)
    wide, narrow = (m.predict_interval(X)[1] - expected for m in (again, model))
    assert (wide > narrow).mean() > 0.9


def test_intervals_cover_as_promised_at_every_step():
    known, new = oscillations(60, seed=2), oscillations(40, seed=3)
    model = forecaster(calibration_fraction=0.6, max_epochs=0, short="raise").fit(known)
    contexts = [x[:30] for x in new]
    lower, upper = model.predict_interval(contexts, coverage=0.8)
    future = np.stack([x[30:40] for x in new])
    covered = ((lower <= future) & (future <= upper)).mean(axis=(0, 2))  # (horizon,)
    assert (abs(covered - 0.8) < 0.1).all()
    wider = model.predict_interval(contexts, coverage=0.95)[1]
    assert (wider >= upper).all()


def test_no_interval_without_calibration(X):
    with pytest.raises(ValueError, match="calibration_fraction"):
        forecaster().fit(X).predict_interval(X)


def test_quantile_is_that_of_the_order_statistic():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 20))
    assert conformal_quantile(scores, 0.5) == 10  # the (19 + 1) * .5-th
    assert conformal_quantile(scores, 0.96) == np.inf


# --- predict -------------------------------------------------------------------------------------


def test_roll_out_goes_on_from_forecasts(X):
    model = forecaster().fit(X)
    once = model.predict(X)
    long = model.predict(X, horizon=25)
    assert long.shape == (14, 25, 5)
    np.testing.assert_array_equal(long[:, :10], once)
    extended = [np.concatenate([x, f]) for x, f in zip(X, once, strict=True)]
    np.testing.assert_allclose(long[:, 10:20], model.predict(extended), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(model.predict(X, horizon=4), once[:, :4])


def test_a_pickle_forecasts_the_same(X):
    model = forecaster(calibration_fraction=0.2).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.predict_interval(X)[0], model.predict_interval(X)[0])
