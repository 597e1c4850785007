"""Scikit-learn's own estimator checks on estimators of recordings, through a subclass for tests.

Scikit-learn's checks give a 2-D X whose rows are samples. Here each row becomes a recording, so
that the checks reach the estimator's real code for fitting, parameters, cloning and pickling. The
estimators themselves read a 2-D X as one recording, and recording_checks.py checks that.
"""

import numpy as np
from sklearn.utils.estimator_checks import estimator_checks_generator

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMForecaster,
    BrainLMRegressor,
    BrainLMTransformer,
    GaussianReconstructor,
    RecordingScaler,
)

N_TIMEPOINTS = 24


def rows_as_recordings(X):
    """Repeat each row of a 2-D X as timepoints; leave anything else for the estimator to refuse.

    A little variation is added, another one to each parcel: recordings and parcels that do not
    vary are ones an estimator is right to refuse or warn about.
    """
    rows = np.asarray(X) if isinstance(X, list) or hasattr(X, "__array__") else X
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or not rows.size:
        return X
    if rows.dtype == object:  # scikit-learn's own conversion, and its own message
        rows = rows.astype(np.float64)
    phase = np.outer(np.arange(N_TIMEPOINTS), np.arange(1, rows.shape[1] + 1))
    variation = 0.1 * np.sin(phase).astype(np.float32)  # (n_timepoints, n_parcels)
    return [row + variation for row in rows]


class RowsAsRecordings:
    """Mixin that hands rows to an estimator as recordings."""

    def fit(self, X, y=None, **params):
        return super().fit(rows_as_recordings(X), y, **params)


class RowsToTransform(RowsAsRecordings):
    """Mixin for estimators that make something of rows."""

    def fit_transform(self, X, y=None, **params):
        return self.fit(X, y, **params).transform(X)

    def transform(self, X):
        return super().transform(rows_as_recordings(X))


class RowsToGoOnWith:
    """Mixin for estimators with `partial_fit` and a score of their own."""

    def partial_fit(self, X, y=None):
        return super().partial_fit(rows_as_recordings(X), y)

    def score(self, X, y=None):
        return super().score(rows_as_recordings(X), y)


class RowScaler(RowsToTransform, RecordingScaler):
    """RecordingScaler on rows; one row out, the mean of the recording over time."""

    def transform(self, X):
        return np.stack([recording.mean(axis=0) for recording in super().transform(X)])


class RowTransformer(RowsToTransform, RowsToGoOnWith, BrainLMTransformer):
    """BrainLMTransformer on rows."""


class RowReconstructor(GaussianReconstructor):
    """GaussianReconstructor on rows."""

    def fit(self, X, y=None):
        return super().fit(rows_as_recordings(X), y)

    def score(self, X, y=None):
        return super().score(rows_as_recordings(X), y)


class RowsToPredict(RowsAsRecordings):
    """Mixin for estimators that predict something of rows."""

    def predict(self, X, *args):
        return super().predict(rows_as_recordings(X), *args)

    def score(self, X, y=None):
        return super().score(rows_as_recordings(X), y)


class RowRegressor(RowsToPredict, BrainLMRegressor):
    """BrainLMRegressor on rows."""


class RowClassifier(RowsToPredict, BrainLMClassifier):
    """BrainLMClassifier on rows."""

    def predict_proba(self, X):
        return super().predict_proba(rows_as_recordings(X))


class RowForecaster(RowsToPredict, BrainLMForecaster):
    """BrainLMForecaster on rows; the mean of each forecast over time."""

    def predict(self, X):
        return super().predict(X).mean(axis=1)


def sklearn_checks(estimator):
    """Return scikit-learn's checks for an adapted estimator as a list of (estimator, check)."""
    return list(estimator_checks_generator(estimator))


def check_name(check):
    """Return the name of a check of scikit-learn, which comes as a function or a partial one."""
    return getattr(check, "func", check).__name__
