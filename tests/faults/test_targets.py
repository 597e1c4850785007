"""Rows 59 to 65: labels that are missing, wrong or of somebody else, and people who come twice."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from faults.recordings import (
    TINY,
    WINDOWS,
    make_recordings,
    regressor,
    target,
)
from sklearn_brainlm import BrainLMClassifier
from sklearn_brainlm.baselines.connectivity import ConnectivityFeatures
from sklearn_brainlm.evaluation import compare
from sklearn_brainlm.exceptions import DataQualityWarning
from sklearn_brainlm.store_building import build_store
from sklearn_brainlm.targets import TargetScaler

QUICK = {"baseline": "Mean", "n_bootstrap": 20, "random_state": 0}
MEAN = {"Mean": DummyRegressor()}


def classifier(**parameters):
    """Return a small classifier."""
    return BrainLMClassifier(**{**WINDOWS, **TINY, **parameters})


def refused(observe, model, y, match):
    """Expect fit to refuse y by a ValueError, and to leave it as it was."""
    X = make_recordings()
    before = None if y is None else np.array(y, copy=True)
    with observe.raises(ValueError, match=match):
        model.fit(X, y)
    assert not hasattr(model, "net_")
    if before is not None:
        np.testing.assert_array_equal(np.array(y), before)


@pytest.mark.fault(59, "NaN in y", "ValueError Input y contains NaN; a missing label is left out")
def test_fault_059_missing_labels(observe):
    """Decided: y of a regressor may hold missing labels; nothing is learned from them."""
    X, y = make_recordings((60,) * 8), target(range(8))
    y[[2, 5]] = np.nan
    without = {"validation_fraction": 0.0, "patience": None, "max_epochs": 3}
    model = regressor(**without).fit(X, y)
    assert np.isfinite([row["train_loss"] for row in model.history_]).all()
    there = np.isfinite(y).astype(float)
    other = regressor(**without).fit(X, np.nan_to_num(y, nan=1e6), sample_weight=there)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
    observe("regressor: a missing label counts for nothing, as one of weight 0")
    refused(observe, regressor(), np.full(6, np.nan), "y has no label to learn from in column")
    held_out = regressor().fit(X, target(X)).validation_indices_
    y = target(X)
    y[held_out] = np.nan
    with observe.raises(ValueError, match="no recording that was held out has one"):
        regressor().fit(X, y)


@pytest.mark.fault(59, "NaN in y", "ValueError Input y contains NaN; a missing label is left out")
def test_fault_059_where_labels_are_needed(observe):
    refused(observe, classifier(), np.array([0, 1, np.nan, 1, 0, 1]), "Input y contains NaN.")
    X, y = make_recordings(), target(range(6))
    y[3] = np.nan
    pipe = make_pipeline(ConnectivityFeatures("correlation"), Ridge())
    with observe.raises(ValueError, match="Input y contains NaN."):
        pipe.fit(X, y)
    y[3] = np.inf
    refused(observe, regressor(), y, "Input y contains infinity")


@pytest.mark.fault(60, "strings as y of a regressor", "ValueError")
@pytest.mark.parametrize(
    "y",
    [["high", "low"] * 3, ["1", "2"] * 3, np.array(["1", 2, 3, 4, 5, 6], dtype=object)],
    ids=["words", "digits", "mixed"],
)
def test_fault_060_strings(observe, y):
    refused(observe, regressor(), y, "Input y has strings.*Convert your data to numeric")


@pytest.mark.fault(61, "y of another length", "ValueError, inconsistent numbers of samples")
def test_fault_061_length(observe):
    y = target(range(5))
    words = r"Found input variables with inconsistent numbers of samples: \[6, 5\]"
    refused(observe, regressor(), y, words)
    refused(observe, classifier(), np.arange(5) % 2, words)
    with observe.raises(ValueError, match="inconsistent numbers of samples: X has 6 recordings"):
        compare(MEAN, make_recordings(), y, groups=np.arange(5), **QUICK)


@pytest.mark.fault(62, "y with one dimension, or as a column", "the same model, no broadcast")
def test_fault_062_vector_and_column(observe):
    X, y = make_recordings((60,) * 8), target(range(8))
    flat, column = (regressor(max_epochs=3).fit(X, given) for given in (y, y[:, None]))
    assert flat.predict(X).shape == (8,)
    assert column.predict(X).shape == (8, 1)
    np.testing.assert_array_equal(flat.predict(X), column.predict(X)[:, 0])
    losses = [[row["train_loss"] for row in model.history_] for model in (flat, column)]
    assert losses[0] == losses[1]
    both = regressor(max_epochs=3).fit(X, np.stack([y, y[::-1]], axis=1))
    assert both.predict(X).shape == (8, 2)
    assert np.ptp(both.predict(X) - both.predict(X)[:, :1]) > 0
    observe("equal losses and predictions of shape (8,) and (8, 1)")


@pytest.mark.fault(63, "y=None for a regressor", "ValueError in the words of scikit-learn")
def test_fault_063_no_labels(observe):
    words = " requires y to be passed, but the target y is None"
    refused(observe, regressor(), None, "BrainLMRegressor" + words)
    refused(observe, classifier(), None, "BrainLMClassifier" + words)


@pytest.mark.fault(64, "groups missing, subjects repeat", "ValueError or warning")
def test_fault_064_groups(observe, tmp_path):
    X, y = make_recordings((60,) * 10), target(range(10))
    with observe.raises(ValueError, match="'groups' parameter should not be None.*two recordings"):
        compare(MEAN, X, y, **QUICK)
    with observe.raises(ValueError, match="'groups' parameter should not be None"):
        cross_val_score(regressor(), X, y, cv=GroupKFold(2))
    people = {"participant_id": [f"sub-{i // 2}" for i in range(10)]}
    store = build_store(tmp_path / "store", X, participants=people)
    said = "each recording is a subject"
    words = r"the store lists sub-0 more than once, and 5 subjects.*store.participants"
    with observe.warns(DataQualityWarning, match=words):
        compare(MEAN, store, y, groups=said, **QUICK)
    compare(MEAN, store, y, groups=store.participants["participant_id"], **QUICK)  # silent
    compare(MEAN, X, y, groups=said, **QUICK)


@pytest.mark.fault(65, "constant y, or negative before a logarithm", "warning; ValueError log1p")
def test_fault_065_negative_before_a_logarithm(observe):
    scores = pd.DataFrame({"age": [20.0, 30.0, 40.0], "pcl": [17.0, -2.0, 60.0]})
    words = r"column 'pcl' has -2 in row 1.*\(log1p needs y > -1\).*missing answer, make it NaN"
    with observe.raises(ValueError, match=words):
        TargetScaler("log_minmax").fit(scores)
    X, y = make_recordings(), target(range(6))
    y[4] = -2
    model = TransformedTargetRegressor(
        make_pipeline(ConnectivityFeatures("correlation"), Ridge()),
        transformer=TargetScaler("log_minmax"),
    )
    with observe.raises(ValueError, match=r"has -2 in row 4.*log1p needs y > -1"):
        model.fit(X, y)


@pytest.mark.fault(65, "constant y, or negative before a logarithm", "warning; ValueError log1p")
def test_fault_065_constant(observe):
    X = make_recordings()
    with observe.warns(DataQualityWarning, match="y is constant in column 0 of the . recordings"):
        model = regressor().fit(X, np.full(6, 3.0))
    np.testing.assert_allclose(model.predict(X), 3, atol=0.5)
    with observe.warns(DataQualityWarning, match="constant in training: it is centred only"):
        TargetScaler().fit(np.full((6, 1), 3.0))
    with observe.raises(ValueError, match="y holds 1 class only"):
        classifier().fit(X, np.zeros(6))
