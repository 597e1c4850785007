"""Canaries: each sings if something of the test side reaches the training side.

A canary is a model that would do well, or a spy that would see too much, if a guard were gone.
What `compare` reports otherwise is test_evaluation.py.
"""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_brainlm.baselines import LastValueForecaster, MeanForecaster
from sklearn_brainlm.evaluation import compare, compare_forecasters
from sklearn_brainlm.targets import TargetScaler

N_SUBJECTS, N_PARCELS = 12, 4
SUBJECT = np.repeat([f"sub-{i:02d}" for i in range(N_SUBJECTS)], 2)
QUICK = {"n_bootstrap": 20, "random_state": 0}
SEEN = []  # what spies were fitted on, in the order of the fits


@pytest.fixture(autouse=True)
def nothing_seen():
    """Forget what spies saw before."""
    SEEN.clear()


@pytest.fixture
def cohort():
    """Return two recordings of each of 12 subjects, and labels that have nothing to do with them.

    The first value of a recording is its position, by which spies know it.
    """
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((30, N_PARCELS)) for _ in SUBJECT]
    for position, recording in enumerate(X):
        recording[0, 0] = position
    return X, np.repeat(rng.normal(50, 10, N_SUBJECTS), 2)


class Spy(RegressorMixin, BaseEstimator):
    """Regressor that writes down what it was fitted on."""

    def fit(self, X, y, groups=None):
        positions = [int(recording[0, 0]) for recording in X]
        SEEN.append({"positions": positions, "y": np.array(y), "groups": groups})
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class SpyingStatistics(TransformerMixin, BaseEstimator):
    """Group statistics, as of tangent-space connectivity, that write down whom they are of."""

    def fit(self, X, y=None):
        SEEN.append([int(recording[0, 0]) for recording in X])
        self.reference_ = np.mean([np.cov(x.T) for x in X], axis=0)
        return self

    def transform(self, X):
        return np.stack([(np.cov(x.T) - self.reference_).ravel() for x in X])


class Memory(RegressorMixin, BaseEstimator):
    """Regressor that knows the labels of all recordings it has ever been fitted on."""

    def __init__(self, known=None):
        self.known = known

    def fit(self, X, y):
        self.known_ = {x.tobytes(): label for x, label in zip(X, y, strict=True)}
        if self.known is not None:  # a parameter: a clone copies it, so nothing is kept in it
            self.known.update(self.known_)
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        known = self.known_ | (self.known or {})
        return np.array([known.get(x.tobytes(), self.mean_) for x in X])


def r2_of(table, method):
    """Return R2 over all folds of a row."""
    rows = table.query("metric == 'r2' and setting == 'all'").set_index("method")
    return rows.loc[method, "value"]


def identity_features(X):
    """Return what betrays who a recording is of, and nothing else."""
    return np.array([[float(x[1, 0])] for x in X])


def test_training_side_is_all_that_is_seen(cohort):
    X, y = cohort
    compare({"Spy": Spy()}, X, y, groups=SUBJECT, **QUICK)
    folds = list(GroupKFold(5).split(X, y, SUBJECT))
    assert len(SEEN) == len(folds)
    for seen, (train, test) in zip(SEEN, folds, strict=True):
        assert seen["positions"] == train.tolist()
        assert not set(seen["groups"]) & set(SUBJECT[test])
        np.testing.assert_array_equal(seen["groups"], SUBJECT[train])
        np.testing.assert_array_equal(seen["y"], y[train])


def test_labels_are_scaled_by_training_labels_only(cohort):
    X, y = cohort
    y = y.copy()
    y[SUBJECT == "sub-03"] = 1e6  # would shift every scaled label if it were seen
    model = TransformedTargetRegressor(
        Spy(), transformer=TargetScaler("zscore"), check_inverse=False
    )
    compare({"Spy": model}, X, y, groups=SUBJECT, **QUICK)
    for seen, (train, _) in zip(SEEN, GroupKFold(5).split(X, y, SUBJECT), strict=True):
        expected = (y[train] - y[train].mean()) / y[train].std()
        np.testing.assert_allclose(np.ravel(seen["y"]), expected)


def test_scaled_error_is_on_the_scale_of_training_labels(cohort):
    X, y = cohort
    folds = list(GroupKFold(3).split(X, y, SUBJECT))
    table = compare(
        {"Spy": Spy()}, X, y, groups=SUBJECT, cv=3, target_scaler=TargetScaler(), **QUICK
    )
    rows = table.query("metric == 'scaled_mse' and method == 'Spy'").set_index("setting")["value"]
    for fold, (train, test) in enumerate(folds):
        expected = np.mean(((y[test] - y[train].mean()) / y[train].std()) ** 2)
        assert rows[f"fold {fold}"] == pytest.approx(expected)


def test_group_statistics_are_of_training_recordings_only(cohort):
    X, y = cohort
    model = make_pipeline(SpyingStatistics(), Ridge())
    compare({"Connectivity + ridge": model}, X, y, groups=SUBJECT, **QUICK)
    expected = [train.tolist() for train, _ in GroupKFold(5).split(X, y, SUBJECT)]
    assert SEEN == expected


def test_a_huge_test_recording_changes_nothing_in_training(cohort):
    X, y = cohort
    model = make_pipeline(SpyingStatistics(), Ridge())
    cv = [(np.arange(4, 24), np.arange(4))]

    def predictions_of(recordings, chosen):
        table = compare({"Model": model}, recordings, y, groups=SUBJECT, cv=cv, **QUICK)
        frame = table.attrs["predictions"].frame.query("method == 'Model'")
        return frame.set_index("recording")["predicted"][chosen]

    huge = [x.copy() for x in X]
    huge[0][1:] *= 1e6
    assert predictions_of(huge, 1) == predictions_of(X, 1)
    assert predictions_of(huge, 0) != predictions_of(X, 0)


def test_fits_do_not_remember_other_folds(cohort):
    X, y = cohort
    known = {}
    cheat = Memory(known)
    table = compare({"Memory": cheat}, X, y, groups=SUBJECT, **QUICK)
    assert known == {} and not hasattr(cheat, "known_")  # clones were fitted
    assert r2_of(table, "Memory") < 0.05
    in_place = [Memory(known) for _ in range(2)]  # the canary can sing
    for model, half in zip(in_place, (slice(0, 12), slice(12, 24)), strict=True):
        model.fit(X[half], y[half])
    np.testing.assert_array_equal(in_place[0].predict(X), y)


def test_people_cannot_be_recognised(cohort):
    X, y = cohort
    for position, recording in enumerate(X):
        recording[1, 0] = position // 2  # a fingerprint of the subject, not of the label
    model = make_pipeline(FunctionTransformer(identity_features), KNeighborsRegressor(1))
    table = compare({"Fingerprint": model}, X, y, groups=SUBJECT, **QUICK)
    assert r2_of(table, "Fingerprint") < 0.05
    first, second = np.arange(0, 24, 2), np.arange(1, 24, 2)  # one recording of each on each side
    cv = [(first, second), (second, first)]
    for divided in (cv, KFold(5, shuffle=True, random_state=0)):
        with pytest.raises(ValueError, match="same subject is in training and test of fold 0"):
            compare({"Fingerprint": model}, X, y, groups=SUBJECT, cv=divided, **QUICK)
    # Said to be different people, they are recognised: what the refusal prevents.
    said = "each recording is a subject"
    table = compare({"Fingerprint": model}, X, y, groups=said, cv=cv, **QUICK)
    assert r2_of(table, "Fingerprint") == 1


def test_same_subject_on_both_sides_of_given_folds(cohort):
    X, y = cohort
    cv = [(np.arange(1, 24), np.arange(1))]  # X[1] is of the same subject
    with pytest.raises(ValueError, match=r"example X\[1\] and X\[0\]"):
        compare({"Spy": Spy()}, X, y, groups=SUBJECT, cv=cv, **QUICK)
    with pytest.raises(ValueError, match="same recording"):
        compare({"Spy": Spy()}, X, y, groups="each recording is a subject",
                cv=[(np.arange(24), np.arange(2))], **QUICK)  # fmt: skip


def test_subject_at_two_sites(cohort):
    X, y = cohort
    site = np.tile(["here", "there"], N_SUBJECTS)  # everybody was recorded at both
    with pytest.raises(ValueError, match="same subject"):
        compare({"Spy": Spy()}, X, y, groups=site, subjects=SUBJECT, cv=2, **QUICK)


def test_search_is_given_the_groups_of_the_training_side(cohort):
    X, y = cohort
    search = GridSearchCV(Spy(), {}, cv=GroupKFold(3))
    compare({"Search": search}, X, y, groups=SUBJECT, cv=4, **QUICK)
    for inner in SEEN:
        halves = {SUBJECT[position] for position in inner["positions"]}
        assert len(inner["positions"]) == 2 * len(halves)  # both recordings, or neither


class Pretrained(Spy):
    """Regressor whose weights remember whom they were pretrained on."""

    def __init__(self, weights=None, seen=()):
        self.weights = weights
        self.seen = seen

    def fit(self, X, y, groups=None):
        super().fit(X, y, groups)
        self.trained_on_ = {"subjects": list(self.seen)}
        return self


def test_pretraining_on_tested_subjects_is_loud(cohort):
    X, y = cohort
    seen = [f"{i:02d}" for i in range(7)]  # written without the prefix
    with pytest.warns(UserWarning, match="pretrained on: sub-00, .*, sub-04 and 2 more"):
        compare({"BrainLM": Pretrained(seen=seen)}, X, y, groups=SUBJECT, **QUICK)


@pytest.mark.parametrize("place", ["frozen weights", "step of a pipeline", "target regressor"])
def test_pretraining_is_found_wherever_weights_are(cohort, place):
    X, y = cohort
    held = FrozenEstimator(Pretrained(seen=["sub-03"]).fit(X[:2], y[:2]))
    model = {
        "frozen weights": Pretrained(weights=held),
        "step of a pipeline": make_pipeline(SpyingStatistics(), Ridge()),
        "target regressor": TransformedTargetRegressor(Pretrained(seen=["sub-03"])),
    }[place]
    if place == "step of a pipeline":
        model.steps[0][1].trained_on_ = {"subjects": ["sub-03"]}
        model.steps[0] = ("embed", FrozenEstimator(model.steps[0][1].fit(X)))
    with pytest.warns(UserWarning, match="tested on 1 subjects .* sub-03"):
        compare({"BrainLM": model}, X, y, groups=SUBJECT, **QUICK)


def test_pretraining_on_others_is_silent(cohort):
    X, y = cohort
    model = Pretrained(seen=["sub-99"])  # warnings are errors
    compare({"BrainLM": model}, X, y, groups=SUBJECT, **QUICK)
    said = "each recording is a subject"  # mere positions are nobody's names
    compare({"BrainLM": Pretrained(seen=["0", "1"])}, X, y, groups=said, **QUICK)


class SpyingForecaster(LastValueForecaster):
    """Forecaster that writes down what it was fitted on."""

    def fit(self, X, y=None):
        SEEN.append([int(recording[0, 0]) for recording in X])
        return super().fit(X)


def test_windows_of_a_recording_stay_on_one_side(cohort):
    X, _ = cohort
    windows = {"context_length": 8, "horizon": 4, "scaler": "standard"}
    rows = {"Spy": SpyingForecaster(**windows), "Mean": MeanForecaster(**windows)}
    compare_forecasters(rows, X, groups=SUBJECT, cv=3, steps=[(1, 4)], **QUICK)
    folds = list(GroupKFold(3).split(X, groups=SUBJECT))
    assert SEEN == [train.tolist() for train, _ in folds]
    cv = [(np.arange(1, 24), np.arange(1))]
    with pytest.raises(ValueError, match="same subject"):
        compare_forecasters(rows, X, groups=SUBJECT, cv=cv, steps=[(1, 4)], **QUICK)


def test_dummy_predicts_the_training_mean(cohort):
    X, y = cohort
    table = compare({"Mean": DummyRegressor()}, X, y, groups=SUBJECT, **QUICK)
    frame = table.attrs["predictions"].frame.query("method == 'Dummy (mean)'")
    for fold, (train, _) in enumerate(GroupKFold(5).split(X, y, SUBJECT)):
        np.testing.assert_allclose(frame.query(f"fold == {fold}")["predicted"], y[train].mean())
