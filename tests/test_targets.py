"""Scaling of targets, and the error on that scale, against scikit-learn's scalers and metrics."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sklearn_brainlm.exceptions import DataQualityWarning
from sklearn_brainlm.targets import (
    TargetScaler,
    make_scaled_mse_scorer,
    scaled_mean_squared_error,
)

METHODS = ["zscore", "minmax", "log_minmax"]
TRUSTED = {
    "zscore": StandardScaler(),
    "minmax": MinMaxScaler(),
    "log_minmax": make_pipeline(FunctionTransformer(np.log1p, np.expm1), MinMaxScaler()),
}


@pytest.fixture
def scores():
    """Skewed scores from 0 up of 40 people on 3 scales, none missing."""
    return np.random.default_rng(0).exponential([1.0, 10.0, 50.0], (40, 3)).round()


@pytest.fixture
def features(scores):
    """Five features of 40 people; the first three tell something about the scores."""
    noise = np.random.default_rng(1).normal(size=(40, 5))
    noise[:, :3] += StandardScaler().fit_transform(scores)
    return noise


def wrapped(regressor, method="zscore"):
    return TransformedTargetRegressor(regressor, transformer=TargetScaler(method))


# --- scikit-learn's own checks -------------------------------------------------------------------


def expected_failures(scaler):
    return {"check_fit1d": "targets of one column may be one-dimensional, as everywhere in y"}


# Checks of scikit-learn 1.9.1; the logarithm has one more, that negative values are refused.
N_CHECKS = {"zscore": 46, "minmax": 46, "log_minmax": 47}


@pytest.mark.filterwarnings(
    "ignore:The target in column .* is constant:sklearn_brainlm.exceptions.DataQualityWarning"
)  # check_fit2d_1sample
@parametrize_with_checks(
    [TargetScaler(), *map(TargetScaler, METHODS[1:])],
    expected_failed_checks=expected_failures,
)
def test_sklearn(estimator, check):
    check(estimator)


@pytest.mark.skipif(
    sklearn.__version__ != "1.9.1", reason="the number of checks is that of scikit-learn 1.9.1"
)
@pytest.mark.parametrize("method", METHODS)
def test_number_of_sklearn_checks(method):
    assert len(list(estimator_checks_generator(TargetScaler(method)))) == N_CHECKS[method]


# --- TargetScaler --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_scaler_is_scikit_learns(scores, method):
    trusted = clone(TRUSTED[method]).fit(scores[:30])
    scaler = TargetScaler(method).fit(scores[:30])
    np.testing.assert_allclose(scaler.transform(scores), trusted.transform(scores), atol=1e-14)
    np.testing.assert_allclose(
        scaler.inverse_transform(trusted.transform(scores)), scores, atol=1e-12
    )


@pytest.mark.parametrize("method", METHODS)
def test_missing_labels_are_left_out_and_stay(scores, method):
    missing = np.random.default_rng(2).random(scores.shape) < 0.3
    holed = np.where(missing, np.nan, scores)
    scaler = TargetScaler(method).fit(holed)
    for column in range(3):
        labels = scores[~missing[:, column], column]
        alone = TargetScaler(method).fit(labels)
        assert scaler.center_[column] == alone.center_[0]
        assert scaler.scale_[column] == alone.scale_[0]
    scaled = scaler.transform(holed)
    np.testing.assert_array_equal(np.isnan(scaled), missing)
    back = scaler.inverse_transform(scaled)
    np.testing.assert_allclose(back, holed, atol=1e-12)  # NaN equals NaN here


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_one_target_keeps_its_shape(scores, method, shape):
    y = scores[:, 1].reshape(shape)
    scaler = TargetScaler(method).fit(y)
    assert scaler.center_.shape == (1,)
    for other in [(40,), (40, 1)]:  # whatever it was fitted on
        scaled = scaler.transform(y.reshape(other))
        assert scaled.shape == scaler.inverse_transform(scaled).shape == other
    assert scaler.fit_transform(y).shape == shape


def test_labels_are_not_written_to(scores):
    for method in METHODS:
        kept = scores.copy()
        scaler = TargetScaler(method).fit(kept)
        scaled = scaler.transform(kept)
        assert not np.shares_memory(scaled, kept)
        scaled_before = scaled.copy()
        scaler.inverse_transform(scaled)
        np.testing.assert_array_equal(kept, scores)
        np.testing.assert_array_equal(scaled, scaled_before)


@pytest.mark.parametrize(
    "y",
    [
        [1, 2, 6],
        pd.Series([1, 2, 6], name="age"),
        pl.Series("age", [1, 2, 6]),
        np.array([1, 2, 6], dtype=object),
        np.array([1, 2, 6], dtype=np.int8),
        np.array([1, 2, 6], dtype=">f4"),
    ],
    ids=["list", "pandas", "polars", "object", "int8", "big-endian"],
)
def test_kinds_of_labels(y):
    scaled = TargetScaler("minmax").fit_transform(y)
    assert scaled.dtype == np.float64
    np.testing.assert_allclose(scaled, [0, 0.2, 1])


def test_narrow_numbers_do_not_wrap_around():
    y = np.array([-100, 0, 100], dtype=np.int8)
    assert TargetScaler("minmax").fit_transform(y).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("y", [pd.array([1, None, 6], dtype="Int64"), np.array([1, None, 6])])
def test_other_marks_of_missing_labels(y):
    for shaped in [pd.Series(y), pd.DataFrame({"age": y})]:
        scaled = TargetScaler("minmax").fit_transform(shaped)
        np.testing.assert_array_equal(np.ravel(scaled), [0, np.nan, 1])


def test_labels_outside_the_training_range():
    scaler = TargetScaler("minmax").fit([10.0, 20.0])
    assert scaler.transform([5.0, 25.0]).tolist() == [-0.5, 1.5]
    scaler = TargetScaler("log_minmax").fit([1.0, 3.0])
    np.testing.assert_allclose(scaler.transform([0.0, 7.0]), [-1, 2])
    np.testing.assert_allclose(scaler.inverse_transform([-1.0, 2.0]), [0, 7], atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_constant_column_is_centred_and_invertible(scores, method):
    scores[:, 1] = 0.1
    with pytest.warns(DataQualityWarning, match="target in column 1 is constant") as caught:
        scaler = TargetScaler(method).fit(scores)
    assert caught[0].filename == __file__
    assert scaler.scale_[1] == 1
    assert not scaler.transform(scores)[:, 1].any()
    other = scores[:2] + 4
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(other)), other)


@pytest.mark.parametrize("method", METHODS)
def test_rounding_of_the_mean_is_no_spread(method):
    y = np.full(3, 0.1)
    assert y.std() > 0
    with pytest.warns(DataQualityWarning, match="constant"):
        assert not TargetScaler(method).fit_transform(y).any()


def test_a_spread_too_small_for_its_square_is_none():
    with pytest.warns(DataQualityWarning, match="constant"):
        scaled = TargetScaler().fit_transform([0.0, 1e-200])
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize("method", METHODS)
def test_column_without_a_label_is_nan(scores, method):
    holed = scores.copy()
    holed[:, 2] = np.nan
    with pytest.warns(DataQualityWarning, match="target in column 2 has no training label"):
        scaler = TargetScaler(method).fit(holed)
    scaled = scaler.transform(scores)
    assert np.isnan(scaled[:, 2]).all()
    np.testing.assert_array_equal(scaled[:, :2], TargetScaler(method).fit_transform(scores[:, :2]))
    assert np.isnan(scaler.inverse_transform(np.zeros((1, 3)))[0]).tolist() == [False, False, True]


def test_negative_label_under_the_logarithm_is_named(scores):
    frame = pd.DataFrame(scores, columns=["gad", "pcl", "phq"])
    scaler = TargetScaler("log_minmax").fit(frame)
    frame.loc[7, "pcl"] = -818
    for refusing in [scaler.transform, scaler.fit]:
        with pytest.raises(ValueError, match=r"column 'pcl' has -818 in row 7.*make it NaN"):
            refusing(frame)
    scores[3, 2] = -0.5
    with pytest.raises(ValueError, match=r"column 2 has -0.5 in row 3"):
        TargetScaler("log_minmax").fit(scores)
    for method in METHODS[:2]:
        assert np.isfinite(TargetScaler(method).fit_transform(scores)).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused(scores, value):
    scaler = TargetScaler().fit(scores)
    scores[4, 1] = value
    for refusing in [scaler.transform, scaler.inverse_transform, scaler.fit]:
        with pytest.raises(ValueError, match="Input X contains infinity"):
            refusing(scores)


@pytest.mark.parametrize(
    "y",
    [
        ["34", "55"],
        [["34"], ["55"]],
        np.array([b"34", b"55"]),
        np.array(["34", 55], dtype=object),
        pd.Series(["34", "55"]),
        pd.DataFrame({"age": [34, 55], "sex": ["F", "M"]}),
        "age",
    ],
)
def test_strings_are_refused_even_of_digits(y):
    with pytest.raises(ValueError, match="not compatible with arrays of bytes/strings"):
        TargetScaler().fit(y)


def test_objects_are_refused():
    with pytest.raises(TypeError, match="argument must be .* string.* number"):
        TargetScaler().fit(np.array([1.0, {"age": 3}], dtype=object))
    with pytest.raises(ValueError, match="Complex data not supported"):
        TargetScaler().fit(np.array([1.0, 2j]))


def test_values_beyond_float64_are_refused():
    for method in METHODS[:2]:
        with pytest.raises(ValueError, match="too large for dtype.*column 0 have no finite spread"):
            TargetScaler(method).fit([-1.7e308, 1.7e308])
    scaler = TargetScaler("minmax").fit([0, 1e-10])
    with pytest.raises(ValueError, match="row 1, column 0 has a value too large.*once scaled"):
        scaler.transform([0, 1e300])
    scaler = TargetScaler("log_minmax").fit([0, 80])
    with pytest.raises(ValueError, match="row 0, column 0 has a value too large.*its units"):
        scaler.inverse_transform([1e4])


def test_numbers_of_targets_are_compared(scores):
    scaler = TargetScaler().fit(scores)
    for refusing in [scaler.transform, scaler.inverse_transform]:
        with pytest.raises(ValueError, match="X has 2 features, but TargetScaler is expecting 3"):
            refusing(scores[:, :2])
        with pytest.raises(ValueError, match="Reshape your data"):
            refusing(scores[:, 0])
    for empty in [[], np.empty((0, 3))]:
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
            TargetScaler().fit(empty)


def test_names_of_targets_are_kept_and_compared(scores):
    names = ["gad", "pcl", "phq"]
    frame = pd.DataFrame(scores, columns=names, index=np.arange(40) + 5)
    scaler = TargetScaler().set_output(transform="pandas").fit(frame)
    assert scaler.get_feature_names_out().tolist() == names
    scaled = scaler.transform(frame)
    assert scaled.columns.tolist() == names
    assert scaled.index.equals(frame.index)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), frame)
    np.testing.assert_allclose(scaler.inverse_transform(scaled.to_numpy()), frame)
    for refusing in [scaler.transform, scaler.inverse_transform]:
        with pytest.raises(ValueError, match="feature names should match"):
            refusing(frame[names[::-1]])
    assert TargetScaler().fit(scores).get_feature_names_out().tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_of_one_dimension(scores, container):
    y = pd.Series(scores[:, 1], index=np.arange(40) + 5)
    scaled = TargetScaler().set_output(transform=container).fit_transform(y)
    assert scaled.shape == (40, 1)
    np.testing.assert_array_equal(scaled.to_numpy()[:, 0], TargetScaler().fit_transform(y))
    assert container == "polars" or scaled.index.equals(y.index)


def test_parameters_are_checked_in_fit(scores):
    with pytest.raises(ValueError, match="The 'method' parameter of TargetScaler must be"):
        TargetScaler("log").fit(scores)
    with pytest.raises(NotFittedError):
        TargetScaler().inverse_transform(scores)


# --- in TransformedTargetRegressor ---------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("regressor", "shape"),
    [(SVR(), (40,)), (Ridge(), (40,)), (Ridge(), (40, 1))],  # SVR takes one dimension only
)
def test_regressor_is_one_on_scaled_targets(features, scores, method, regressor, shape):
    y = scores[:, 2]
    trusted = clone(TRUSTED[method]).fit(y[:, None])
    scaled = trusted.transform(y[:, None])[:, 0]
    expected = clone(regressor).fit(features, scaled).predict(features)
    expected = trusted.inverse_transform(expected[:, None])
    model = clone(wrapped(regressor, method)).fit(features, y.reshape(shape))
    predicted = model.predict(features)
    assert predicted.shape == shape
    np.testing.assert_allclose(predicted, expected.reshape(shape), rtol=1e-6)
    again = pickle.loads(pickle.dumps(model)).predict(features)
    np.testing.assert_array_equal(again, predicted)


@pytest.mark.parametrize("method", METHODS)
def test_several_targets_at_once_are_each_alone(features, scores, method):
    together = wrapped(Ridge(), method).fit(features, scores).predict(features)
    for column in range(3):
        alone = wrapped(Ridge(), method).fit(features, scores[:, column]).predict(features)
        np.testing.assert_allclose(together[:, column], alone)


def test_search_over_the_method(features, scores):
    grid = {"transformer__method": METHODS, "regressor__alpha": [0.1, 10.0]}
    search = GridSearchCV(wrapped(Ridge()), grid, cv=3, error_score="raise")
    search.fit(features, scores[:, 2])
    assert len(search.cv_results_["params"]) == 6
    method = search.best_params_["transformer__method"]
    assert search.best_estimator_.transformer_.method == method


def test_a_global_output_of_pandas_changes_nothing(features, scores):
    expected = wrapped(Ridge()).fit(features, scores).predict(features)
    with sklearn.config_context(transform_output="pandas"):
        found = wrapped(Ridge()).fit(features, scores).predict(features)
    np.testing.assert_array_equal(found, expected)


# --- scaled_mean_squared_error -------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("multioutput", ["uniform_average", "raw_values"])
def test_error_is_scikit_learns_on_scaled_targets(scores, method, multioutput):
    trusted = clone(TRUSTED[method]).fit(scores)
    predicted = scores[::-1] * 0.9 + 1
    found = scaled_mean_squared_error(
        scores, predicted, TargetScaler(method).fit(scores), multioutput=multioutput
    )
    expected = mean_squared_error(
        trusted.transform(scores), trusted.transform(predicted), multioutput=multioutput
    )
    np.testing.assert_allclose(found, expected)
    assert isinstance(found, float if multioutput == "uniform_average" else np.ndarray)


def test_predicting_the_mean_has_an_error_of_one(scores):
    scaler = TargetScaler().fit(scores)
    mean = np.broadcast_to(scores.mean(axis=0), scores.shape)
    errors = scaled_mean_squared_error(scores, mean, scaler, multioutput="raw_values")
    np.testing.assert_allclose(errors, 1)


@pytest.mark.parametrize("method", METHODS)
def test_missing_labels_are_not_scored(scores, method):
    missing = np.random.default_rng(2).random(scores.shape) < 0.3
    missing[0] = [True, False, True]
    scaler = TargetScaler(method).fit(scores)
    predicted = scores[::-1] + 1
    predicted[0, [0, 2]] = np.nan, -50  # where nothing is scored
    found = scaled_mean_squared_error(
        np.where(missing, np.nan, scores), predicted, scaler, multioutput="raw_values"
    )
    errors = TargetScaler(method).fit(scores).transform(scores)
    errors = errors - scaler.transform(np.where(missing, 0, predicted))
    expected = [np.mean(errors[~missing[:, i], i] ** 2) for i in range(3)]
    np.testing.assert_allclose(found, expected)
    with pytest.raises(ValueError, match="y_pred contains NaN where y_true has a label"):
        scaled_mean_squared_error(scores, predicted, scaler)


def test_target_without_labels_to_score_is_named(scores):
    scaler = TargetScaler().fit(pd.DataFrame(scores, columns=["gad", "pcl", "phq"]))
    predicted = scores + scaler.scale_ * [1, 2, 3]
    scores[:, 1] = np.nan
    with pytest.warns(UndefinedMetricWarning, match="undefined for column 'pcl'"):
        each = scaled_mean_squared_error(scores, predicted, scaler, multioutput="raw_values")
    np.testing.assert_allclose(each, [1, np.nan, 9])
    with pytest.warns(UndefinedMetricWarning):
        assert scaled_mean_squared_error(scores, predicted, scaler) == pytest.approx(5)
    with pytest.warns(UndefinedMetricWarning, match="'gad', column 'pcl', column 'phq'"):
        assert np.isnan(scaled_mean_squared_error(scores * np.nan, predicted, scaler))


def test_target_without_training_labels_is_not_scored(scores):
    trained = scores.copy()
    trained[:, 1] = np.nan
    with pytest.warns(DataQualityWarning):
        scaler = TargetScaler().fit(trained)
    predicted = np.where([True, False, True], scores + scaler.scale_, np.nan)
    with pytest.warns(UndefinedMetricWarning, match="column 1"):
        assert scaled_mean_squared_error(scores, predicted, scaler) == pytest.approx(1)


def test_a_vector_and_a_column_do_not_broadcast(scores):
    y = scores[:, 2]
    scaler = TargetScaler().fit(y)
    expected = scaled_mean_squared_error(y, y[::-1], scaler)
    assert scaled_mean_squared_error(y, y[::-1, None], scaler) == expected
    assert scaled_mean_squared_error(y[:, None], y[::-1], scaler) == expected
    with pytest.raises(ValueError, match="y_true has 40 rows, y_pred has 39"):
        scaled_mean_squared_error(y, y[1:], scaler)
    with pytest.raises(ValueError, match="y_pred has 3 features, but TargetScaler is expecting 1"):
        scaled_mean_squared_error(y, scores, scaler)


def test_predictions_below_zero_under_the_logarithm():
    scaler = TargetScaler("log_minmax").fit([0.0, np.e - 1])
    found = scaled_mean_squared_error([0.0], [np.expm1(-0.5)], scaler)
    assert found == pytest.approx(0.25)
    with pytest.raises(ValueError, match="predictions, column 0 has -1 in row 1.*above -1"):
        scaled_mean_squared_error([0.0, 1.0], [0.0, -1.0], scaler)
    with pytest.raises(ValueError, match="Negative values in data.*column 0 has -1 in row 1"):
        scaled_mean_squared_error([0.0, -1.0], [0.0, 1.0], scaler)


def test_arguments_of_the_error_are_checked(scores):
    with pytest.raises(NotFittedError):
        scaled_mean_squared_error(scores, scores, TargetScaler())
    for wrong in ["variance_weighted", [0.5, 0.2, 0.3]]:
        with pytest.raises(ValueError, match="multioutput must be"):
            scaled_mean_squared_error(scores, scores, TargetScaler().fit(scores), multioutput=wrong)


# --- make_scaled_mse_scorer ----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_scorer_is_on_the_scale_of_the_training_fold(features, scores, method):
    y = scores[:, 2]
    folds = KFold(4)
    found = cross_validate(
        wrapped(Ridge(), method), features, y, cv=folds, scoring=make_scaled_mse_scorer()
    )["test_score"]
    expected = []
    for train, test in folds.split(features):
        trusted = clone(TRUSTED[method]).fit(y[train, None])
        scaled = trusted.transform(y[:, None])[:, 0]
        predicted = Ridge().fit(features[train], scaled[train]).predict(features[test])
        expected.append(-mean_squared_error(scaled[test], predicted))
    np.testing.assert_allclose(found, expected)


def test_test_labels_move_no_statistic(features, scores):
    """A canary: an absurd label in a test fold changes the score of no other fold."""
    scorer, folds = make_scaled_mse_scorer(), KFold(4)
    poisoned = scores[:, 2].copy()
    poisoned[0] = 1e6
    seen = []
    for y in (scores[:, 2], poisoned):
        result = cross_validate(
            wrapped(Ridge()), features, y, cv=folds, scoring=scorer, return_estimator=True
        )
        seen.append(result["estimator"][0].transformer_)  # person 0 is in the first test fold
    assert seen[0].center_ == seen[1].center_ and seen[0].scale_ == seen[1].scale_


def test_scorer_of_each_target(features, scores):
    frame = pd.DataFrame(scores, columns=["gad", "pcl", "phq"])
    model = wrapped(Ridge()).fit(features, frame)
    each = make_scaled_mse_scorer(per_target=True)(model, features, frame)
    assert list(each) == ["neg_scaled_mse_gad", "neg_scaled_mse_pcl", "neg_scaled_mse_phq"]
    mean = make_scaled_mse_scorer()(model, features, frame)
    assert mean < 0 and mean == pytest.approx(np.mean(list(each.values())))
    with_names = cross_validate(
        model, features, frame, cv=3, scoring=make_scaled_mse_scorer(per_target=True)
    )
    without = cross_validate(
        model, features, scores, cv=3, scoring=make_scaled_mse_scorer(per_target=True)
    )
    np.testing.assert_allclose(
        with_names["test_neg_scaled_mse_pcl"], without["test_neg_scaled_mse_1"]
    )


def test_scorer_leaves_missing_labels_out(features, scores):
    model = wrapped(Ridge()).fit(features, scores)
    holed = scores.copy()
    holed[:20, 0] = np.nan
    found = make_scaled_mse_scorer(per_target=True)(model, features, holed)
    half = make_scaled_mse_scorer(per_target=True)(model, features[20:], scores[20:])
    assert found["neg_scaled_mse_0"] == pytest.approx(half["neg_scaled_mse_0"])


def test_scorer_beside_others_survives_pickling(features, scores):
    scoring = {"scaled": make_scaled_mse_scorer(), "r2": "r2"}
    alone = cross_validate(wrapped(Ridge()), features, scores[:, 2], cv=3, scoring=scoring)
    scoring = pickle.loads(pickle.dumps(scoring))
    again = cross_validate(wrapped(Ridge()), features, scores[:, 2], cv=3, scoring=scoring)
    np.testing.assert_array_equal(again["test_scaled"], alone["test_scaled"])
    assert repr(scoring["scaled"]) == "make_scaled_mse_scorer(per_target=False)"


def test_scorer_finds_the_scaler_inside(features, scores):
    y, scorer = scores[:, 2], make_scaled_mse_scorer()
    model = wrapped(Ridge(), "minmax").fit(features, y)
    expected = scorer(model, features, y)
    outside = make_pipeline(FunctionTransformer(), wrapped(Ridge(), "minmax"))
    search = GridSearchCV(outside, {"transformedtargetregressor__regressor__alpha": [1.0]}, cv=2)
    search.set_params(scoring=scorer)
    for estimator in [outside.fit(features, y), search.fit(features, y), FrozenEstimator(model)]:
        assert scorer(estimator, features, y) == pytest.approx(expected)

    class OwnScale(DummyRegressor):
        def fit(self, X, y):
            self.target_scaler_ = TargetScaler("minmax").fit(y)
            return super().fit(X, y)

    dummy = OwnScale().fit(features, y)
    assert scorer(dummy, features, y) == pytest.approx(-np.var(y) / np.ptp(y) ** 2)


@pytest.mark.parametrize(
    "model",
    [Ridge(), TransformedTargetRegressor(Ridge(), transformer=StandardScaler())],
    ids=["bare", "another scaler"],
)
def test_scorer_needs_a_scaler(features, scores, model):
    with pytest.raises(TypeError, match=f"{type(model).__name__} has no fitted TargetScaler"):
        make_scaled_mse_scorer()(model.fit(features, scores), features, scores)


def test_scorer_is_silent(features, scores):
    frame = pd.DataFrame(scores, columns=["gad", "pcl", "phq"])  # the scaler has no names here
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_scaled_mse_scorer()(wrapped(Ridge()).fit(features, frame), features, frame)
