"""From sums over the forecasts of each subject to the tidy table of a comparison by horizon."""

import numpy as np
import pandas as pd

from sklearn_brainlm.comparison.inference import interval, paired_test, resample_weights
from sklearn_brainlm.comparison.table import finish_table

__all__ = ["check_same_windows", "errors_frame", "sum_by_subject", "tabulate_forecasts"]

METRICS = ("r2", "r", "mse")


def check_same_windows(results):
    """Refuse rows that were not tested on the same values.

    Parameters
    ----------
    results : dict of str to list of Bunch
        What `run_forecasts` returned, fold by fold.

    Raises
    ------
    ValueError
        It names two rows.
    """
    first, *others = results
    for name in others:
        for own, one in zip(results[name], results[first], strict=True):
            same = own.sums.shape == one.sums.shape and np.array_equal(own.windows, one.windows)
            # Number of values, and the sum of their squares in the scaled units of each row.
            if not same or not np.allclose(own.sums[:, [0, 3]], one.sums[:, [0, 3]], rtol=1e-4):
                raise ValueError(
                    f"{name!r} and {first!r} were not tested on the same values. Give all rows one "
                    "context_length, horizon, scaler and clip."
                )


def sum_by_subject(results, folds, subjects):
    """Add up the sums of the recordings of each tested subject.

    Parameters
    ----------
    results : list of Bunch
        Of one row, fold by fold.
    folds : list of tuple (train, test) of int arrays
        Positions of recordings.
    subjects : int array of shape (n_recordings,)
        Subject of each recording.

    Returns
    -------
    tested : int array of shape (n_subjects,)
        Subjects that were tested.
    sums : float64 array of shape (n_subjects, 6, horizon)
        Their sums, see `run_forecasts`.
    """
    codes = np.concatenate([subjects[test] for _, test in folds])
    every = np.concatenate([result.sums for result in results])
    tested, where = np.unique(codes, return_inverse=True)
    sums = np.zeros((len(tested), *every.shape[1:]))
    np.add.at(sums, where, every)
    return tested, sums


def errors_frame(results, folds, subjects, names):
    """Return what R2 is made of, for each tested subject and step.

    Parameters
    ----------
    results : dict of str to list of Bunch
        What `run_forecasts` returned, by row and fold.
    folds : list of tuple (train, test) of int arrays
        Positions of recordings.
    subjects : int array of shape (n_recordings,)
        Subject of each recording.
    names : array of str of shape (n_recordings,) or None
        Names of the subjects.

    Returns
    -------
    frame : DataFrame
        Columns method, subject, step, sse, ss and n_values.
    """
    parts = []
    for method, own in results.items():
        tested, sums = sum_by_subject(own, folds, subjects)
        first = [np.flatnonzero(subjects == subject)[0] for subject in tested]
        labels = tested if names is None else names[first]
        for step in range(sums.shape[2]):
            n_values, _, _, ss, power, product = sums[..., step].T
            sse = ss - 2 * product + power
            parts.append(
                pd.DataFrame({"method": method, "subject": labels, "step": step + 1, "sse": sse,
                              "ss": ss, "n_values": n_values.astype(int)})
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def tabulate_forecasts(results, folds, subjects, steps, candidates, simple, n_bootstrap, seed):
    """Score forecasts of all rows, at each step ahead and for groups of steps.

    Parameters
    ----------
    results : dict of str to list of Bunch
        What `run_forecasts` returned, by row and fold.
    folds : list of tuple (train, test) of int arrays
        Positions of recordings.
    subjects : int array of shape (n_recordings,)
        Subject of each recording.
    steps : list of tuple of int
        First and last step of each group.
    candidates, simple : list and set of str
        See `choose_simple`.
    n_bootstrap, seed : int
        Resamples and their seed.

    Returns
    -------
    table : DataFrame
        Columns ``COLUMNS``.
    """
    by_subject = {name: sum_by_subject(own, folds, subjects)[1] for name, own in results.items()}
    n_subjects, _, horizon = next(iter(by_subject.values())).shape
    for first, last in steps:
        if not 1 <= first <= last <= horizon:
            raise ValueError(
                f"steps {first} to {last}: steps are counted from 1 to horizon={horizon}."
            )
    weights = np.zeros((0, n_subjects))
    if n_subjects > 1:  # one subject cannot be resampled
        rng = np.random.default_rng(seed)
        weights = np.concatenate(list(resample_weights(np.arange(n_subjects), n_bootstrap, rng)))
    single = [(step, step) for step in range(1, horizon + 1)]
    rows = []
    for group in dict.fromkeys([*map(tuple, steps), *single]):
        at_steps = {name: _pool_steps(sums, group) for name, sums in by_subject.items()}
        overall = {name: _scores(sums.sum(axis=0)[None]) for name, sums in at_steps.items()}
        resampled = {name: _scores(weights @ sums) for name, sums in at_steps.items()}
        reference = max(candidates, key=lambda name: overall[name]["r2"][0])
        for name in results:
            row = {
                "method": name,
                "compared_with": "" if name == reference else reference,
                "n_train": round(np.mean([own.n_train for own in results[name]])),
                "n_test": sum(own.n_test for own in results[name]),
                "n_trials": max(own.n_trials for own in results[name]),
                "cpu_seconds": sum(own.cpu_seconds for own in results[name]),
            }
            for metric in METRICS:
                pair = [(scores[name][metric], scores[reference][metric])
                        for scores in (overall, resampled)]  # fmt: skip
                summary = {**row, **_summary(metric, *pair, overall[name], name != reference)}
                summary["setting"] = _name_steps(*group)
                if metric == "r2" and name != reference:
                    errors = [_mse(at_steps[one]) for one in (name, reference)]
                    summary["p_value"] = paired_test(errors[0] - errors[1])
                rows.append(summary)
            if group in single:
                continue
            for index, own in enumerate(results[name]):
                scores = _scores(_pool_steps(own.sums, group).sum(axis=0)[None])
                fold = {**row, **{key: own[key] for key in ("n_train", "n_test", "cpu_seconds")}}
                fold |= {"setting": f"{_name_steps(*group)}, fold {index}", "compared_with": ""}
                rows += [{**fold, "metric": m, "value": scores[m][0]} for m in METRICS]

    def family(row):
        return row["method"] in simple, row["setting"].startswith("step ")

    return finish_table(rows, "r2", family)


def _summary(metric, overall, resampled, own_scores, is_compared):
    """Return the value, its interval, and what it is compared with."""
    (value,), (other,) = overall
    low, high = interval(resampled[0])
    summary = {"metric": metric, "value": value, "ci_low": low, "ci_high": high}
    if metric != "r":  # a forecast of 0, the mean of the training recordings, has R2 0
        summary["skill"] = own_scores["r2"][0]
    if is_compared:
        sign = -1 if metric == "mse" else 1
        low, high = interval(sign * (resampled[0] - resampled[1]))
        summary |= {"difference": sign * (value - other)}
        summary |= {"difference_low": low, "difference_high": high}
    return summary


def _name_steps(first, last):
    """Name a group of steps ahead."""
    return f"step {first}" if first == last else f"steps {first}-{last}"


def _pool_steps(sums, group):
    """Add up sums (n, 6, horizon) over a group of steps."""
    return sums[..., group[0] - 1 : group[1]].sum(axis=-1)


def _scores(sums):
    """Return the scores of sums (n, 6): how many, true, predicted, squares and product."""
    n, true, predicted, true_power, predicted_power, product = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (true_power - true**2 / n) * (predicted_power - predicted**2 / n)
        r = np.where(spread > 1e-12 * true_power * predicted_power, spread, np.nan)
        return {
            "r2": 1 - (true_power - 2 * product + predicted_power) / true_power,
            "r": (product - true * predicted / n) / np.sqrt(r),
            "mse": _mse(sums),
        }


def _mse(sums):
    """Return the mean squared error of sums (n, 6)."""
    return (sums[:, 3] - 2 * sums[:, 5] + sums[:, 4]) / sums[:, 0]
