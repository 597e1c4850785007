"""Traits from connectivity: against scikit-learn and nilearn, and nothing learned from the test.

What X may be is recording_checks.py, run here on the transformers of recordings. The kernel ridge
regression itself is in test_kernel_ridge.py.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
import recording_checks
import sklearn
from nilearn.connectome import ConnectivityMeasure
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_score, cross_validate
from sklearn.utils.fixes import parse_version

from sklearn_brainlm import DataQualityWarning, InvalidRecordingError
from sklearn_brainlm.baselines.connectivity import ConnectivityFeatures
from sklearn_brainlm.baselines.connectome import (
    connectome_features,
    make_connectome,
    make_connectome_stack,
    make_pca,
    make_raw_series,
)
from sklearn_brainlm.baselines.kernel_ridge import KernelRidgeCV
from sklearn_brainlm.baselines.measures import (
    FirstTimepoints,
    GlobalSignalRegression,
    ParcelDeviation,
)
from sklearn_brainlm.baselines.stacking import KernelStackClassifier, KernelStackRegressor

N = 30
MEASURES = [
    ConnectivityFeatures(),
    ConnectivityFeatures("tangent", shrinkage=0.2),
    ConnectivityFeatures("tangent", shrinkage=0.2, reference="pooled"),
    ParcelDeviation(),
    FirstTimepoints(15),
    GlobalSignalRegression(),
]
REGRESSORS = {
    "ridge": make_connectome("ridge"),
    "kernel ridge": make_connectome("kernel_ridge", kind="partial correlation"),
    "tangent": make_connectome("svm", kind="tangent", global_signal=True),
    "network": make_connectome("mlp", random_state=0),
    "raw": make_raw_series(),
    "components": make_pca(n_components=3, random_state=0),
    "stack": make_connectome_stack(cv=3),
    "log stack": make_connectome_stack(cv=3, log_target=True),
}
CLASSIFIERS = {
    "ridge": make_connectome("ridge", classification=True),
    "kernel ridge": make_connectome("kernel_ridge", kind="tangent", classification=True),
    "svm": make_connectome("svm", kind="covariance", classification=True),
    "logistic": make_connectome("logistic", classification=True),
    "network": make_connectome("mlp", classification=True, random_state=0),
    "raw": make_raw_series("ridge", classification=True),
    "stack": make_connectome_stack(classification=True, cv=3),
}
CHECKS = [
    pytest.param(check, id=name, marks=marks)
    for name, (check, kinds, marks) in recording_checks.CHECKS.items()
    # Starting workers takes longer than all the rest; pipelines are pickled below.
    if kinds == recording_checks.ALL and "njobs" not in name
]


@pytest.fixture(scope="module")
def people():
    """Return recordings of 30 people of 5 sites, whose connectivity and variance follow age."""
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 80, N)
    made = []
    for years in age:
        n_timepoints = rng.integers(60, 80)
        shared = rng.normal(size=(n_timepoints, 1)) * [1, 1, 1, 0, 0, 0]
        own = rng.normal(size=(n_timepoints, 6))
        made.append(((shared * years / 40 + own) * (1 + years / 80)).astype(np.float32))
    return made, age, np.arange(N) % 5


def scores_of(model, X):
    """Return what a model says of recordings, as numbers."""
    if hasattr(model, "decision_function"):
        return model.decision_function(X)
    return model.predict_proba(X)[:, 1] if hasattr(model, "predict_proba") else model.predict(X)


# --- transformers --------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: type(m).__name__)
def test_recordings(measure, check, monkeypatch):
    out = lambda fitted, X, like=None: list(fitted.transform(X))  # noqa: E731
    monkeypatch.setattr(recording_checks, "output", out)
    if isinstance(measure, GlobalSignalRegression):  # recordings in, recordings out
        monkeypatch.setattr(recording_checks, "kinds_of", lambda estimator: {"scaler"})
    check(type(measure).__name__, measure)


@pytest.mark.filterwarnings("ignore:The default strategy for standardize:FutureWarning")
def test_correlation_is_that_of_nilearn(people):  # nilearn 0.13 warns of its own default
    X, _, _ = people
    expected = ConnectivityMeasure(
        kind="correlation", vectorize=True, discard_diagonal=True
    ).fit_transform(X)
    found = ConnectivityFeatures().fit_transform(X)
    # nilearn z-scores by n - 1, which leaves correlations as they are but not the shrinkage.
    np.testing.assert_allclose(found, expected, atol=1e-4)
    fisher = ConnectivityFeatures(fisher_z=True).fit_transform(X)
    np.testing.assert_allclose(np.tanh(fisher), found, atol=1e-6)


@pytest.mark.parametrize("reference", ["geometric", "pooled"])
def test_one_recording_has_a_tangent_vector(people, reference):
    X, _, _ = people
    measure = ConnectivityFeatures("tangent", reference=reference).fit(X)
    together = measure.transform(X)
    np.testing.assert_allclose(measure.transform(X[3]), together[3:4], atol=1e-5)
    np.testing.assert_allclose(clone(measure).fit_transform(X), together, atol=1e-5)
    # About the middle of the training recordings: a wrong reference is far from it.
    limit = 1e-4 if reference == "geometric" else 0.3
    assert np.abs(together.mean(axis=0)).max() < limit


def test_global_signal_is_gone_and_the_rest_stays(people):
    X, _, _ = people
    cleaned = GlobalSignalRegression().fit_transform(X)
    for before, after in zip(X, cleaned, strict=True):
        signal = before.mean(axis=1, keepdims=True)
        fit = LinearRegression().fit(signal, before)
        expected = before - fit.predict(signal) + before.mean(axis=0)
        np.testing.assert_allclose(after, expected, atol=1e-4)
    again = GlobalSignalRegression().fit_transform(cleaned)
    np.testing.assert_allclose(np.concatenate(again), np.concatenate(cleaned), atol=1e-4)


def test_first_timepoints_are_cut_or_filled_up(people):
    X, _, _ = people
    measure = FirstTimepoints().fit(X[:5])
    shortest = min(len(x) for x in X[:5])
    assert measure.n_timepoints_ == shortest
    row = measure.transform([X[0][:20]])[0].reshape(shortest, 6)
    np.testing.assert_array_equal(row[:20], X[0][:20])
    assert not row[20:].any()
    assert len(measure.get_feature_names_out()) == row.size


@pytest.mark.parametrize("kind", ["correlation", "partial correlation", "tangent"])
def test_constant_parcels(people, kind):
    X, _, _ = people
    broken = [X[0].copy(), *X[1:]]
    broken[0][:, 2] = 7.0
    for measure in (ConnectivityFeatures(kind), ParcelDeviation()):
        with pytest.warns(DataQualityWarning, match="constant"):
            features = measure.fit_transform(broken)
        assert np.isfinite(features).all()
    with pytest.warns(DataQualityWarning, match="constant") as caught:
        make_connectome_stack(cv=3).fit(broken, np.arange(N))
    assert len(caught) == 1
    flat = np.full((50, 6), 3.0)
    with pytest.raises(InvalidRecordingError, match="6 constant parcels of 6"):
        ConnectivityFeatures(kind).fit([*X, flat])


# --- stack ---------------------------------------------------------------------------------------


def test_stack_is_nonnegative_least_squares_of_held_out_predictions(people):
    X, age, site = people
    model = make_connectome_stack().fit(X, age, groups=site)
    assert set(model.ridges_) == {name for name, _ in connectome_features()}
    parts = [ridge.cv_predictions_[:, 0] for ridge in model.ridges_.values()]
    parts = np.column_stack(parts)
    expected, _ = nnls(parts - parts.mean(axis=0), age - age.mean())
    np.testing.assert_allclose(model.weights_[0], expected, atol=1e-8)
    assert (model.weights_ >= 0).all() and (model.weights_ > 0).any()
    # What a part predicts for a site was learned from the others.
    features = ParcelDeviation().fit_transform(X)
    alone = KernelRidgeCV().fit(features, age, groups=site)
    np.testing.assert_allclose(parts[:, -1], alone.cv_predictions_[:, 0], atol=1e-8)


def test_log_target_is_scored_in_years(people):
    X, age, site = people
    model = make_connectome_stack(log_target=True)
    model.fit(X[:20], age[:20], groups=site[:20])
    assert model.score(X[20:], age[20:]) == pytest.approx(r2_score(age[20:], model.predict(X[20:])))
    assert model.score(X[20:], age[20:]) > 0.5
    with pytest.raises(ValueError, match="numbers"):
        make_connectome_stack(log_target=True, classification=True)


def test_groups_reach_the_stack_in_cross_validation(people):
    X, age, site = people
    scores = {}
    for model in (make_connectome_stack(), make_connectome_stack(log_target=True)):
        routed = cross_val_score(
            model, X, age, groups=site, cv=GroupKFold(3), params={"groups": site}
        )
        train, test = next(iter(GroupKFold(3).split(X, groups=site)))
        by_hand = clone(model).fit([X[i] for i in train], age[train], groups=site[train])
        expected = by_hand.score([X[i] for i in test], age[test])
        scores[type(model)] = routed[0] == pytest.approx(expected)
    assert scores == {KernelStackRegressor: True, TransformedTargetRegressor: True}
    with pytest.raises(ValueError, match="one group"):
        make_connectome_stack().fit(X, age, groups=np.zeros(N))


def test_three_classes_and_probabilities(people):
    X, age, site = people
    labels = np.array(["young", "middle", "old"])[np.digitize(age, [40, 60])]
    model = make_connectome_stack(classification=True).fit(X, labels, groups=site)
    assert model.classes_.tolist() == ["middle", "old", "young"]
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert model.decision_function(X).shape == (N, 3)
    np.testing.assert_array_equal(model.predict(X), model.classes_[probabilities.argmax(axis=1)])
    assert model.score(X, labels) > 0.6


# --- every model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(people, name):
    X, age, _ = people
    model = clone(REGRESSORS[name]).fit(X[:24], age[:24])
    predicted = model.predict(X[24:])
    assert predicted.shape == (6,) and np.isfinite(predicted).all()
    if name in ("ridge", "kernel ridge", "stack", "log stack"):
        assert model.score(X[24:], age[24:]) > 0.2
    check_everything(model, X, age)
    with pytest.raises(ValueError, match="y contains NaN"):
        clone(model).fit(X, np.where(age > 50, np.nan, age))
    with pytest.raises(ValueError):
        clone(model).fit(X, age[:-1])


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(people, name):
    if name == "network" and parse_version(sklearn.__version__) < parse_version("1.9"):
        pytest.skip("scikit-learn 1.8 cannot stop a network early on labels that are words")
    X, age, _ = people
    labels = np.where(age > 50, "old", "young").astype(object)
    model = clone(CLASSIFIERS[name]).fit(X[:24], labels[:24])
    assert model.classes_.tolist() == ["old", "young"]
    assert set(model.predict(X[24:])) <= {"old", "young"}
    middle = 0 if hasattr(model, "decision_function") else 0.5
    np.testing.assert_array_equal(model.predict(X) == "young", scores_of(model, X) > middle)
    check_everything(model, X, labels)
    if name in ("kernel ridge", "svm", "stack"):  # the others are left to scikit-learn
        with pytest.raises(ValueError, match="class"):
            clone(model).fit(X, np.full(N, "old"))


def check_everything(model, X, y):
    """Check order, single recordings, pickles, refits, and that the test side is not learned."""
    out = scores_of(model, X[24:])
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(scores_of(restored, X[24:]), out)
    np.testing.assert_array_equal(scores_of(clone(model).fit(X[:24], y[:24]), X[24:]), out)
    np.testing.assert_allclose(scores_of(model, X[24:][::-1])[::-1], out, atol=1e-6)
    np.testing.assert_allclose(scores_of(model, X[25]), out[1:2], atol=1e-6)
    # Beside recordings of another world, a recording is what it was: nothing is learned in predict.
    other = [x[:, ::-1] * 100 + 5 for x in X[:3]]
    np.testing.assert_allclose(scores_of(model, [*other, X[24]])[3:], out[:1], atol=1e-6)
    with pytest.raises(InvalidRecordingError, match="transposed"):
        model.predict([X[0], np.ones((6, 60))])
    with pytest.raises(InvalidRecordingError, match="5 features"):
        model.predict([x[:, :5] for x in X[:2]])


def test_statistics_are_those_of_the_training_recordings(people):
    X, age, site = people
    train, test = next(iter(GroupKFold(5).split(X, groups=site)))
    inside = [X[i] for i in train]
    model = make_connectome("mlp", kind="tangent", random_state=0).fit(inside, age[train])
    measure = ConnectivityFeatures("tangent", shrinkage=0.2, reference="pooled")
    reference = measure.fit(inside).measure_.mean_
    np.testing.assert_allclose(model["connectivity"].measure_.mean_, reference)
    np.testing.assert_allclose(
        model["scale_features"].mean_, measure.transform(inside).mean(axis=0), atol=1e-5
    )
    everybody = clone(measure).fit(X).measure_.mean_
    assert np.abs(everybody - reference).max() > 1e-3  # a leak would be seen
    found = []
    for change in (1, 1000):  # of the recordings that are tested on
        changed = [x * change if i in set(test) else x for i, x in enumerate(X)]
        fitted = cross_validate(
            make_connectome_stack(), changed, age, cv=[(train, test)], return_estimator=True
        )["estimator"][0]
        found.append(np.concatenate([r.coef_.ravel() for r in fitted.ridges_.values()]))
    np.testing.assert_array_equal(*found)


def test_several_targets(people):
    X, age, _ = people
    Y = pd.DataFrame({"age": age, "minus": -age})
    for model in (make_connectome("ridge"), REGRESSORS["kernel ridge"], REGRESSORS["stack"]):
        predicted = clone(model).fit(X, Y).predict(X)
        alone = clone(model).fit(X, age).predict(X)
        assert predicted.shape == (N, 2)
        np.testing.assert_allclose(predicted, np.stack([alone, -alone], axis=1), atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_connectome("forest"), "estimator must be"),
        (lambda: make_connectome("logistic"), "classification=True"),
        (lambda: KernelStackRegressor([]).fit([np.eye(3)] * 6, range(6)), "pairs"),
        (lambda: ConnectivityFeatures().fit([np.arange(4.0)[:, None]]), "2 parcels"),
        (lambda: KernelStackClassifier(connectome_features()).fit([np.eye(3)] * 6, None), "y"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
