"""How many true values of new people the intervals of forecasts hold, beside what they promise.

    python benchmarks/interval_coverage.py --recordings FOLDER

fits BrainLMForecaster to the training people, part of whom are set aside to calibrate its
intervals, asks ``predict_interval`` for what follows contexts of the test people, and counts the
true values inside. It writes results/coverage_NAME.csv, .md and .png. Conformal intervals keep
their promise on average over people who are exchangeable with those of the calibration; a person
is far more like himself than like others, so each one's coverage is shown beside the mean.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _cohorts import common_t_r, describe_sides, load_cohort, split
from _comparison import TIDY_COLUMNS
from _costs import write_results
from _forecasting_rows import METHODS, Setting
from forecasting import group_steps
from matplotlib.figure import Figure

BENCHMARK = "coverage"
ROWS = ("BrainLM (gate held at zero)", "BrainLM")
PROMISED = (0.5, 0.8, 0.9, 0.95)
N_BOOTSTRAP = 10_000


def main(arguments=None):
    """Fit, count, and write table, page and figure."""
    options = _read_options(arguments)
    train, test = split(load_cohort(options.recordings))
    contexts, futures, owner = cut(test, options)
    setting = Setting(
        parcel_coords=train.parcel_coords,
        t_r=common_t_r(train),
        context_length=options.context_length,
        horizon=options.horizon,
        patch_length=options.patch_length,
        epochs=options.epochs,
    )
    rows, calibrations = [], {}
    for method in options.methods:
        began = time.process_time()
        forecaster = METHODS[method].build(setting, options.seed)
        forecaster.set_params(calibration_fraction=options.calibration_fraction)
        forecaster.fit(train.recordings, groups=train.subjects)
        about = {"benchmark": BENCHMARK, "dataset": train.name, "task": "forecasting"}
        about |= {"method": method, "n_train": len(train), "n_test": len(test)}
        about |= {"cpu_seconds": time.process_time() - began, "seed": options.seed}
        calibrations[method] = len(forecaster.residuals_)
        for promised in PROMISED:
            inside = count_inside(forecaster, contexts, futures, promised)
            for first, last in group_steps(options.horizon):
                held = by_person(inside[:, first - 1 : last], owner)
                setting_of = f"promised={promised:g}; steps {first}-{last}"
                rows += [about | {"setting": setting_of} | row for row in describe_coverage(held)]
        print(f"{method}: {about['cpu_seconds']:.0f} CPU-s", flush=True)
    table = pd.DataFrame(rows, columns=TIDY_COLUMNS)
    page = write_page(table, train, test, calibrations, len(contexts), options)
    options.output.mkdir(parents=True, exist_ok=True)
    write_results(options.output, f"{BENCHMARK}_{train.name}", rows, page)
    draw(table).savefig(options.output / f"{BENCHMARK}_{train.name}.png", dpi=150)
    print(page)


def cut(test, options):
    """Return contexts, what follows each (n, horizon, n_parcels), and whose it is."""
    contexts, futures, owner = [], [], []
    for person, recording in zip(test.subjects, test.recordings, strict=True):
        last = len(recording) - options.horizon
        for now in range(options.context_length, last + 1, options.stride):
            contexts.append(recording[now - options.context_length : now])
            futures.append(recording[now : now + options.horizon])
            owner.append(person)
    return contexts, np.stack(futures), np.array(owner)


def count_inside(forecaster, contexts, futures, promised):
    """Return the part of the parcels inside their interval, (n_contexts, horizon)."""
    lower, upper = forecaster.predict_interval(contexts, coverage=promised)
    return ((futures >= lower) & (futures <= upper)).mean(axis=2)


def by_person(inside, owner):
    """Average over the contexts and steps of each person, (n_people,)."""
    return np.array([inside[owner == person].mean() for person in np.unique(owner)])


def describe_coverage(held):
    """Return the rows of one table cell: mean over people with its interval, and the extremes."""
    rng = np.random.default_rng(0)
    means = held[rng.integers(len(held), size=(N_BOOTSTRAP, len(held)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    yield {"metric": "coverage", "value": held.mean(), "ci_low": low, "ci_high": high}
    yield {"metric": "coverage of the least covered person", "value": held.min()}
    yield {"metric": "coverage of the most covered person", "value": held.max()}


def write_page(table, train, test, calibrations, n_contexts, options):
    """Say what was promised and what was held."""
    lines = [
        f"# Intervals of forecasts, {train.name}",
        f"{describe_sides(train, test)} {options.horizon} timepoints are forecast from the "
        f"{options.context_length} before them, {n_contexts} times, {options.stride} timepoints "
        "apart. Of the people learned from, "
        f"{options.calibration_fraction:g} are set aside to calibrate the intervals, in windows "
        "that do not overlap: "
        + "; ".join(f"{n} for {method}" for method, n in calibrations.items())
        + ".",
        "Coverage is the part of the true values inside their interval, the mean over people with "
        f"its 95% bootstrap interval over them ({N_BOOTSTRAP:,} resamples); in brackets the person "
        "with the least and the one with the most.",
    ]
    methods = table["method"].drop_duplicates()
    text = ["| " + " | ".join(["promised", *methods]) + " |"]
    text.append("| --- " + "| ---: " * len(methods) + "|")
    for setting, own in table.groupby("setting", sort=False):
        cells = [setting.removeprefix("promised=").replace(";", ",")]
        for method in methods:
            mean, least, most = own[own["method"] == method].itertuples()
            cells.append(
                f"{mean.value:.3f} [{mean.ci_low:.3f}, {mean.ci_high:.3f}] "
                f"({least.value:.2f} to {most.value:.2f})"
            )
        text.append("| " + " | ".join(cells) + " |")
    return "\n\n".join([*lines, "\n".join(text), "## What it says", read_table(table)]) + "\n"


def read_table(table):
    """Put into words where the promise was not kept."""
    means = table[table["metric"] == "coverage"]
    promised = means["setting"].str.extract(r"promised=([\d.]+)")[0].astype(float)
    missed = means[(means["ci_high"] < promised) | (means["ci_low"] > promised)]
    if missed.empty:
        return "Every interval of a coverage holds the one that was promised."
    cells = "; ".join(
        f"{row.method}, {row.setting}: {row.value:.3f}" for row in missed.itertuples()
    )
    return f"Intervals that do not hold what was promised: {cells}."


def draw(table):
    """Plot what was held against what was promised, one line a row and group of steps."""
    figure = Figure(figsize=(4.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0.4, 1], [0.4, 1], color="0.6", linewidth=1, label="promised")
    means = table[table["metric"] == "coverage"]
    for number, (key, own) in enumerate(
        means.groupby([means["method"], means["setting"].str.split("; ").str[1]], sort=False)
    ):
        x = own["setting"].str.extract(r"promised=([\d.]+)")[0].astype(float) + 0.004 * number
        bars = [own["value"] - own["ci_low"], own["ci_high"] - own["value"]]
        axes.errorbar(x, own["value"], yerr=bars, fmt="osD^"[number % 4], label=", ".join(key))
    axes.set(xlabel="Coverage promised", ylabel="Coverage on new people (95% over people)")
    axes.legend(fontsize=7)
    return figure


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder to learn from, and to test on")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--methods", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="METHOD")
    add("--calibration-fraction", type=float, default=0.25, help="of the people learned from")
    add("--context-length", type=int, default=180, help="timepoints")
    add("--horizon", type=int, default=20, help="timepoints")
    add("--stride", type=int, default=60, help="timepoints between contexts of the test people")
    add("--patch-length", type=int, default=20, help="timepoints, of the transformer")
    add("--epochs", type=int, help="instead of the forecaster's own")
    add("--seed", type=int, default=0, help="of the network, and of who calibrates")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
