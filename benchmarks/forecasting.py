"""Forecasts of new people: BrainLM beside what is known without a network.

    python benchmarks/forecasting.py --recordings FOLDER

forecasts 20 timepoints from the 180 before them, and prints R2, r and MSE by step ahead, with
corrected tests over subjects. It writes results/forecasting_NAME.csv, .md and .png. The methods
are in _forecasting_rows.py, who is tested is in _cohorts.py, and the tests are those of
``sklearn_brainlm.evaluation.compare_forecasters``. Every method and seed is kept in
results/forecasting_NAME_sums.csv as soon as it is measured: a run that is cut short, or one with
more methods, goes on from there. Weights that rows share are kept in --cache, if that is given.
"""

import argparse
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from _budget import Counting, name_budget
from _cohorts import common_t_r, describe_sides, load_cohort, prepare, split
from _forecasting_page import pairs_among, plot, write_page
from _forecasting_rows import METHODS, Setting, make_transformer
from _kept import Kept, name_protocol
from _pretrained import Pretraining
from _tables import cost_rows, tidy
from sklearn.utils import Bunch

from sklearn_brainlm.comparison.fold_runs import run_forecasts, run_rows
from sklearn_brainlm.comparison.folds import make_folds, warn_of_pretraining
from sklearn_brainlm.comparison.horizons import check_same_windows, tabulate_forecasts
from sklearn_brainlm.comparison.rows import choose_simple

BENCHMARK = "forecasting"
SUMS = ("n_values", "true", "predicted", "true_true", "predicted_predicted", "true_predicted")
KEY = {"method": str, "seed": str, "budget": str}  # no seed for methods without chance
COSTS = {"n_train": int, "n_test": int, "n_parameters": float, "cpu_seconds": float}
N_BOOTSTRAP = 2000
PAUSE = 900  # seconds between pages of a run that goes on
VALUES = {"subject": int, "step": int, **dict.fromkeys(SUMS, float), **COSTS}


def main(arguments=None):
    """Measure what has not been measured yet, and write the table anew, now and then and last."""
    options = _read_options(arguments)
    train, test, in_both = sides(options)
    name = _name(train, test, options)
    preparation = {"t_r": options.t_r, "standardize": options.standardize}
    options.output.mkdir(parents=True, exist_ok=True)
    files = options.output / f"{BENCHMARK}_{name}"
    protocol = name_protocol(
        context_length=options.context_length, horizon=options.horizon, stride=options.stride,
        train=list(train.files), test=list(test.files), **preparation,
    )  # fmt: skip
    kept = Kept(f"{files}_sums.csv", protocol, KEY, VALUES)
    text = describe(train, test, in_both, options)
    print(f"{text}\nSeeds of the learned methods: {options.seeds}.\n", flush=True)
    train, test = prepare(train, test, **preparation)
    setting = Setting(
        parcel_coords=train.parcel_coords,
        t_r=common_t_r(train),
        context_length=options.context_length,
        horizon=options.horizon,
        patch_length=options.patch_length,
        epochs=options.epochs,
        pretraining_epochs=options.pretraining_epochs,
    )
    pretraining = Pretraining(make_transformer(setting), options.cache)
    written = time.monotonic()
    for method in options.methods:
        for seed in options.seeds if METHODS[method].seeded else [None]:
            measure(method, seed, train, test, setting, pretraining, kept, options)
            if time.monotonic() - written > PAUSE:
                report(kept, name, text, files, options)
                written = time.monotonic()
    print(report(kept, name, text, files, options))


def sides(options):
    """Return whom methods learn from, whom they are tested on, and who is left out as in both."""
    cohort, elsewhere, in_both = load_cohort(options.recordings), None, []
    if options.test_recordings:
        elsewhere = load_cohort(options.test_recordings)
        in_both = sorted(set(cohort.subjects) & set(elsewhere.subjects))
        elsewhere = elsewhere.take(~np.isin(elsewhere.subjects, in_both))
    train, test = split(cohort, elsewhere, options.exclude)
    if options.max_recordings is not None:
        train, test = (
            side.take(np.arange(min(options.max_recordings, len(side)))) for side in (train, test)
        )
    return train, test, in_both


def measure(method, seed, train, test, setting, pretraining, kept, options):
    """Fit one method with one seed and keep the sums of its forecasts, if that was not done."""
    entry = METHODS[method]
    settings = [
        entry.build(setting, seed),
        *([pretraining.transformer] if entry.takes_weights else []),
    ]
    key = {"method": method, "seed": "" if seed is None else str(seed)}
    key["budget"] = name_budget(*settings)
    if kept.has(**key) and not options.fresh:
        return
    extra_seconds = 0.0
    if entry.takes_weights:
        weights, seconds = pretraining.on(train.recordings, train.subjects, seed)
        setting = replace(setting, weights=weights)
        extra_seconds = seconds if entry.is_pretrained else 0.0
    forecaster = entry.build(setting, seed)
    recordings = [*train.recordings, *test.recordings]
    subjects = np.concatenate([train.subjects, test.subjects])
    positions = np.arange(len(recordings))
    pairs = [(positions[: len(train)], positions[len(train) :])]
    folds = make_folds(pairs, np.zeros(len(recordings)), subjects, subjects)
    given = {"groups": subjects, "stride": options.stride}
    run = Counting(run_forecasts)
    rows = {method: (forecaster, recordings)}
    results = run_rows(run, rows, folds, subjects, given)
    if not entry.takes_weights or entry.is_pretrained:
        warn_of_pretraining(results)
    (result,) = results[method]
    tested, owner = np.unique(test.subjects, return_inverse=True)
    sums = np.zeros((len(tested), *result.sums.shape[1:]))
    np.add.at(sums, owner, result.sums)  # (n_subjects, 6, horizon)
    subject, step = np.indices((len(tested), sums.shape[2])).reshape(2, -1)
    values = dict(zip(SUMS, sums.transpose(1, 0, 2).reshape(6, -1), strict=True))
    cost = {
        "n_train": len(train),
        "n_test": len(test),
        "n_parameters": run.n_parameters,
        "cpu_seconds": result.cpu_seconds + extra_seconds,
    }
    kept.add({"subject": subject, "step": step + 1, **values, **cost}, **key)
    total = sums.sum(axis=(0, 2))
    r2 = 1 - (total[3] - 2 * total[5] + total[4]) / total[3]
    print(
        f"{method}{'' if seed is None else f', seed {seed}'}: R2 {r2:.4f} of "
        f"{len(result.windows)} windows; {cost['cpu_seconds']:.1f} CPU-s",
        flush=True,
    )


def report(kept, name, text, files, options):
    """Write table, page and figure of all that has been measured; return the page."""
    methods = [method for method in METHODS if kept.has(method=method)]
    results = {method: [gather(kept.of(method=method))] for method in methods}
    check_same_windows(results)
    steps = group_steps(options.horizon)
    table = tabulate(results, steps)
    pairs = {
        (method, reference): tabulate(
            {row: results[row] for row in (reference, method)}, steps, baseline=reference
        )
        for method, reference in pairs_among(methods)
    }
    about = {"benchmark": BENCHMARK, "dataset": name, "task": "forecasting"}
    seeds = {m: sorted(set(kept.of(method=m)["seed"]) - {""}, key=int) for m in methods}
    budgets = kept.table.drop_duplicates("method")
    # All seeds of a method are pooled in one row; the table of a single fold has no others.
    whole = table[~table["setting"].str.contains("fold")]
    parts = [tidy(_keep_attrs(whole, table), about)]
    parts += [tidy(pair, about, pair=True) for pair in pairs.values()]
    parts.append(cost_rows(whole, about, budgets))
    rows = pd.concat(parts, ignore_index=True)
    rows["seed"] = rows["method"].map(lambda method: "mean" if seeds[method] else "")
    rows.to_csv(f"{files}.csv", index=False, float_format="%.6g")
    page = write_page(table, pairs, budgets, seeds, title=f"Forecasting, {name}", text=text)
    Path(f"{files}.md").write_text(page, encoding="utf-8")
    plot(table).savefig(f"{files}.png", dpi=150)
    return page


def gather(rows):
    """Return the kept sums of a method, the mean over its seeds, as `run_rows` returns them."""
    n_seeds = rows["seed"].nunique()
    pooled = rows.groupby(["subject", "step"], as_index=False)[list(SUMS)].sum()
    n_steps = pooled["step"].max()
    sums = pooled[list(SUMS)].to_numpy().reshape(-1, n_steps, len(SUMS)).transpose(0, 2, 1)
    first = rows.iloc[0]
    return Bunch(
        fold=0,
        sums=sums / n_seeds,
        windows=np.zeros((0, 2)),  # the protocol of the file says that they are the same
        n_train=int(first["n_train"]),
        n_test=int(first["n_test"]),
        n_trials=1,
        cpu_seconds=rows.drop_duplicates("seed")["cpu_seconds"].mean(),
    )


def tabulate(results, steps, baseline=None):
    """Return the table of `compare_forecasters` for kept sums of subjects."""
    n_subjects = len(next(iter(results.values()))[0].sums)
    tested = np.arange(n_subjects)
    candidates, simple = choose_simple(baseline, list(results))
    folds = [(tested[:0], tested)]
    return tabulate_forecasts(results, folds, tested, steps, candidates, simple, N_BOOTSTRAP, 0)


def group_steps(horizon):
    """Return the groups of steps that are reported apart: 1 to 8, and those after them."""
    return [(1, min(8, horizon)), *([(9, horizon)] if horizon > 8 else [])]


def describe(train, test, in_both, options):
    """Say in words what the numbers of this run are."""
    who = describe_sides(
        train, test, t_r=options.t_r, standardize=options.standardize, exclude=options.exclude
    )
    names = (
        f" In both cohorts, and left out of the test side: {', '.join(in_both)}." if in_both else ""
    )
    few = "" if options.max_recordings is None else " A few recordings only: a trial, no result."
    return (
        f"{who}{names}{few} {options.horizon} timepoints are forecast from the "
        f"{options.context_length} before them, in windows {options.stride} timepoints apart, the "
        "same for all methods."
    )


def _keep_attrs(part, table):
    """Return a part of a table with the attributes of the whole one."""
    part = part.copy()
    part.attrs["primary"] = table.attrs["primary"]
    return part


def _name(train, test, options):
    """Name what is measured, for the files."""
    name = train.name if train.name == test.name else f"{train.name}_to_{test.name}"
    name += f"_tr{options.t_r:g}" if options.t_r is not None else ""
    return name + ("_trial" if options.max_recordings is not None else "") + options.suffix


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder to learn from, and to test on")
    add("--test-recordings", type=Path, help="folder to test on: a cohort from elsewhere")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--cache", type=Path, help="folder for pretrained weights, to go on from in another run")
    add("--suffix", default="", help="end of the names of the files")
    add("--exclude", nargs="+", default=[], help="subjects or files to leave out of both sides")
    add("--context-length", type=int, default=180, help="timepoints")
    add("--horizon", type=int, default=20, help="timepoints")
    add("--stride", type=int, default=60, help="timepoints between test windows")
    add("--patch-length", type=int, default=20, help="timepoints, of the transformers")
    add("--t-r", type=float, help="resample all recordings to this TR, in seconds")
    add("--standardize", choices=["none", "recording"], default="none", help="z-score each one")
    add("--seeds", type=int, nargs="+", default=[0], help="of the learned methods")
    add("--epochs", type=int, help="of the learned methods, instead of each one's own")
    add("--pretraining-epochs", type=int, help="instead of as many as show 3,000 windows")
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add("--max-recordings", type=int, help="recordings of each side, to try things out")
    add("--fresh", action="store_true", help="measure again what has been measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
