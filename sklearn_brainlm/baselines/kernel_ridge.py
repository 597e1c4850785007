"""Ridge regression on many features of few people, its penalty chosen across groups of people."""

from numbers import Integral

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_brainlm.baselines.columns import LabelColumnsMixin, as_targets, inner_folds

__all__ = [
    "DEFAULT_ALPHAS",
    "KernelRidgeCV",
    "KernelRidgeClassifierCV",
    "ridge_path",
]

DEFAULT_ALPHAS = tuple(np.logspace(-6, 1, 15).tolist())


class KernelRidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression in its kernel form, the penalty chosen by folds of groups.

    Parameters
    ----------
    alphas : array-like of float, default=(1e-6, ..., 1e1)
        Penalties to choose from, in parts of the summed variance of the features over the
        training rows: the same ones suit features of any scale and number.
    cv : int, splitter or iterable of (train, test), default=5
        Folds the penalty is chosen on. A number of folds keeps groups together where `fit` is
        told of them.

    Attributes
    ----------
    alpha_ : ndarray of float64 of shape (n_targets,)
        Penalty of each target.
    coef_ : ndarray of float64 of shape (n_features, n_targets)
        Weights of the features.
    intercept_ : ndarray of float64 of shape (n_targets,)
        Prediction where all features are 0.
    cv_predictions_ : ndarray of float64 of shape (n_recordings, n_targets)
        Prediction of each training row by the folds that do not hold it, at the chosen penalty.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of object of shape (n_features,)
        Names of the features, when they have names.

    See Also
    --------
    sklearn.linear_model.RidgeCV : Chooses by leaving one row out, whatever its group.

    Notes
    -----
    Equals :class:`sklearn.linear_model.Ridge` with an intercept. A fold costs one decomposition
    of a kernel (n_train, n_train) for all penalties and targets together.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.kernel_ridge import KernelRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(40, 200))
    >>> model = KernelRidgeCV().fit(features, features[:, 0], groups=np.repeat(range(10), 4))
    >>> model.predict(features[:2]).shape
    (2,)
    """

    _parameter_constraints = {
        "alphas": ["array-like"],
        "cv": [Interval(Integral, 2, None, closed="left"), "cv_object"],
    }

    def __init__(self, alphas=DEFAULT_ALPHAS, *, cv=5):
        self.alphas = alphas
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Choose the penalty and fit the weights.

        Parameters
        ----------
        X : array-like of shape (n_recordings, n_features)
            Features.
        y : array-like of shape (n_recordings,) or (n_recordings, n_targets)
            Targets.
        groups : array-like of shape (n_recordings,), optional
            What stays together in the folds: subjects, or sites.

        Returns
        -------
        self : KernelRidgeCV
            The fitted model.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        targets, self._is_flat = as_targets(y, type(self).__name__)
        check_consistent_length(X, targets)
        return self._fit_columns(X, targets, inner_folds(self.cv, targets, groups))

    def predict(self, X):
        """Predict the targets.

        Parameters
        ----------
        X : array-like of shape (n_recordings, n_features)
            Features.

        Returns
        -------
        predictions : ndarray of float64 of shape (n_recordings,) or (n_recordings, n_targets)
            In the units and the shape of the `y` of `fit`.
        """
        scores = self._scores(X)
        return scores[:, 0] if self._is_flat else scores

    def _fit_columns(self, X, targets, folds):
        """Fit checked features to columns of targets."""
        alphas = check_array(self.alphas, ensure_2d=False, dtype=np.float64, input_name="alphas")
        if alphas.ndim != 1 or (alphas <= 0).any():
            raise ValueError(f"alphas must be a list of positive numbers, got {self.alphas!r}.")
        mean = X.mean(axis=0)
        centred = X - mean
        kernel = centred @ centred.T  # (n, n)
        paths = np.full((len(alphas), *targets.shape), np.nan)
        for train, test in folds:
            paths[:, test] = ridge_path(kernel, targets, alphas, train, test)[0]
        if np.isnan(paths).any():
            raise ValueError("cv must hold every row of X in one test fold.")
        best = np.mean((paths - targets) ** 2, axis=1).argmin(axis=0)  # (n_targets,)
        columns = np.arange(targets.shape[1])
        self.alpha_, self.cv_predictions_ = alphas[best], paths[best, :, columns].T
        everybody = np.arange(len(X))
        dual = ridge_path(kernel, targets, alphas, everybody, everybody[:0])[1]
        self.coef_ = centred.T @ dual[best, :, columns].T
        self.intercept_ = targets.mean(axis=0) - mean @ self.coef_
        return self

    def _scores(self, X):
        """Predict columns of targets."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return X @ self.coef_ + self.intercept_


class KernelRidgeClassifierCV(LabelColumnsMixin, BaseEstimator):
    """Ridge classifier in its kernel form, the penalty chosen by folds of groups.

    Parameters
    ----------
    alphas : array-like of float, default=(1e-6, ..., 1e1)
        Penalties to choose from, see `KernelRidgeCV`.
    cv : int, splitter or iterable of (train, test), default=5
        Folds the penalty is chosen on. A number of folds keeps groups together where `fit` is
        told of them, and the parts of classes otherwise.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    ridge_ : KernelRidgeCV
        Fitted to the labels as -1 and 1.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of object of shape (n_features,)
        Names of the features, when they have names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.kernel_ridge import KernelRidgeClassifierCV
    >>> features = np.random.default_rng(0).normal(size=(40, 200))
    >>> features[:20] += 1
    >>> model = KernelRidgeClassifierCV().fit(features, ["patient"] * 20 + ["control"] * 20)
    >>> model.predict(features[:2]).tolist()
    ['patient', 'patient']
    """

    _parameter_constraints = KernelRidgeCV._parameter_constraints

    def __init__(self, alphas=DEFAULT_ALPHAS, *, cv=5):
        self.alphas = alphas
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Choose the penalty and fit the weights.

        Parameters
        ----------
        X : array-like of shape (n_recordings, n_features)
            Features.
        y : array-like of shape (n_recordings,)
            Labels, numbers or strings.
        groups : array-like of shape (n_recordings,), optional
            What stays together in the folds: subjects, or sites.

        Returns
        -------
        self : KernelRidgeClassifierCV
            The fitted model.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        columns, _ = self._encode(y)
        check_consistent_length(X, columns)
        folds = inner_folds(self.cv, columns, groups, classifier=True)
        self.ridge_ = KernelRidgeCV(self.alphas, cv=folds).fit(X, columns)
        return self

    def decision_function(self, X):
        """Return a score a class.

        Parameters
        ----------
        X : array-like of shape (n_recordings, n_features)
            Features.

        Returns
        -------
        scores : ndarray of float64 of shape (n_recordings,) or (n_recordings, n_classes)
            Predictions of -1 and 1; for two classes one column, that of the second.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = self.ridge_.predict(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores


def ridge_path(kernel, targets, alphas, train, test):
    """Solve ridge regressions of some rows, at many penalties.

    Parameters
    ----------
    kernel : array of shape (n, n)
        Products of the features of all rows.
    targets : array of shape (n, n_targets)
        Targets of all rows.
    alphas : array of shape (n_alphas,)
        Penalties, in parts of the trace of the centred kernel of the training rows.
    train : int array of shape (n_train,)
        Rows to learn from.
    test : int array of shape (n_test,)
        Rows to predict.

    Returns
    -------
    predictions : float64 array of shape (n_alphas, n_test, n_targets)
        Predictions of the test rows.
    dual : float64 array of shape (n_alphas, n_train, n_targets)
        Weights of the training rows.

    Examples
    --------
    >>> x, y = np.array([[-1.0], [1.0], [2.0]]), np.array([[-2.0], [2.0], [0.0]])
    >>> predictions, _ = ridge_path(x @ x.T, y, [1e-12, 1.0], np.array([0, 1]), np.array([2]))
    >>> predictions.round(3).ravel().tolist()  # 2 x without a penalty; half of it
    [4.0, 2.0]
    """
    within, across = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
    # Centred by the training rows alone: the others must not move their own prediction.
    row_means, mean = within.mean(axis=0), within.mean()
    across = across - across.mean(axis=1, keepdims=True) - row_means + mean
    within = within - row_means - row_means[:, None] + mean
    level = np.trace(within)
    target_means = targets[train].mean(axis=0)
    # Constant features have no kernel, and predict the mean.
    values, vectors = linalg.eigh(within / level if level > 0 else within)
    rotated = vectors.T @ (targets[train] - target_means)
    penalised = values.clip(min=0)[:, None] + np.asarray(alphas)[:, None, None]
    dual = vectors @ (rotated / penalised) / (level if level > 0 else 1)
    return across @ dual + target_means, dual
