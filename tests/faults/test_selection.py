"""Rows 130 to 132: canaries of what is chosen, scored or cut before people are split.

Each is looked at twice, as in test_hygiene.py.
"""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_brainlm.baselines import LastValueForecaster
from sklearn_brainlm.comparison import folds, scores
from sklearn_brainlm.embedding_space import project_embeddings
from sklearn_brainlm.evaluation import compare, compare_forecasters

SINGS, IS_SILENT = True, False


QUICK = {"n_bootstrap": 20, "random_state": 0}
EACH = "each recording is a subject"


def r2_of(table, method="Model"):
    """Return R2 over all folds of a row."""
    rows = table.query("metric == 'r2' and setting == 'all'").set_index("method")
    return rows.loc[method, "value"]


class Shrunk(RegressorMixin, BaseEstimator):
    """Half of the mean label: what it predicts depends on where 0 is."""

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), 0.5 * self.mean_)


@pytest.mark.fault(130, "parameters chosen on test people", "a search is inside the folds, counted")
def test_fault_130_search(observe):
    rng = np.random.default_rng(0)
    n, n_choices = 30, 60
    X = [rng.standard_normal((5, n_choices)) for _ in range(n)]
    y, subject = rng.normal(size=n), [f"sub-{i}" for i in range(n)]

    class Column(RegressorMixin, BaseEstimator):
        """Linear model of one of very many columns of noise."""

        def __init__(self, which=0):
            self.which = which

        def fit(self, X, y):
            self.line_ = LinearRegression().fit(self._read(X), y)
            return self

        def predict(self, X):
            return self.line_.predict(self._read(X))

        def _read(self, X):
            return np.array([[x[0, self.which]] for x in X])

    choices = {"which": range(n_choices)}
    search = GridSearchCV(Column(), choices, cv=3)
    table = compare({"Model": search}, X, y, groups=subject, cv=5, **QUICK)
    assert bool(r2_of(table) > 0.05) is IS_SILENT
    rows = table.query("metric == 'r2' and setting == 'all' and method == 'Model'")
    assert (rows["n_trials"] == n_choices).all()  # the report says how much was tried
    # Without the guard, the best of them is chosen by the folds it is then scored on.
    outer = KFold(5)
    best = max(
        range(n_choices),
        key=lambda k: -np.sum((y - cross_val_predict(Column(k), X, y, cv=outer)) ** 2),
    )
    leaky = compare({"Model": Column(best)}, X, y, groups=subject, cv=outer, **QUICK)
    assert bool(r2_of(leaky) > 0.05) is SINGS
    observe(f"R2 {r2_of(table):.2f} with the search inside, {r2_of(leaky):.2f} chosen on the test")


@pytest.mark.fault(130, "a projection fitted on all", "its documentation says so")
def test_fault_130_projection(observe):
    text = " ".join(project_embeddings.__doc__.split())
    assert "learned from all embeddings it is given" in text
    assert "nothing may be chosen or scored" in text
    # It is so: the place of one depends on the others, whoever they are.
    embeddings = np.random.default_rng(0).standard_normal((20, 5))
    alone, other = project_embeddings(embeddings[:10]), project_embeddings(embeddings)[:10]
    assert not np.allclose(np.abs(alone), np.abs(other))
    observe("said in the documentation")


# --- scores --------------------------------------------------------------------------------------


@pytest.mark.fault(131, "tiny or constant fold", "R2 is NaN, with UndefinedMetricWarning")
def test_fault_131_undefined(observe, monkeypatch):
    X = list(np.random.default_rng(0).standard_normal((4, 10, 2)))
    y = np.array([1.0, 2.0, 3.0, 3.0])
    cv = [([0, 1], [2, 3]), ([2, 3], [0, 1]), ([1, 2, 3], [0])]  # constant, sound, of one
    given = {"groups": EACH, "cv": cv, **QUICK}
    model = {"Model": make_pipeline(FunctionTransformer(np.array), Shrunk())}
    with observe.warns(UndefinedMetricWarning, match="r2 is undefined in fold 0, 2") as caught:
        table = compare(model, X, y, **given)
    assert len(caught) == 1

    def values():
        rows = table.query("metric == 'r2' and method == 'Model'").set_index("setting")["value"]
        return rows[["fold 0", "fold 1", "fold 2"]].isna().tolist()

    assert values() == [True, False, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(model, X, y, groups=EACH, cv=[cv[1]], **QUICK)  # silent where it is defined

    # The guard taken away: a finite number in its place, as scikit-learn gives by default.
    def forced(made, weights):
        ss = np.sum((made.true - made.true.mean()) ** 2)
        error = weights @ (made.true - made.predicted) ** 2
        return 1 - error / ss if ss else np.zeros(len(weights))

    monkeypatch.setitem(scores.SCORES, "r2", forced)
    table = compare(model, X, y, **given)  # silent: the warning is gone
    assert (values() == [False, False, False]) is SINGS


# --- windows -------------------------------------------------------------------------------------


class Memory(LastValueForecaster):
    """Forecaster that looks its contexts up among all windows it has been trained on."""

    def _learn(self, recordings):
        n = self.context_length + self.horizon
        windows = [x[t : t + n] for x in recordings for t in range(len(x) - n + 1)]
        self.windows_ = np.stack(windows)

    def _forecast(self, contexts):
        known = self.windows_[:, : self.context_length].reshape(len(self.windows_), -1)
        asked = contexts.reshape(len(contexts), -1)
        nearest = ((asked[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
        return self.windows_[nearest, self.context_length :]


@pytest.mark.fault(132, "overlapping windows on both sides", "split by recording before windowing")
def test_fault_132_windows(observe):
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((60, 3)) for _ in range(6)]  # noise: nothing can be forecast
    given = {"steps": [(1, 2)], **QUICK}

    def r2(recordings, **how):
        table = compare_forecasters(
            {"Memory": Memory(context_length=8, horizon=2)}, recordings, **how, **given
        )
        return table.query("metric == 'r2' and setting == 'steps 1-2'")["value"].iloc[0]

    silent = r2(X, groups=np.arange(6), cv=3)
    assert bool(silent > 0) is IS_SILENT
    # Without the guard: windowed first, each window then said to be somebody of its own.
    windows = [x[t : t + 30] for x in X for t in range(0, 31, 5)]
    cv = KFold(3, shuffle=True, random_state=0)
    loud = r2(windows, groups=EACH, cv=cv)
    assert bool(loud > 0.2) is SINGS
    # With the recording they are of as their group, it is refused.
    whose = np.repeat(np.arange(6), 7)
    with observe.raises(ValueError, match="same subject is in training and test"):
        r2(windows, groups=whose, cv=cv)
    assert bool(r2(windows, groups=whose, cv=3) > 0) is IS_SILENT
    assert folds.GroupKFold is GroupKFold
    observe(f"R2 {silent:.2f} by recording, {loud:.2f} windowed before splitting")
