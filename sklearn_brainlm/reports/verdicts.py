"""Verdicts: how an estimator, or a row of a comparison, stands beside simple methods."""

import numpy as np
import pandas as pd

from sklearn_brainlm.comparison.inference import interval
from sklearn_brainlm.comparison.rows import is_on_trial
from sklearn_brainlm.comparison.scores import ERRORS
from sklearn_brainlm.reports.cells import name_metric, show_interval, show_number

__all__ = ["name_winner", "weigh"]


def weigh(methods, values, resampled, what, n_simple):
    """Say in a sentence how an estimator stands beside the best of the simple methods.

    Parameters
    ----------
    methods : sequence of str
        The estimator first.
    values : array of shape (n_methods,)
        Scores, the more the better.
    resampled : array of shape (n_methods, n_resamples)
        Scores of resamples of the recordings.
    what : str
        Name of the score.
    n_simple : int
        How many methods were fitted on training recordings.

    Returns
    -------
    verdict : str
        Which is better, and whether by more than chance.

    Examples
    --------
    >>> print(weigh(["A", "B"], [0.2, 0.5], np.array([[0.1, 0.3], [0.4, 0.6]]), "R2", 1))
    A simple method wins: B, with R2 0.500 against 0.200 of A, a difference of 0.300 (95% interval
    0.300 to 0.300).
    """
    own = f"{what} {show_number(values[0])}"
    if not n_simple:
        return (
            f"{own}. No training recordings were given (X_train) to fit simple methods beside it."
        )
    best = 1 + int(np.argmax(values[1:]))
    difference = values[0] - values[best]
    low, high = interval(resampled[0] - resampled[best])
    beside = f"{show_number(abs(difference))}"
    if difference < 0:
        low, high = -high, -low
        both = f"{methods[best]}, with {what} {show_number(values[best])} against "
        both += f"{show_number(values[0])} of {methods[0]}"
        start = "A simple method wins" if low > 0 else "A simple method is at least as good"
        text = f"{start}: {both}, a difference of {beside}"
    else:
        clearly = "is better than" if low > 0 else "is not clearly better than"
        text = f"{own}: {methods[0]} {clearly} the best simple method, {methods[best]} "
        text += f"({show_number(values[best])}), a difference of {beside}"
    if np.isnan(low):
        return f"{text}; one recording gives no interval."
    return f"{text} (95% interval {show_interval(low, high)})."


def name_winner(table, metric, setting):
    """Say in plain words which method is best, and whether that is more than chance.

    Parameters
    ----------
    table : DataFrame
        What ``compare`` or ``compare_forecasters`` returned.
    metric, setting : str
        Which rows to look at.

    Returns
    -------
    sentence : str
        It says so when a simple method wins.

    Examples
    --------
    >>> from sklearn_brainlm.comparison.table import COLUMNS
    >>> rows = {"method": ["Dummy (mean)", "Ridge", "BrainLM"], "value": [0.0, 0.5, 0.4]}
    >>> table = pd.DataFrame({**rows, "metric": "r2", "setting": "all", "skill": rows["value"]})
    >>> print(name_winner(table.reindex(columns=COLUMNS), "r2", "all"))
    A simple method wins: Ridge has the best R2 (0.500); the best BrainLM row, BrainLM, has 0.400.
    """
    rows = table[(table["metric"] == metric) & (table["setting"] == setting)]
    rows = rows[rows["value"].notna()]
    where = "" if setting == "all" else f"{setting.capitalize()}: "
    if rows.empty:
        return f"{where}No method has a score."
    sign, name_of = (-1 if metric in ERRORS else 1), name_metric(metric)
    rows = rows.set_index(rows["method"].astype(str))
    values = rows["value"]
    trials = [name for name in rows.index if is_on_trial(name)]
    best = (sign * values).idxmax()
    if not rows["skill"].loc[best] > 0:
        return f"{where}No method does better than guessing without looking at the recordings."
    said = f"{name_of} ({show_number(values[best])})"
    if not is_on_trial(best):
        if not trials:
            return f"{where}{best} has the best {said}. No BrainLM row was compared."
        second = (sign * values[trials]).idxmax()
        text = f"{where}A simple method wins: {best} has the best {said}; the best BrainLM row, "
        return f"{text}{second}, has {show_number(values[second])}{_say_p(rows.loc[second])}."
    own = rows.loc[best]
    rival = own["compared_with"] if isinstance(own["compared_with"], str) else ""
    text = f"{where}{best} has the best {said}"
    if not rival:
        return f"{text}. It was compared with no simple method."
    text += f", better than the best simple method, {rival}"
    if rival in values.index:
        text += f" ({show_number(values[rival])})"
    text += f", by {show_number(own['difference'])}"
    if pd.notna(own["difference_low"]):
        text += f" (95% interval {show_interval(own['difference_low'], own['difference_high'])})"
    if pd.isna(own["p_corrected"]):
        return f"{text}; without a test, this may be chance."
    judged = "more than chance" if own["p_corrected"] < 0.05 else "which may be chance"
    return f"{text}: {judged}, by the test (corrected p = {own['p_corrected']:.2g})."


def _say_p(row):
    """Write a corrected p-value, where there is one."""
    p_value = row["p_corrected"]
    return "" if pd.isna(p_value) else f" (difference: corrected p = {p_value:.2g})"
