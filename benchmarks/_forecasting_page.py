"""The page and the figure of the forecasting table."""

import numpy as np
from _forecasting_rows import CONTROL, PAIRS
from _report import markdown_table
from _tables import is_better, number, with_interval
from matplotlib.figure import Figure

_ABOUT = (
    "R2 = 1 - sum SSE / sum SS over all values of a step, SS about 0, the centre of each parcel in "
    "the training recordings; r is that of all values of a step; both and MSE are in scaled units. "
    "They are never clamped. Seeds of a method are pooled. Intervals are 95% bootstrap intervals "
    "over test subjects. Stars: better than the best simple row of that step (every row whose name "
    "does not begin with BrainLM), by the Wilcoxon signed-rank test over test subjects, * p < .05, "
    "** p < .01, *** p < .001 after the correction for the false discovery rate over all steps of "
    "all rows of a kind."
)
_ABOUT_CONTROL = (
    f"The row {CONTROL!r} is the control for what a high-pass filter alone makes predictable: a "
    "multiple of the mean of the context, learned on the training recordings and negative where "
    "recordings have been filtered. What a method gains on it at the later steps is what it knows "
    "of the signal."
)
_ABOUT_PAPER = (
    "The article reports R2 of .028 to .061 (HCP) for BrainLM: other parcels and another scaling, "
    "so these are not numbers to put beside those of the table."
)
_METRICS = {"r2": ("R2", ".3f"), "r": ("r", ".3f"), "mse": ("MSE", ".4f")}
LOWEST = -0.05  # rows far below would hide the differences of the others


def write_page(table, pairs, budgets, seeds, *, title, text):
    """Return the page.

    `table` is that of all rows, `pairs` those of two rows each by their names, `budgets` says how
    many parameters a method has, and `seeds` which were run.
    """
    whole = table[~table["setting"].str.contains("fold")]
    groups, single = _settings(whole)
    parts = [f"# {title}", text, _ABOUT, "## Groups of steps, and cost"]
    parts.append(_groups_table(whole, groups, budgets, seeds))
    for metric, (name, form) in _METRICS.items():
        parts += [f"## {name} of every step", _steps_table(whole, single, metric, form)]
    for (method, reference), pair in pairs.items():
        parts += [f"## {method} against {reference}", _pair_table(pair, method, groups + single)]
        parts.append(_meaning(pair, method, reference, groups, single))
    return "\n\n".join([*parts, _ABOUT_CONTROL, _ABOUT_PAPER]) + "\n"


def plot(table):
    """Return a figure: R2 of every row by step ahead, with stars of the rows on trial."""
    r2 = table[(table["metric"] == "r2") & table["setting"].str.fullmatch(r"step \d+")]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="0.7", lw=0.8, zorder=0)
    for index, (method, own) in enumerate(r2.groupby("method", sort=False)):
        steps = own["setting"].str.removeprefix("step ").astype(int).to_numpy()
        on_trial = method.startswith("BrainLM")
        values = own["value"].to_numpy()
        (line,) = axes.plot(
            steps, np.where(values >= LOWEST, values, np.nan), label=method, color=f"C{index % 10}",
            lw=2 if on_trial else 1, ls="-" if on_trial else "--",
        )  # fmt: skip
        for step, value, stars in zip(steps, values, own["stars"], strict=True):
            if on_trial and stars and value >= LOWEST:
                axes.annotate(
                    stars, (step, value), xytext=(0, 2), textcoords="offset points", ha="center",
                    fontsize=7, color=line.get_color(),
                )  # fmt: skip
    axes.set(xlabel="timepoints ahead", ylabel="R2")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _settings(table):
    """Return the names of groups of steps, and of single steps, in order."""
    settings = list(dict.fromkeys(table["setting"]))
    return tuple([s for s in settings if s.startswith(start)] for start in ("steps ", "step "))


def _groups_table(table, groups, budgets, seeds):
    """Scores of groups of steps beside what the method cost."""
    head = [f"{_METRICS[m][0]} {group}" for m in _METRICS for group in groups]
    lines = [["method", "seeds", *head, "trials x CPU-s", "parameters"]]
    for method, own in table.groupby("method", sort=False):
        rows = own.set_index(["metric", "setting"])
        cells = []
        for metric, (_, form) in _METRICS.items():
            for group in groups:
                row = rows.loc[(metric, group)]
                stars = f" {row['stars']}" if metric == "r2" and row["stars"] else ""
                cells.append(with_interval(row, form) + stars)
        cost = own.iloc[0]
        n_parameters = budgets.loc[budgets["method"] == method, "n_parameters"].iloc[0]
        lines.append([
            method, " ".join(seeds[method]), *cells,
            f"{cost['n_trials']} x {cost['cpu_seconds']:.1f}", number(n_parameters, ",.0f"),
        ])  # fmt: skip
    return markdown_table(lines)


def _steps_table(table, single, metric, form):
    """One metric at every step, R2 with its stars."""
    lines = [["method", *(name.removeprefix("step ") for name in single)]]
    for method, own in table[table["metric"] == metric].groupby("method", sort=False):
        rows = own.set_index("setting").loc[single]
        shown = [number(value, form) for value in rows["value"]]
        if metric == "r2":
            shown = [cell + stars for cell, stars in zip(shown, rows["stars"], strict=True)]
        lines.append([method, *shown])
    return markdown_table(lines)


def _pair_table(pair, method, settings):
    """R2 of a row minus that of another one, with intervals and corrected p-values."""
    rows = _r2_of(pair, method)
    lines = [["steps", "R2 minus R2", "p corrected"]]
    for name in settings:
        row = rows.loc[name]
        difference = with_interval(row, "+.4f", of="difference", bounds="difference")
        lines.append([name, difference, f"{number(row['p_corrected'], '.2g')} {row['stars']}"])
    return markdown_table(lines)


def _meaning(pair, method, reference, groups, single):
    """Say at which steps a row is better, and at which it is worse."""
    rows = _r2_of(pair, method)
    sentences = []
    for kind, names in (("steps", single), ("groups of steps", groups)):
        better = [n.split()[1] for n in names if is_better(rows.loc[n])]
        worse = [
            n.split()[1]
            for n in names
            if rows.loc[n, "difference"] < 0 and rows.loc[n, "p_corrected"] < 0.05
        ]
        sentences.append(
            f"{method} is better than {reference} with a corrected p < .05 at {kind} "
            f"{', '.join(better) or 'none'}; worse at {', '.join(worse) or 'none'}."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _r2_of(pair, method):
    """Return the rows of R2 of a method, by setting."""
    return pair[(pair["method"] == method) & (pair["metric"] == "r2")].set_index("setting")


def pairs_among(methods):
    """Return the pairs of the table whose rows have both been measured."""
    return [pair for pair in PAIRS if set(pair) <= set(methods)]
