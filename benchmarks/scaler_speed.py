"""What it costs to learn the scale of recordings: quartiles of every parcel, in several ways.

    python benchmarks/scaler_speed.py [--output DIR] [--repeats N] [--gigabytes 0.5]
                                      [--recordings FOLDER]

Memory-mapped float32 recordings of 424 parcels and 490 timepoints, made up in a temporary folder:
autocorrelated, around 10,000, each with a level and a spread of its own. Rates are gigabytes (1e9
bytes, as float32) a second of CPU time, one process and one thread, files warm. All ways are
measured in turn and compared within a round. Memory is what a process of its own takes at its
peak beyond what it takes after the imports, anonymous memory only. With --recordings, error and
rate of real recordings come beside. The result is DIR/scaler_speed.csv and DIR/scaler_speed.md.
"""

import argparse
import csv
import multiprocessing
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from _costs import COLUMNS
from _report import markdown_table

from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.quantiles.histograms import QUARTILES, ParcelHistograms
from sklearn_brainlm.quantiles.passes import stream_quantiles

SEED, N_PARCELS, N_TIMEPOINTS = 0, 424, 490
COLUMN_VALUES = 2**23
AIMS = {"GB per CPU-second": 0.15, "memory, MB": 100, "error / IQR": 2e-4, "state, MB": 20}


def by_columns(recordings):
    """Copy some columns at a time and let NumPy find their quartiles."""
    stops = np.cumsum([len(recording) for recording in recordings])
    n_parcels = recordings[0].shape[1]
    quartiles = np.empty((3, n_parcels))
    n_at_once = max(1, COLUMN_VALUES // int(stops[-1]))
    for start in range(0, n_parcels, n_at_once):
        parcels = slice(start, min(start + n_at_once, n_parcels))
        values = np.empty((parcels.stop - start, stops[-1]))
        for recording, stop in zip(recordings, stops, strict=True):
            values[:, stop - len(recording) : stop] = recording[:, parcels].T
        quartiles[:, parcels] = np.quantile(values, QUARTILES, axis=1, overwrite_input=True)
    return quartiles


def one_pass(recordings):
    """Count once, in bins placed by a first look."""
    return stream_quantiles(recordings, exact=False)


def coarse_pass(recordings):
    """Count once in 4096 bins."""
    return ParcelHistograms.first_look(recordings, n_bins=4096).update(recordings).quantiles()


def fit_scaler(recordings, algorithm):
    """Fit the scaler, checks of the recordings included."""
    scaler = RecordingScaler(algorithm=algorithm).fit(recordings)
    return np.stack([scaler.center_ - scaler.scale_ / 2, scaler.center_, scaler.center_])


def scale_once(recordings):
    """Fit the scaler from one pass."""
    return fit_scaler(recordings, "histogram")


def scale_twice(recordings):
    """Fit the scaler from two passes."""
    return fit_scaler(recordings, "exact")


BY_COLUMNS, HISTOGRAM = "columns, numpy.quantile", "histogram, one pass"
FIT_ONCE, FIT_TWICE = 'RecordingScaler(algorithm="histogram").fit', "RecordingScaler().fit"
WAYS = {
    BY_COLUMNS: by_columns,
    "histogram of 4096 bins, one pass": coarse_pass,
    HISTOGRAM: one_pass,
    "histogram, then gather, two passes": stream_quantiles,
    FIT_ONCE: scale_once,
    FIT_TWICE: scale_twice,
}
SCALERS = (FIT_ONCE, FIT_TWICE)


def write_recordings(folder, n_bytes):
    """Write recordings that together have `n_bytes`."""
    rng = np.random.default_rng(SEED)
    for index in range(max(1, int(n_bytes // (4 * N_PARCELS * N_TIMEPOINTS)))):
        signals = rng.standard_normal((N_TIMEPOINTS + 1, N_PARCELS), dtype=np.float32)
        signals = signals[1:] + signals[:-1]  # neighbours in time are alike
        level = 10_000 + 20 * rng.standard_normal(N_PARCELS)
        spread = np.exp(4 + 0.3 * rng.standard_normal(N_PARCELS))
        np.save(folder / f"{index:05}.npy", (level + spread * signals).astype(np.float32))


def open_recordings(folder):
    """Return the recordings of a folder, mapped."""
    return [np.load(path, mmap_mode="r") for path in sorted(Path(folder).glob("*.npy"))]


def measure_memory(way, folder):
    """Return the peak of this process's anonymous memory over that after the imports, in MB."""
    recordings = open_recordings(folder)
    WAYS[way]([recordings[0][:, :4]])  # what is imported late is imported now
    before, peak, done = anonymous_bytes(), 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    WAYS[way](recordings)
    done.set()
    watcher.join()
    return (peak - before) / 1e6


def anonymous_bytes():
    """Return the resident memory that no file stands behind; NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return np.nan
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("RssAnon"))
    return 1024 * int(kilobytes)


def measure(recordings, repeats):
    """Time all ways in turn.

    Returns
    -------
    seconds : dict of str to list of float
        CPU-seconds of each way in each round.
    errors : dict of str to float
        Largest error of a quartile, in interquartile ranges.
    """
    seconds, errors, expected = {way: [] for way in WAYS}, {}, None
    for number in range(repeats):
        for way, work in WAYS.items():
            began = time.process_time()
            found = work(recordings)
            seconds[way].append(time.process_time() - began)
            if way == BY_COLUMNS and expected is None:
                expected = found
            iqr = expected[2] - expected[0]
            alive = iqr > 0
            if way in SCALERS:  # which tell the median and the range
                errors[way] = np.abs(found - [expected[1] - iqr / 2, expected[1], expected[1]])
            else:
                errors[way] = np.abs(found - expected)
            errors[way] = float((errors[way] / np.where(alive, iqr, 1))[:, alive].max())
        print(f"round {number + 1} of {repeats}", file=sys.stderr)
    return seconds, errors


def make_rows(dataset, recordings, seconds, errors, memory):
    """Turn the measurements into tidy rows: value is a median, ci_low and ci_high the extremes."""
    rows = []
    n_values = sum(recording.size for recording in recordings)
    gigabytes = 4 * n_values / 1e9
    about = {
        "benchmark": "scaler_speed",
        "dataset": dataset,
        "task": "quartiles",
        "setting": f"{gigabytes:.3g} GB, {recordings[0].shape[1]} parcels",
        "n_train": len(recordings),
        "seed": SEED,
    }

    def add(method, metric, values):
        """Add one row."""
        bounds = {"value": median(values), "ci_low": min(values), "ci_high": max(values)}
        rows.append({**about, "method": method, "metric": metric, **bounds, "cpu_seconds": cost})

    n_bins = {"histogram of 4096 bins, one pass": 4096}
    for way in WAYS:
        cost = median(seconds[way])
        add(way, "GB per CPU-second", [gigabytes / each for each in seconds[way]])
        add(way, "error / IQR", [errors[way]])
        if way in memory:
            add(way, "memory, MB", [memory[way]])
        if way != BY_COLUMNS:
            look = ParcelHistograms.first_look(recordings[:1], n_bins=n_bins.get(way, 8192))
            add(way, "state, MB", [look.nbytes / 1e6])
    return rows


def write_page(rows, repeats):
    """Write the table and what it means as Markdown."""
    metrics = ["GB per CPU-second", "error / IQR", "state, MB", "memory, MB"]
    lines = [["recordings", "way", *metrics]]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset]
        for way in WAYS:
            found = {row["metric"]: row for row in own if row["method"] == way}
            cells = [f"{found[m]['value']:.3g}" if m in found else "" for m in metrics]
            rate = found[metrics[0]]
            cells[0] += f" [{rate['ci_low']:.3g}, {rate['ci_high']:.3g}]"
            lines.append([f"{dataset}, {own[0]['setting']}", way, *cells])
    verdicts = []
    for way in (FIT_ONCE, FIT_TWICE):
        own = {r["metric"]: r["value"] for r in rows[: len(WAYS) * 4] if r["method"] == way}
        for metric, aim in AIMS.items():
            reached = own[metric] >= aim if metric.startswith("GB") else own[metric] <= aim
            verdicts.append(
                f"- {way}, {metric}: {own[metric]:.3g}, the aim was "
                f"{'at least' if metric.startswith('GB') else 'at most'} {aim}: "
                f"**{'reached' if reached else 'MISSED'}**."
            )
    parts = [
        "# What it costs to learn the scale of recordings",
        __doc__.split("\n\n", 2)[2].split(" The result is")[0].replace("\n", " "),
        f"Medians of {repeats} rounds, with the smallest and the largest. State is what a process "
        "hands to another one to be merged. The fits check every value first, which the other rows "
        "do not; their error is that of the median and of half the interquartile range.",
        markdown_table(lines),
        "\n".join(verdicts),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments=None):
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=results, help="folder for the results")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--gigabytes", type=float, default=0.5, help="size of what is made up")
    parser.add_argument("--recordings", type=Path, help="folder of real recordings (.npy)")
    options = parser.parse_args(arguments)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        write_recordings(Path(name), 1e9 * options.gigabytes)
        memory = {}
        for way in WAYS:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:  # one process a peak
                memory[way] = pool.submit(measure_memory, way, name).result()
        made_up = open_recordings(name)
        measured = measure(made_up, options.repeats)
        rows = make_rows("random numbers", made_up, *measured, memory)
    if options.recordings is not None:
        real = [each for each in open_recordings(options.recordings) if each.ndim == 2]
        rows += make_rows(options.recordings.name, real, *measure(real, options.repeats), {})
    options.output.mkdir(parents=True, exist_ok=True)
    with open(options.output / "scaler_speed.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in COLUMNS} for row in rows)
    page = write_page(rows, options.repeats)
    (options.output / "scaler_speed.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
