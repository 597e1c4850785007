"""What reading windows from a store costs, beside a list of arrays in memory.

    python benchmarks/store_speed.py [--output DIR] [--folder DIR] [--recordings N] [--repeats N]

Stores of simulated recordings of 490 timepoints and 424 parcels are built in a temporary folder,
one for each dtype, and read until the operating system holds all of them. Then windows of 200
timepoints at random places are read as training reads them, cut_window into a batch of 32: a round
reads from each store in turn, in seconds of CPU time of one thread. The result is
DIR/store_speed.csv and DIR/store_speed.md.
"""

import argparse
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from _costs import COLUMNS, write_results

from sklearn_brainlm._validation import check_recordings
from sklearn_brainlm.recordings import cut_window
from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store

SEED, N_PARCELS, N_TIMEPOINTS, WINDOW_LENGTH, BATCH_SIZE = 0, 424, 490, 200, 32
N_WINDOWS = 3200  # of a round and a store
MEMORY = "list in memory"
AIMS = {"float32": 5000, "int16": 5000, "float16": 2500}  # windows a CPU-second


def simulate(index, n_timepoints=N_TIMEPOINTS, n_parcels=N_PARCELS):
    """Return a recording that is smooth over time, in per cent of signal change."""
    rng = np.random.default_rng((SEED, index))
    noise = rng.standard_normal((n_timepoints + 3, n_parcels), dtype=np.float32)
    return noise[3:] + noise[2:-1] + noise[1:-2] + noise[:-3]


def read_windows(recordings, places):
    """Read windows into batches, as training does; return the CPU-seconds it took."""
    batch = np.empty((BATCH_SIZE, WINDOW_LENGTH, recordings[0].shape[1]), dtype=np.float32)
    started = time.process_time()
    for count, (index, start) in enumerate(places):
        batch[count % BATCH_SIZE] = cut_window(recordings[index], start, WINDOW_LENGTH)
    return time.process_time() - started


def cpu_seconds(function):
    """Return what a call returns, and its CPU-seconds."""
    started = time.process_time()
    result = function()
    return result, time.process_time() - started


def measure(folder, n_recordings, repeats):
    """Build, open, check and read the stores.

    Returns
    -------
    speeds : dict of str to list of float
        Windows a CPU-second of each store in each round.
    costs : dict of str to dict
        Of each store: MB, CPU-seconds to build, to open and hand out, and to verify.
    """
    sources = [partial(simulate, index) for index in range(n_recordings)]
    opened, costs = {}, {}
    for dtype in AIMS:
        path = Path(folder) / dtype
        _, building = cpu_seconds(
            lambda path=path, dtype=dtype: build_store(path, sources, dtype=dtype)
        )
        store, opening = cpu_seconds(lambda path=path: RecordingStore(path))
        opened[dtype], handing_out = cpu_seconds(lambda store=store: check_recordings(store))
        findings, verifying = cpu_seconds(store.verify)  # warms the store, too
        if findings:
            raise RuntimeError(f"The store of {dtype} is damaged: {findings[0].text}")
        costs[dtype] = {
            "MB": store.nbytes / 1e6,
            "CPU-s to build": building,
            "CPU-s to open": opening + handing_out,
            "CPU-s to verify": verifying,
        }
        print(f"built {dtype}: {costs[dtype]}", file=sys.stderr)
    opened[MEMORY] = [simulate(index) for index in range(n_recordings)]
    rng = np.random.default_rng(SEED)
    speeds = {name: [] for name in opened}
    for n_done in range(1 + repeats):
        places = np.column_stack(
            [
                rng.integers(n_recordings, size=N_WINDOWS),
                rng.integers(N_TIMEPOINTS - WINDOW_LENGTH + 1, size=N_WINDOWS),
            ]
        ).tolist()
        for name, recordings in opened.items():
            speeds[name].append(N_WINDOWS / read_windows(recordings, places))
        print(f"round {n_done} of {repeats}", file=sys.stderr)
    return {name: each[1:] for name, each in speeds.items()}, costs  # the first round warms up


def make_rows(speeds, costs, n_recordings):
    """Turn the measurements into tidy rows: value is a median, ci_low and ci_high the extremes."""
    rows = []

    def add(method, setting, metric, values):
        row = {
            "benchmark": "store_speed",
            "dataset": f"{n_recordings} simulated recordings",
            "task": "reading",
            "method": method,
            "setting": setting,
            "metric": metric,
            "value": median(values),
            "ci_low": min(values),
            "ci_high": max(values),
            "seed": SEED,
        }
        rows.append({name: row.get(name, "") for name in COLUMNS})

    for name, each in speeds.items():
        method = "list" if name == MEMORY else "RecordingStore"
        add(method, name, "windows per CPU-s", each)
    for name, measured in costs.items():
        for metric, value in measured.items():
            add("RecordingStore", name, metric, [value])
    return rows


def write_report(rows):
    """Write the table and what it means as Markdown."""
    found = {(row["setting"], row["metric"]): row["value"] for row in rows}
    lines = [
        "# What reading windows from a store costs",
        "",
        f"Windows of {WINDOW_LENGTH} timepoints and {N_PARCELS} parcels at random places of "
        f"{rows[0]['dataset']} of {N_TIMEPOINTS} timepoints, cut by `cut_window` into a batch of "
        f"{BATCH_SIZE}, all files in the page cache, one thread, CPU time. A round reads "
        f"{N_WINDOWS} windows from each in turn; each value is the median over the rounds, with "
        "the smallest and the largest. Written by `python benchmarks/store_speed.py`.",
        "",
        "| what | setting | metric | median | min | max |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['method']} | {row['setting']} | {row['metric']} | {row['value']:.4g} | "
        f"{row['ci_low']:.4g} | {row['ci_high']:.4g} |"
        for row in rows
    ]
    lines.append("")
    for dtype, aim in AIMS.items():
        speed = found[dtype, "windows per CPU-s"]
        word = "reached" if speed >= aim else "MISSED"
        lines.append(
            f"- {dtype}: {speed:.0f} windows a CPU-second, the aim was at least {aim}: **{word}**."
        )
    lines += [
        "",
        "Building includes simulating the recordings, checking them, and the wait of the disk is "
        "not counted. Opening includes handing all recordings to an estimator, which reads no "
        "value. A window of float32 is a view of the map until it is copied into the batch; 16 "
        "bits are decoded on the way.",
        "",
    ]
    return "\n".join(lines)


def main(arguments=None):
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=folder, help="folder for the results")
    parser.add_argument("--folder", type=Path, help="where the stores are built, then removed")
    parser.add_argument("--recordings", type=int, default=1600, help="recordings of each store")
    parser.add_argument("--repeats", type=int, default=9, help="rounds")
    options = parser.parse_args(arguments)
    stores = tempfile.mkdtemp(dir=options.folder, prefix="store_speed")
    try:
        speeds, costs = measure(stores, options.recordings, options.repeats)
    finally:
        shutil.rmtree(stores)
    rows = make_rows(speeds, costs, options.recordings)
    write_results(options.output, "store_speed", rows, write_report(rows))


if __name__ == "__main__":
    main()
