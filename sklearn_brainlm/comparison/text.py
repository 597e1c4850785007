"""What a comparison says: its table as text, and the warning of a model that gained nothing."""

import textwrap
import warnings

import numpy as np
import pandas as pd

from sklearn_brainlm.comparison.rows import is_on_trial
from sklearn_brainlm.comparison.scores import ERRORS

__all__ = ["format_comparison", "warn_of_connectivity"]

_CONNECTIVITY = "Connectivity"  # how the names of its rows begin
_STEPS_A_LINE = 10
_NAMES = {"mean_absolute_error": "mean abs. error", "roc_auc": "ROC AUC"}


def format_comparison(table):
    """Write the table of a comparison as aligned text.

    This is what :func:`compare` and :func:`compare_forecasters` print with ``verbose=1``, for a
    terminal or a log; single folds stay in the table.

    Parameters
    ----------
    table : DataFrame
        What ``compare`` or ``compare_forecasters`` returned.

    Returns
    -------
    str
        One line a method: the primary metric with its 95% interval, the other metrics, skill
        against Dummy, by how much it is better than the best simple row, and cost. For forecasts
        R2 of the groups of steps, and of every step with its stars.

    See Also
    --------
    compare : Makes the table for labels of people.
    compare_forecasters : Makes the table for forecasts.
    generate_report : A comparison as a page, with figures.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_brainlm.evaluation import compare, format_comparison
    >>> motion = np.arange(20.0)
    >>> table = compare(
    ...     {"Motion + ridge": (Ridge(), motion)}, None, 50 + motion,
    ...     groups="each recording is a subject", random_state=0,
    ... )
    >>> print(format_comparison(table).splitlines()[3][:38])
    Motion + ridge    1.000 [1.000, 1.000]
    """
    is_forecast = table["setting"].str.startswith("step").any()
    return _format_forecasts(table) if is_forecast else _format_predictions(table)


def warn_of_connectivity(table):
    """Warn if rows on trial do not beat the best row of connectivity.

    Parameters
    ----------
    table : DataFrame
        What ``compare`` returns.

    Warns
    -----
    UserWarning
        It says both figures.
    """
    primary = table.attrs["primary"]
    chosen = (table["setting"] == "all") & (table["metric"] == primary)
    values = table[chosen].set_index("method")["value"]
    sign = -1 if primary in ERRORS else 1
    rivals = (sign * values[values.index.str.startswith(_CONNECTIVITY)]).dropna()
    if rivals.empty:
        return
    best = rivals.idxmax()
    losers = [
        f"{name!r} ({value:.3f})"
        for name, value in values.items()
        if is_on_trial(name) and not sign * value > rivals[best]
    ]
    if losers:
        warnings.warn(
            f"{' and '.join(losers)} did not beat {best!r} ({values[best]:.3f}) in {primary}: "
            "connectivity and a linear model predict these labels as well or better.",
            UserWarning,
            stacklevel=3,
        )


def _format_predictions(table):
    """Write what `compare` returned."""
    table_all = table[table["setting"] == "all"]
    metrics = list(dict.fromkeys(table_all["metric"]))
    primary = metrics[0]
    others = [_NAMES.get(metric, metric) for metric in metrics[1:]]
    head = [_NAMES.get(primary, primary), *others]
    lines = [["method", f"{head[0]} [95%]", *others, "skill", "better by [95%]", "p corrected",
              "trials", "CPU-s"]]  # fmt: skip
    for method, own in table_all.groupby("method", sort=False):
        own = own.set_index("metric")
        first = own.loc[primary]
        lines.append([
            method,
            _with_interval(first, "value", "ci", ".3f"),
            *(_number(own.loc[metric, "value"], ".4g") for metric in metrics[1:]),
            _number(first["skill"], ".3f"),
            _with_interval(first, "difference", "difference", "+.3f"),
            (_number(first["p_corrected"], ".2g") + " " + first["stars"]).strip(),
            str(first["n_trials"]),
            _number(first["cpu_seconds"], ".1f"),
        ])  # fmt: skip
    text = [_align(lines)]
    reference = [name for name in table_all["compared_with"] if name]
    if reference:
        remark = f"skill: 0 as good as Dummy, 1 perfect. better by: than {reference[0]}, the best "
        remark += f"simple row, in {head[0]}."
        if table_all["p_value"].notna().any():
            remark += " Its p-value is two-sided, of the paired t-test over folds corrected for "
            remark += "overlapping training sets; the false discovery rate is controlled over rows."
        text.append(_note(remark))
    return "\n".join(text)


def _format_forecasts(table):
    """Write what `compare_forecasters` returned."""
    r2 = table[(table["metric"] == "r2") & ~table["setting"].str.contains("fold")]
    settings = list(dict.fromkeys(r2["setting"]))
    methods = list(dict.fromkeys(r2["method"]))
    cells = r2.set_index(["method", "setting"])
    groups = [name for name in settings if name.startswith("steps ")]
    single = [name for name in settings if name.startswith("step ")]
    lines = [["method", *(f"R2 {name} [95%]" for name in groups), "CPU-s"]]
    for method in methods:
        rows = [cells.loc[(method, name)] for name in groups]
        shown = [_with_interval(row, "value", "ci", ".3f") + f" {row['stars']:<3}" for row in rows]
        cost = cells.loc[(method, settings[0])]["cpu_seconds"]
        lines.append([method, *shown, _number(cost, ".1f")])
    text = [_align(lines)]
    for start in range(0, len(single), _STEPS_A_LINE):
        names = single[start : start + _STEPS_A_LINE]
        lines = [["method", *(f"{name}   " for name in names)]]
        for method in methods:
            rows = [cells.loc[(method, name)] for name in names]
            lines.append([method, *(f"{row['value']:.3f}{row['stars']:<3}" for row in rows)])
        text += ["", _align(lines)]
    text.append(
        _note(
            "* p < .05, ** p < .01, *** p < .001: better than the best simple row of that step, by "
            "the Wilcoxon signed-rank test over subjects; the false discovery rate is controlled "
            "over steps and rows."
        )
    )
    return "\n".join(text)


def _align(lines):
    """Align cells, the first column to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def _with_interval(row, value, bounds, form):
    """Write a value and its interval, nothing where there is none."""
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    both = "" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]"
    return _number(row[value], form) + both


def _number(value, form):
    """Write a number, nothing where there is none."""
    return "" if pd.isna(value) else format(value, form)


def _note(text):
    """Wrap a remark below a table."""
    return "\n" + textwrap.fill(text, 100)
