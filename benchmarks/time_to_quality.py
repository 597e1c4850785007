"""What reaches a given quality of reconstruction in the fewest CPU-seconds.

    python benchmarks/time_to_quality.py --recordings FOLDER

trains each variant of _variants.py from scratch on a budget of CPU-seconds and scores it on the
way. It chooses nobody's test people: of the train side of the reconstruction table, the first 70%
of the people are learned from, and the others are looked at. The released recipe may take longer,
and what it has not reached by then is a lower bound. Measurements are kept in
results/time_to_quality_NAME_kept.csv as soon as they are made; the result is the same without
_kept, .md and .png.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from _cohorts import TRAIN_PART, common_t_r, load_cohort, prepare, split
from _kept import Kept
from _methods import ADAPTIVE, GAUSSIAN, METHODS, Setting, budget, fit
from _milestones import train_by_the_clock
from _protocol import Protocol, score
from _time_page import plot, tidy_rows, write_markdown
from _variants import DEFAULT, RELEASED, VARIANTS

BENCHMARK = "time_to_quality"
MASK_RATIO = 0.75
LINES = (GAUSSIAN, ADAPTIVE)
FIRST_MARK, MARKS_PER_DOUBLING = 10.0, 1
KEY = {"method": str, "seed": str, "budget": str}
VALUES = {"train_cpu_seconds": float, "n_steps": float, "n_windows_drawn": float, "r2": float}


def main(arguments=None):
    """Measure what has not been measured yet, and write the page anew after every variant."""
    options = _read_options(arguments)
    cohort = load_cohort(options.recordings)
    learned_from, looked_at = _divide(split(cohort)[0])
    protocol = Protocol(n_draws=1, max_windows=options.max_windows)
    options.output.mkdir(parents=True, exist_ok=True)
    files = options.output / f"{BENCHMARK}_{cohort.name}{options.suffix}"
    kept = Kept(f"{files}_kept.csv", protocol.fingerprint(learned_from, looked_at), KEY, VALUES)
    text = _describe(learned_from, looked_at, options)
    print(f"{text}\n", flush=True)
    learned_from, looked_at = prepare(learned_from, looked_at)
    setting = Setting(
        parcel_coords=learned_from.parcel_coords,
        t_r=common_t_r(learned_from),
        window_length=protocol.window_length,
        patch_length=protocol.patch_length,
        short=protocol.short,
    )

    def look(model):
        """Score a model on the people looked at."""
        sums = score(model, looked_at, protocol, MASK_RATIO)
        return 1 - sums.sse.sum() / sums.ss.sum()

    def report():
        """Write table, page and figure of what has been measured."""
        tidy = tidy_rows(kept.table, cohort.name, len(learned_from), len(looked_at), options)
        tidy.to_csv(f"{files}.csv", index=False, float_format="%.6g")
        page = write_markdown(kept.table, LINES, (DEFAULT, RELEASED), text, options)
        Path(f"{files}.md").write_text(page, encoding="utf-8")
        plot(kept.table, LINES, options.quality).savefig(f"{files}.png", dpi=150)
        return page

    for line in LINES:
        key = {"method": line, "seed": "", "budget": budget(METHODS[line].build(setting, None))}
        if not kept.has(**key):
            model = METHODS[line].build(setting, None)
            seconds = fit(model, learned_from)["fit_cpu_seconds"]
            kept.add({"train_cpu_seconds": [seconds], "r2": [look(model)]}, **key)
    for method in options.methods:
        for seed in options.seeds:
            seconds = options.reference_budget if method == RELEASED else options.budget
            model = VARIANTS[method](setting, seed)
            key = {"method": method, "seed": str(seed)}
            key["budget"] = f"{seconds:g} s {budget(model)}"
            if kept.has(**key) and not options.fresh:
                continue
            _, rows = train_by_the_clock(model, learned_from.recordings, look, _marks(seconds))
            kept.add({name: rows[name].to_numpy() for name in VALUES}, **key)
            last = rows.iloc[-1]
            print(
                f"{method}, seed {seed}: R2 {last['r2']:.4f} after {last['train_cpu_seconds']:.0f} "
                f"CPU-s and {last['n_windows_drawn']:.0f} windows; highest {rows['r2'].max():.4f}",
                flush=True,
            )
            report()
    print(report())


def _divide(train):
    """Divide the people of the train side once more."""
    names = list(dict.fromkeys(train.subjects))
    first = np.isin(train.subjects, names[: round(TRAIN_PART * len(names))])
    return train.take(first), train.take(~first)


def _marks(seconds):
    """Return CPU-seconds that double up to the budget."""
    n_marks = int(np.floor(np.log2(seconds / FIRST_MARK) * MARKS_PER_DOUBLING))
    return sorted(seconds * 0.5 ** (np.arange(n_marks + 1) / MARKS_PER_DOUBLING))


def _describe(learned_from, looked_at, options):
    """Say in words what the numbers are."""
    return (
        f"Learned from {len(learned_from)} recordings of {len(set(learned_from.subjects))} people "
        f"of {learned_from.name}, looked at {len(looked_at)} recordings of "
        f"{len(set(looked_at.subjects))} others of its train side. R2 on the masked values of "
        f"windows of 200 timepoints at a mask ratio of {MASK_RATIO:g} (patches of 20 timepoints, "
        f"at most {options.max_windows} windows a recording, one mask each, the same for all). "
        f"Every variant has the width and depth of the default, and {options.budget:g} CPU-seconds "
        f"(the released recipe {options.reference_budget:g}), over which its schedule is laid; "
        "scoring is not counted, fitting a closed form is. One thread."
    )


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder of recordings")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--suffix", default="", help="end of the names of the files")
    add("--budget", type=float, default=240.0, help="CPU-seconds of a variant")
    add("--reference-budget", type=float, default=1600.0, help="CPU-seconds of the released recipe")
    add("--quality", type=float, default=0.15, help="R2 that is to be reached")
    add("--max-windows", type=int, default=3, help="windows of a recording that are looked at")
    add("--seeds", type=int, nargs="+", default=[0])
    add("--methods", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="METHOD")
    add("--fresh", action="store_true", help="measure again what has been measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
