"""Rows 125 to 129: canaries that sing when test people reach the training side.

Each is looked at twice: it is silent as the package is, and it sings when the guard is taken away.
"""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from training_run import SMALL

from sklearn_brainlm import BrainLMTransformer, _base, evaluation
from sklearn_brainlm.evaluation import compare
from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.targets import TargetScaler

N_SUBJECTS = 16
SUBJECT = np.repeat([f"sub-{i:02d}" for i in range(N_SUBJECTS)], 2)
EACH = "each recording is a subject"
QUICK = {"n_bootstrap": 20, "random_state": 0}
SINGS, IS_SILENT = True, False


@pytest.fixture
def cohort():
    """Return two recordings (40, 4) of each subject, and labels that have nothing to do with them.

    The first value of a recording tells its subject, the second its family of two subjects.
    """
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((40, 4)).astype(np.float32) for _ in SUBJECT]
    for position, recording in enumerate(X):
        recording[0, :2] = position // 2, position // 4
    return X, np.repeat(rng.normal(50, 10, N_SUBJECTS), 2)


def value_of(which):
    """Return a predictor that recognises recordings by one of their first values."""
    read = FunctionTransformer(lambda X: np.array([[x[0, which]] for x in X]))
    return make_pipeline(read, KNeighborsRegressor(1))


def r2_of(table, method="Model"):
    """Return R2 over all folds of a row."""
    rows = table.query("metric == 'r2' and setting == 'all'").set_index("method")
    return rows.loc[method, "value"]


def without_check(monkeypatch, splitter):
    """Let folds be those of a splitter that knows no people, and nobody look."""

    def make_folds(cv, y, groups, subjects, kept=None):
        return list(splitter.split(np.zeros((len(y), 1)), y))

    monkeypatch.setattr(evaluation, "make_folds", make_folds)


# --- scaling -------------------------------------------------------------------------------------


def scaling_canary(X):
    """Put 1e6 into the recordings of a test fold: does what is learned from the others change?"""
    train, test = next(GroupKFold(4).split(X, groups=SUBJECT))
    huge = [x.copy() for x in X]
    for position in test:
        huge[position][1:] = 1e6 * huge[position][1:]
    made = []
    for recordings in (X, huge):
        model = BrainLMTransformer(**{**SMALL, "max_epochs": 1})
        own = [recordings[i] for i in train]
        model.fit(own, groups=SUBJECT[train])
        made.append((model.transform(own), model.scaler_.scale_, model.net_.get_weights()))
    same = [np.array_equal(one, other) for one, other in zip(made[0][:2], made[1][:2], strict=True)]
    same += [np.array_equal(made[0][2][name], made[1][2][name]) for name in made[0][2]]
    return not all(same), model, train


@pytest.mark.fault(125, "scaler leak", "fitted on training recordings only; canary of 1e6")
def test_fault_125_scaler(cohort, observe, monkeypatch):
    X, _ = cohort
    sings, model, train = scaling_canary(X)
    assert sings is IS_SILENT
    # Whose recordings the scaling, and all else, was learned from is recorded.
    assert model.trained_on_["subjects"] == sorted(set(SUBJECT[train]))

    fit = RecordingScaler.fit
    everything = {}

    def fit_on_all(self, recordings, y=None):
        """The leak: a scaler that has seen the test recordings too."""
        return fit(self, everything["X"])

    monkeypatch.setattr(RecordingScaler, "fit", fit_on_all)
    outcomes = []
    for factor in (1.0, 1e6):
        _, test = next(GroupKFold(4).split(X, groups=SUBJECT))
        everything["X"] = [x * factor if i in test else x for i, x in enumerate(X)]
        model = BrainLMTransformer(**{**SMALL, "max_epochs": 1}).fit([X[i] for i in train])
        outcomes.append(model.transform([X[i] for i in train]))
    assert (not np.array_equal(*outcomes)) is SINGS
    assert _base.RecordingScaler is RecordingScaler  # what was taken away is what estimators use
    observe("silent; sings when the scaler sees all recordings")


@pytest.mark.fault(125, "scaler leak in a comparison", "a clone is fitted in each fold")
def test_fault_125_folds_of_a_comparison(cohort, observe):
    X, y = cohort
    seen = []

    class Spy(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            seen.append({int(x[0, 0]) for x in X})
            return self

        def transform(self, X):
            return np.array([[x.std()] for x in X])

    compare({"Model": make_pipeline(Spy(), LinearRegression())}, X, y, groups=SUBJECT, **QUICK)
    folds = list(GroupKFold(5).split(X, y, SUBJECT))
    assert seen == [set((train // 2).tolist()) for train, _ in folds]
    observe(f"{len(seen)} fits, each of its training side")


# --- people --------------------------------------------------------------------------------------


@pytest.mark.fault(126, "subject leak across folds", "R2 of a fingerprint is 0; KFold is refused")
def test_fault_126_subjects(cohort, observe, monkeypatch):
    X, y = cohort
    canary = {"Model": value_of(0)}
    silent = r2_of(compare(canary, X, y, groups=SUBJECT, **QUICK))
    assert bool(silent > 0.2) is IS_SILENT
    kfold = KFold(5, shuffle=True, random_state=0)
    with observe.raises(ValueError, match="same subject is in training and test of fold 0"):
        compare(canary, X, y, groups=SUBJECT, cv=kfold, **QUICK)
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        compare(canary, X, y, **QUICK)
    without_check(monkeypatch, kfold)
    loud = r2_of(compare(canary, X, y, groups=SUBJECT, **QUICK))
    assert bool(loud > 0.2) is SINGS
    observe(f"R2 {silent:.2f} by groups, {loud:.2f} with KFold and no check")


class Pretrained(RegressorMixin, BaseEstimator):
    """Regressor whose weights remember whom they were pretrained on."""

    def __init__(self, subjects=()):
        self.subjects = subjects

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        self.trained_on_ = {"subjects": list(self.subjects)}
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


def pretraining_canary(X, y):
    """Test weights on people they were pretrained on: does anything say so?"""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compare({"BrainLM": Pretrained(["sub-03", "04"])}, X, y, groups=SUBJECT, **QUICK)
    return [str(w.message) for w in caught if "pretrained on" in str(w.message)]


@pytest.mark.fault(127, "pretraining leak", "UserWarning naming row and subjects")
def test_fault_127_pretraining(cohort, observe, monkeypatch):
    X, y = cohort
    (said,) = pretraining_canary(X, y)
    assert "'BrainLM' is tested on 2 subjects" in said and "sub-03, sub-04" in said
    observe(f"UserWarning: {said[:80]}")
    compare({"BrainLM": Pretrained(["sub-99"])}, X, y, groups=SUBJECT, **QUICK)  # silent
    monkeypatch.setattr(evaluation, "warn_of_pretraining", lambda results: None)
    assert not pretraining_canary(X, y)  # what the canary is there for: nothing else would say it


def target_canary(model, X, y):
    """Change the labels of the test people: do predictions of them change?"""
    cv = list(GroupKFold(4).split(X, y, SUBJECT))
    train, test = cv[0]
    changed = y.copy()
    changed[test] = 1 + 0.01 * np.arange(len(test))
    made = []
    for labels in (y, changed):
        table = compare({"Model": clone(model)}, X, labels, groups=SUBJECT, cv=[cv[0]], **QUICK)
        frame = table.attrs["predictions"].frame.query("method == 'Model'")
        made.append(frame.sort_values("recording")["predicted"].to_numpy())
    return not np.allclose(*made)


@pytest.mark.fault(128, "target transform learned on all", "fitted on training labels only")
@pytest.mark.parametrize("method", ["zscore", "minmax", "log_minmax"])
def test_fault_128_targets(cohort, observe, monkeypatch, method):
    X, y = cohort
    model = TransformedTargetRegressor(
        value_of(0), transformer=TargetScaler(method), check_inverse=False
    )
    assert target_canary(model, X, y) is IS_SILENT
    fit, scaled = TargetScaler.fit, {}

    def run(labels):
        """The leak: labels are scaled before they are split."""
        everything = fit(TargetScaler(method), np.asarray(labels).reshape(-1, 1))
        scaled["scaler"] = everything
        return everything

    def fit_on_all(self, labels, *args, **kwargs):
        vars(self).update(vars(scaled["scaler"]))
        return self

    check_y = evaluation.check_y
    monkeypatch.setattr(TargetScaler, "fit", fit_on_all)
    monkeypatch.setattr(evaluation, "check_y", lambda labels: (run(labels), check_y(labels))[1])
    ridge = make_pipeline(FunctionTransformer(lambda X: np.ones((len(X), 1))), Shrunk())
    leaky = TransformedTargetRegressor(ridge, transformer=TargetScaler(method), check_inverse=False)
    assert target_canary(leaky, X, y) is SINGS
    monkeypatch.undo()
    assert target_canary(leaky, X, y) is IS_SILENT
    observe(f"{method}: silent; sings when labels are scaled before they are split")


class Shrunk(RegressorMixin, BaseEstimator):
    """Half of the mean label: what it predicts depends on where 0 is."""

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), 0.5 * self.mean_)


@pytest.mark.fault(129, "families and sites on both sides", "groups may be families; documented")
def test_fault_129_families(cohort, observe):
    X, _ = cohort
    family = np.repeat(np.arange(N_SUBJECTS // 2), 4)  # twins
    y = np.random.default_rng(1).normal(50, 10, N_SUBJECTS // 2)[family]  # what runs in families
    canary = {"Model": value_of(1)}
    by_family = compare(canary, X, y, groups=family, subjects=SUBJECT, cv=4, **QUICK)
    assert bool(r2_of(by_family) > 0.2) is IS_SILENT
    # Without the guard, people are kept apart and their twins are not.
    rng = np.random.default_rng(0)
    fold_of = rng.permutation(N_SUBJECTS)[np.arange(len(X)) // 2] % 4
    cv = [(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in range(4)]
    by_subject = compare(canary, X, y, groups=SUBJECT, cv=cv, **QUICK)
    assert bool(r2_of(by_subject) > 0.2) is SINGS
    with observe.raises(ValueError, match="same group is in training and test"):
        compare(canary, X, y, groups=family, subjects=SUBJECT, cv=cv, **QUICK)
    assert "family or site" in compare.__doc__
    observe(f"R2 {r2_of(by_family):.2f} by family, {r2_of(by_subject):.2f} by subject")
