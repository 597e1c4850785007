"""Changes to the package that tests have to notice, one at a time.

    python -m pip install cosmic-ray
    python benchmarks/mutations.py

makes every mutant of four files with the operators of cosmic-ray (another comparison, a number one
larger or smaller, a condition turned round, a loop that does nothing, an error that is not caught),
runs the quick tests of that file on it, and lists those that no test notices, with the reason
for which they are not: it is read from mutation_reasons.csv, by what stood there and what stands
there now. It writes results/mutations.csv and .md. Outcomes are kept: when it is run again, only
the mutants that were not noticed are tried; `--fresh` starts again.
"""

import argparse
import csv
import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _costs import write_results
from _mutants import ROOT, Bench, draw, make_mutants
from scipy.stats import binomtest

BENCHMARK = "mutations"
REASONS = Path(__file__).parent / "mutation_reasons.csv"
NOT_JUDGED = "not judged"
_HOUSE = "tests/test_house.py::test_defaults_are_those_of_the_docstring[sklearn_brainlm/{}]".format
# What is quick and notices most comes first: the first test that fails is the last one that is run.
TESTS = {
    "_validation.py": [
        _HOUSE("_validation.py"),
        "tests/test_validation.py",
        "tests/test_preprocessing.py",
    ],
    "preprocessing.py": [_HOUSE("preprocessing.py"), "tests/test_preprocessing.py"],
    "evaluation.py": [
        _HOUSE("evaluation.py"),
        "tests/test_evaluation_forecasts.py",
        "tests/test_evaluation_classes.py",
        "tests/test_evaluation.py",
        "tests/test_leakage.py",
    ],
    "checkpoint.py": [
        _HOUSE("checkpoint.py"),
        "tests/test_checkpoint_calls.py",
        "tests/test_checkpoint.py",
    ],
}


def main(arguments=None):
    """Try all mutants, and write the table."""
    options = _read_options(arguments)
    if options.fresh:
        options.kept.unlink(missing_ok=True)
    options.kept.parent.mkdir(parents=True, exist_ok=True)
    noticed, mutants, n_made = read_kept(options.kept), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        for file in options.files:
            made = make_mutants(file)
            n_made[file], mutants[file] = len(made), draw(made, options.sample, options.seed)
            missing = [m for m in mutants[file] if not noticed.get(digest(m))]
            timeout = 30 + 4 * bench.check(TESTS[file]) if missing and not options.table else 0
            for n, mutant in enumerate([] if options.table else missing, 1):
                began = time.monotonic()
                found = bench.is_noticed(mutant, TESTS[file], timeout)
                noticed[digest(mutant)] = found
                with open(options.kept, "a", encoding="utf-8") as lines:
                    lines.write(json.dumps([digest(mutant), found]) + "\n")
                print(
                    f"{file} {n} of {len(missing)}, {time.monotonic() - began:.1f} s:"
                    + ("" if found else f" not noticed, line {mutant.line}: {mutant.becomes}"),
                    flush=True,
                )
    survivors = [m for own in mutants.values() for m in own if not noticed.get(digest(m))]
    reasons = read_reasons(REASONS)
    page = write_page(mutants, n_made, survivors, reasons, options.seed)
    write_results(options.output, BENCHMARK, make_rows(mutants, n_made, survivors, reasons), page)


def digest(mutant):
    """Return what tells a mutant from all others, and from those of another version of its file."""
    return hashlib.sha256(f"{mutant.file}\n{mutant.source}".encode()).hexdigest()


def read_kept(path):
    """Read which mutants were noticed; the last outcome of each counts."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(json.loads(line) for line in lines)


def read_reasons(path):
    """Read why mutants are not noticed: kind and words, by file, what was and what became."""
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (row["file"], row["was"], row["becomes"]): (row["kind"], row["reason"])
            for row in csv.DictReader(file)
        }


def make_rows(mutants, n_made, survivors, reasons):
    """Return the rows of the tidy table: counts of each file, and the line of each survivor."""
    rows = []
    for file, own in mutants.items():
        left = sum(mutant.file == file for mutant in survivors)
        low, high = interval(len(own) - left, len(own), n_made[file])
        for metric, value, bounds in (
            ("made", n_made[file], {}),
            ("mutants", len(own), {}),
            ("killed", len(own) - left, {}),
            ("survived", left, {}),
            ("per cent killed", f"{100 * (1 - left / len(own)):.1f}",
             {"ci_low": low, "ci_high": high}),
        ):  # fmt: skip
            rows.append({"task": file, "metric": metric, "value": value, **bounds})
    for mutant in survivors:
        kind, _ = reasons.get(mutant.key, (NOT_JUDGED, ""))
        rows.append(
            {
                "task": mutant.file,
                "method": kind,
                "setting": f"{mutant.was} -> {mutant.becomes}",
                "metric": "line of a survivor",
                "value": mutant.line,
            }
        )
    return [{"benchmark": BENCHMARK, **row} for row in rows]


def interval(n_killed, n, n_made):
    """Return the 95% interval (Wilson) of a per cent, nothing where all mutants were tried."""
    if n == n_made:
        return "", ""
    found = binomtest(n_killed, n).proportion_ci(method="wilson")
    return f"{100 * found.low:.1f}", f"{100 * found.high:.1f}"


def write_page(mutants, n_made, survivors, reasons, seed):
    """Say how many mutants were noticed, and list the others with their reasons."""
    kinds = {mutant: reasons.get(mutant.key, (NOT_JUDGED, ""))[0] for mutant in survivors}
    table = (
        "| file | made | tried | killed | survived | killed, % | equivalent | real gaps |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for file, own in mutants.items():
        left = Counter(kinds[mutant] for mutant in survivors if mutant.file == file)
        n_killed = len(own) - left.total()
        low, high = interval(n_killed, len(own), n_made[file])
        per_cent = f"{100 * n_killed / len(own):.1f}" + (f" ({low} to {high})" if low else "")
        table += (
            f"\n| {file} | {n_made[file]} | {len(own)} | {n_killed} | {left.total()} | {per_cent} "
            f"| {left['equivalent']} | {left['real gap'] + left[NOT_JUDGED]} |"
        )
    is_sample = any(n_made[file] > len(own) for file, own in mutants.items())
    lines = [
        "# Mutants",
        "Every change is one of cosmic-ray's operators: another comparison or arithmetic operator, "
        "a number one larger or smaller, a condition turned round, True for False, an `and` for an "
        "`or`, a loop that does nothing, an error that is not caught. It does not change words, "
        "leave out statements or exchange arguments. Mutants that do not compile, or are the same "
        "to Python, are left out. One is killed when a quick test of its file fails, or when they "
        "have not ended after half a minute and four times what they take without a change."
        + (f" Where fewer were tried than made, they were drawn with seed {seed}, and the interval "
           "is a 95% one (Wilson)." if is_sample else ""),
        table,
        "Run: " + "; ".join(f"{file} with {_name_tests(file)}" for file in mutants) + ".",
        "## What no test notices",
        "| file, line | was | became | kind | reason |\n| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for mutant in survivors:
        kind, reason = reasons.get(mutant.key, (NOT_JUDGED, ""))
        lines[-1] += (
            f"\n| {mutant.file} {mutant.line} | {_as_code(mutant.was)} | {_as_code(mutant.becomes)}"
            f" | {kind} | {reason} |"
        )
    return "\n\n".join(lines) + "\n"


def _name_tests(file):
    """Name the files of the tests that are run on a file of the package."""
    return ", ".join(test.partition("::")[0] for test in TESTS[file])


def _as_code(text):
    """Return code as it can stand in a table."""
    return f"`{text}`".replace("|", "\\|")


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--kept", type=Path, default=ROOT / "build" / "mutations.jsonl", help="file of outcomes")
    add("--files", nargs="+", choices=TESTS, default=list(TESTS), help="of the package")
    add("--sample", type=int, help="mutants of a file; all when left out")
    add("--seed", type=int, default=0, help="of the sample")
    add("--fresh", action="store_true", help="try those again that were noticed before")
    add("--table", action="store_true", help="write the table of what was tried, and try nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
