"""What a report says of methods side by side: who is best, by how much, at what cost."""

import numpy as np
import pandas as pd

from sklearn_brainlm.comparison.scores import ERRORS
from sklearn_brainlm.comparison.table import COLUMNS
from sklearn_brainlm.reports.cells import (
    name_metric,
    shorten,
    show_count,
    show_interval,
    show_number,
    show_seconds,
)
from sklearn_brainlm.reports.drawing import draw, names_in_figure
from sklearn_brainlm.reports.sections import Folded, Paragraph, Section, Table
from sklearn_brainlm.reports.verdicts import name_winner

__all__ = ["describe_comparison", "is_comparison"]

_OF_LABELS = "The test is the paired t-test over folds, its variance corrected for training sets \
that overlap, two-sided; the false discovery rate is controlled over rows. Intervals are 95%, over \
resampled subjects. Stars: * p < .05, ** p < .01, *** p < .001, corrected, of rows that are better."
_OF_FORECASTS = "The test is the Wilcoxon signed-rank test over subjects; the false discovery rate \
is controlled over steps and rows. Intervals are 95%, over resampled subjects. Stars: * p < .05, \
** p < .01, *** p < .001, corrected, of rows that are better."


def is_comparison(table):
    """Say whether something is what ``compare`` or ``compare_forecasters`` returned.

    Parameters
    ----------
    table : object
        Anything.

    Returns
    -------
    comparison : bool
        Whether it is a table with their columns and a row at least.

    Examples
    --------
    >>> is_comparison(pd.DataFrame({"method": ["A"]}))
    False
    """
    return isinstance(table, pd.DataFrame) and set(COLUMNS) <= set(table.columns) and len(table) > 0


def describe_comparison(table):
    """Say what a comparison found.

    Parameters
    ----------
    table : DataFrame
        What ``compare`` or ``compare_forecasters`` returned; it is not changed.

    Returns
    -------
    sections : list of Section
        Result, table, figure, folds and budget.
    """
    metrics = [str(name) for name in dict.fromkeys(table["metric"])]
    primary = table.attrs.get("primary", metrics[0])  # attributes do not survive a file
    settings = [str(name) for name in dict.fromkeys(table["setting"])]
    is_forecast = any(name.startswith("step") for name in settings)
    whole = [name for name in settings if "fold" not in name and not name.startswith("step ")]
    if is_forecast and not whole:
        whole = [name for name in settings if "fold" not in name]
    result = [Paragraph(name_winner(table, primary, name), "verdict") for name in whole]
    sections = [Section("Result", "result", result)]
    blocks = []
    for setting in whole:
        blocks += _tabulate(table, primary, setting)
    blocks.append(Paragraph(_OF_FORECASTS if is_forecast else _OF_LABELS))
    sections.append(Section("Methods side by side", "table", blocks))
    figures = _draw_steps(table) if is_forecast else _draw_dots(table, primary)
    sections.append(Section("Figure", "figure", figures or [_no_figure()]))
    if len(metrics) > 1:
        others = _tabulate_metrics(table, [m for m in metrics if m != primary], whole)
        sections.append(Section("Other metrics", "metrics", others))
    folds = _tabulate_folds(table, primary, whole)
    if folds:
        sections.append(Section("Fold by fold", "folds", folds))
    sections.append(Section("Budget", "budget", _tabulate_budget(table, primary, whole[0])))
    return sections


def _tabulate(table, metric, setting):
    """Tabulate a metric: values, intervals, differences and tests."""
    rows = table[(table["metric"] == metric) & (table["setting"] == setting)]
    sign = -1 if metric in ERRORS else 1
    values = (sign * rows["value"].astype(float)).to_numpy()
    cells = [
        (
            str(row["method"]),
            show_number(row["value"]),
            show_interval(row["ci_low"], row["ci_high"]),
            show_number(row["skill"]),
            show_number(row["difference"], "+.3f"),
            show_interval(row["difference_low"], row["difference_high"], "+.3f"),
            show_number(row["p_value"], ".2g"),
            _with_stars(row),
        )
        for _, row in rows.iterrows()
    ]
    name = name_metric(metric)
    rivals = [str(name) for name in rows["compared_with"].dropna().unique() if str(name)]
    than = f"“{rivals[0]}”, the best simple row" if rivals else "the best simple row"
    title = "" if setting == "all" else f"{setting.capitalize()}. "
    less = "less" if sign < 0 else "more"
    caption = f"{title}{name[:1].upper()}{name[1:]}: {less} is better. Skill: 0 as good as guessing"
    caption += f" without recordings, 1 perfect. Better by: than {than}."
    head = ("Method", name, "95% interval", "Skill", "Better by", "95% interval", "p",
            "p corrected")  # fmt: skip
    marked = () if np.isnan(values).all() else (int(np.nanargmax(values)),)
    return [Table(head, cells, caption, marked=marked)]


def _with_stars(row):
    """Write a corrected p-value and its stars."""
    stars = row["stars"] if isinstance(row["stars"], str) else ""
    return f"{show_number(row['p_corrected'], '.2g')} {stars}".strip()


def _draw_dots(table, primary):
    """Draw the dot plot of the primary metric."""
    from sklearn_brainlm.plotting import plot_comparison

    rows = table[(table["setting"] == "all") & (table["metric"] == primary)]
    if rows["value"].isna().all():
        return []
    shown = names_in_figure(table["method"].astype(str))
    named = _rename(table, shown)
    listed = "; ".join(
        f"{shorten(row['method'], 60)} {show_number(row['value'])}, "
        f"{show_interval(row['ci_low'], row['ci_high'])}"
        for _, row in rows.iterrows()
    )
    name = name_metric(primary)
    return draw(
        lambda axes: plot_comparison(named, metric=primary, axes=axes),
        (7.8, 1.7 + 0.4 * len(rows)),
        alt=f"Dot plot of {name} with 95% intervals. {listed}.",
        caption="A dot is a score over all folds, a line its 95% interval over subjects. Intervals "
        "that overlap may still belong to methods that differ: the test is paired.",
    )


def _draw_steps(table):
    """Draw R2 of every step ahead."""
    from sklearn_brainlm.plotting import plot_forecast_error

    single = table["setting"].astype(str).str.fullmatch(r"step \d+") & (table["metric"] == "r2")
    if not single.any():
        return []
    named = _rename(table, names_in_figure(table["method"].astype(str)))
    last = table[single].groupby("method", sort=False)["value"].agg(["first", "last"])
    listed = "; ".join(
        f"{shorten(name, 60)} from {show_number(row['first'])} to {show_number(row['last'])}"
        for name, row in last.iterrows()
    )
    return draw(
        lambda axes: plot_forecast_error(named, axes=axes),
        (7.8, 4.6),
        alt=f"Lines of R2 against the step ahead, from the first to the last. {listed}.",
        caption="R2 at every step ahead, with 95% intervals over subjects.",
    )


def _rename(table, shown):
    """Give methods the names of figures."""
    names = table["method"].astype(str).map(shown)
    rivals = table["compared_with"].map(lambda name: shown.get(name, name))
    return table.assign(method=names, compared_with=rivals)


def _tabulate_metrics(table, metrics, settings):
    """Tabulate the other metrics."""
    blocks = []
    for setting in settings:
        own = table[table["setting"] == setting]
        methods = list(dict.fromkeys(own["method"]))
        cells = own.set_index(["method", "metric"])
        rows = [
            (str(name), *(_with_interval(cells.loc[(name, metric)], metric) for metric in metrics))
            for name in methods
        ]
        head = ("Method", *(name_metric(metric) for metric in metrics))
        title = "" if setting == "all" else f"{setting.capitalize()}. "
        caption = f"{title}Errors: less is better; all others: more. In brackets the 95% interval. "
        caption += "Only the primary metric is tested."
        blocks.append(Table(head, rows, caption))
    return blocks


def _with_interval(row, metric):
    """Write a value and its interval; errors have a unit, other scores are parts of 1."""
    form = ".4g" if metric in ERRORS else ".3f"
    text, low, high = (show_number(row[name], form) for name in ("value", "ci_low", "ci_high"))
    return text if pd.isna(row["ci_low"]) else f"{text} [{low}, {high}]"


def _tabulate_folds(table, metric, settings):
    """Tabulate the primary metric in every fold."""
    own = table[(table["metric"] == metric) & table["setting"].astype(str).str.contains("fold")]
    if own.empty:
        return []
    blocks = []
    for setting in settings:
        start = "fold " if setting == "all" else f"{setting}, fold "
        rows = own[own["setting"].str.startswith(start)]
        if rows.empty:
            continue
        folds = list(dict.fromkeys(rows["setting"]))
        values = rows.set_index(["method", "setting"])["value"]
        cells = [
            (str(name), *(show_number(values.loc[(name, fold)]) for fold in folds))
            for name in dict.fromkeys(rows["method"])
        ]
        head = ("Method", *(fold.removeprefix(f"{setting}, ") for fold in folds))
        title = "" if setting == "all" else f"{setting.capitalize()}: "
        caption = f"{title}{name_metric(metric)} in each fold."
        blocks.append(Table(head, cells, caption))
    return [Folded("The score of every fold", blocks)]


def _tabulate_budget(table, metric, setting):
    """Tabulate what each method was given and took."""
    rows = table[(table["metric"] == metric) & (table["setting"] == setting)]
    cells = [
        (
            str(row["method"]),
            f"{int(row['n_train']):,}",
            f"{int(row['n_test']):,}",
            f"{int(row['n_trials']):,}",
            "–" if pd.isna(row["cpu_seconds"]) else show_seconds(row["cpu_seconds"]),
        )
        for _, row in rows.iterrows()
    ]
    total = float(rows["cpu_seconds"].sum())
    caption = f"What each method was given: {show_count(len(cells), 'method')}, "
    caption += f"{show_seconds(total)} of processor time in all. Trials are settings that a search "
    caption += "tried. Time is that of fit and prediction over all folds."
    head = ("Method", "Trained on (recordings, mean over folds)", "Tested on (recordings)",
            "Trials", "Processor time")  # fmt: skip
    return [Table(head, cells, caption)]


def _no_figure():
    """Say that there is none."""
    return Paragraph("No figure: there is no matplotlib, or no score to draw.", "absent")
