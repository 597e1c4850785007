"""Classes side by side, and the protocol of Brainmarks: checked by hand.

Amounts, and what both have in common, are test_evaluation.py.
"""

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sklearn_brainlm import evaluation
from sklearn_brainlm.evaluation import compare

SAID = "each recording is a subject"
SITE = np.arange(40) % 8
QUICK = {"n_bootstrap": 50, "random_state": 0}


def couplings(X):
    """Return the correlation of every pair of parcels."""
    return np.stack([np.corrcoef(x.T)[np.triu_indices(x.shape[1], 1)] for x in X])


def connectivity(model):
    """Return a model of functional connectivity."""
    return make_pipeline(FunctionTransformer(couplings), model)


@pytest.fixture(scope="module")
def cohort():
    """Return 40 recordings, the age that the coupling of two parcels follows, and the sex."""
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 60, 40)
    X = [rng.standard_normal((30, 5)) for _ in age]
    for recording, strength in zip(X, age / 20 - 1, strict=True):
        recording[:, 1] += strength * recording[:, 0]
    return X, age, np.where(age > 40, "M", "F")


def rows_of(table, metric, setting="all"):
    """Return the rows of a metric by method."""
    chosen = (table["metric"] == metric) & (table["setting"] == setting)
    return table[chosen].set_index("method")


def test_classification(cohort):
    X, _, sex = cohort
    given = {"Connectivity + logistic": connectivity(LogisticRegression()),
             "Connectivity + SVM": connectivity(LinearSVC())}  # fmt: skip
    table = compare(given, X, sex, groups=SAID, **QUICK)
    assert set(table["metric"]) == {"roc_auc", "balanced_accuracy", "f1_macro"}
    auc = rows_of(table, "roc_auc")
    assert auc.loc["Dummy (prior)", "value"] == 0.5
    assert (auc["value"].drop("Dummy (prior)") > 0.7).all()
    np.testing.assert_allclose(auc["skill"], (auc["value"] - 0.5) / 0.5)
    frame = table.attrs["predictions"].frame.query("method == 'Connectivity + logistic'")
    value = rows_of(table, "f1_macro").loc["Connectivity + logistic", "value"]
    assert value == pytest.approx(f1_score(frame["true"], frame["predicted"], average="macro"))
    np.testing.assert_allclose(frame["score F"] + frame["score M"], 1)


@pytest.mark.parametrize("labels", [[0, 1, 2], [True, False], ["a", "b", "c"]], ids=str)
def test_classes_of_any_kind(cohort, labels):
    X, age, _ = cohort
    y = np.array(labels)[
        np.digitize(age, np.quantile(age, np.linspace(0, 1, len(labels) + 1)[1:-1]))
    ]
    given = {"Connectivity + logistic": connectivity(LogisticRegression())}
    table = compare(given, X, y.tolist(), groups=SAID, **QUICK)
    assert rows_of(table, "roc_auc").loc["Connectivity + logistic", "value"] > 0.7
    assert table.attrs["predictions"].frame["predicted"].isin(labels).all()


def test_a_class_that_training_has_not_seen(cohort):
    X, _, _ = cohort
    y = np.array(["a", "b"] * 19 + ["c", "c"])
    cv = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    model = {"Logistic": connectivity(LogisticRegression())}
    with pytest.warns(UndefinedMetricWarning, match="roc_auc is undefined in fold 1"):
        table = compare(model, X, y, groups=SAID, cv=cv, **QUICK)
    frame = table.attrs["predictions"].frame.query("method == 'Logistic' and fold == 0")
    assert (frame["score c"] < frame[["score a", "score b"]].min(axis=1)).all()


def test_brainmarks_protocol_by_hand(cohort):
    X, _, sex = cohort
    tokens = np.stack([np.corrcoef(x.T) for x in X])  # (n_recordings, n_tokens, n_features)
    rows = {"Connectivity": ("passthrough", np.triu(np.ones((40, 5))) * tokens.mean(axis=1))}
    rows["Tokens"] = FunctionTransformer(lambda X: np.stack([np.corrcoef(x.T) for x in X]))
    table = compare(rows, X, sex, groups=SITE, protocol="brainmarks-logistic", **QUICK)
    frame = table.attrs["predictions"].frame.query("method == 'Tokens'")
    test = frame["recording"].to_numpy()
    train = np.setdiff1d(np.arange(40), test)
    assert not set(SITE[train]) & set(SITE[test])
    readout = LogisticRegressionCV(
        Cs=10, cv=5, max_iter=1000, l1_ratios=(0,), use_legacy_attributes=False,
        scoring=lambda model, X, y: f1_score(y, model.predict(X), average="macro"),
    )  # fmt: skip
    model = make_pipeline(StandardScaler(), readout).fit(tokens.mean(axis=1)[train], sex[train])
    predicted = model.predict(tokens.mean(axis=1)[test])
    np.testing.assert_array_equal(frame["predicted"], predicted)
    value = {m: rows_of(table, m).loc["Tokens", "value"] for m in ("accuracy", "f1_macro")}
    assert value["accuracy"] == pytest.approx(accuracy_score(sex[test], predicted))
    assert value["f1_macro"] == pytest.approx(f1_score(sex[test], predicted, average="macro"))
    assert table["p_value"].isna().all()
    splitter = StratifiedGroupKFold(4)
    with pytest.raises(ValueError, match="cv gives 4 splits"):
        compare(rows, X, sex, groups=SITE, cv=splitter, protocol="brainmarks-logistic", **QUICK)


def test_brainmarks_tests_on_a_fifth_with_500_bootstraps(cohort, monkeypatch):
    X, _, sex = cohort
    tables = []

    def tabulate(made, results, metrics, candidates, simple, n_bootstrap, seed, strata):
        tables.append((n_bootstrap, strata))
        return whole(made, results, metrics, candidates, simple, 50, seed, strata)

    whole = evaluation.tabulate
    monkeypatch.setattr(evaluation, "tabulate", tabulate)
    rows = {"Connectivity": FunctionTransformer(couplings)}
    table = compare(rows, X, sex, groups=SAID, protocol="brainmarks-logistic", **QUICK)
    assert (table["n_test"] == 8).all() and (table["n_train"] == 32).all()
    ((n_bootstrap, strata),) = tables
    assert n_bootstrap == 500  # whatever n_bootstrap says
    frame = table.attrs["predictions"].frame.query("method == 'Connectivity'")
    np.testing.assert_array_equal(np.unique(sex)[strata], frame["true"])  # within classes
