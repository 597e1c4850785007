"""Labels of people, which of them are known, and the predictions of those that were tested."""

import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_brainlm.comparison.scores import Predictions
from sklearn_brainlm.exceptions import DataQualityWarning

__all__ = ["check_y", "choose_metrics", "gather_predictions", "predictions_frame"]

METRICS = {
    "regression": ("r2", "mse", "mean_absolute_error", "r"),
    "classification": ("roc_auc", "balanced_accuracy", "f1_macro"),
    "brainmarks-logistic": ("f1_macro", "accuracy"),
}


def check_y(y):
    """Check labels, and find those that are missing.

    Parameters
    ----------
    y : array-like of shape (n_recordings,)
        Labels; NaN, None or NA where one is missing.

    Returns
    -------
    labels : array of shape (n_recordings,)
        Numbers, strings or booleans, in the plainest dtype that holds the known ones. What stands
        where one is missing means nothing.
    known : bool array of shape (n_recordings,)
        Where there is a label.

    Warns
    -----
    DataQualityWarning
        If labels are missing: it says how many.
    """
    values = np.asarray(y)
    if values.ndim != 1:
        raise ValueError(
            f"y has shape {values.shape}; expected (n_recordings,). Compare one target at a time."
        )
    known = ~np.asarray(pd.isna(values))
    if not known.all():
        warnings.warn(
            f"{np.sum(~known)} of {len(known)} recordings have no label and are left out.",
            DataQualityWarning,
            stacklevel=3,
        )
    found = values[known]
    found = np.array(found.tolist()) if found.dtype.kind == "O" else found
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ValueError("Input y contains infinity.")
    if len(np.unique(found)) < 2:
        raise ValueError(f"y has {len(found)} labels and not two different ones: nothing to learn.")
    labels = np.zeros(len(values), dtype=found.dtype)
    labels[known] = found
    return labels, known


def choose_metrics(task, scoring, target_scaler):
    """Return the metrics of a task, the primary one first.

    Parameters
    ----------
    task : str
        A key of ``METRICS``.
    scoring : str or None
        The primary metric, the usual one when None.
    target_scaler : TargetScaler or None
        Adds the scaled error in regression.

    Returns
    -------
    metrics : list of str
        Names of scores.
    """
    if target_scaler is not None and task != "regression":
        raise ValueError("target_scaler scales amounts, and y are classes.")
    metrics = [*METRICS[task], *(["scaled_mse"] if target_scaler is not None else [])]
    scoring = metrics[0] if scoring is None else scoring
    if scoring not in metrics:
        raise ValueError(f"scoring must be one of {metrics}, got {scoring!r}.")
    return sorted(metrics, key=lambda metric: metric != scoring)


def gather_predictions(results, folds, y, subjects, classes, target_scaler):
    """Put the predictions of all folds together.

    Parameters
    ----------
    results : dict of str to list of Bunch
        What `run_predictions` returned, by row and fold.
    folds : list of tuple (train, test) of int arrays
        Positions of recordings.
    y : array of shape (n_recordings,)
        Labels.
    subjects : int array of shape (n_recordings,)
        Subject of each recording.
    classes : array of shape (n_classes,) or None
        All classes, sorted; None in regression.
    target_scaler : TargetScaler or None
        Fitted on the training labels of each fold, for the scaled error.

    Returns
    -------
    made : dict of str to Predictions
        Predictions of each row, of the same recordings in the same order.
    """
    recording = np.concatenate([test for _, test in folds])
    fold = np.repeat(np.arange(len(folds)), [len(test) for _, test in folds])
    true = y.astype(np.float64) if classes is None else np.searchsorted(classes, y)
    scalers = []
    if target_scaler is not None:
        scalers = [clone(target_scaler).fit(true[train]) for train, _ in folds]
    made = {}
    for name, own in results.items():
        predicted = np.concatenate([result.predicted for result in own])
        scores = [result.scores for result in own]
        scores = None if any(s is None for s in scores) else np.concatenate(scores)
        errors = [
            _scaled_error(true[test], result.predicted, scaler)
            for (_, test), result, scaler in zip(folds, own, scalers, strict=False)
        ]
        made[name] = Predictions(
            recording, subjects[recording], fold, true[recording], predicted, scores,
            np.concatenate(errors) if errors else None,
        )  # fmt: skip
    return made


def predictions_frame(made, names, classes):
    """Return predictions as a table.

    Parameters
    ----------
    made : dict of str to Predictions
        Predictions of each row.
    names : array of str of shape (n_recordings,) or None
        Names of the subjects.
    classes : array of shape (n_classes,) or None
        All classes.

    Returns
    -------
    frame : DataFrame
        Columns method, recording (its position in X), subject, fold, true, predicted, and in
        classification "score <class>".
    """
    parts = []
    for method, own in made.items():
        columns = {
            "method": method,
            "recording": own.recording,
            "subject": own.subject if names is None else names[own.recording],
            "fold": own.fold,
            "true": own.true if classes is None else classes[own.true],
            "predicted": own.predicted if classes is None else classes[own.predicted],
        }
        if own.scores is not None:
            columns |= {f"score {label}": own.scores[:, i] for i, label in enumerate(classes)}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _scaled_error(true, predicted, scaler):
    """Return squared errors on the scale of a fitted TargetScaler."""
    labels = scaler.transform(true[:, None])
    return ((labels - scaler._scale(predicted[:, None], predicted=True)) ** 2)[:, 0]
