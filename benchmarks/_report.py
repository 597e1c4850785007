"""The page and the figure of a comparison, made from its tidy table."""

import numpy as np
from _tables import number
from matplotlib.figure import Figure

NEAR = 0.1  # methods farther from the reference would hide the differences of the others
WORST = -1.0  # and so would methods far below the mean
_COLOUR = "#0072B2"
_ABOUT_R2 = (
    "R2 = 1 - sum SSE / sum SS over all masked values, SS about the mean of the masked values of "
    "each window; it is never clamped. Learned methods are averaged over seeds. Intervals are 95% "
    "bootstrap intervals over test subjects (10,000 seeded resamples of the pooled R2; differences "
    "are paired, and the seeds of a subject averaged first)."
)
_ABOUT_PAPER = (
    "The article reports R2 of .464 (UK Biobank) and .278 (HCP) for BrainLM: other people, other "
    "parcels, another scaling, so these are not numbers to put beside those of the table. The "
    "person oracle is not a competitor: it has seen other windows of the test recordings."
)


def write_markdown(tidy, references, *, title, text, remark=_ABOUT_PAPER, ratio_name="mask ratio"):
    """Return the page: what was measured, the tables, what they mean, and a last remark."""
    parts = [f"# {title}", text, _ABOUT_R2, "## R2 and cost", _score_table(tidy)]
    for reference in references:
        differences = _differences(tidy, reference)
        if len(differences):
            parts += [f"## R2 minus that of {reference}", _difference_table(differences)]
            parts.append(_meaning(differences, reference, ratio_name))
    return "\n\n".join([*parts, remark]) + "\n"


def plot(tidy, reference, near=NEAR, ratio_name="mask ratio"):
    """Return a figure: R2 of every method, and below its difference to the reference, by ratio."""
    scores = _by_ratio(tidy, "r2")
    scores = scores[scores.groupby("method")["value"].transform("min") > WORST]
    differences = _differences(tidy, reference)
    farthest = differences.groupby("method")["value"].transform(lambda value: value.abs().max())
    differences = differences[farthest <= near]
    ratios = scores["mask_ratio"].unique()
    heights = [max(scores["method"].nunique(), 2), max(differences["method"].nunique(), 2)]
    n_rows = 2 if len(differences) else 1
    height = 1.6 + 0.3 * sum(heights[:n_rows])
    figure = Figure(figsize=(3.0 + 2.6 * len(ratios), height), layout="constrained")
    grid = figure.subplots(
        n_rows, len(ratios), squeeze=False, sharey="row", sharex="row",
        height_ratios=heights[:n_rows],
    )  # fmt: skip
    for column, ratio in enumerate(ratios):
        plot_intervals(scores, ratio, grid[0, column])
        grid[0, column].set(title=f"{ratio_name} {ratio:g}", xlabel="R2 on masked values")
        if n_rows == 2:
            plot_intervals(differences, ratio, grid[1, column])
            grid[1, column].set(xlabel=f"R2 minus that of\n{reference}")
    return figure


def plot_intervals(rows, mask_ratio, axes):
    """Draw a dot and its interval a method at one mask ratio.

    Methods stand from the top in the order of all rows, so that the axes of several mask ratios
    can be put side by side.
    """
    methods = list(rows["method"].unique())
    own = rows[rows["mask_ratio"] == mask_ratio]
    y = [-methods.index(method) for method in own["method"]]
    axes.axvline(0, color="0.7", lw=0.8, zorder=0)
    axes.hlines(y, own["ci_low"], own["ci_high"], color=_COLOUR, lw=1.5)
    axes.plot(own["value"], y, "o", color=_COLOUR, ms=4)
    axes.set_yticks(-np.arange(len(methods)), labels=methods)
    axes.set_ylim(-len(methods) + 0.4, 0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _by_ratio(tidy, metric):
    """Rows of a metric, seeds averaged, with the mask ratio as a number."""
    rows = tidy[(tidy["metric"] == metric) & tidy["seed"].isin(["", "mean"])].copy()
    rows["mask_ratio"] = rows["setting"].str.removeprefix("mask_ratio=").astype(float)
    return rows


def _differences(tidy, reference):
    """Rows of differences to a reference."""
    return _by_ratio(tidy, f"r2 minus {reference}")


def _score_table(tidy):
    """R2 at each mask ratio beside what the method cost."""
    scores = _by_ratio(tidy, "r2").pivot(index="method", columns="mask_ratio", values="value")
    columns = [f"R2 at {ratio:g}" for ratio in scores.columns]
    lines = [["method", "seeds", *columns, "recordings", "windows drawn", "fit CPU-s",
              "CPU-s a window", "parameters"]]  # fmt: skip
    for method in tidy["method"].unique():
        own = tidy[tidy["method"] == method]
        costs = own.set_index("metric")["value"]
        seeds = sorted(set(own["seed"]) - {"", "mean"}, key=int)
        lines.append([
            method,
            " ".join(seeds),
            *(number(value, ".4f") for value in scores.loc[method]),
            str(own["n_train"].iloc[0]),
            number(costs["n_windows_drawn"], ",.0f"),
            number(own["cpu_seconds"].iloc[0], ".1f"),
            number(costs["window_cpu_seconds"], ".3f"),
            number(costs["n_parameters"], ",.0f"),
        ])  # fmt: skip
    return markdown_table(lines)


def _difference_table(differences):
    """Differences with their intervals, one column a mask ratio."""
    ratios = sorted(differences["mask_ratio"].unique())
    lines = [["method", *(f"at {ratio:g}" for ratio in ratios)]]
    for method in differences["method"].unique():
        cells = []
        for ratio in ratios:
            chosen = (differences["method"] == method) & (differences["mask_ratio"] == ratio)
            cells.append(" ".join(_difference(row) for _, row in differences[chosen].iterrows()))
        lines.append([method, *cells])
    return markdown_table(lines)


def _meaning(differences, reference, ratio_name):
    """Say which methods are above and below the reference for sure."""
    sentences = []
    for ratio, rows in differences.groupby("mask_ratio"):
        above = rows[rows["ci_low"] > 0]
        below = rows[rows["ci_high"] < 0]
        sentences.append(
            f"At {ratio_name} {ratio:g}, above {reference} with an interval that excludes zero: "
            f"{_names(above)}; below: {_names(below)}."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _names(rows):
    """Join the methods of rows."""
    return ", ".join(rows["method"]) if len(rows) else "none"


def _difference(row):
    """Write a difference with its interval."""
    interval = f" [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]" if row["ci_low"] < np.inf else ""
    return f"{row['value']:+.4f}{interval}"


def markdown_table(lines):
    """Write cells as a Markdown table, numbers to the right."""
    head, *body = lines
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *body])
