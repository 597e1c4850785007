"""Imputation for new people: timepoints lost to motion, and parcels that are missing.

    python benchmarks/imputation.py --recordings FOLDER

prints, for recordings with censored timepoints and for recordings without some parcels, R2 on the
missing values. It writes results/imputation_timepoints_NAME and results/imputation_parcels_NAME,
each as .csv, .md and .png. What is missing is in _holes.py, who is tested in _cohorts.py, and the
methods are in _imputation.py; a method is fitted once for both tables. A run that is cut short goes
on from the files that end in _sums.csv.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from _cohorts import common_t_r, describe_sides, load_cohort, prepare, split
from _comparison import compare
from _holes import CENSORED, PARCELS, PARTS, Holes
from _imputation import METHODS, N_NEAREST, REFERENCES
from _methods import Setting, budget, fit
from _protocol import score
from _report import plot, write_markdown
from _runs import Runs

BENCHMARK = "imputation"
FARTHEST = 0.3  # differences in the figure: methods differ by more than in masked reconstruction
RATIO_NAME = "part missing"
SHORT_NAMES = {CENSORED: "timepoints", PARCELS: "parcels"}
WHAT = {
    CENSORED: (
        "bursts of 1 to 10 timepoints are missing from all parcels at once, at "
        "random, until the part of the timepoints is reached"
    ),
    PARCELS: "the part of the parcels is missing from the whole recording, drawn at random",
}
REMARKS = {
    CENSORED: (
        "The plain Gaussian knows parcels of the same timepoint only, of which there are none: it "
        "fills in the mean. AR is the conditional mean of each parcel given the rest of it, before "
        "and behind, with the autocovariance that parcels have on average. BrainLM is trained on "
        "masked patches, as for the table of masked reconstruction: it has not seen such holes; "
        "the row trained on bursts has, of other people."
    ),
    PARCELS: (
        "The plain Gaussian is the ridge regression on all other parcels. Methods that go by the "
        f"rest of a parcel have nothing to go by. Nearest parcels is the mean of {N_NEAREST}. "
        "BrainLM is trained on masked patches, as for the table of masked reconstruction: it has "
        "not seen such holes."
    ),
}


@dataclass
class Table:
    """A kind of holes, and what was measured on recordings that have them."""

    name: str
    protocol: Holes
    runs: Runs
    text: str
    files: Path


def main(arguments=None):
    """Measure what has not been measured yet, and write the tables anew after every method."""
    options = _read_options(arguments)
    cohort = load_cohort(options.recordings)
    elsewhere = load_cohort(options.test_recordings) if options.test_recordings else None
    train, test = split(cohort, elsewhere, options.exclude)
    name = cohort.name + (f"_to_{elsewhere.name}" if elsewhere else "")
    name += f"_tr{options.t_r:g}" if options.t_r is not None else ""
    name += ("_trial" if options.max_windows else "") + options.suffix
    options.output.mkdir(parents=True, exist_ok=True)
    tables = [_open_table(task, name, train, test, options) for task in PARTS]
    train, test = prepare(train, test, t_r=options.t_r)
    for method in options.methods:
        for seed in options.seeds if METHODS[method].entry.seeded else [None]:
            for table in measure(method, seed, train, test, tables, options):
                report(table)
    for table in tables:
        if len(table.runs.table):
            print(report(table))


def measure(method, seed, train, test, tables, options):
    """Score one method with one seed wherever it is missing; yield each table that has more."""
    row = METHODS[method]
    if row.needs_coords and train.parcel_coords is None:
        print(f"{method}: parcels.tsv has no x, y and z.")
        return
    setting = Setting(
        parcel_coords=train.parcel_coords,
        t_r=common_t_r(train),
        window_length=options.window_length,
        patch_length=options.patch_length,
        short=options.short,
        epochs=options.epochs,
    )
    model = row.entry.build(setting, seed)
    key = (method, "" if seed is None else str(seed), budget(model))
    cost = None
    for table in tables:
        task = table.protocol.task
        missing = [p for p in PARTS[task] if options.fresh or not table.runs.has(*key, p)]
        if task not in row.tasks or not missing:
            continue
        if cost is None:
            cost = {**fit(model, train), "n_test": len(test)}
        for part in missing:
            sums = score(model, test, table.protocol, part)
            table.runs.add(*key, part, sums, cost)
            print(
                f"{method}{'' if seed is None else f', seed {seed}'}: R2 "
                f"{1 - sums.sse.sum() / sums.ss.sum():.4f} on {task}, {part:g} of them; fit "
                f"{cost['fit_cpu_seconds']:.1f} CPU-s, window "
                f"{sums.cpu_seconds / sums.n_windows.sum():.3f} CPU-s",
                flush=True,
            )
        yield table


def report(table):
    """Write table, page and figure of all that has been measured; return the page."""
    order = {method: place for place, method in enumerate(METHODS)}
    runs = table.runs.table.sort_values(
        "method", key=lambda method: method.map(order), kind="stable"
    )
    task = table.protocol.task
    about = {"benchmark": BENCHMARK, "dataset": table.name, "task": task}
    tidy = compare(runs, REFERENCES, about)
    tidy.to_csv(f"{table.files}.csv", index=False, float_format="%.6g")
    title = f"Imputation of {task}, {table.name}"
    page = write_markdown(
        tidy,
        REFERENCES,
        title=title,
        text=table.text,
        remark=REMARKS[task],
        ratio_name=RATIO_NAME,
    )
    Path(f"{table.files}.md").write_text(page, encoding="utf-8")
    figure = plot(tidy, REFERENCES[-1], near=FARTHEST, ratio_name=RATIO_NAME)
    figure.savefig(f"{table.files}.png", dpi=150)
    return page


def _open_table(task, name, train, test, options):
    """Open what has been measured of a kind of holes, and say what it is."""
    protocol = Holes(
        window_length=options.window_length,
        patch_length=options.patch_length,
        short=options.short,
        max_windows=options.max_windows,
        task=task,
    )
    capped = ""
    if protocol.max_windows is not None:
        capped = f" (at most {protocol.max_windows} a recording: a trial, not a result)"
    sides = describe_sides(train, test, t_r=options.t_r, exclude=options.exclude)
    text = (
        f"{sides} Every non-overlapping window of {protocol.window_length} timepoints{capped}, "
        f"{protocol.n_draws} draws of what is missing, the same for all methods: {WHAT[task]}."
    )
    epochs = options.epochs or "each method's own"
    print(f"{text}\nSeeds of the learned methods: {options.seeds}; epochs: {epochs}.\n", flush=True)
    files = options.output / f"{BENCHMARK}_{SHORT_NAMES[task]}_{name}"
    runs = Runs(f"{files}_sums.csv", protocol.fingerprint(train, test, t_r=options.t_r))
    return Table(name, protocol, runs, text, files)


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder to learn from, and to test on")
    add("--test-recordings", type=Path, help="folder to test on: a cohort from elsewhere")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--suffix", default="", help="end of the names of the files")
    add("--exclude", nargs="+", default=[], help="subjects or files to leave out of both sides")
    add("--window-length", type=int, default=200, help="timepoints")
    add("--patch-length", type=int, default=20, help="timepoints, of the models")
    add("--t-r", type=float, help="resample all recordings to this TR, in seconds")
    add("--short", choices=["pad", "raise"], default="pad", help="recordings short of a window")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the learned methods")
    add("--epochs", type=int, help="of the learned methods, instead of each one's own")
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add("--max-windows", type=int, help="windows of a recording, to try things out")
    add("--fresh", action="store_true", help="measure again what has been measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
