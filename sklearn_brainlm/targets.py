"""What is predicted about people: scaled as in the paper, and the error on that scale."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sklearn_brainlm._target_columns import (
    CHECKS,
    as_column,
    center_and_scale,
    column_name,
    logarithm,
    refuse_infinite,
)

__all__ = ["TargetScaler", "make_scaled_mse_scorer", "scaled_mean_squared_error"]


class TargetScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale targets by statistics of the training labels, column by column, and back.

    Section 3.3 of the article scales age by "zscore", neuroticism by "minmax", PCL-5 and GAD-7 by
    "log_minmax". NaN is a missing label: it is left out of the statistics and stays NaN.

    Parameters
    ----------
    method : {"zscore", "minmax", "log_minmax"}, default="zscore"
        "zscore" subtracts the mean and divides by the standard deviation, "minmax" brings the
        training labels to the range from 0 to 1, and "log_minmax" does so after ``log(1 + y)``.

    Attributes
    ----------
    center_ : ndarray of float64 of shape (n_targets,)
        What is subtracted: the mean or the least training label, after the logarithm for
        "log_minmax". NaN for a column without a label, as in `scale_`.
    scale_ : ndarray of float64 of shape (n_targets,)
        What is divided by: the standard deviation or the range; 1 for a constant column.
    n_features_in_ : int
        Number of targets.
    feature_names_in_ : ndarray of object of shape (n_targets,)
        Names of the targets, when they are a DataFrame whose columns have names.

    See Also
    --------
    make_scaled_mse_scorer : Score a model on the scale of its targets.

    Notes
    -----
    The article writes "a log transformation"; the released notebook takes ``log(1 + y)``, as it
    must where many people score 0, and divides by the largest value of everyone: min-max where
    somebody scores 0, but with the tested people in it. The standard deviation divides by the
    number of labels, so predicting the mean has an error of 1 on the training labels.

    Labels outside the range of the training labels are scaled beyond 0 and 1. "log_minmax" refuses
    negative labels, which in tables of scores are codes for a missing answer. One-dimensional
    targets come back one-dimensional; TransformedTargetRegressor hands over a column, and refuses
    missing labels itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.svm import SVR
    >>> from sklearn_brainlm.targets import TargetScaler
    >>> scores = np.array([[0.0, 20.0], [3.0, 40.0], [np.nan, 60.0]])
    >>> TargetScaler("minmax").fit_transform(scores)
    array([[0. , 0. ],
           [1. , 0.5],
           [nan, 1. ]])
    >>> rng = np.random.default_rng(0)
    >>> features, age = rng.normal(size=(20, 3)), rng.uniform(45, 80, 20)
    >>> model = TransformedTargetRegressor(SVR(), transformer=TargetScaler("zscore"))
    >>> model.fit(features, age).predict(features).shape
    (20,)
    """

    _parameter_constraints = {"method": [StrOptions({"zscore", "minmax", "log_minmax"})]}

    def __init__(self, method="zscore"):
        self.method = method

    def fit(self, X, y=None):
        """Learn center and scale of each target.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_targets)
            Training labels, NaN where one is missing.
        y : None
            Ignored: targets are what is scaled.

        Returns
        -------
        self : TargetScaler
            The fitted scaler.
        """
        self._validate_params()
        labels, _ = self._check_labels(X, reset=True)
        if self.method == "log_minmax":
            labels = logarithm(labels, self._names)
        spread = "sd" if self.method == "zscore" else "range"
        self.center_, self.scale_ = center_and_scale(labels, spread, self._names)
        return self

    def transform(self, X):
        """Scale targets.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels, NaN where one is missing.

        Returns
        -------
        scaled : ndarray of float64, shaped like `X`
            A new array.
        """
        check_is_fitted(self)
        labels, is_flat = self._check_labels(X, reset=False)
        scaled = self._scale(labels)
        return scaled[:, 0] if is_flat else scaled

    def inverse_transform(self, X):
        """Bring scaled targets, or predictions of them, back to their own units.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_targets)
            Scaled targets; NaN stays NaN.

        Returns
        -------
        targets : ndarray of float64, shaped like `X`
            A new array.
        """
        check_is_fitted(self)
        scaled, is_flat = self._check_columns(X, "X")
        with np.errstate(over="ignore"):
            targets = scaled * self.scale_ + self.center_
            if self.method == "log_minmax":
                targets = np.expm1(targets)
        refuse_infinite(targets, self._names, "brought back to its units")
        return targets[:, 0] if is_flat else targets

    def _check_labels(self, X, reset):
        """Return labels as new float64 columns, and whether they came one-dimensional."""
        X, is_flat = as_column(X, "X", allowed=reset or self.n_features_in_ == 1)
        labels = validate_data(self, X, reset=reset, **CHECKS)
        return labels.astype(np.float64), is_flat

    def _check_columns(self, values, input_name):
        """Do as `_check_labels`, and ask names only of values that have some as the scaler has."""
        names = getattr(values, "columns", None)
        known = self._names
        if names is not None and known is not None and list(names) != list(known):
            raise ValueError(
                "The feature names should match those that were passed during fit: the columns of "
                f"{input_name} are {list(names)}, the scaler was fitted on {list(known)}."
            )
        values, is_flat = as_column(values, input_name, allowed=self.n_features_in_ == 1)
        columns = check_array(values, input_name=input_name, **CHECKS)
        if columns.shape[1] != self.n_features_in_:
            raise ValueError(
                f"{input_name} has {columns.shape[1]} features, but TargetScaler is expecting "
                f"{self.n_features_in_} features as input."
            )
        return columns.astype(np.float64), is_flat

    def _scale(self, columns, predicted=False):
        """Scale checked columns, labels or predictions."""
        if self.method == "log_minmax":
            columns = logarithm(columns, self._names, predicted)
        with np.errstate(over="ignore"):
            scaled = (columns - self.center_) / self.scale_
        refuse_infinite(scaled, self._names, "scaled")
        return scaled

    @property
    def _names(self):
        """Names of the targets, None where they have none."""
        return getattr(self, "feature_names_in_", None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = self.method == "log_minmax"
        return tags


def scaled_mean_squared_error(y_true, y_pred, scaler, *, multioutput="uniform_average"):
    """Average the squared error of predictions on the scale of a fitted TargetScaler.

    The error of Table 1 of the article. It has no unit; that of each `method` is another.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels in their own units, NaN where one is missing: it is not scored.
    y_pred : array-like of shape (n_samples,) or (n_samples, n_targets)
        Predictions in the units of the labels.
    scaler : TargetScaler
        Fitted on the training labels.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        One error, the mean of the errors of the targets, or one error a target.

    Returns
    -------
    float or ndarray of float64 of shape (n_targets,)
        Mean squared error. NaN for a target without a label to score, which the mean leaves out
        with an UndefinedMetricWarning.

    See Also
    --------
    make_scaled_mse_scorer : The same as a scorer for cross-validation.

    Examples
    --------
    >>> from sklearn_brainlm.targets import TargetScaler, scaled_mean_squared_error
    >>> scaler = TargetScaler("minmax").fit([20.0, 45.0, 70.0])
    >>> round(scaled_mean_squared_error([30.0, float("nan")], [35.0, 50.0], scaler), 6)
    0.01
    """
    if not isinstance(multioutput, str) or multioutput not in {"uniform_average", "raw_values"}:
        raise ValueError(
            f"multioutput must be 'uniform_average' or 'raw_values', got {multioutput!r}."
        )
    check_is_fitted(scaler)
    true, _ = scaler._check_columns(y_true, "y_true")
    predicted, _ = scaler._check_columns(y_pred, "y_pred")
    if len(true) != len(predicted):
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: y_true has "
            f"{len(true)} rows, y_pred has {len(predicted)}."
        )
    labelled = ~np.isnan(true) & ~np.isnan(scaler.center_)
    if np.isnan(predicted[labelled]).any():
        raise ValueError("Input y_pred contains NaN where y_true has a label.")
    predicted[~labelled] = 0.0  # not scored, whatever was predicted
    errors = scaler._scale(true) - scaler._scale(predicted, predicted=True)
    n_labels = labelled.sum(axis=0)
    unlabelled = [column_name(scaler._names, i) for i in np.flatnonzero(n_labels == 0)]
    if unlabelled:
        warnings.warn(
            f"The scaled mean squared error is undefined for {', '.join(unlabelled)}: no label.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    sums = np.sum(errors**2, axis=0, where=labelled)
    mse = np.divide(sums, n_labels, out=np.full(len(sums), np.nan), where=n_labels > 0)
    if multioutput == "raw_values":
        return mse
    return float(np.mean(mse[n_labels > 0])) if n_labels.any() else float("nan")


def make_scaled_mse_scorer(*, per_target=False):
    """Make a scorer of the paper's error: squared, on the scale the targets were trained on.

    In cross-validation the scaler is that of each training fold.

    Parameters
    ----------
    per_target : bool, default=False
        Whether to score each target rather than their mean. The scorer then returns a dict, as
        cross_validate takes it, with a key "neg_scaled_mse_<name or position>" a target.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, the negative error, so that larger is better. The estimator
        is a TransformedTargetRegressor around a TargetScaler or keeps one as `target_scaler_`,
        and may end a pipeline or be found by a search.

    See Also
    --------
    scaled_mean_squared_error : What is computed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_brainlm.targets import TargetScaler, make_scaled_mse_scorer
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(60, 3))
    >>> age = 50 + 8 * features[:, 0] + rng.normal(size=60)
    >>> model = TransformedTargetRegressor(Ridge(), transformer=TargetScaler())
    >>> scores = cross_val_score(model, features, age, cv=3, scoring=make_scaled_mse_scorer())
    >>> bool((-0.1 < scores).all() and (scores < 0).all())
    True
    """
    return _ScaledMSEScorer(per_target)


class _ScaledMSEScorer:
    """Scorer that asks the estimator for its scaler; a class, so that workers can unpickle it."""

    def __init__(self, per_target):
        self.per_target = per_target

    def __repr__(self):
        return f"make_scaled_mse_scorer(per_target={self.per_target})"

    def __call__(self, estimator, X, y):
        scaler, predicted = _fitted_scaler(estimator), estimator.predict(X)
        if not self.per_target:
            return -scaled_mean_squared_error(y, predicted, scaler)
        mse = scaled_mean_squared_error(y, predicted, scaler, multioutput="raw_values")
        names = getattr(y, "columns", range(len(mse)))
        return {f"neg_scaled_mse_{name}": -float(e) for name, e in zip(names, mse, strict=True)}


def _fitted_scaler(estimator):
    """Return the scaler an estimator was trained with."""
    model = estimator
    while isinstance(model, Pipeline) or hasattr(model, "best_estimator_"):
        model = model[-1] if isinstance(model, Pipeline) else model.best_estimator_
    for name in ("target_scaler_", "transformer_"):
        scaler = getattr(model, name, None)
        if isinstance(scaler, TargetScaler):
            return scaler
    raise TypeError(
        f"{type(model).__name__} has no fitted TargetScaler, so there is no scale to score on. "
        "Wrap it: TransformedTargetRegressor(model, transformer=TargetScaler())."
    )
