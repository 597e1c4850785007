"""The page and the figure of the table of traits."""

import numpy as np
from _clinical_rows import METHODS, TARGETS
from _report import markdown_table
from _tables import is_better, number, p_value, with_interval
from matplotlib.figure import Figure

_ABOUT = (
    "Everything is fitted inside the folds, pretraining included. Scores are those of all "
    "out-of-fold predictions together, but ROC AUC ranks pairs of one fold, and r is about the "
    "means of each fold. Intervals are 95% bootstrap intervals over people. Skill is 0 as good as "
    "Dummy and 1 perfect. 'better by' is the difference in the first column to the best simple row "
    "(every row whose name does not begin with BrainLM), with a paired interval; its p-value is "
    "that of the paired t-test over folds, of MSE or ROC AUC, corrected for training sets that "
    "overlap (Nadeau and Bengio), and for the false discovery rate over the rows of a kind. R2 of "
    "a fold divides by the variance of its people, and one fold of people of one age would decide "
    "a test of it; MSE is what R2 of all folds is made of, and also chooses the best simple row. "
    "Of several seeds, scores and bounds are means, and p-values the largest one."
)
_ABOUT_COSTS = (
    "CPU-seconds are those of all folds, of fitting and predicting; a row that starts from "
    "pretrained weights or reads frozen embeddings has their cost added, though rows share them. A "
    "trial is one setting of the method: none was tuned on these people."
)
_ABOUT_PAPER = (
    "Motion only is mean framewise displacement; Site only is the repetition time and the number "
    "of timepoints, as the site itself is a new one in each test fold. The article reports on "
    "other people and other traits, so its numbers are not to be put beside these."
)
_NAMES = {
    "r2": "R2",
    "mse": "MSE",
    "scaled_mse": "MSE (z)",
    "mean_absolute_error": "mean error",
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
}


def write_page(tables, pairs, seeds, counts, *, title, text):
    """Return the page.

    `tables` and `pairs` are comparisons by target (and names of two rows), `seeds` what was run of
    each method, and `counts` how many people have a label, by target.
    """
    parts = [f"# {title}", text, _ABOUT]
    for target, table in tables.items():
        parts += [
            f"## {target.capitalize()}",
            f"{counts[target]}",
            _score_table(target, table, seeds),
        ]
        parts.append(_meaning(table))
        sentences = [
            _pair_sentence(pair, *names)
            for (of_target, *names), pair in pairs.items()
            if of_target == target
        ]
        if sentences:
            parts.append("\n".join(sentences))
    return "\n\n".join([*parts, _ABOUT_COSTS, _ABOUT_PAPER]) + "\n"


def plot(tables):
    """Return a figure: a panel a target, a dot and its interval a row."""
    n_rows = max(table["method"].nunique() for table in tables.values())
    figure = Figure(figsize=(3.2 + 3 * len(tables), 1.5 + 0.25 * n_rows), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    names = list(dict.fromkeys(name for t in tables.values() for name in t["method"]))
    names.sort(key=lambda name: name.startswith("BrainLM"))
    for axes, (target, table) in zip(panels, tables.items(), strict=True):
        shown = _shown(table)
        own = _whole(table, shown)
        y = -np.array([names.index(name) for name in own["method"]])
        colours = ["#D55E00" if n.startswith("BrainLM") else "#0072B2" for n in own["method"]]
        axes.axvline(0.5 if shown == "roc_auc" else 0, color="0.7", lw=0.8, zorder=0)
        axes.hlines(y, own["ci_low"], own["ci_high"], color=colours, lw=1.5)
        axes.scatter(own["value"], y, color=colours, s=16)
        axes.set(title=target, xlabel=_NAMES[shown], ylim=(0.6 - len(names), 0.6))
        if shown == "r2":  # a row far below the mean would hide the differences of the others
            axes.set_xlim(left=max(-0.5, axes.get_xlim()[0]))
        axes.set_yticks(-np.arange(len(names)), labels=names if axes is panels[0] else [])
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _score_table(target, table, seeds):
    """Scores of all rows, what they are better by, and what they cost."""
    shown, primary = _shown(table), table.attrs["primary"]
    whole = table[table["setting"] == "all"]
    others = [metric for metric in dict.fromkeys(whole["metric"]) if metric != shown]
    head = [_NAMES.get(metric, metric) for metric in (shown, *others)]
    lines = [["method", "seeds", *head, "skill", "better by", "p corrected", "trials x CPU-s"]]
    for method, own in whole.groupby("method", sort=False):
        rows = own.set_index("metric")
        first = rows.loc[shown]
        lines.append([
            _say_log(method, target),
            " ".join(seeds.get((target, method), [])),
            with_interval(first, ".3f"),
            *(number(rows.loc[metric, "value"], ".4g") for metric in others),
            number(first["skill"], ".3f"),
            with_interval(first, "+.3f", of="difference", bounds="difference"),
            p_value(rows.loc[primary]),
            f"{first['n_trials']:.0f} x {first['cpu_seconds']:.1f}",
        ])  # fmt: skip
    return markdown_table(lines)


def _say_log(method, target):
    """Name a method, and say where it learns the logarithm of the target."""
    says_log = method in METHODS and METHODS[method].says_log
    return f"{method}, log {target}" if says_log and TARGETS[target].on_log else method


def _meaning(table):
    """Say which is the best simple row, and which rows on trial are better."""
    own = _whole(table, table.attrs["primary"])
    reference = next((name for name in own["compared_with"] if name), None)
    if reference is None:
        return "There is one simple row."
    on_trial = own[own["method"].str.startswith("BrainLM")]
    better = [row["method"] for _, row in on_trial.iterrows() if is_better(row)]
    return (
        f"The best simple row is {reference}. BrainLM rows that are better with a corrected "
        f"p < .05: {', '.join(better) or 'none'}."
    )


def _pair_sentence(pair, method, reference):
    """Say how a row differs from another one."""
    tested, row = (
        _whole(pair, metric).set_index("method").loc[method]
        for metric in (pair.attrs["primary"], _shown(pair))
    )
    metric = _NAMES[_shown(pair)]
    difference = with_interval(row, "+.3f", of="difference", bounds="difference")
    p = number(tested["p_value"], ".2g")
    return f"- {method} minus {reference}: {metric} {difference}, p = {p}."


def _shown(table):
    """Return the metric of the first column: R2 where squared errors are tested."""
    return "r2" if table.attrs["primary"] == "mse" else table.attrs["primary"]


def _whole(table, metric):
    """Return the rows of a metric over all folds."""
    return table[(table["setting"] == "all") & (table["metric"] == metric)]
