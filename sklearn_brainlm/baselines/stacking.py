"""Several kinds of features, each by its own ridge regression, weighted by what each adds."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context, clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval

from sklearn_brainlm.baselines.columns import LabelColumnsMixin, as_targets, inner_folds
from sklearn_brainlm.baselines.kernel_ridge import DEFAULT_ALPHAS, KernelRidgeCV
from sklearn_brainlm.baselines.recording_input import RecordingInputMixin
from sklearn_brainlm.exceptions import DataQualityWarning

__all__ = ["KernelStackClassifier", "KernelStackRegressor"]


class _KernelStack(RecordingInputMixin, BaseEstimator):
    """Non-negative combination of ridge regressions on several kinds of features."""

    _parameter_constraints = {
        "transformers": [list, tuple],
        "alphas": ["array-like"],
        "cv": [Interval(Integral, 2, None, closed="left"), "cv_object"],
    }

    def _fit_columns(self, recordings, columns, folds):
        """Fit all parts to columns of targets; return the scores of the folds."""
        self._check_transformers()
        # Features are learned once, on all training recordings, and not again for each inner
        # fold: a tangent space takes longer than all the rest. They never see y, so the inner
        # folds choose among them fairly enough; what they are tested on outside stays unseen.
        self.transformers_ = [(name, clone(part)) for name, part in self.transformers]
        self.ridges_ = {}
        for name, transformer in self.transformers_:
            features = _quietly(transformer.fit_transform, recordings)
            self.ridges_[name] = KernelRidgeCV(self.alphas, cv=folds).fit(features, columns)
        parts = [ridge.cv_predictions_ for ridge in self.ridges_.values()]
        self.final_ = []
        for column in range(columns.shape[1]):
            of_column = np.column_stack([part[:, column] for part in parts])
            final = LinearRegression(positive=True).fit(of_column, columns[:, column])
            self.final_.append(final)
        self.weights_ = np.stack([final.coef_ for final in self.final_])
        return self._combine(parts)

    def _scores(self, X):
        """Return the combined predictions of recordings (n_recordings, n_columns)."""
        recordings = self._check(X, reset=False)
        parts = [
            self.ridges_[name].predict(_quietly(transformer.transform, recordings))
            for name, transformer in self.transformers_
        ]
        return self._combine(parts)

    def _combine(self, parts):
        """Weight the predictions of the parts, column by column."""
        stacked = np.stack(parts, axis=-1)  # (n_recordings, n_columns, n_parts)
        columns = [final.predict(stacked[:, i]) for i, final in enumerate(self.final_)]
        return np.column_stack(columns)

    def _check_transformers(self):
        """Refuse what is not a list of named transformers."""
        names = [pair[0] for pair in self.transformers if len(pair) == 2]
        if not names or len(names) < len(self.transformers) or len(set(names)) < len(names):
            raise ValueError(
                "transformers must be a list of pairs (name, transformer), with different names; "
                f"got {self.transformers!r}."
            )


class KernelStackRegressor(MultiOutputMixin, RegressorMixin, _KernelStack):
    """Predict traits from several kinds of features of recordings, stacked.

    Each kind of features has a kernel ridge regression, its penalty chosen by inner folds. Their
    predictions of the held-out parts of these folds are combined by non-negative least squares.

    Parameters
    ----------
    transformers : list of (str, transformer)
        Names, and transformers that turn a list of recordings into features; they may be
        pipelines.
    alphas : array-like of float, default=(1e-6, ..., 1e1)
        Penalties to choose from, see `KernelRidgeCV`.
    cv : int, splitter or iterable of (train, test), default=5
        Inner folds. A number of folds keeps groups together where `fit` is told of them.

    Attributes
    ----------
    transformers_ : list of (str, transformer)
        Fitted on the training recordings.
    ridges_ : dict of str to KernelRidgeCV
        The regression of each kind of features.
    weights_ : ndarray of float64 of shape (n_targets, n_transformers)
        Weight of each, at least 0.
    final_ : list of sklearn.linear_model.LinearRegression
        One a target, with its weights and intercept.
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    See Also
    --------
    sklearn_brainlm.baselines.connectome.make_connectome_stack : The features to begin with.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.connectivity import ConnectivityFeatures
    >>> from sklearn_brainlm.baselines.measures import ParcelDeviation
    >>> from sklearn_brainlm.baselines.stacking import KernelStackRegressor
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(20, 80, 30)
    >>> recordings = [rng.normal(scale=years / 50, size=(60, 4)) for years in age]
    >>> parts = [("connectivity", ConnectivityFeatures()), ("deviation", ParcelDeviation())]
    >>> model = KernelStackRegressor(parts).fit(recordings[:20], age[:20])
    >>> model.score(recordings[20:], age[20:]) > 0.8
    True
    """

    def __init__(self, transformers, *, alphas=DEFAULT_ALPHAS, cv=5):
        self.transformers = transformers
        self.alphas = alphas
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Learn features, penalties and weights.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Training recordings.
        y : array-like of shape (n_recordings,) or (n_recordings, n_targets)
            Targets.
        groups : array-like of shape (n_recordings,), optional
            What stays together in the inner folds: subjects, or sites.

        Returns
        -------
        self : KernelStackRegressor
            The fitted model.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        ValueError
            A target is missing, or the numbers of recordings, targets and groups differ.
        """
        recordings = self._check(X, reset=True)
        targets, self._is_flat = as_targets(y, type(self).__name__)
        check_consistent_length(recordings, targets)
        self._fit_columns(recordings, targets, inner_folds(self.cv, targets, groups))
        return self

    def predict(self, X):
        """Predict the targets.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        predictions : ndarray of float64 of shape (n_recordings,) or (n_recordings, n_targets)
            In the units and the shape of the `y` of `fit`.
        """
        scores = self._scores(X)
        return scores[:, 0] if self._is_flat else scores


class KernelStackClassifier(LabelColumnsMixin, _KernelStack):
    """Predict classes from several kinds of features of recordings, stacked.

    As `KernelStackRegressor`, on labels as -1 and 1; a logistic regression on the predictions of
    the held-out parts of the inner folds turns the combined score into probabilities.

    Parameters
    ----------
    transformers : list of (str, transformer)
        Names, and transformers that turn a list of recordings into features; they may be
        pipelines.
    alphas : array-like of float, default=(1e-6, ..., 1e1)
        Penalties to choose from, see `KernelRidgeCV`.
    cv : int, splitter or iterable of (train, test), default=5
        Inner folds. A number of folds keeps groups together where `fit` is told of them, and the
        parts of classes otherwise.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    transformers_ : list of (str, transformer)
        Fitted on the training recordings.
    ridges_ : dict of str to KernelRidgeCV
        The regression of each kind of features on the labels as -1 and 1.
    weights_ : ndarray of float64 of shape (n_columns, n_transformers)
        Weight of each, at least 0; two classes have one column.
    final_ : list of sklearn.linear_model.LinearRegression
        One a column, with its weights and intercept.
    calibration_ : sklearn.linear_model.LogisticRegression
        From combined scores to probabilities.
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.measures import ParcelDeviation
    >>> from sklearn_brainlm.baselines.stacking import KernelStackClassifier
    >>> rng = np.random.default_rng(0)
    >>> state = np.array(["rest", "task"] * 15)
    >>> recordings = [rng.normal(scale=1 + (s == "task"), size=(60, 4)) for s in state]
    >>> model = KernelStackClassifier([("deviation", ParcelDeviation())])
    >>> model.fit(recordings[:20], state[:20]).score(recordings[20:], state[20:])
    1.0
    """

    def __init__(self, transformers, *, alphas=DEFAULT_ALPHAS, cv=5):
        self.transformers = transformers
        self.alphas = alphas
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Learn features, penalties, weights and probabilities.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Training recordings.
        y : array-like of shape (n_recordings,)
            Labels, numbers or strings.
        groups : array-like of shape (n_recordings,), optional
            What stays together in the inner folds: subjects, or sites.

        Returns
        -------
        self : KernelStackClassifier
            The fitted model.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        ValueError
            A label is missing, there is one class only, or numbers differ.
        """
        recordings = self._check(X, reset=True)
        columns, labels = self._encode(y)
        check_consistent_length(recordings, columns)
        folds = inner_folds(self.cv, columns, groups, classifier=True)
        scores = self._fit_columns(recordings, columns, folds)
        self.calibration_ = LogisticRegression().fit(scores, labels)
        return self

    def decision_function(self, X):
        """Return a score a class.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        scores : ndarray of float64 of shape (n_recordings,) or (n_recordings, n_classes)
            Log odds; for two classes one column, that of the second.
        """
        return self.calibration_.decision_function(self._scores(X))

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        probabilities : ndarray of float64 of shape (n_recordings, n_classes)
            In the order of `classes_`.
        """
        return self.calibration_.predict_proba(self._scores(X))


def _quietly(transform, recordings):
    """Transform recordings without the warnings that the check of X has given already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        return transform(recordings)
