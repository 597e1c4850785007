"""Methods side by side on the same people: what BrainLM has to beat stands in the same table."""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm.comparison.fold_runs import run_forecasts, run_predictions, run_rows
from sklearn_brainlm.comparison.folds import check_people, make_folds, warn_of_pretraining
from sklearn_brainlm.comparison.horizons import check_same_windows, errors_frame, tabulate_forecasts
from sklearn_brainlm.comparison.out_of_fold import (
    check_y,
    choose_metrics,
    gather_predictions,
    predictions_frame,
)
from sklearn_brainlm.comparison.rows import (
    as_list,
    choose_simple,
    choose_task,
    gather_rows,
    with_brainmarks_readout,
)
from sklearn_brainlm.comparison.table import Kept, tabulate
from sklearn_brainlm.comparison.text import format_comparison, warn_of_connectivity

__all__ = ["compare", "compare_forecasters", "format_comparison"]

_PROTOCOLS = ("folds", "brainmarks-logistic")
_BRAINMARKS_BOOTSTRAPS = 500


def compare(
    estimators,
    X,
    y,
    *,
    groups=None,
    subjects=None,
    cv=None,
    scoring=None,
    target_scaler=None,
    covariates=None,
    baseline=None,
    protocol="folds",
    n_jobs=None,
    n_bootstrap=2000,
    random_state=None,
    verbose=0,
):
    """Predict labels of people by several methods, out of fold, and test who is better.

    In each fold everything is fitted on the training side, on clones: scalers, statistics, the
    scaling of labels. A row of zeros, "Dummy (mean)" or "Dummy (prior)", is always there.

    Parameters
    ----------
    estimators : dict of str to estimator or tuple (estimator, features)
        Rows of the table. An estimator is given the recordings; a tuple stands for an estimator
        of features, an array or DataFrame of shape (n_recordings, n_features). Names that begin
        with "BrainLM" are on trial, all others are simple.
    X : list of arrays of shape (n_timepoints, n_parcels) or None
        Recordings, or whatever the first step of every estimator takes, one item a recording;
        None when every row has features. A recording is never cut: windows are the estimators'
        business, and those of one recording stay on one side.
    y : array-like of shape (n_recordings,)
        Labels. Recordings whose label is missing (NaN, None) are left out, with a warning.
    groups : array-like of shape (n_recordings,) or "each recording is a subject"
        What a fold must not divide: subject, family or site of each recording. It has to be given
        or said.
    subjects : array-like of shape (n_recordings,) or "each recording is a subject", optional
        Who each recording is of, where `groups` are something larger, such as sites; the groups
        when None. Intervals are over subjects, and no fold may divide one.
    cv : int, splitter or iterable of (train, test), optional
        Folds; ``GroupKFold(5)`` when None, ``GroupKFold(cv)`` for an int. Pairs of positions in X
        may put a cohort from elsewhere on the test side.
    scoring : str, optional
        The primary metric, which is tested: "r2" by default in regression, besides "mse",
        "mean_absolute_error", "r"; "roc_auc" in classification, besides "balanced_accuracy",
        "f1_macro".
    target_scaler : TargetScaler, optional
        Adds "scaled_mse", the paper's error: all rows are scored on the scale of a clone of it
        that is fitted on the training labels of each fold.
    covariates : DataFrame or dict of str to array-like of shape (n_recordings,), optional
        Each column makes a row "<column> only", a linear model of it, such as of motion or site.
    baseline : str or list of str, optional
        Simple rows of which the best is the reference; all simple ones when None.
    protocol : {"folds", "brainmarks-logistic"}, default="folds"
        "brainmarks-logistic" takes transformers in `estimators` and does what Brainmarks does, for
        classes: see Notes.
    n_jobs : int, optional
        Fits at a time, in joblib: its backend, dask among them, is chosen by
        ``joblib.parallel_config``. Scores do not depend on it.
    n_bootstrap : int, default=2000
        Resamples of subjects behind each interval.
    random_state : int, RandomState or None, default=None
        Seeds the resamples, not the estimators.
    verbose : int, default=0
        1 prints the table, more also the progress of joblib.

    Returns
    -------
    DataFrame
        One line for each method, metric and setting, "all" or "fold 0" and so on:

        - ``value``, and over all folds its 95% bootstrap interval ``ci_low``, ``ci_high``
        - ``skill``, 0 as good as Dummy and 1 perfect: ``1 - error / error_dummy`` for errors,
          ``(score - score_dummy) / (1 - score_dummy)`` for scores
        - ``difference``, by how much it is better than the row ``compared_with``, the best simple
          one, whichever way the metric goes; and its paired interval
        - ``p_value`` of the primary metric, two-sided; ``p_corrected``; and its ``stars``, for
          rows that are better
        - ``n_train``, ``n_test``, ``n_trials`` of a search in the estimator, and ``cpu_seconds``
          of fit and prediction, those of processes that an estimator starts left out

        ``table.attrs["predictions"].frame`` has the out-of-fold predictions.

    Raises
    ------
    ValueError
        If `groups` is neither given nor said, or a group or subject is in training and test of a
        fold.

    Warns
    -----
    UserWarning
        If a BrainLM row does not beat the best row whose name begins with "Connectivity", or the
        weights of a row were pretrained on subjects that it is tested on, by
        ``trained_on_["subjects"]``.
    DataQualityWarning
        If labels are missing.

    See Also
    --------
    compare_forecasters : The same for forecasts.
    format_comparison : The table as text.

    Notes
    -----
    A `fit` that takes groups is given those of its training side, as is a pipeline's last step.

    Over all folds, a score is that of all out-of-fold predictions together. But "roc_auc" ranks
    pairs of one fold only, and "r" is about the means of each fold: scores of two models have no
    common order, and training means alone, low where the tested are high, would correlate. The
    positive class is the last one of the sorted labels.

    The test is the paired t-test over folds, its variance corrected for training sets that
    overlap (Nadeau and Bengio 2003). The reference is the simple row with the best mean over
    folds, chosen after the fact: it had the luck of the best of several, which makes the test
    conservative for the rows on trial. The false discovery rate (Benjamini and Hochberg) is
    controlled over the rows on trial, and apart from them over the simple ones: weak simple rows
    cannot make the p-value of a row on trial smaller.

    "brainmarks-logistic" averages tokens, scales features and fits LogisticRegressionCV with 10
    penalties and 5 folds on macro F1, on one split into training and test (`cv`, or a fifth of
    the groups, stratified). Its intervals come from 500 bootstraps of the test recordings within
    their classes, and there is no p-value, since there is one split. A BrainLMTransformer averages
    its tokens with ``pooling="mean"``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_brainlm.evaluation import compare
    >>> rng = np.random.default_rng(0)
    >>> motion = rng.normal(size=60)
    >>> age = 50 + 8 * motion + 4 * rng.normal(size=60)
    >>> subject = np.repeat(np.arange(30), 2)
    >>> rows = {"Motion + ridge": (Ridge(), motion)}
    >>> table = compare(rows, None, age, groups=subject, n_bootstrap=200, random_state=0)
    >>> table = table.query("metric == 'r2' and setting == 'all'").set_index("method")
    >>> table["skill"].round(2).to_dict()
    {'Dummy (mean)': 0.0, 'Motion + ridge': 0.73}
    """
    if protocol not in _PROTOCOLS:
        raise ValueError(f"protocol must be one of {_PROTOCOLS}, got {protocol!r}.")
    y, known = check_y(y)
    n = len(y)
    groups, subjects, names = check_people(groups, subjects, n, X)
    seed, strata = draw_seed(random_state), None
    if protocol == "folds":
        task = choose_task(estimators, y[known])
        metrics = choose_metrics(task, scoring, target_scaler)
    else:
        task, metrics = "classification", choose_metrics(protocol, scoring, target_scaler)
        estimators = with_brainmarks_readout(estimators)
        if cv is None:
            cv = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
            cv = make_folds(cv, y, groups, subjects, known)[:1]
    X = None if X is None else as_list(X, n)
    rows = gather_rows(estimators, X, covariates, task, n)
    candidates, simple = choose_simple(baseline, list(rows), next(iter(rows)))
    folds = make_folds(cv, y, groups, subjects, known)
    if protocol != "folds" and len(folds) != 1:
        raise ValueError(f"cv gives {len(folds)} splits; protocol={protocol!r} has one.")
    classes = None if task == "regression" else np.unique(y[known])
    given = {"y": y, "groups": groups, "classes": classes}
    results = run_rows(run_predictions, rows, folds, names, given, n_jobs, verbose)
    made = gather_predictions(results, folds, y, subjects, classes, target_scaler)
    if protocol != "folds":
        n_bootstrap, strata = _BRAINMARKS_BOOTSTRAPS, next(iter(made.values())).true
    table = tabulate(made, results, metrics, candidates, simple, n_bootstrap, seed, strata)
    table.attrs["predictions"] = Kept(predictions_frame(made, names, classes))
    warn_of_pretraining(results)
    warn_of_connectivity(table)
    if verbose:
        print(format_comparison(table))
    return table


def compare_forecasters(
    estimators,
    X,
    *,
    groups=None,
    subjects=None,
    cv=None,
    steps=((1, 8), (9, 20)),
    stride=None,
    baseline=None,
    n_jobs=None,
    n_bootstrap=2000,
    random_state=None,
    verbose=0,
):
    """Forecast recordings of held-out people by several methods, and test who is better when.

    As in section 4.3 of the article. R2 is ``1 - sum(SSE) / sum(SS)`` over all values of a step, SS
    about 0, the centre of each parcel in the training recordings, as in the `score` of forecasters.

    Parameters
    ----------
    estimators : dict of str to forecaster
        Rows of the table, all with one context_length, horizon, scaler and clip: they have
        ``fit(X)`` and a ``backtest(X)`` like that of the forecasters of
        ``sklearn_brainlm.baselines``. Names that begin with "BrainLM" are on trial, all others
        are simple. ``MeanForecaster(gain="auto")`` is the control for what a high-pass filter
        alone makes predictable.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings, each of more than `horizon` timepoints.
    groups : array-like of shape (n_recordings,) or "each recording is a subject"
        What a fold must not divide: subject or family of each recording. It has to be given or
        said.
    subjects : array-like of shape (n_recordings,) or "each recording is a subject", optional
        Who each recording is of, where `groups` are something larger; the groups when None.
    cv : int, splitter or iterable of (train, test), optional
        As in :func:`compare`.
    steps : list of pairs of int, default=((1, 8), (9, 20))
        First and last step of groups of steps ahead, counted from 1, both included. Every step on
        its own is reported besides.
    stride : int, optional
        Timepoints between neighbouring test windows; futures follow each other when None.
    baseline : str or list of str, optional
        Simple rows of which the best is the reference; all simple ones when None.
    n_jobs : int, optional
        Fits at a time, in joblib, whose backend is the caller's choice.
    n_bootstrap : int, default=2000
        Resamples of test subjects behind each interval.
    random_state : int, RandomState or None, default=None
        Seeds the resamples, not the estimators.
    verbose : int, default=0
        1 prints the table, more also the progress of joblib.

    Returns
    -------
    DataFrame
        The columns of :func:`compare`; metrics are "r2", "r" and "mse", in scaled units, and
        settings "steps 1-8", "step 1" and so on, and "steps 1-8, fold 0". ``skill`` is R2.
        ``table.attrs["errors"].frame`` has the sums of each test subject.

    Raises
    ------
    ValueError
        If `groups` is neither given nor said, a group or subject is in training and test of a
        fold, or rows were not tested on the same values.

    Warns
    -----
    UserWarning
        If the weights of a row were pretrained on subjects that it is tested on.

    See Also
    --------
    compare : The same for labels of people.
    format_comparison : The table as text.

    Notes
    -----
    Pearson r is that of all values of a step. The test is the Wilcoxon signed-rank test of the mean
    squared errors of test subjects, against the simple row with the best R2 at that step. It asks
    whether the trained models differ for other people, not whether training again would. The false
    discovery rate (Benjamini and Hochberg) is controlled over all steps of all rows on trial, and
    apart from them over groups of steps and over the simple rows. Stars are those of the paper: one
    for p < .05, two for p < .01, three for p < .001, corrected, of rows that are better.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import ARForecaster, LastValueForecaster
    >>> from sklearn_brainlm.evaluation import compare_forecasters
    >>> walks = 0.01 * np.cumsum(np.random.default_rng(0).normal(size=(6, 120, 2)), axis=1)
    >>> windows = {"context_length": 20, "horizon": 4}
    >>> last, ar = LastValueForecaster(**windows), ARForecaster(order=2, **windows)
    >>> table = compare_forecasters(
    ...     {"Last value": last, "AR": ar}, walks,
    ...     groups="each recording is a subject", cv=2, steps=[(1, 2), (3, 4)],
    ... )
    >>> r2 = table.query("metric == 'r2' and method == 'AR'").set_index("setting")["value"]
    >>> bool(r2["steps 1-2"] > r2["steps 3-4"] > 0.5)
    True
    """
    X = as_list(X, len(X))
    n = len(X)
    groups, subjects, names = check_people(groups, subjects, n, X)
    rows = {name: (estimator, X) for name, estimator in estimators.items()}
    candidates, simple = choose_simple(baseline, list(rows))
    folds = make_folds(cv, np.zeros(n), groups, subjects)
    given = {"groups": groups, "stride": stride}
    results = run_rows(run_forecasts, rows, folds, names, given, n_jobs, verbose)
    check_same_windows(results)
    seed = draw_seed(random_state)
    table = tabulate_forecasts(
        results, folds, subjects, steps, candidates, simple, n_bootstrap, seed
    )
    table.attrs["errors"] = Kept(errors_frame(results, folds, subjects, names))
    warn_of_pretraining(results)
    if verbose:
        print(format_comparison(table))
    return table
