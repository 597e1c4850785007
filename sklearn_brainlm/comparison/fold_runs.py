"""One row of a comparison in one fold: everything is fitted on the training side, on clones."""

import inspect
import time

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    StratifiedGroupKFold,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from sklearn_brainlm._jobs import run_jobs
from sklearn_brainlm.comparison.folds import find_pretrained_subjects, overlapping, walk_estimators

__all__ = ["run_forecasts", "run_predictions", "run_rows"]

_GROUP_SPLITTERS = (
    GroupKFold, GroupShuffleSplit, LeaveOneGroupOut, LeavePGroupsOut, StratifiedGroupKFold
)  # fmt: skip
_RECORDINGS = 2  # their place among the arguments of `_run_fold`


def run_rows(run, rows, folds, names, given, n_jobs=None, verbose=0):
    """Fit every row in every fold.

    Parameters
    ----------
    run : callable
        `run_predictions` or `run_forecasts`.
    rows : dict of str to tuple (estimator, X)
        What is compared, and what each is given.
    folds : list of tuple (train, test) of int arrays
        Positions of recordings.
    names : array of str of shape (n_recordings,) or None
        Name of the subject of each recording, to be looked for in what weights were pretrained on.
    given : dict
        ``groups``, ``y`` where there are labels, and what else `run` takes.
    n_jobs : int, optional
        Jobs of joblib, whose backend is the caller's choice.
    verbose : int, default=0
        Above 1, joblib reports progress.

    Returns
    -------
    results : dict of str to list of :class:`sklearn.utils.Bunch`
        What `run` returned, and ``fold``, ``n_trials``, ``cpu_seconds`` and ``pretrained_on``, the
        tested subjects that the weights had seen.
    """
    jobs = [(name, fold) for name in rows for fold in range(len(folds))]
    calls = [(run, *rows[name], *folds[fold], names, given) for name, fold in jobs]
    done = run_jobs(
        _run_fold, calls, n_jobs=n_jobs, shared=(_RECORDINGS,), verbose=max(0, verbose - 1)
    )
    results = {name: [] for name in rows}
    for (name, fold), result in zip(jobs, done, strict=True):
        results[name].append(Bunch(fold=fold, **result))
    return results


def run_predictions(fitted, X, *, classes):
    """Predict labels of recordings.

    Parameters
    ----------
    fitted : estimator
        Fitted in the fold.
    X : list or array
        What is predicted from.
    classes : array of shape (n_classes,) or None
        All classes, sorted; None in regression.

    Returns
    -------
    predicted : array of shape (n,)
        Predictions; positions of classes in classification.
    scores : float array of shape (n, n_classes) or None
        Larger for a likelier class: probabilities, or values of the decision function.
    """
    predicted = np.asarray(fitted.predict(X))
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        predicted = predicted[:, 0]
    if predicted.shape != (len(X),):
        raise ValueError(
            f"{type(fitted).__name__} predicts an array of shape {predicted.shape}; expected one "
            f"value for each of {len(X)} recordings."
        )
    if classes is None:
        predicted = predicted.astype(np.float64)
        if not np.isfinite(predicted).all():
            raise ValueError(f"{type(fitted).__name__} predicts values that are not finite.")
        return {"predicted": predicted, "scores": None}
    codes = np.searchsorted(classes, predicted).clip(max=len(classes) - 1)
    unknown = classes[codes] != predicted
    if unknown.any():
        raise ValueError(
            f"{type(fitted).__name__} predicts {predicted[unknown][0]!r}, which is no class of y."
        )
    return {"predicted": codes, "scores": _class_scores(fitted, X, classes)}


def run_forecasts(fitted, X, *, stride=None):
    """Forecast parts of recordings, and sum what scores are made of.

    Parameters
    ----------
    fitted : forecaster
        Fitted in the fold.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Test recordings.
    stride : int, optional
        Timepoints between neighbouring windows; the forecaster's own when None.

    Returns
    -------
    sums : float64 array of shape (n_recordings, 6, horizon)
        Over windows and parcels of each recording, for each step ahead: number of values, sums of
        true and predicted values, of their squares, and of their product.
    windows : int64 array of shape (n_windows, 2)
        Recording and start of each window.
    """
    tested = fitted.backtest(X, **({} if stride is None else {"stride": stride}))
    sums = np.zeros((len(X), 6, tested.true.shape[1]))
    for window, index in enumerate(tested.recording):
        true, predicted = (tested[key][window].astype(np.float64) for key in ("true", "predicted"))
        ones = np.ones_like(true)
        pairs = ((ones, ones), (true, ones), (predicted, ones), (true, true),
                 (predicted, predicted), (true, predicted))  # fmt: skip
        sums[index] += [np.einsum("tp,tp->t", a, b) for a, b in pairs]
    if not np.isfinite(sums).all():
        raise ValueError(f"{type(fitted).__name__} forecasts values that are not finite.")
    return {"sums": sums, "windows": np.stack([tested.recording, tested.start], axis=1)}


def _run_fold(run, estimator, X, train, test, names, given):
    """Fit a clone on the training side and run it on the test side."""
    given = dict(given)
    y, groups = given.pop("y", None), given.pop("groups")
    begun = time.process_time()
    model = clone(estimator)
    labels = () if y is None else (y[train],)
    model.fit(_take(X, train), *labels, **_name_groups(model, groups[train]))
    result = run(model, _take(X, test), **given)
    return result | {
        "n_train": len(train),
        "n_test": len(test),
        "n_trials": _count_trials(model),
        "cpu_seconds": time.process_time() - begun,
        "pretrained_on": []
        if names is None
        else overlapping(find_pretrained_subjects(model), names[test]),
    }


def _take(X, positions):
    """Return some recordings as a list, or some rows of features."""
    if isinstance(X, list):
        return [X[position] for position in positions]
    return X.iloc[positions] if hasattr(X, "iloc") else X[positions]


def _name_groups(estimator, groups):
    """Return groups under the names that `fit` takes them by; none where it takes none.

    They are for `fit` itself, for folds that a search makes, for the last step of a pipeline, and
    for what learns transformed labels.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return {f"{name}__{key}": value for key, value in _name_groups(last, groups).items()}
    if isinstance(estimator, TransformedTargetRegressor):
        return _name_groups(estimator.regressor, groups)
    takes_groups = "groups" in inspect.signature(getattr(estimator, "fit", _nothing)).parameters
    if takes_groups or isinstance(getattr(estimator, "cv", None), _GROUP_SPLITTERS):
        return {"groups": groups}
    return {}


def _nothing():
    """Stand for the `fit` of what has none, such as the "passthrough" of a pipeline."""


def _class_scores(fitted, X, classes):
    """Return one column of scores a class, aligned with all classes; None where there are none."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(fitted, method):
            found = np.asarray(getattr(fitted, method)(X), dtype=np.float64)
            break
    else:
        return None
    if found.ndim == 1:
        found = np.stack([-found, found], axis=1)
    known = getattr(fitted, "classes_", classes)
    if found.shape[1] != len(known):  # one against one: no column a class
        return None
    # A class that training has not seen is the least likely one.
    scores = np.full((len(found), len(classes)), found.min() - 1.0)
    scores[:, np.searchsorted(classes, known)] = found
    return scores


def _count_trials(fitted):
    """Return the number of candidates that a search inside an estimator tried, 1 without one."""
    searches = [getattr(part, "cv_results_", {}) for part in walk_estimators(fitted)]
    return max(1, *(len(found.get("params", ())) for found in searches))
