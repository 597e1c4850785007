"""From out-of-fold predictions to the tidy table of a comparison."""

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_brainlm.comparison.inference import (
    correct_p_values,
    corrected_t_test,
    interval,
    resample_weights,
    significance_stars,
)
from sklearn_brainlm.comparison.scores import ERRORS, score_all

__all__ = ["COLUMNS", "Kept", "finish_table", "tabulate"]

COLUMNS = [
    "method", "metric", "setting", "value", "ci_low", "ci_high", "skill", "difference",
    "difference_low", "difference_high", "compared_with", "p_value", "p_corrected", "stars",
    "n_train", "n_test", "n_trials", "cpu_seconds",
]  # fmt: skip


class Kept:
    """A table that travels in ``DataFrame.attrs``.

    pandas copies attributes with every operation and compares them when it joins tables; a table
    there is slow to copy, and cannot be compared. This is neither copied nor equal to another.

    Parameters
    ----------
    frame : DataFrame
        The table.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"value": [0.5]})
    >>> table.attrs["predictions"] = Kept(pd.DataFrame({"predicted": [60.0]}))
    >>> table.query("value > 0").attrs["predictions"].frame["predicted"].tolist()
    [60.0]
    """

    def __init__(self, frame):
        self.frame = frame

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<table of {len(self.frame)} rows, see .frame>"


def tabulate(made, results, metrics, candidates, simple, n_bootstrap, seed, strata=None):
    """Score predictions of all rows, in every fold and over all.

    Parameters
    ----------
    made : dict of str to Predictions
        Predictions of each row, of the same recordings in the same order. The first row is the
        one that skill is measured against.
    results : dict of str to list of Bunch
        What `run_rows` returned: sizes and costs.
    metrics : list of str
        Names of scores, the primary one first.
    candidates, simple : list and set of str
        See `choose_simple`.
    n_bootstrap, seed : int
        Resamples and their seed.
    strata : array, optional
        Classes of recordings, which are then resampled one by one within their class.

    Returns
    -------
    table : DataFrame
        Columns ``COLUMNS``; ``attrs["primary"]`` is the primary metric.
    """
    dummy = next(iter(made))
    primary, n_folds = metrics[0], len(results[dummy])
    by_fold = {
        (name, metric): np.array(
            [float(score_all(own.part(own.fold == f), metric)[0]) for f in range(n_folds)]
        )
        for name, own in made.items()
        for metric in metrics
    }
    _warn_undefined(by_fold, list(made), primary)
    overall = {key: float(score_all(made[key[0]], key[1])[0]) for key in by_fold}
    resampled = _resample(made, metrics, n_bootstrap, seed, strata)
    sign = -1 if primary in ERRORS else 1
    reference = _best(candidates, {name: sign * by_fold[name, primary] for name in candidates})

    rows = []
    for (name, metric), values in by_fold.items():
        sign = -1 if metric in ERRORS else 1
        own, other = (name, metric), (reference, metric)
        costs = results[name]
        low, high = interval(resampled[own])
        row = {
            "method": name,
            "metric": metric,
            "setting": "all",
            "value": overall[own],
            "ci_low": low,
            "ci_high": high,
            "skill": _skill(overall[own], overall[dummy, metric], metric),
            "n_train": round(np.mean([cost.n_train for cost in costs])),
            "n_test": sum(cost.n_test for cost in costs),
            "n_trials": max(cost.n_trials for cost in costs),
            "cpu_seconds": sum(cost.cpu_seconds for cost in costs),
        }
        if name != reference:
            low, high = interval(sign * (resampled[own] - resampled[other]))
            row |= {"difference": sign * (overall[own] - overall[other]), "difference_low": low}
            row |= {"difference_high": high, "compared_with": reference}
            if metric == primary:
                sizes = np.array([(cost.n_train, cost.n_test) for cost in costs]).T
                row["p_value"] = corrected_t_test(values - by_fold[other], *sizes)
        rows.append(row)
        rows += [
            {
                **row,
                **dict.fromkeys(("ci_low", "ci_high", "difference_low", "difference_high")),
                "setting": f"fold {cost.fold}",
                "value": value,
                "skill": _skill(value, by_fold[dummy, metric][cost.fold], metric),
                "difference": None
                if name == reference
                else sign * (value - by_fold[other][cost.fold]),
                "p_value": None,
                **{key: cost[key] for key in ("n_train", "n_test", "n_trials", "cpu_seconds")},
            }
            for value, cost in zip(values, costs, strict=True)
        ]
    return finish_table(rows, primary, lambda row: row["method"] in simple)


def finish_table(rows, primary, family):
    """Correct p-values within their families, and make the table.

    Parameters
    ----------
    rows : list of dict
        Rows with the names of ``COLUMNS``; what is absent is missing.
    primary : str
        Metric that is tested.
    family : callable
        Says which family of comparisons a row belongs to.

    Returns
    -------
    table : DataFrame
        Columns ``COLUMNS``.
    """
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    numbers = [c for c in COLUMNS if c not in ("method", "metric", "setting", "compared_with")]
    numbers.remove("stars")
    table[numbers] = table[numbers].astype(np.float64)
    table[["n_train", "n_test", "n_trials"]] = table[["n_train", "n_test", "n_trials"]].astype(int)
    table["compared_with"] = (
        table["compared_with"].astype(object).where(table["compared_with"].notna(), "")
    )
    families = pd.Series([str(family(row)) for row in rows], index=table.index)
    for _, own in table.groupby(families):
        table.loc[own.index, "p_corrected"] = correct_p_values(own["p_value"])
    # A star on a row that lost would be read as a success.
    is_better = table["difference"] > 0
    table["stars"] = [significance_stars(p) for p in table["p_corrected"].where(is_better)]
    table.attrs["primary"] = primary
    return table


def _resample(made, metrics, n_bootstrap, seed, strata):
    """Return every score of every resample: {(name, metric): array (n_bootstrap,)}."""
    one = next(iter(made.values()))
    if strata is None:
        codes = np.unique(one.subject, return_inverse=True)[1]
    else:
        codes = np.arange(len(strata))
    resampled = {(name, metric): [] for name in made for metric in metrics}
    if codes.max() > 0:  # one subject cannot be resampled
        rng = np.random.default_rng(seed)
        for weights in resample_weights(codes, n_bootstrap, rng, strata):
            for (name, metric), blocks in resampled.items():
                blocks.append(score_all(made[name], metric, weights))
    return {key: np.concatenate([[np.nan], *blocks]) for key, blocks in resampled.items()}


def _best(candidates, scores):
    """Return the candidate with the best mean over folds; undefined folds are left out."""
    means = [np.mean(s[~np.isnan(s)]) if (~np.isnan(s)).any() else -np.inf for s in scores.values()]
    return candidates[int(np.argmax(means))]


def _skill(value, of_dummy, metric):
    """Return the share of the way from Dummy to perfect: 0 as good as Dummy, 1 perfect."""
    perfect = 0.0 if metric in ERRORS else 1.0
    return 1 - (perfect - value) / (perfect - of_dummy) if of_dummy != perfect else np.nan


def _warn_undefined(by_fold, names, primary):
    """Warn of folds in which no row can have the score that is tested."""
    values = np.array([by_fold[name, primary] for name in names])
    undefined = np.flatnonzero(np.isnan(values).all(axis=0))
    if len(undefined):
        warnings.warn(
            f"{primary} is undefined in fold {', '.join(map(str, undefined))}, whose recordings "
            "are too few or too alike: the test leaves it out.",
            UndefinedMetricWarning,
            stacklevel=4,
        )
