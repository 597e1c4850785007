"""Scores of masked and future activity against numpy, scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import mean_squared_error, r2_score

from sklearn_brainlm.metrics import (
    masked_mse,
    masked_r,
    masked_r2,
    masked_sums,
    mse_per_timepoint,
    r2_per_timepoint,
    r_per_timepoint,
)


@pytest.fixture
def windows():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3, 8, 5)).astype(np.float32)
    predicted = (0.6 * true + 0.5 * rng.normal(size=true.shape)).astype(np.float32)
    return true, predicted, rng.random(true.shape) < 0.4


def test_one_window_agrees_with_scikit_learn_and_scipy(windows):
    true, predicted, masked = (side[0] for side in windows)
    a, b = true[masked].astype(float), predicted[masked].astype(float)
    assert masked_r2(true, predicted, masked) == pytest.approx(r2_score(a, b))
    assert masked_r(true, predicted, masked) == pytest.approx(pearsonr(a, b).statistic)
    assert masked_mse(true, predicted, masked) == pytest.approx(mean_squared_error(a, b))


def test_windows_are_pooled_about_their_own_means(windows):
    true, predicted, masked = windows
    true, predicted = true.copy(), predicted.copy()
    true[1] += 100
    predicted[1] += 100
    sse = ss = 0.0
    for a, b, where in zip(true, predicted, masked, strict=True):
        a, b = a[where].astype(float), b[where].astype(float)
        sse, ss = sse + np.sum((a - b) ** 2), ss + np.sum((a - a.mean()) ** 2)
    assert masked_r2(true, predicted, masked) == pytest.approx(1 - sse / ss)
    # Knowing the level of a window is worth nothing: r is that of windows without it.
    centred = [
        np.stack([w - w[m].mean() for w, m in zip(x, masked, strict=True)])[masked]
        for x in (true.astype(float), predicted.astype(float))
    ]
    assert masked_r(true, predicted, masked) == pytest.approx(pearsonr(*centred).statistic)


def test_sums_pool_to_the_score_of_any_group(windows):
    true, predicted, masked = windows
    sse, ss = masked_sums(true, predicted, masked)
    assert sse.shape == ss.shape == (3,)
    group = [0, 2]
    expected = masked_r2(true[group], predicted[group], masked[group])
    assert 1 - sse[group].sum() / ss[group].sum() == pytest.approx(expected)


def test_lists_of_unequal_windows_are_scored(windows):
    true, predicted, masked = ([side[0], side[1, :5]] for side in windows)
    assert len(masked_sums(true, predicted, masked)[0]) == 2
    together = masked_mse(true, predicted, masked)
    n_values = [where.sum() for where in masked]
    apart = [masked_mse(a, b, m) for a, b, m in zip(true, predicted, masked, strict=True)]
    assert together == pytest.approx(np.average(apart, weights=n_values))


def test_a_bad_prediction_is_not_clamped(windows):
    true, _, masked = windows
    assert masked_r2(true, -true, masked) < -2
    assert masked_r(true, -true, masked) == pytest.approx(-1)
    assert masked_r2(true, true, masked) == 1


def test_values_that_are_not_masked_do_not_count(windows):
    true, predicted, masked = windows
    changed = np.where(masked, predicted, np.nan)
    assert masked_r2(true, changed, masked) == masked_r2(true, predicted, masked)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6 + 0.3])
def test_constant_truth_is_undefined(level):
    true = np.full((5, 3), level)
    predicted = np.random.default_rng(1).normal(size=(5, 3))
    everything = np.ones((5, 3), dtype=bool)
    with pytest.warns(UndefinedMetricWarning, match="masked_r2"):
        assert np.isnan(masked_r2(true, predicted, everything))
    with pytest.warns(UndefinedMetricWarning, match="masked_r "):
        assert np.isnan(masked_r(predicted, true, everything))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, p, m: (t, p[:2], m), "numbers of windows: 3, 2 and 3"),
        (lambda t, p, m: (t, p[:, :4], m), "Window 0.*shapes"),
        (lambda t, p, m: (t, p, m.astype(int)), "must be boolean"),
        (lambda t, p, m: (t, p, m & False), "nothing to score"),
        (lambda t, p, m: (t, p * np.nan, m), "not finite"),
        (lambda t, p, m: ([], [], []), "one at least"),
    ],
)
def test_what_cannot_be_scored_is_named(windows, change, message):
    with pytest.raises(ValueError, match=message):
        masked_r2(*change(*windows))


def test_each_timepoint_of_a_forecast_is_scored_on_its_own(windows):
    true, predicted, _ = windows
    everything = np.ones((3, 1, 5), dtype=bool)
    scores = [
        (r2_per_timepoint, masked_r2),
        (r_per_timepoint, masked_r),
        (mse_per_timepoint, masked_mse),
    ]
    for per_timepoint, score in scores:
        values = per_timepoint(true, predicted)
        assert values.shape == (8,)
        at_6 = score(true[:, 6:7], predicted[:, 6:7], everything)
        assert values[6] == pytest.approx(at_6)
    np.testing.assert_allclose(
        mse_per_timepoint(true[0], predicted[0]),
        ((true[0] - predicted[0]) ** 2).mean(axis=1),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="one shape"):
        r2_per_timepoint(true, predicted[:, :4])
