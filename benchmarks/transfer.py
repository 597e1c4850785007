"""Masked reconstruction on other atlases, by what was learned on one and knows coordinates only.

    python benchmarks/transfer.py --recordings FOLDER --test-recordings FOLDER [FOLDER ...]

pretrains on the first folder and prints, for each of the others, R2 on masked values of its test
people, zero-shot and beside what is fitted to its own training people. It writes
results/transfer_NAME_to_NAME.csv, .md and .png. The methods are in _transfer.py; what is measured
is in _protocol.py, and who is tested in _cohorts.py. A run that is cut short goes on from
results/transfer_NAME_to_NAME_sums.csv. What is learned from recordings is not written.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _cohorts import Cohort, common_t_r, load_cohort, prepare
from _comparison import compare
from _methods import Setting, budget, fit
from _protocol import MASK_RATIOS, Protocol, score
from _report import plot, write_markdown
from _runs import Runs
from _transfer import METHODS, REFERENCES, Place, check_coords, prepare_pretraining, sides

from sklearn_brainlm import InvalidRecordingError

BENCHMARK = "transfer"
FARTHEST = 0.4  # differences in the figure: transfer moves R2 by more than methods differ at home
_REMARK = (
    "The rows that are carried have seen nobody of the cohort: of its training people they use the "
    "medians and interquartile ranges that all rows are scaled by, and of its parcels the "
    "coordinates. The others were fitted to the training people of the cohort."
)


@dataclass
class Crossing:
    """A cohort to carry methods to, and what was measured on it."""

    name: str
    train: Cohort
    test: Cohort
    place: Place
    runs: Runs
    text: str
    files: Path


def main(arguments=None):
    """Measure what has not been measured yet, and write the tables anew after every method."""
    options = _read_options(arguments)
    protocol = Protocol(
        window_length=options.window_length,
        patch_length=options.patch_length,
        short=options.short,
        max_windows=options.max_windows,
    )
    pretraining = load_cohort(options.recordings)
    cohorts = [load_cohort(folder) for folder in options.test_recordings]
    for cohort in (pretraining, *cohorts):
        check_coords(cohort)
    _check_names(options.exclude, [pretraining, *cohorts])
    pretraining = pretraining.take(
        ~np.isin(pretraining.subjects, options.exclude)
        & ~np.isin(pretraining.files, options.exclude)
    )
    t_r = options.t_r or common_t_r(pretraining)
    if t_r is None:
        raise InvalidRecordingError(
            f"{pretraining.name} has no TR, or several: choose the one to work at with --t-r."
        )
    options.output.mkdir(parents=True, exist_ok=True)
    crossings = [_cross(cohort, pretraining, t_r, protocol, options) for cohort in cohorts]
    pretraining = prepare_pretraining(pretraining, t_r)
    for method in options.methods:
        for seed in options.seeds if METHODS[method].seeded else [None]:
            for crossing in measure(method, seed, pretraining, crossings, protocol, options):
                report(crossing)
    for crossing in crossings:
        print(report(crossing))


def measure(method, seed, pretraining, crossings, protocol, options):
    """Score one method with one seed wherever it is missing; yield each cohort that was scored.

    What is learned elsewhere is learned once, and carried to all cohorts.
    """
    row = METHODS[method]
    setting = _setting(pretraining, protocol, options)
    learned, cost = None, {}
    for crossing in crossings:
        model = row.build(setting if row.elsewhere else crossing.place.setting, seed)
        key = (method, "" if seed is None else str(seed), budget(model))
        missing = [r for r in options.ratios if options.fresh or not crossing.runs.has(*key, r)]
        if not missing:
            continue
        if learned is None or not row.elsewhere:
            people = pretraining if row.elsewhere else crossing.train
            learned, cost = model, fit(model, people)
        carried = learned.carry(crossing.place, crossing.train) if row.elsewhere else learned
        cost = {**cost, "n_test": len(crossing.test)}
        for mask_ratio in missing:
            sums = score(carried, crossing.test, protocol, mask_ratio)
            crossing.runs.add(*key, mask_ratio, sums, cost)
            print(
                f"{crossing.name}: {method}{'' if seed is None else f', seed {seed}'}: R2 "
                f"{1 - sums.sse.sum() / sums.ss.sum():.4f} at mask ratio {mask_ratio:g}; fit "
                f"{cost['fit_cpu_seconds']:.1f} CPU-s, window "
                f"{sums.cpu_seconds / sums.n_windows.sum():.3f} CPU-s",
                flush=True,
            )
        yield crossing


def report(crossing):
    """Write table, page and figure of all that has been measured on a cohort; return the page."""
    order = {method: place for place, method in enumerate(METHODS)}
    table = crossing.runs.table.sort_values(
        "method", key=lambda method: method.map(order), kind="stable"
    )
    about = {"benchmark": BENCHMARK, "dataset": crossing.name, "task": "masked reconstruction"}
    tidy = compare(table, REFERENCES, about)
    tidy.to_csv(f"{crossing.files}.csv", index=False, float_format="%.6g")
    title = f"Transfer, {crossing.name.replace('_to_', ' to ')}"
    page = write_markdown(tidy, REFERENCES, title=title, text=crossing.text, remark=_REMARK)
    Path(f"{crossing.files}.md").write_text(page, encoding="utf-8")
    plot(tidy, REFERENCES[0], near=FARTHEST).savefig(f"{crossing.files}.png", dpi=150)
    return page


def describe(pretraining, cohort, train, test, t_r, measured_t_r, protocol):
    """Say in words what the numbers of a cohort are."""
    at_home, train_side, test_side = (
        f"{len(side)} recordings of {len(set(side.subjects))} subjects"
        for side in (pretraining, train, test)
    )
    sites = ""
    if test.sites is not None:
        sites = f" Whole sites are held out: {', '.join(sorted(set(test.sites)))}."
    in_both = sorted(set(cohort.subjects) & set(pretraining.subjects))
    names = f"kept out of the test side: {', '.join(in_both)}" if in_both else "none"
    capped = ""
    if protocol.max_windows is not None:
        capped = f" (at most {protocol.max_windows} a recording: a trial, not a result)"
    return (
        f"Pretrained on {at_home} ({pretraining.name}, {len(pretraining.parcels)} parcels), tested "
        f"on {test_side} ({test.name}, {len(test.parcels)} parcels). What is fitted there is "
        f"fitted to {train_side}, nobody on both sides.{sites} Subjects of both cohorts: {names}. "
        f"Recordings are resampled to a TR of {t_r:g} s, each "
        f"from its own (the median is {measured_t_r:g} s), and then in units of the "
        "medians and interquartile ranges of the train side. Every non-overlapping window of "
        f"{protocol.window_length} timepoints{capped}, {protocol.n_draws} random masks of "
        f"{protocol.patch_length}-timepoint patches at each mask ratio, the same for all methods."
    )


def _cross(cohort, pretraining, t_r, protocol, options):
    """Make a cohort ready to carry methods to."""
    train, test = sides(cohort, pretraining, options.exclude)
    measured_t_r = float(np.median(cohort.t_r))
    text = describe(pretraining, cohort, train, test, t_r, measured_t_r, protocol)
    print(f"{text}\n", flush=True)
    name = f"{pretraining.name}_to_{cohort.name}"
    name += f"_tr{options.t_r:g}" if options.t_r is not None else ""
    name += ("_trial" if options.max_windows else "") + options.suffix
    files = options.output / f"{BENCHMARK}_{name}"
    fingerprint = protocol.fingerprint(train, test, t_r=t_r, pretraining=list(pretraining.files))
    runs = Runs(f"{files}_sums.csv", fingerprint)
    train, test = prepare(train, test, t_r=t_r)
    place = Place(_setting(train, protocol, options), measured_t_r)
    return Crossing(name, train, test, place, runs, text, files)


def _setting(cohort, protocol, options):
    """Say what a method is told about the recordings it learns from."""
    return Setting(
        parcel_coords=cohort.parcel_coords,
        t_r=common_t_r(cohort),
        window_length=protocol.window_length,
        patch_length=protocol.patch_length,
        short=protocol.short,
        epochs=options.epochs,
    )


def _check_names(exclude, cohorts):
    """Refuse to leave out somebody whom no cohort knows."""
    known = {name for cohort in cohorts for name in (*cohort.subjects, *cohort.files)}
    unknown = sorted(set(exclude) - known)
    if unknown:
        raise InvalidRecordingError(f"No subject and no file is called {', '.join(unknown)}.")


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder to pretrain on")
    add("--test-recordings", required=True, type=Path, nargs="+", help="folders to test on")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--suffix", default="", help="end of the names of the files")
    add("--exclude", nargs="+", default=[], help="subjects or files to leave out everywhere")
    add("--window-length", type=int, default=200, help="timepoints")
    add("--patch-length", type=int, default=20, help="timepoints")
    add("--t-r", type=float, help="TR of all recordings, in seconds, instead of the pretraining's")
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
