"""Hours of pretraining, embedding and grid search in one process, and whether anything grows.

    python benchmarks/soak.py --hours 2

repeats rounds of small jobs on simulated recordings and notes after each one the resident and the
private memory of the process, its open files, its child processes and what lies in its folder for
temporary files. Linux only. It writes results/soak.csv, .md and .png.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _costs import write_results
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from sklearn_brainlm import BrainLMRegressor, BrainLMTransformer, GaussianReconstructor

BENCHMARK = "soak"
WARM_UP = 1 / 6  # of the time: allocators and caches fill
SMALL = {"window_length": 40, "patch_length": 10, "embed_dim": 16, "mlp_dim": 32, "max_epochs": 2}
MEASURES = ("resident_mb", "private_mb", "open_files", "processes", "temporary_files")


def main(arguments=None):
    """Run rounds until the time is over, and write what was noted."""
    options = _read_options(arguments)
    with tempfile.TemporaryDirectory() as folder:
        # What the package leaves among temporary files is counted in a folder of its own.
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        notes = soak(60 * options.minutes or 3600 * options.hours, Path(folder))
        tempfile.tempdir = None
    table = pd.DataFrame(notes)
    findings = read_notes(table)
    rows = [
        {
            "benchmark": BENCHMARK,
            "dataset": "simulated",
            "task": "soak",
            "method": "BrainLM",
            "setting": f"rounds={len(table)} hours={table['seconds'].iloc[-1] / 3600:.2f}",
            "metric": f"{measure} {when}",
            "value": f"{value:.6g}",
            "cpu_seconds": f"{table['cpu_seconds'].iloc[-1]:.0f}",
        }
        for measure, values in findings.items()
        for when, value in values.items()
    ]
    write_results(options.output, BENCHMARK, rows, write_page(table, findings))
    draw(table).savefig(options.output / f"{BENCHMARK}.png", dpi=150)


def soak(seconds, folder):
    """Repeat rounds for so long; return what was noted after each."""
    began, notes = time.monotonic(), []
    rng = np.random.default_rng(0)
    while not notes or time.monotonic() - began < seconds:
        play_round(rng, seed=len(notes))
        gc.collect()
        notes.append(
            {
                "round": len(notes),
                "seconds": time.monotonic() - began,
                "cpu_seconds": time.process_time(),
                **look(folder),
            }
        )
        if len(notes) % 20 == 1:
            print(notes[-1], flush=True)
    return notes


def play_round(rng, seed):
    """Pretrain, embed, reconstruct, fine-tune, checkpoint and search once, on new recordings."""
    signals = rng.standard_normal((24, 80, 3)) @ rng.standard_normal((3, 12))
    recordings = list(signals + rng.standard_normal(signals.shape))
    labels = rng.standard_normal(24)
    transformer = BrainLMTransformer(**SMALL, random_state=seed)
    transformer.fit(recordings).transform(recordings)
    transformer.score(recordings[:4])
    with tempfile.TemporaryDirectory() as folder:
        transformer.save_pretrained(Path(folder) / "weights")
        BrainLMTransformer.from_pretrained(Path(folder) / "weights").transform(recordings[:2])
        kept = {"checkpoint_dir": Path(folder) / "checkpoints", "random_state": seed}
        BrainLMTransformer(**SMALL, **kept).fit(recordings)
    GaussianReconstructor(window_length=40, patch_length=10).fit(recordings).score(recordings[:4])
    BrainLMRegressor(**SMALL, random_state=seed).fit(recordings, labels).predict(recordings)
    pipeline = make_pipeline(BrainLMTransformer(**{**SMALL, "max_epochs": 1}), SVR())
    search = GridSearchCV(pipeline, {"svr__C": [0.1, 1.0]}, cv=2, n_jobs=1)
    search.fit(recordings, labels)


def look(folder):
    """Return what the process holds now."""
    status = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in status if line.endswith("kB")}
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "resident_mb": int(sizes["VmRSS"]) / 1024,
        "private_mb": int(sizes["RssAnon"]) / 1024,
        "open_files": len(os.listdir("/proc/self/fd")),
        "processes": len(children),
        "temporary_files": sum(1 for _ in folder.rglob("*")),
    }


def read_notes(table):
    """Compare the first third after the warm-up with the last third, measure by measure."""
    warm = table[table["seconds"] >= WARM_UP * table["seconds"].iloc[-1]]
    third = max(1, len(warm) // 3)
    findings = {}
    for measure in MEASURES:
        first, last = warm[measure].iloc[:third].median(), warm[measure].iloc[-third:].median()
        hours = (warm["seconds"].iloc[-third:].mean() - warm["seconds"].iloc[:third].mean()) / 3600
        findings[measure] = {
            "early": first,
            "late": last,
            "growth an hour": (last - first) / hours if hours else 0.0,
            "most": table[measure].max(),
        }
    return findings


def write_page(table, findings):
    """Say what was run, and what grew."""
    lines = [
        "# Soak",
        f"{len(table)} rounds in {table['seconds'].iloc[-1] / 3600:.2f} hours "
        f"({table['cpu_seconds'].iloc[-1]:.0f} CPU-s), in one process: pretraining with and "
        "without checkpoints, embedding, reconstruction, saving and loading, fine-tuning and a "
        "grid search, on recordings that are new in each round. Noted after each round, garbage "
        "collected. Early and late are medians of the first and the last third after the warm-up, "
        "the first sixth.",
        "| | early | late | growth an hour | most |\n| --- | ---: | ---: | ---: | ---: |",
    ]
    for measure, values in findings.items():
        cells = " | ".join(f"{value:.1f}" for value in values.values())
        lines[-1] += f"\n| {measure.replace('_', ' ').replace(' mb', ' (MB)')} | {cells} |"
    return "\n\n".join(lines) + "\n"


def draw(table):
    """Return the figure: memory and counts against time."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    hours = table["seconds"] / 3600
    for axes, measures, label in (
        (above, MEASURES[:2], "MB"),
        (below, MEASURES[2:], "count"),
    ):
        for measure, style in zip(measures, ("-", "--", ":"), strict=False):
            axes.plot(hours, table[measure], style, label=measure.replace("_", " "))
        axes.set(ylabel=label, ylim=(0, None))
        axes.legend(frameon=False)
    below.set_xlabel("Hours")
    return figure


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--hours", type=float, default=2.0, help="how long")
    add("--minutes", type=float, default=0.0, help="how long, in the place of --hours")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
