"""Masked reconstruction of new people: BrainLM beside what is known without a network.

    python benchmarks/reconstruction.py --recordings FOLDER

prints R2 on masked values at several mask ratios and writes results/reconstruction_NAME.csv, .md
and .png. What is measured is in _protocol.py, who is tested in _cohorts.py, and the methods are in
_methods.py. Every measurement is kept in results/reconstruction_NAME_sums.csv as soon as it is
made: a run that is cut short, or one with more methods, goes on from there.
"""

import argparse
import sys
import warnings
from pathlib import Path

from _cohorts import common_t_r, describe_sides, load_cohort, prepare, split
from _comparison import compare
from _methods import METHODS, REFERENCES, Setting, budget, fit
from _protocol import MASK_RATIOS, Protocol, score
from _report import plot, write_markdown
from _runs import Runs

BENCHMARK = "reconstruction"


def main(arguments=None):
    """Measure what has not been measured yet, and write the table anew after every method."""
    options = _read_options(arguments)
    cohort = load_cohort(options.recordings)
    elsewhere = load_cohort(options.test_recordings) if options.test_recordings else None
    train, test = split(cohort, elsewhere, options.exclude)
    protocol = Protocol(
        window_length=options.window_length,
        patch_length=options.patch_length,
        short=options.short,
        max_windows=options.max_windows,
    )
    preparation = {"t_r": options.t_r, "standardize": options.standardize}
    name = _name(cohort, elsewhere, options)
    options.output.mkdir(parents=True, exist_ok=True)
    files = options.output / f"{BENCHMARK}_{name}"
    runs = Runs(f"{files}_sums.csv", protocol.fingerprint(train, test, **preparation))
    text = describe(train, test, protocol, options)
    epochs = options.epochs or "each method's own"
    print(f"{text}\nSeeds of the learned methods: {options.seeds}; epochs: {epochs}.\n", flush=True)
    train, test = prepare(train, test, **preparation)
    for method in options.methods:
        for seed in options.seeds if METHODS[method].seeded else [None]:
            if measure(method, seed, train, test, protocol, runs, options):
                report(runs, name, text, files)
    print(report(runs, name, text, files))


def report(runs, name, text, files):
    """Write table, page and figure of all that has been measured; return the page."""
    order = {method: place for place, method in enumerate(METHODS)}
    table = runs.table.sort_values("method", key=lambda method: method.map(order), kind="stable")
    about = {"benchmark": BENCHMARK, "dataset": name, "task": "masked reconstruction"}
    tidy = compare(table, REFERENCES, about)
    tidy.to_csv(f"{files}.csv", index=False, float_format="%.6g")
    page = write_markdown(tidy, REFERENCES, title=f"Masked reconstruction, {name}", text=text)
    Path(f"{files}.md").write_text(page, encoding="utf-8")
    plot(tidy, REFERENCES[-1]).savefig(f"{files}.png", dpi=150)
    return page


def measure(method, seed, train, test, protocol, runs, options):
    """Fit one method with one seed and score it at the mask ratios that are missing, if any."""
    setting = Setting(
        parcel_coords=train.parcel_coords,
        t_r=common_t_r(train),
        window_length=protocol.window_length,
        patch_length=protocol.patch_length,
        short=protocol.short,
        epochs=options.epochs,
    )
    model = METHODS[method].build(setting, seed)
    key = (method, "" if seed is None else str(seed), budget(model))
    missing = [r for r in options.ratios if options.fresh or not runs.has(*key, r)]
    if not missing:
        return False
    cost = {**fit(model, train), "n_test": len(test)}
    for mask_ratio in missing:
        sums = score(model, test, protocol, mask_ratio)
        runs.add(*key, mask_ratio, sums, cost)
        r2 = 1 - sums.sse.sum() / sums.ss.sum()
        seconds = sums.cpu_seconds / sums.n_windows.sum()
        named = method if seed is None else f"{method}, seed {seed}"
        print(
            f"{named}: R2 {r2:.4f} at mask ratio {mask_ratio:g}; fit "
            f"{cost['fit_cpu_seconds']:.1f} CPU-s, window {seconds:.3f} CPU-s",
            flush=True,
        )
    return True


def describe(train, test, protocol, options):
    """Say in words what the numbers of this run are."""
    sides = describe_sides(
        train, test, t_r=options.t_r, standardize=options.standardize, exclude=options.exclude
    )
    capped = ""
    if protocol.max_windows is not None:
        capped = f" (at most {protocol.max_windows} a recording: a trial, not a result)"
    return (
        f"{sides} Every non-overlapping "
        f"window of {protocol.window_length} timepoints{capped}, {protocol.n_draws} random masks "
        f"of {protocol.patch_length}-timepoint patches at each mask ratio, the same for all "
        "methods."
    )


def _name(cohort, elsewhere, options):
    """Name what is measured, for the files."""
    name = cohort.name
    name += f"_to_{elsewhere.name}" if elsewhere else ""
    name += f"_tr{options.t_r:g}" if options.t_r is not None else ""
    return name + ("_trial" if options.max_windows else "") + options.suffix


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
    add("--patch-length", type=int, default=20, help="timepoints")
    add("--t-r", type=float, help="resample all recordings to this TR, in seconds")
    add("--standardize", choices=["none", "recording"], default="none", help="z-score each one")
    add("--short", choices=["pad", "raise"], default="pad", help="recordings short of a window")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the learned methods")
    add("--epochs", type=int, help="of the learned methods, instead of each one's own")
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add("--ratios", type=float, nargs="+", default=list(MASK_RATIOS), help="mask ratios")
    add("--max-windows", type=int, help="windows of a recording, to try things out")
    add("--fresh", action="store_true", help="measure again what has been measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
