"""The table of functional networks: tests, the page and the figure."""

import numpy as np
import pandas as pd
from _comparison import TIDY_COLUMNS
from _report import markdown_table
from _tables import number, with_interval
from matplotlib.figure import Figure

from sklearn_brainlm.comparison.inference import (
    correct_p_values,
    corrected_t_test,
    interval,
    paired_test,
    resample_weights,
)

METRIC = "accuracy"
COORDINATES = "oordinates"  # in the names of rows that know them
CHANCE = ("Majority class", "Shuffled labels")
# The rows on trial, named before the test people were looked at, and what they are to reach.
ON_TRIAL = {
    "BrainLM (person components)": 0.67,
    "BrainLM (attention)": 0.67,
    "BrainLM (person components) + coordinates": 0.78,
}
N_BOOTSTRAP = 10_000
_COLOURS = {"simple": "0.35", "BrainLM": "#0072B2"}  # Okabe and Ito's blue
REMARK = """\
Intervals are over people. Parcels and their networks are the same in all people, so there are two
tests of a difference: over people (Wilcoxon: other people, the same parcels) and over splits
(t-test corrected for splits that overlap: other parcels), each corrected for all comparisons on
this page (false discovery rate). A row is called better where both are below .05.

Group rows say the same of everybody. *Group components* are 20 loadings of the average
connectivity of the people learned from. *Person components* are the first 20 columns of the matrix
by which the closed form inside BrainLM mixes components into parcels, after it has adapted to the
window of the person as it learned to in pretraining; *components* are those before it adapts.
*Reconstruction weights* say how much it goes by each other parcel to fill one in. *Attention* is
that of each parcel to the others and of them to it in the last block, the mean over heads and
patches. Its scores contain the correlations of the group from the start of training on, and as
training hardly opens the gate of the residual, that is what it mostly is. *Tokens* are the encoded
patches of a parcel. BrainLM reads recordings without their global signal. Rows with coordinates add
the squared distances of (|x|, y, z), with a weight of .8, both scaled to a mean of one."""


def tabulate(measured, about, n_train, subjects, options):
    """Write probes as tidy rows: accuracies, differences of BrainLM's rows to others, tests."""
    about = {**about, "n_train": n_train, "n_test": len(subjects), "seed": str(options.seed)}
    about["setting"] = f"timepoints={options.timepoints}"
    rows = []
    for method, (probes, seconds) in measured.items():
        for task, probe in probes.items():
            row = {**about, "task": task, "method": method, "cpu_seconds": seconds}
            values = {"value": probe.accuracy, "ci_low": probe.ci_low, "ci_high": probe.ci_high}
            rows.append({**row, "metric": METRIC, **values})
    differences = pd.DataFrame(_compare(measured, subjects))
    for kind in ("people", "splits"):
        differences[f"q_{kind}"] = correct_p_values(differences[f"p_{kind}"])
    for found in differences.to_dict("records"):
        row = {name: found[name] for name in ("task", "method")}
        row = {**about, **row, "cpu_seconds": measured[found["method"]][1]}
        named = f"{METRIC} minus {found['other']}"
        values = {name: found[name] for name in ("value", "ci_low", "ci_high")}
        rows.append({**row, "metric": named, **values})
        for kind in ("people", "splits"):
            rows.append({**row, "metric": f"p_value over {kind} ({named})",
                         "value": found[f"p_{kind}"]})  # fmt: skip
            rows.append({**row, "metric": f"p_corrected over {kind} ({named})",
                         "value": found[f"q_{kind}"]})  # fmt: skip
    return pd.DataFrame(rows, columns=TIDY_COLUMNS)


def _compare(measured, subjects):
    """Yield the difference of each row on trial to each row that is not BrainLM's."""
    _, owner = np.unique(subjects, return_inverse=True)
    n_of = np.bincount(owner)
    for method in ON_TRIAL:
        for other in (name for name in measured if not name.startswith("BrainLM")):
            for task, probe in measured[method][0].items():
                reference = measured[other][0][task]
                gain = probe.accuracies - reference.accuracies  # (n_recordings, n_splits)
                by_subject = np.bincount(owner, gain.mean(axis=1)) / n_of
                rng = np.random.default_rng(0)  # the same resamples for all rows
                everyone = np.arange(len(by_subject))
                drawn = np.concatenate([
                    weights @ by_subject / weights.sum(axis=1)
                    for weights in resample_weights(everyone, N_BOOTSTRAP, rng)
                ])  # fmt: skip
                low, high = interval(drawn)
                yield {
                    "method": method,
                    "other": other,
                    "task": task,
                    "value": by_subject.mean(),
                    "ci_low": low,
                    "ci_high": high,
                    "p_people": paired_test(by_subject),
                    "p_splits": corrected_t_test(
                        gain.mean(axis=0), reference.n_train, reference.n_test
                    ),
                }


def write_page(tidy, measured, text, seconds):
    """Return the page as Markdown."""
    name = tidy["dataset"].iloc[0]
    learned = ", ".join(f"{what} {cost:.0f}" for what, cost in seconds.items())
    parts = [
        f"# Functional networks, {name}",
        text,
        f"CPU-seconds of what is learned: {learned}.",
        "## Accuracy",
        _accuracies(tidy, measured),
        "## What is reached",
        "\n".join(f"- {sentence}" for sentence in _aims(tidy)),
    ]
    for method in ON_TRIAL:
        parts += [f"## {method}, minus every other row", _differences(tidy, method)]
    return "\n\n".join([*parts, REMARK]) + "\n"


def _accuracies(tidy, measured):
    """Accuracies with intervals, one column a split."""
    scores = tidy[tidy["metric"] == METRIC]
    tasks = list(scores["task"].unique())
    lines = [["row", *tasks, "neighbours", "CPU-s"]]
    for method, own in scores.groupby("method", sort=False):
        cells = [with_interval(row, ".3f") for _, row in own.iterrows()]
        chosen = np.concatenate(
            [probe.n_neighbors.ravel() for probe in measured[method][0].values()]
        )
        lines.append(
            [method, *cells, f"{np.median(chosen):.0f}", f"{own['cpu_seconds'].iloc[0]:.1f}"]
        )
    return markdown_table(lines)


def _differences(tidy, method):
    """Differences of a row to the others, with both tests."""
    own = tidy[tidy["method"] == method]
    tasks = list(own["task"].unique())
    found = own.set_index(["metric", "task"])
    prefix = f"{METRIC} minus "
    lines = [["row", *(f"{task}{x}" for task in tasks for x in ("", ": people", ": splits"))]]
    for metric in own["metric"][own["metric"].str.startswith(prefix)].unique():
        cells = []
        for task in tasks:
            cells.append(with_interval(found.loc[(metric, task)], "+.3f"))
            for kind in ("people", "splits"):
                p = found.loc[(f"p_corrected over {kind} ({metric})", task), "value"]
                cells.append(number(p, ".2g"))
        lines.append([metric.removeprefix(prefix), *cells])
    return markdown_table(lines)


def _aims(tidy):
    """Say what each row on trial reaches, and which rows it is better than."""
    scores = tidy[tidy["metric"] == METRIC].set_index(["method", "task"])
    for method, aim in ON_TRIAL.items():
        for task in scores.index.get_level_values("task").unique():
            row = scores.loc[(method, task)]
            found = tidy[(tidy["method"] == method) & (tidy["task"] == task)]
            better, tied, worse = _sort_out(found.set_index("metric")["value"])
            against = ""
            if task == scores.index[0][1]:
                side = "above" if row["ci_low"] > aim else "not above"
                against = f" ({side} {aim:.0%} with its interval)"
            yield (
                f"{method}, {task}: {row['value']:.1%}{against}. Better by both tests than "
                f"{_join(better)}; tied with {_join(tied)}; worse by both than {_join(worse)}."
            )


def _sort_out(values):
    """Return the rows that one is better than, tied with and worse than, by both tests."""
    better, tied, worse = [], [], []
    prefix = f"{METRIC} minus "
    for metric in values.index[values.index.str.startswith(prefix)]:
        tests = [values[f"p_corrected over {kind} ({metric})"] for kind in ("people", "splits")]
        is_sure = max(tests) < 0.05
        which = tied if not is_sure else better if values[metric] > 0 else worse
        which.append(metric.removeprefix(prefix))
    return better, tied, worse


def draw(tidy):
    """Return a figure: accuracy of every row on both splits, with intervals over people."""
    scores = tidy[tidy["metric"] == METRIC]
    tasks, methods = list(scores["task"].unique()), list(scores["method"].unique())
    size = (3.4 + 3.0 * len(tasks), 1.2 + 0.27 * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True, sharex=True)[0]
    for axes, task in zip(panels, tasks, strict=True):
        own = scores[scores["task"] == task]
        for place, (_, row) in enumerate(own.iterrows()):
            kind = "BrainLM" if row["method"].startswith("BrainLM") else "simple"
            filled = COORDINATES not in row["method"]
            axes.hlines(-place, row["ci_low"], row["ci_high"], color=_COLOURS[kind], lw=1.5)
            face = _COLOURS[kind] if filled else "white"
            marker = "s" if kind == "BrainLM" else "o"
            axes.plot(row["value"], -place, marker, color=_COLOURS[kind], mfc=face, ms=5)
        best = own[own["method"].isin(CHANCE)]["value"].max()
        axes.axvline(best, color="0.7", lw=0.8, zorder=0)
        axes.set(title=task, xlabel="parcels told right", xlim=(0, 1))
        axes.set_yticks(-np.arange(len(methods)), labels=methods)
        axes.grid(axis="x", color="0.9", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        "squares: BrainLM; open: with coordinates; line: best of majority class and shuffled "
        "labels;\nbars: 95% intervals over people (narrower than the mark where none is seen)",
        fontsize="small",
    )
    return figure


def _join(names):
    """Join names."""
    return ", ".join(names) if names else "none"
