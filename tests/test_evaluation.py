"""Methods side by side: what the table says, checked by hand, and what is refused.

Classes are test_evaluation_classes.py, forecasts test_evaluation_forecasts.py, leakage is
test_leakage.py; the statistics themselves are test_inference.py.
"""

import joblib
import numpy as np
import pandas as pd
import pytest
from dask_cluster import two_workers
from scipy import stats
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_brainlm import DataQualityWarning
from sklearn_brainlm.evaluation import compare, format_comparison

SAID = "each recording is a subject"
SITE = np.arange(40) % 8
QUICK = {"n_bootstrap": 50, "random_state": 0}


@pytest.fixture(scope="module")
def cohort():
    """Return 40 recordings, the age that the coupling of two parcels follows, and the sex."""
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 60, 40)
    X = [rng.standard_normal((30, 5)) for _ in age]
    for recording, strength in zip(X, age / 20 - 1, strict=True):
        recording[:, 1] += strength * recording[:, 0]
    return X, age, np.where(age > 40, "M", "F")


def couplings(X):
    """Return the correlation of every pair of parcels."""
    return np.stack([np.corrcoef(x.T)[np.triu_indices(x.shape[1], 1)] for x in X])


def connectivity(model):
    """Return a model of functional connectivity."""
    return make_pipeline(FunctionTransformer(couplings), model)


def rows_of(table, metric, setting="all"):
    """Return the rows of a metric by method."""
    chosen = (table["metric"] == metric) & (table["setting"] == setting)
    return table[chosen].set_index("method")


@pytest.fixture(scope="module")
def age_table(cohort):
    X, age, _ = cohort
    estimators = {"Connectivity + ridge": connectivity(Ridge()),
                  "BrainLM": connectivity(Ridge(0.1))}  # fmt: skip
    covariates = {"Motion": np.random.default_rng(0).normal(size=40), "Site": SITE.astype(str)}
    return compare(
        estimators, X, age, groups=SITE, subjects=SAID, cv=4, covariates=covariates, **QUICK
    )


def test_table_is_tidy(age_table):
    methods = ["Dummy (mean)", "Motion only", "Site only", "Connectivity + ridge", "BrainLM"]
    assert list(age_table["method"].unique()) == methods
    assert set(age_table["setting"]) == {"all", *(f"fold {i}" for i in range(4))}
    assert not age_table.duplicated(["method", "metric", "setting"]).any()
    assert len(age_table) == 5 * 4 * 5
    summary = rows_of(age_table, "mse")
    assert (summary["n_test"] == 40).all() and (summary["n_train"] == 30).all()
    assert (summary["ci_low"] < summary["value"]).all()
    assert (summary["value"] < summary["ci_high"]).all()
    fold = rows_of(age_table, "mse", "fold 1")
    assert (fold["n_test"] == 10).all() and fold["ci_low"].isna().all()


def test_values_are_of_the_predictions_that_are_kept(age_table, cohort):
    _, age, _ = cohort
    frame = age_table.attrs["predictions"].frame
    for method, own in frame.groupby("method"):
        np.testing.assert_array_equal(own["true"], age[own["recording"]])
        assert sorted(own["recording"]) == list(range(40))
        value = rows_of(age_table, "r2").loc[method, "value"]
        assert value == pytest.approx(r2_score(own["true"], own["predicted"]))


def test_skill_is_against_dummy(age_table):
    for metric in ("r2", "mse", "mean_absolute_error"):
        skill = rows_of(age_table, metric)["skill"]
        error = rows_of(age_table, "mse" if metric == "r2" else metric)["value"]
        np.testing.assert_allclose(skill, 1 - error / error["Dummy (mean)"], atol=1e-12)
        assert skill["Connectivity + ridge"] > 0.4
    fold = rows_of(age_table, "mse", "fold 0")
    expected = 1 - fold["value"] / fold["value"]["Dummy (mean)"]
    np.testing.assert_allclose(fold["skill"], expected, atol=1e-12)


def test_tests_are_against_the_best_simple_row(age_table):
    summary = rows_of(age_table, "r2")
    assert summary.loc["BrainLM", "compared_with"] == "Connectivity + ridge"
    assert summary.loc["Connectivity + ridge", "compared_with"] == ""
    assert np.isnan(summary.loc["Connectivity + ridge", "p_value"])
    by_fold = pd.DataFrame({f: rows_of(age_table, "r2", f"fold {f}")["value"] for f in range(4)})
    differences = by_fold.loc["BrainLM"] - by_fold.loc["Connectivity + ridge"]
    t = differences.mean() / np.sqrt((1 / 4 + 10 / 30) * differences.var(ddof=1))
    expected = 2 * stats.t.sf(abs(t), 3)
    assert summary.loc["BrainLM", "p_value"] == pytest.approx(expected)
    assert summary.loc["BrainLM", "p_corrected"] == pytest.approx(expected)  # alone on trial
    simple = summary.loc[["Dummy (mean)", "Motion only", "Site only"]]
    expected = stats.false_discovery_control(simple["p_value"])
    np.testing.assert_allclose(simple["p_corrected"], expected)
    assert (simple["stars"] == "").all()  # worse, however surely
    assert rows_of(age_table, "mse")["p_value"].isna().all()


def test_difference_is_positive_for_the_better_row(age_table):
    r2, mse = rows_of(age_table, "r2"), rows_of(age_table, "mse")
    expected = r2["value"] - r2["value"]["Connectivity + ridge"]
    compared = r2["compared_with"] != ""
    np.testing.assert_allclose(r2["difference"][compared], expected[compared])
    expected = mse["value"]["Connectivity + ridge"] - mse["value"]
    np.testing.assert_allclose(mse["difference"][compared], expected[compared])
    within = r2[compared]
    assert (within["difference_low"] <= within["difference"]).all()
    assert (within["difference"] <= within["difference_high"]).all()


def test_intervals_are_over_subjects(cohort):
    _, age, _ = cohort
    model = {"Prior": (DummyRegressor(), np.zeros(40))}
    cv = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    once = rows_of(compare(model, None, age, groups=SAID, cv=cv, **QUICK), "mse")
    twice = [np.r_[part, part + 40] for fold in cv for part in fold]
    cv = [tuple(twice[:2]), tuple(twice[2:])]
    model = {"Prior": (DummyRegressor(), np.zeros(80))}
    age, subject = np.tile(age, 2), np.tile(np.arange(40), 2)
    again = rows_of(compare(model, None, age, groups=subject, cv=cv, **QUICK), "mse")
    # The same people twice are no new people: the interval must not shrink by sqrt(2).
    for bound in ("ci_low", "ci_high"):
        np.testing.assert_allclose(again[bound], once[bound])


def test_baseline_names_the_reference(cohort):
    X, age, _ = cohort
    given = {"A": connectivity(Ridge()), "B": connectivity(Ridge(10))}
    table = compare(given, X, age, groups=SAID, baseline="Dummy (mean)", **QUICK)
    assert rows_of(table, "r2").loc["A", "compared_with"] == "Dummy (mean)"
    p_value = rows_of(table, "r2")["p_value"]
    expected = stats.false_discovery_control(p_value[["A", "B"]])
    np.testing.assert_allclose(rows_of(table, "r2")["p_corrected"][["A", "B"]], expected)
    with pytest.raises(ValueError, match="baseline names 'C'"):
        compare(given, X, age, groups=SAID, baseline=["C"], **QUICK)


def test_whole_numbers_are_what_the_estimators_take_them_for(cohort):
    X, age, _ = cohort
    years = age.astype(int)
    table = compare({"Ridge": connectivity(Ridge())}, X, years, groups=SAID, **QUICK)
    assert "r2" in set(table["metric"])
    with pytest.raises(ValueError, match="is a classifier and 'Ridge' a regressor"):
        compare({"Ridge": Ridge(), "Dummy": DummyClassifier()}, X, years, groups=SAID, **QUICK)


def test_missing_labels_are_left_out(cohort):
    X, age, _ = cohort
    y = age.copy()
    y[[3, 20]] = np.nan
    cv = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    kept = np.setdiff1d(np.arange(40), [3, 20])
    inside = [(kept[kept < 20], kept[kept >= 20]), (kept[kept >= 20], kept[kept < 20])]
    model = {"Ridge": connectivity(Ridge())}
    with pytest.warns(DataQualityWarning, match="2 of 40 recordings have no label"):
        table = compare(model, X, y, groups=SAID, cv=cv, **QUICK)
    expected = compare(model, X, age, groups=SAID, cv=inside, **QUICK)
    assert rows_of(table, "r2")["value"].equals(rows_of(expected, "r2")["value"])
    sex = pd.Series(np.where(age > 40, "M", "F"), dtype=object)
    sex[5] = None
    with pytest.warns(DataQualityWarning, match="1 of 40"):
        table = compare({"Prior": DummyClassifier()}, X, sex, groups=SITE, **QUICK)
    assert 5 not in set(table.attrs["predictions"].frame["recording"])


def test_losing_to_connectivity_is_loud(cohort):
    X, age, _ = cohort
    given = {"Connectivity + ridge": connectivity(Ridge()), "BrainLM": connectivity(Ridge(1e6))}
    with pytest.warns(UserWarning, match=r"'BrainLM' \(-0\.\d+\) did not beat 'Connectivity \+"):
        compare(given, X, age, groups=SAID, **QUICK)
    with pytest.warns(UserWarning, match="in mse"):  # where less is better
        compare(given, X, age, groups=SAID, scoring="mse", **QUICK)
    better = {"Connectivity + ridge": given["BrainLM"], "BrainLM": given["Connectivity + ridge"]}
    compare(better, X, age, groups=SAID, **QUICK)  # warnings are errors


def test_search_says_how_many_trials_it_had(cohort):
    X, age, _ = cohort
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1, 10]}, cv=2)
    table = compare({"Search": connectivity(search)}, X, age, groups=SAID, **QUICK)
    assert rows_of(table, "r2")["n_trials"].to_dict() == {"Dummy (mean)": 1, "Search": 3}


@pytest.mark.parametrize("n_jobs", [2])
def test_jobs_do_not_change_scores(cohort, age_table, n_jobs):
    X, age, _ = cohort
    model = {"Ridge": connectivity(Ridge())}
    with joblib.parallel_config(backend="threading"):
        tables = [compare(model, X, age, groups=SITE, n_jobs=n, **QUICK) for n in (None, n_jobs)]
    pd.testing.assert_frame_equal(*(table.drop(columns="cpu_seconds") for table in tables))


def test_tables_can_be_joined(age_table):
    other = age_table.copy()
    joined = pd.concat([age_table.assign(target="age"), other.assign(target="iq")])
    assert len(joined) == 2 * len(age_table)
    assert other.attrs["predictions"] is age_table.attrs["predictions"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": None}, "say groups='each recording is a subject'"),
        ({"groups": "all different"}, "'all different' is not understood"),
        ({"groups": np.arange(39)}, r"groups has shape \(39,\)"),
        ({"groups": [None, *range(39)]}, r"missing for 1 recordings, the first of them X\[0\]"),
        ({"subjects": np.r_[np.nan, np.arange(39)]}, "subjects is missing for 1"),
        ({"y": np.zeros((40, 2))}, "Compare one target at a time"),
        ({"y": np.ones(40)}, "not two different ones"),
        ({"y": np.r_[np.inf, np.arange(39.0)]}, "infinity"),
        ({"y": np.array(list("ab") * 20)}, "is a regressor, and y has values like"),
        ({"X": np.zeros((40, 5))}, "is one recording"),
        ({"X": [np.ones((5, 2))] * 39}, "X has 39 recordings, there are 40 labels"),
        ({"X": None}, "X is None"),
        ({"estimators": {}}, "estimators is a dict"),
        ({"estimators": {"Dummy (mean)": Ridge()}}, "is added by compare"),
        ({"estimators": {"A": (Ridge(), np.ones(39))}}, "features of 'A' have shape"),
        ({"scoring": "accuracy"}, "scoring must be one of"),
        ({"protocol": "holdout"}, "protocol must be one of"),
        ({"cv": []}, "cv gives no fold"),
        ({"cv": [(np.arange(40), [])]}, "0 to test on"),
        ({"cv": [([0, 1], [40])]}, "cv gives position 40; there are 40"),
        ({"cv": [([0.5], [1])]}, "pairs"),
    ],
)  # fmt: skip
def test_what_is_refused(cohort, change, message):
    X, age, _ = cohort
    given = {"estimators": {"Ridge": Ridge()}, "X": X, "y": age, "groups": SAID, **QUICK, **change}
    with pytest.raises(ValueError, match=message):
        compare(given.pop("estimators"), given.pop("X"), given.pop("y"), **given)


def test_predictions_that_cannot_be_scored(cohort):
    _, age, sex = cohort

    class Broken(Ridge):
        def predict(self, X):
            return np.full((len(X), 2), np.nan)

    class Infinite(Ridge):
        def predict(self, X):
            return np.full(len(X), np.nan)

    class Invented(DummyClassifier):
        def predict(self, X):
            return np.full(len(X), "?")

    for model, y, message in (
        (Broken(), age, "one value for each of 8"),
        (Infinite(), age, "not finite"),
        (Invented(), sex, "no class of y"),
    ):
        with pytest.raises(ValueError, match=message):
            compare({"A": (model, np.ones(40))}, None, y, groups=SAID, **QUICK)


def test_text_of_a_comparison(age_table, cohort, capsys):
    X, age, _ = cohort
    text = format_comparison(age_table)
    lines = text.splitlines()
    assert len({line.index("]") for line in lines[2:7]}) == 1  # aligned
    assert [line[:12] for line in lines[2:4]] == ["Dummy (mean)", "Motion only "]
    assert "better by: than Connectivity + ridge" in text
    compare({"Ridge": connectivity(Ridge())}, X, age, groups=SAID, verbose=1, **QUICK)
    assert "Dummy (mean)" in capsys.readouterr().out


@pytest.mark.slow
def test_dask_does_not_change_scores(cohort):
    X, age, _ = cohort
    model = {"Ridge": connectivity(Ridge()), "Connectivity + search": connectivity(
        GridSearchCV(Ridge(), {"alpha": [1, 10]}, cv=2))}  # fmt: skip
    folds = list(GroupKFold(4).split(X, age, SITE))
    here = compare(model, X, age, groups=SITE, cv=folds, **QUICK)
    with two_workers():
        there = compare(model, X, age, groups=SITE, cv=folds, **QUICK)
    pd.testing.assert_frame_equal(*(t.drop(columns="cpu_seconds") for t in (here, there)))
