"""From the table of a comparison to the tidy table of a benchmark, and to Markdown."""

import numpy as np
import pandas as pd
from _comparison import TIDY_COLUMNS

from sklearn_brainlm.comparison.scores import ERRORS


def tidy(table, about, *, seed="", pair=False):
    """Write what `compare` and `compare_forecasters` return as rows of a benchmark.

    Parameters
    ----------
    table : DataFrame
        Their table, one row a method, metric and setting.
    about : dict
        ``benchmark``, ``dataset`` and ``task``.
    seed : str, default=""
        What the column says.
    pair : bool, default=False
        Whether the table was made for one more difference, of two rows that were chosen before:
        scores are left out, and the reference is not called the best simple one.

    Returns
    -------
    rows : DataFrame
        Columns ``TIDY_COLUMNS``: scores; skill against Dummy; differences, such as "r2 minus
        METHOD" or "r2 minus best simple, METHOD"; and the p-values of the metric that is tested.
    """
    primary = table.attrs["primary"]
    rows = []
    for row in table.to_dict("records"):
        copied = {name: row[name] for name in ("method", "setting", "n_train", "n_test")}
        copied = {**about, **copied, "cpu_seconds": row["cpu_seconds"], "seed": seed}
        metric, whole = row["metric"], "fold" not in row["setting"]
        if not pair:
            rows.append(_tidy(copied, metric, row["value"], row["ci_low"], row["ci_high"]))
            if whole and metric == primary:
                rows.append(_tidy(copied, f"skill ({metric})", row["skill"]))
        if not whole or metric not in (primary, "r2") or not row["compared_with"]:
            continue
        name = f"{'' if pair else 'best simple, '}{row['compared_with']}"
        # The sign is such that more is better, also of errors.
        name = f"gain in {metric} over {name}" if metric in ERRORS else f"{metric} minus {name}"
        bounds = (row["difference_low"], row["difference_high"])
        rows.append(_tidy(copied, name, row["difference"], *bounds))
        if metric == primary:
            for kind in ("p_value", "p_corrected"):
                rows.append(_tidy(copied, f"{kind} ({name})", row[kind]))
    return pd.DataFrame(rows, columns=TIDY_COLUMNS)


def cost_rows(table, about, budgets):
    """Return the rows of what methods cost that no column of the tidy table holds.

    `budgets` has the columns method, budget and n_parameters.
    """
    rows = []
    for method, own in table.groupby("method", sort=False):
        budget = budgets[budgets["method"] == method].iloc[0]
        first = own.iloc[0]
        row = {**about, "method": method, "setting": f"parameters={budget['budget']}"}
        row |= {name: first[name] for name in ("n_train", "n_test", "cpu_seconds")}
        row["seed"] = ""
        rows.append(_tidy(row, "n_trials", first["n_trials"]))
        rows.append(_tidy(row, "n_parameters", budget["n_parameters"]))
    return pd.DataFrame(rows, columns=TIDY_COLUMNS)


def with_interval(row, form, *, of="value", bounds="ci"):
    """Write a value and its interval, nothing where there is none."""
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    interval = "" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]"
    return number(row[of], form) + interval


def number(value, form):
    """Write a number, nothing where there is none."""
    return "" if pd.isna(value) else format(value, form)


def p_value(row):
    """Write a corrected p-value with its stars."""
    return f"{number(row['p_corrected'], '.2g')} {row['stars']}".strip()


def is_better(row):
    """Say whether a row is better, by its corrected test."""
    return row["difference"] > 0 and row["p_corrected"] < 0.05


def _tidy(row, metric, value, low=np.nan, high=np.nan):
    """Complete one row."""
    return {**row, "metric": metric, "value": value, "ci_low": low, "ci_high": high}
