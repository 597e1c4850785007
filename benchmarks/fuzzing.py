"""Fuzzing for as long as you like, with what came of it.

    python benchmarks/fuzzing.py --minutes 30

runs tests/fuzzing again and again, each time with another seed, and adds up what came out: what was
accepted, and what was refused by which error. An error that is none of the allowed ones is a
finding: the output of its run is kept beside the table. It writes results/fuzzing.csv and .md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from _costs import write_results

BENCHMARK = "fuzzing"
ROOT = Path(__file__).parents[1]


def main(arguments=None):
    """Run until the time is over, and write the table."""
    options = _read_options(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    tally_file = options.output / "fuzzing_tally.jsonl"
    tally_file.unlink(missing_ok=True)
    began, runs, findings = time.monotonic(), 0, []
    while time.monotonic() - began < 60 * options.minutes:
        seed = options.seed + runs
        if not run_once(seed, options.examples, tally_file, options.output):
            findings.append(seed)
        runs += 1
        print(f"{runs} runs, {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    tally = read_tally(tally_file)
    tally_file.unlink()
    minutes = (time.monotonic() - began) / 60
    page = write_page(tally, runs, minutes, findings)
    write_results(options.output, BENCHMARK, make_rows(tally, minutes), page)


def run_once(seed, examples, tally_file, output):
    """Run every target once with a seed; say whether nothing was found."""
    environment = {
        **os.environ,
        "FUZZ_EXAMPLES": str(examples),
        "FUZZ_TALLY": str(tally_file),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "tests/fuzzing", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--hypothesis-seed={seed}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        (output / f"fuzzing_seed_{seed}.log").write_text(done.stdout + done.stderr)
    return done.returncode == 0


def read_tally(path):
    """Add up the counts of all runs."""
    tally = Counter()
    for line in path.read_text().splitlines():
        target, outcome, n = json.loads(line)
        tally[target, outcome] += n
    return tally


def make_rows(tally, minutes):
    """Return the rows of the tidy table."""
    return [
        {
            "benchmark": BENCHMARK,
            "task": target,
            "method": outcome,
            "setting": f"minutes={minutes:.0f}",
            "metric": "tries",
            "value": n,
        }
        for (target, outcome), n in sorted(tally.items())
    ]


def write_page(tally, runs, minutes, findings):
    """Say how often what came of which target."""
    n_tries = sum(tally.values())
    n_findings = sum(n for (_, outcome), n in tally.items() if "finding" in outcome)
    lines = [
        "# Fuzzing",
        f"{n_tries:,} tries in {minutes:.0f} minutes, {runs} runs of tests/fuzzing with a seed "
        "each: one process, 1 GiB more than what is mapped when it begins, 10 s of CPU for each "
        "try. A finding is an error that is none of the allowed ones, a try that takes longer, "
        "memory that runs out, or a changed byte that goes unnoticed.",
        f"Findings: {n_findings or 'none'}"
        + (f", in the runs with seeds {', '.join(map(str, findings))}." if findings else "."),
        "| target | tries | accepted | refused | by | findings |\n"
        "| --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for target in sorted({target for target, _ in tally}):
        own = {outcome: n for (of, outcome), n in tally.items() if of == target}
        found = sum(n for outcome, n in own.items() if "finding" in outcome)
        accepted = own.get("accepted", 0)
        errors = sorted(o for o in own if o != "accepted" and "finding" not in o)
        n = sum(own.values())
        lines[-1] += (
            f"\n| {target} | {n:,} | {accepted:,} | {n - accepted - found:,} | "
            f"{', '.join(errors)} | {found} |"
        )
    return "\n\n".join(lines) + "\n"


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--minutes", type=float, default=30.0, help="how long; the last run is finished")
    add("--examples", type=int, default=25, help="tries of a target in a run")
    add("--seed", type=int, default=0, help="of the first run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
