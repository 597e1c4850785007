"""Traits of new people from recordings: BrainLM beside connectivity and other simple features.

    python benchmarks/clinical.py --recordings FOLDER

predicts age, full-scale IQ, sex and diagnosis, as far as participants.tsv has them, in folds of
whole sites (of people, where there is one site), and writes results/clinical_NAME.csv, .md and
.png. The methods are in _clinical_rows.py; scores and tests are those of
``sklearn_brainlm.evaluation.compare``. Predictions of every fold are kept in
results/clinical_NAME_predictions.csv, and what they cost in results/clinical_NAME_folds.csv, as
soon as they are made: a run that is cut short, or one with more methods, goes on from there.
Weights are pretrained on the training side of each fold, once for all rows and targets, and kept
between runs in --cache, if that is given.
"""

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from _budget import Counting, name_budget
from _clinical_rows import METHODS, TARGETS, Entry, Setting, make_transformer
from _clinical_tables import Measured, Report
from _kept import name_protocol
from _people import People
from _pretrained import Pretraining
from sklearn.dummy import DummyRegressor

from sklearn_brainlm.comparison.fold_runs import run_predictions, run_rows
from sklearn_brainlm.comparison.folds import make_folds, warn_of_pretraining
from sklearn_brainlm.comparison.rows import gather_rows

BENCHMARK = "clinical"


def main(arguments=None):
    """Measure what has not been measured yet, and write the tables anew, now and then and last."""
    options = _read_options(arguments)
    people = People(options)
    name = people.name + ("_trial" if options.max_recordings is not None else "") + options.suffix
    options.output.mkdir(parents=True, exist_ok=True)
    files = options.output / f"{BENCHMARK}_{name}"
    measured = Measured(files, fingerprint(people))
    text = describe(people)
    print(f"{text}\nSeeds of the learned methods: {options.seeds}.\n", flush=True)
    setting = Setting(
        target=None,
        window_length=options.window_length,
        patch_length=options.patch_length,
        n_train=0,
        epochs=options.epochs,
    )
    transformer = make_transformer(people.cohort.parcel_coords, setting, options.pretraining_epochs)
    pretraining = Pretraining(transformer, options.cache)
    targets = [target for target in options.targets if people.labels(target) is not None]
    report = Report(measured, people, targets, name, text, files)
    simple = {target: simple_rows(people, target) for target in targets}
    rows = [*dict.fromkeys(row for own in simple.values() for row in own), *options.methods]
    for method in rows:
        for target in targets:
            if method in simple[target]:
                row, features = simple[target][method]
                entry = Entry(lambda setting, seed, row=row: row)
            elif method in METHODS:
                entry, features = METHODS[method], None
            else:
                continue
            if entry.classes_only and not TARGETS[target].is_class:
                continue
            own = replace(setting, target=TARGETS[target])
            for seed in options.seeds if entry.seeded else [None]:
                job = (method, entry, target, seed, features)
                measure(job, people, own, pretraining, measured, options.fresh)
                report.write_at_times()
    print(report.write())


def measure(job, people, setting, pretraining, measured, fresh):
    """Predict a target by one method with one seed in the folds that are missing, if any."""
    method, entry, target, seed, features = job
    labels, known = people.labels(target)
    folds = make_folds(people.folds, labels, people.groups, people.codes, known)
    setting = replace(setting, n_train=min(len(train) for train, _ in folds))
    settings = [entry.build(setting, seed)]
    settings += [pretraining.transformer, entry.pooling] if entry.takes_weights else []
    key = {"target": target, "method": method, "seed": "" if seed is None else str(seed)}
    key["budget"] = name_budget(*settings)
    classes = np.unique(labels[known]) if TARGETS[target].is_class else None
    given = {"y": labels, "groups": people.groups, "classes": classes}
    seconds = []
    for number, fold in enumerate(folds):
        if measured.has(**key, fold=number) and not fresh:
            continue
        X, extra_seconds = people.recordings if features is None else features, 0.0
        if entry.takes_weights:
            train = people.folds[number][0]  # pretraining needs no labels
            recordings = [people.recordings[i] for i in train]
            weights, took = pretraining.on(recordings, people.subjects[train], seed)
            setting = replace(setting, weights=weights)
            extra_seconds += took if entry.is_pretrained else 0.0
            if entry.pooling is not None:
                X, took = people.embed(weights, entry.pooling, number, seed)
                extra_seconds += took
        run = Counting(run_predictions)
        rows = {method: (entry.build(setting, seed), X)}
        results = run_rows(run, rows, [fold], people.subjects, given)
        if entry.is_pretrained:  # weights whose parameters are drawn anew have seen nobody
            warn_of_pretraining(results)
        (result,) = results[method]
        result.cpu_seconds += extra_seconds
        result.n_parameters = run.n_parameters
        measured.add(result, fold[1], **key, fold=number)
        seconds.append(result.cpu_seconds)
    if seconds:
        named = method if seed is None else f"{method}, seed {seed}"
        print(f"{target}: {named}; {sum(seconds):.1f} CPU-s", flush=True)


def simple_rows(people, target):
    """Return the rows of Dummy and of what is known without recordings, with their features."""
    task = "classification" if TARGETS[target].is_class else "regression"
    one = {"": (DummyRegressor(), np.zeros((len(people), 1)))}
    rows = gather_rows(one, None, people.covariates(), task, len(people))
    return {name: row for name, row in rows.items() if name}


def fingerprint(people):
    """Name who is tested on what, in eight letters."""
    columns = [target.column for target in TARGETS.values() if target.column in people.table]
    labels = {column: list(map(str, people.table[column])) for column in columns}
    tests = [test.tolist() for _, test in people.folds]
    return name_protocol(files=list(people.files), folds=tests, labels=labels)


def describe(people):
    """Say in words what the numbers of this run are."""
    said = f"{len(people)} recordings of {len(set(people.subjects))} people ({people.name})"
    if people.n_elsewhere:
        in_both = ", ".join(people.in_both) or "none"
        return (
            f"{said}, the {people.n_elsewhere} of the second cohort on the test side. In both "
            f"cohorts, and left out of the test side: {in_both}."
        )
    return (
        f"{said}, in {len(people.folds)} folds grouped by {people.grouped_by}, nobody on both "
        "sides of one. Recordings are taken as they are, and scaled inside the methods."
    )


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
    add("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS), metavar="TARGET")
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="METHOD")
    add("--folds", type=int, default=6, help="folds of sites or people")
    add("--seeds", type=int, nargs="+", default=[0], help="of the learned methods")
    add("--window-length", type=int, default=60, help="timepoints that the networks see at a time")
    add("--patch-length", type=int, default=20, help="timepoints, of the transformers")
    add("--epochs", type=int, help="of the learned methods, instead of each one's own")
    add("--pretraining-epochs", type=int, help="instead of as many as show 3,000 windows")
    add("--max-recordings", type=int, help="recordings, evenly chosen, to try things out")
    add("--fresh", action="store_true", help="measure again what has been measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
