"""Resamples, tests and weighted scores of a comparison: against SciPy, scikit-learn and loops.

What `compare` does with them is test_evaluation.py.
"""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from sklearn_brainlm.comparison.inference import (
    correct_p_values,
    corrected_t_test,
    interval,
    paired_test,
    resample_weights,
    significance_stars,
)
from sklearn_brainlm.comparison.scores import SCORES, Predictions, score_all

RNG = np.random.default_rng(0)
N = 60


def amounts(n=N, n_folds=1):
    """Return predictions of amounts."""
    rng = np.random.default_rng(1)
    true = rng.normal(50, 10, n)
    rows, fold = np.arange(n), np.arange(n) % n_folds
    return Predictions(rows, rows, fold, true, true + rng.normal(0, 8, n))


def classes(n_classes, n=N, n_folds=1):
    """Return predictions of classes; scores have ties."""
    rng = np.random.default_rng(2)
    true = rng.integers(0, n_classes, n)
    scores = np.round(rng.normal(size=(n, n_classes)) + np.eye(n_classes)[true], 1)
    scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows, fold = np.arange(n), np.arange(n) % n_folds
    return Predictions(rows, rows, fold, true, scores.argmax(axis=1), scores)


def scikit_score(metric, made, weights=None):
    """Return the score of the library everybody trusts."""
    true, predicted, scores = made.true, made.predicted, made.scores
    if metric == "roc_auc":
        scores = scores[:, 1] if scores.shape[1] == 2 else scores
        return metrics.roc_auc_score(true, scores, multi_class="ovr", sample_weight=weights)
    if metric == "r":
        return np.corrcoef(true, predicted)[0, 1]
    if metric == "f1_macro":
        return metrics.f1_score(true, predicted, average="macro", sample_weight=weights)
    name = {"r2": "r2_score", "mse": "mean_squared_error"}.get(metric, metric)
    name += "_score" if metric in ("accuracy", "balanced_accuracy") else ""
    return getattr(metrics, name)(true, predicted, sample_weight=weights)


@pytest.mark.parametrize("metric", [m for m in SCORES if m != "scaled_mse"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_scikit_learn(metric, n_classes):
    is_amount = metric in ("r2", "mse", "mean_absolute_error", "r")
    made = amounts() if is_amount else classes(n_classes)
    assert score_all(made, metric) == pytest.approx(scikit_score(metric, made))
    weights = np.random.default_rng(3).integers(0, 3, N).astype(float)
    repeated = made.part(np.repeat(np.arange(N), weights.astype(int)))
    expected = scikit_score(metric, repeated)
    both = score_all(made, metric, np.stack([weights, np.ones(N)]))
    assert both == pytest.approx([expected, scikit_score(metric, made)])


def test_area_of_several_folds_compares_within_folds_only():
    made = classes(2, n_folds=3)
    parts = [made.part(made.fold == fold) for fold in range(3)]
    n_pairs = [np.sum(part.true == 0) * np.sum(part.true == 1) for part in parts]
    areas = [scikit_score("roc_auc", part) for part in parts]
    assert score_all(made, "roc_auc") == pytest.approx(np.average(areas, weights=n_pairs))
    shifted = made.scores + made.fold[:, None] * [0.0, 5.0]  # another origin in every fold
    moved = Predictions(*(getattr(made, n) for n in ("recording", "subject", "fold", "true",
                                                    "predicted")), shifted)  # fmt: skip
    assert score_all(moved, "roc_auc") == pytest.approx(score_all(made, "roc_auc"))


def test_training_means_do_not_correlate():
    true = np.repeat([1.0, 2.0, 3.0], 10) + np.random.default_rng(0).normal(size=30)
    fold = np.repeat(np.arange(3), 10)
    means = np.array([true[fold != f].mean() for f in range(3)])[fold]
    assert np.corrcoef(true, means)[0, 1] < -0.3  # what pooling over folds would report
    assert np.isnan(score_all(Predictions(fold, fold, fold, true, means), "r")).all()


def test_undefined_scores_are_nan():
    ones = np.ones(4)
    rows = np.arange(4)
    constant = Predictions(rows, rows, np.zeros(4), 0.1 * ones, 2 * ones)
    for metric in ("r2", "r", "scaled_mse"):
        assert np.isnan(score_all(constant, metric)).all()
    one_class = Predictions(rows, rows, rows * 0, rows * 0, rows * 0, np.ones((4, 2)))
    assert np.isnan(score_all(one_class, "roc_auc")).all()
    assert np.isnan(score_all(constant, "roc_auc")).all()  # nothing to rank by


def test_resamples_draw_whole_subjects():
    subjects = np.array([0, 0, 1, 2, 2, 2])
    weights = np.concatenate(list(resample_weights(subjects, 500, np.random.default_rng(0))))
    assert weights.shape == (500, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 5])
    per_subject = weights[:, [0, 2, 3]]
    np.testing.assert_array_equal(per_subject.sum(axis=1), 3)
    np.testing.assert_allclose(per_subject.mean(axis=0), 1, atol=0.1)


def test_strata_keep_their_size():
    strata = np.array(list("aabbbb"))
    (weights,) = resample_weights(np.arange(6), 50, np.random.default_rng(0), strata)
    np.testing.assert_array_equal(weights[:, :2].sum(axis=1), 2)
    np.testing.assert_array_equal(weights[:, 2:].sum(axis=1), 4)


def test_blocks_do_not_change_the_number_of_resamples(monkeypatch):
    monkeypatch.setattr("sklearn_brainlm.comparison.inference._MAX_VALUES", 7 * 10)
    blocks = list(resample_weights(np.arange(10), 20, np.random.default_rng(0)))
    assert [len(block) for block in blocks] == [7, 7, 6]


def test_interval_of_the_mean_has_its_coverage():
    covered = 0
    for repeat in range(200):
        rng = np.random.default_rng(repeat)
        values = rng.normal(size=50)
        means = [w @ values / 50 for w in resample_weights(np.arange(50), 400, rng)]
        low, high = interval(np.concatenate(means))
        covered += low < 0 < high
    assert 0.90 <= covered / 200 <= 0.99


def test_interval_leaves_undefined_resamples_out():
    values = np.r_[np.arange(101.0), np.nan]
    assert interval(values) == pytest.approx((2.5, 97.5))
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_uncorrected_t_test_is_that_of_scipy():
    differences = RNG.normal(0.3, 1, 8)
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert corrected_t_test(differences, [100] * 8, [0] * 8) == pytest.approx(expected)


def test_corrected_t_test_by_its_formula():
    differences = np.array([0.1, 0.2, np.nan, 0.15, -0.05, 0.1])
    n_train, n_test = np.full(6, 80), np.full(6, 20)
    known = differences[~np.isnan(differences)]
    t = known.mean() / np.sqrt((1 / 5 + 20 / 80) * known.var(ddof=1))
    expected = 2 * stats.t.sf(t, 4)
    assert corrected_t_test(differences, n_train, n_test) == pytest.approx(expected)
    # Training sets that overlap make folds agree: the correction can only be more cautious.
    assert expected > stats.ttest_1samp(known, 0).pvalue


def test_tests_of_nothing():
    assert np.isnan(corrected_t_test([0.2], [10], [5]))
    assert corrected_t_test([0.0, 0.0], [10, 10], [5, 5]) == 1.0
    assert corrected_t_test([0.1, 0.1], [10, 10], [5, 5]) == 0.0
    assert np.isnan(paired_test([0.2]))
    assert paired_test([0.0, 0.0, 0.0]) == 1.0


def test_paired_test_is_signed_rank():
    differences = RNG.normal(0.5, 1, 20)
    assert paired_test(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)
    spiked = differences.copy()
    spiked[np.argmax(differences)] *= 1000  # somebody moved
    assert paired_test(spiked) == pytest.approx(paired_test(differences))


def test_correction_is_that_of_benjamini_and_hochberg():
    p_values = np.array([0.01, np.nan, 0.02, 0.5, 0.03])
    n, known = 4, [0.01, 0.02, 0.03, 0.5]  # p * n / rank, made monotone from the largest down
    expected = np.minimum.accumulate([p * n / (i + 1) for i, p in enumerate(known)][::-1])[::-1]
    corrected = correct_p_values(p_values)
    assert np.isnan(corrected[1])
    np.testing.assert_allclose(corrected[[0, 2, 4, 3]], expected)
    assert np.isnan(correct_p_values([np.nan])).all()


def test_stars():
    assert [significance_stars(p) for p in (0.05, 0.049, 0.0099, 0.00099, np.nan)] == [
        "", "*", "**", "***", ""
    ]  # fmt: skip
