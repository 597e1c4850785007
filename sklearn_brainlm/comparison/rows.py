"""What stands in a comparison: the estimators that were given, and the rows everyone is due."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = [
    "as_list",
    "choose_simple",
    "choose_task",
    "gather_rows",
    "is_on_trial",
    "with_brainmarks_readout",
]

DUMMY = {"regression": "Dummy (mean)", "classification": "Dummy (prior)"}
_ON_TRIAL = "BrainLM"


def gather_rows(estimators, X, covariates, task, n_recordings):
    """Put every row together with what it is given.

    Parameters
    ----------
    estimators : dict of str to estimator or tuple (estimator, features)
        Rows that were given; features take the place of X.
    X : list or None
        Recordings.
    covariates : DataFrame, mapping or None
        Columns that each make a row.
    task : {"regression", "classification"}
        Which kind of simple model.
    n_recordings : int
        Number of recordings.

    Returns
    -------
    rows : dict of str to tuple (estimator, X)
        The Dummy row comes first, then covariates, then what was given.
    """
    _refuse_no_rows(estimators)
    is_regression = task == "regression"
    dummy = DummyRegressor() if is_regression else DummyClassifier(strategy="prior")
    rows = {DUMMY[task]: (dummy, np.zeros((n_recordings, 1)))}
    if covariates is not None:
        names = covariates.columns if hasattr(covariates, "columns") else covariates
        for name in names:
            values = _as_features(covariates[name], f"covariate {name!r}", n_recordings)
            rows[f"{name} only"] = (_covariate_model(values, is_regression), values)
    for name, row in estimators.items():
        if name in rows:
            raise ValueError(f"The row {name!r} is added by compare: give yours another name.")
        if isinstance(row, tuple):
            estimator, features = row
            rows[name] = (estimator, _as_features(features, f"features of {name!r}", n_recordings))
        elif X is None:
            raise ValueError(f"The row {name!r} has no features of its own, and X is None.")
        else:
            rows[name] = (row, X)
    return rows


def is_on_trial(name):
    """Whether a row is one that simple rows are there to embarrass.

    Parameters
    ----------
    name : str
        Name of a row.

    Returns
    -------
    on_trial : bool
        True if it starts with "BrainLM".
    """
    return name.startswith(_ON_TRIAL)


def choose_simple(baseline, names, dummy=None):
    """Say which rows are simple: candidates for the best one.

    Parameters
    ----------
    baseline : str, sequence of str or None
        Names; None takes every row that is not on trial.
    names : sequence of str
        All rows.
    dummy : str, optional
        The row that is simple whatever `baseline` says.

    Returns
    -------
    candidates : list of str
        Rows of which the best is the reference.
    simple : set of str
        The same and the Dummy row.
    """
    if baseline is None:
        candidates = [name for name in names if not is_on_trial(name)]
    else:
        candidates = [baseline] if isinstance(baseline, str) else list(baseline)
    unknown = [name for name in candidates if name not in names]
    if unknown or not candidates:
        raise ValueError(
            f"baseline names {', '.join(map(repr, unknown)) or 'no row'}; there are "
            f"{', '.join(map(repr, names))}."
        )
    return candidates, {*candidates, *([dummy] if dummy else [])}


def choose_task(estimators, y):
    """Say whether labels are amounts or classes: as the estimators are, or else as they look.

    Parameters
    ----------
    estimators : dict of str to estimator or tuple (estimator, features)
        Rows that were given.
    y : array of shape (n_recordings,)
        Known labels.

    Returns
    -------
    task : {"regression", "classification"}
        Whole numbers are classes when no estimator says what it is.
    """
    _refuse_no_rows(estimators)
    models = {name: row[0] if isinstance(row, tuple) else row for name, row in estimators.items()}
    classifiers = [name for name, model in models.items() if is_classifier(model)]
    regressors = [name for name, model in models.items() if is_regressor(model)]
    if classifiers and regressors:
        raise ValueError(
            f"{classifiers[0]!r} is a classifier and {regressors[0]!r} a regressor: they cannot be "
            "compared. Call compare once for each kind."
        )
    if regressors and y.dtype.kind not in "iuf":
        raise ValueError(f"{regressors[0]!r} is a regressor, and y has values like {y[0]!r}.")
    if classifiers or regressors:
        return "classification" if classifiers else "regression"
    return "regression" if y.dtype.kind == "f" else "classification"


def as_list(X, n_recordings):
    """Return recordings, or whatever stands for them, as a list.

    Parameters
    ----------
    X : list, tuple, Series, sequence or 3-D array
        One item a recording: an array, or an image where pipelines start with a masker.
    n_recordings : int
        Number of labels.

    Returns
    -------
    items : list
        The items themselves.
    """
    if hasattr(X, "columns") or getattr(X, "ndim", 3) == 2:
        raise InvalidRecordingError(
            f"X of shape {X.shape} is one recording; a comparison needs a list of them. If it is a "
            "table of features, give it to its rows: (estimator, features), and X=None."
        )
    items = list(X) if hasattr(X, "iloc") else [X[i] for i in range(len(X))]
    if len(items) != n_recordings:
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: X has "
            f"{len(items)} recordings, there are {n_recordings} labels."
        )
    return items


def with_brainmarks_readout(estimators):
    """Put the readout of Brainmarks behind every embedding.

    Parameters
    ----------
    estimators : dict of str to transformer or tuple (transformer, features)
        Embeddings, (n_recordings, n_features) or (n_recordings, n_tokens, n_features): tokens are
        averaged. "passthrough" takes features as they are.

    Returns
    -------
    rows : dict of str to Pipeline or tuple (Pipeline, features)
        Mean over tokens, StandardScaler, LogisticRegressionCV on macro F1.
    """
    _refuse_no_rows(estimators)
    readout = LogisticRegressionCV(
        Cs=10,
        cv=5,
        scoring=_macro_f1,
        max_iter=1000,
        # Said aloud, as scikit-learn is about to change what it does by itself.
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )
    rows = {}
    for name, row in estimators.items():
        embedding, *features = row if isinstance(row, tuple) else (row,)
        steps = [
            ("embed", embedding),
            ("pool", FunctionTransformer(_mean_over_tokens)),
            ("scale", StandardScaler()),
            ("readout", readout),
        ]
        rows[name] = (Pipeline(steps), *features) if features else Pipeline(steps)
    return rows


def _macro_f1(estimator, X, y):
    """Score as "f1_macro" does, which LogisticRegressionCV refuses for two classes.

    The function can go with the bug, https://github.com/scikit-learn/scikit-learn/issues/34531.
    """
    return f1_score(y, estimator.predict(X), average="macro")


def _mean_over_tokens(embeddings):
    """Average tokens (n_recordings, n_tokens, n_features), if there are any."""
    embeddings = np.asarray(embeddings)
    return embeddings.mean(axis=1) if embeddings.ndim == 3 else embeddings


def _covariate_model(values, is_regression):
    """Return the linear model of a few columns, all numbers or all names."""
    if np.asarray(values).dtype.kind in "iufb":
        steps = [SimpleImputer(keep_empty_features=True), StandardScaler()]
    else:
        steps = [OneHotEncoder(handle_unknown="ignore")]
    last = RidgeCV(np.logspace(-3, 3, 13)) if is_regression else LogisticRegression(max_iter=1000)
    return make_pipeline(*steps, last)


def _as_features(values, what, n_recordings):
    """Return features (n_recordings, n_features), a single column for a vector."""
    if getattr(values, "ndim", None) is None:
        values = np.asarray(values)
    if values.ndim == 1:
        values = values.to_frame() if hasattr(values, "to_frame") else values[:, None]
    if values.ndim != 2 or values.shape[0] != n_recordings:
        raise ValueError(
            f"The {what} have shape {values.shape}; expected a row for each of {n_recordings} "
            "recordings."
        )
    return values


def _refuse_no_rows(estimators):
    """Check that estimators have names, and that there is one at least."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise ValueError("estimators is a dict of name to estimator, with one entry at least.")
