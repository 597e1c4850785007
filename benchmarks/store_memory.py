"""Training on a store larger than memory: what anonymous memory does meanwhile.

    python benchmarks/store_memory.py [--output DIR] [--folder DIR] [--gigabytes N] [--limit N]

A float32 store of simulated recordings is built, then a process of its own trains a tiny
BrainLMTransformer on it for an epoch, in a memory cgroup whose limit is below the size of the
store and counts the page cache too. While it trains, its resident memory is noted, anonymous (what
Python holds) and file-backed (what the kernel may drop) apart. Where a cgroup cannot be made, the
limit is RLIMIT_DATA, on anonymous memory alone, and the table says so. The result is
DIR/store_memory.csv and DIR/store_memory.md.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from _costs import COLUMNS, write_results
from store_speed import N_PARCELS, N_TIMEPOINTS, SEED, simulate

from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store

_DRAWN = {}
MAX_GROWTH = 50.0  # MB of anonymous memory between the second and the last quarter of training
NETWORK = {
    "window_length": 200,
    "patch_length": 100,
    "mask_ratio": 0.9,
    "decoder": "cross",
    "decoded_fraction": 0.125,
    "batch_size": 32,
    "micro_batch_size": 4,
    "prior": None,
    "attention": "factorised",
    "parcel_embedding": "xyz",
    "head": "linear",
    "scaler": None,
    "random_state": SEED,
    **{"embed_dim": 16, "depth": 1, "n_heads": 1, "mlp_dim": 16},
    **{"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_n_heads": 1, "decoder_mlp_dim": 16},
}


def forget(path):
    """Take a store out of the page cache: what the build left there is not charged to the limit."""
    for file in path.rglob("*.npy"):
        with open(file, "rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def own_group():
    """Return the folder of the memory cgroup of this process, and the name of its limit."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers.split(",") == ["memory"]:
            return Path("/sys/fs/cgroup/memory" + name), "memory.limit_in_bytes"
        root = Path("/sys/fs/cgroup")
        if not controllers and "memory" in (root / "cgroup.controllers").read_text().split():
            return Path(f"{root}{name}"), "memory.max"
    raise OSError("no memory controller")


def simulate_quickly(index):
    """Return one of a few recordings, moved on in time: only their number matters here."""
    if index % 20 not in _DRAWN:
        _DRAWN[index % 20] = simulate(index % 20)
    return np.roll(_DRAWN[index % 20], index, axis=0)


def make_group(limit):
    """Make a memory cgroup within our own; None where that is not allowed."""
    try:
        group, limit_name = own_group()
        group = group / f"store_memory_{os.getpid()}"
        group.mkdir()
        try:
            (group / limit_name).write_text(str(limit))
        except OSError:
            group.rmdir()
            raise
    except OSError as error:
        print(f"no cgroup: {error}", file=sys.stderr)
        return None
    return group


def resident():
    """Return anonymous and file-backed resident memory in MB."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile"):
            found[name] = int(value.split()[0]) / 1024
    return found["RssAnon"], found["RssFile"]


def train(path, epochs):
    """Train in this process and print what memory was, as JSON; run in the cgroup."""
    import torch

    from sklearn_brainlm import BrainLMTransformer

    torch.set_num_threads(1)  # noqa: TID251  (a script owns its process)
    store = RecordingStore(path)
    noted, done = [], threading.Event()
    started = time.monotonic()

    def note():
        while not done.wait(0.5):
            noted.append((time.monotonic() - started, *resident()))

    watcher = threading.Thread(target=note)
    watcher.start()
    rng = np.random.default_rng(SEED)
    coords = rng.uniform(-60, 60, (N_PARCELS, 3))
    try:
        BrainLMTransformer(parcel_coords=coords, max_epochs=epochs, **NETWORK).fit(store)
    finally:
        done.set()
        watcher.join()
    print(json.dumps({"noted": noted, "cpu_seconds": time.process_time()}))


def run_limited(path, limit, epochs):
    """Train in another process under the limit; return what it noted, and what limited it."""
    group = make_group(limit)

    def enter():
        if group is None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        else:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    command = [sys.executable, __file__, "--train", str(path), "--epochs", str(epochs)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, preexec_fn=enter, check=True)
        peaks = [] if group is None else [*group.glob("memory.max_usage_in_bytes")]
        peaks += [] if group is None else [*group.glob("memory.peak")]
        peak = int(peaks[0].read_text()) / 1e6 if peaks else None
    finally:
        if group is not None:
            group.rmdir()
    return json.loads(done.stdout), "RLIMIT_DATA" if group is None else "memory cgroup", peak


def make_rows(measured, limited_by, peak, gigabytes, limit, n_recordings):
    """Turn what was noted into tidy rows: medians, smallest and largest, of quarters of the run."""
    noted = np.array(measured["noted"])
    rows = []

    def add(setting, metric, values):
        row = {
            "benchmark": "store_memory",
            "dataset": f"{n_recordings} simulated recordings, {gigabytes:.2f} GB",
            "task": "pretraining",
            "method": "BrainLM",
            "setting": setting,
            "metric": metric,
            "value": float(np.median(values)),
            "ci_low": float(np.min(values)),
            "ci_high": float(np.max(values)),
            "n_train": n_recordings,
            "cpu_seconds": measured["cpu_seconds"],
            "seed": SEED,
        }
        rows.append({name: row.get(name, "") for name in COLUMNS})

    add(limited_by, "limit in MB", [limit / 1e6])
    if peak is not None:
        add(limited_by, "largest use in MB, page cache included", [peak])
    for number, part in enumerate(np.array_split(noted, 4), start=1):
        span = f"quarter {number}, until {part[-1, 0]:.0f} s"
        add(span, "anonymous MB", part[:, 1])
        add(span, "file-backed MB", part[:, 2])
    return rows


def write_report(rows):
    """Write the table and what it means as Markdown."""
    anonymous = [row["value"] for row in rows if row["metric"] == "anonymous MB"]
    growth = anonymous[3] - anonymous[1]
    verdict = "flat" if growth <= MAX_GROWTH else "NOT FLAT"
    lines = [
        "# Training on a store larger than memory",
        "",
        f"A tiny BrainLMTransformer trained on {rows[0]['dataset']} of {N_TIMEPOINTS} timepoints "
        f"and {N_PARCELS} parcels (float32), limited by a {rows[0]['setting']} of "
        f"{rows[0]['value']:.0f} MB; {rows[0]['cpu_seconds']:.0f} CPU-seconds. Resident memory was "
        "noted twice a second. Written by `python benchmarks/store_memory.py`.",
        "",
        "| setting | metric | median | min | max |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['setting']} | {row['metric']} | {row['value']:.4g} | {row['ci_low']:.4g} | "
        f"{row['ci_high']:.4g} |"
        for row in rows
    ]
    lines += [
        "",
        f"- Anonymous memory grew by {growth:.1f} MB from the second quarter to the last, at most "
        f"{MAX_GROWTH:.0f} was allowed: **{verdict}**.",
        "",
        "File-backed memory is pages of the store that the kernel keeps because it can, and drops "
        "when it must. The network is as small as it is so that reading, not arithmetic, fills the "
        "time; values are used as they are, because fitting a scaler would read the store first.",
        "",
    ]
    return "\n".join(lines)


def main(arguments=None):
    """Build, train, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=folder, help="folder for the results")
    parser.add_argument("--folder", type=Path, help="where the store is built, then removed")
    parser.add_argument("--gigabytes", type=float, default=8.3, help="size of the store")
    parser.add_argument("--limit", type=float, default=2.0, help="limit on memory in GB")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of training")
    parser.add_argument("--store", type=Path, help="a store of an earlier run, which is kept")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train:
        return train(options.train, options.epochs)
    n_recordings = max(4, round(options.gigabytes * 1e9 / (N_TIMEPOINTS * N_PARCELS * 4)))
    limit = int(options.limit * 1e9)
    path = options.store or Path(tempfile.mkdtemp(dir=options.folder, prefix="store_memory"))
    try:
        if not options.store:
            build_store(path, [partial(simulate_quickly, index) for index in range(n_recordings)])
        store = RecordingStore(path)
        n_recordings, gigabytes = len(store), store.nbytes / 1e9
        print(f"{gigabytes:.2f} GB in {path}", file=sys.stderr)
        forget(path)
        measured, limited_by, peak = run_limited(path, limit, options.epochs)
    finally:
        if not options.store:
            shutil.rmtree(path)
    rows = make_rows(measured, limited_by, peak, gigabytes, limit, n_recordings)
    write_results(options.output, "store_memory", rows, write_report(rows))


if __name__ == "__main__":
    main()
