"""What a training step costs against the number of tokens: parcels, timepoints, three decoders.

    python benchmarks/size_cost.py [--output DIR] [--repeats N] [--step-seconds S] [--gigabytes G]

One step (forward, backward, clipping, fused AdamW) on one random window of the "13M" preset's
widths, at a mask ratio of 0.75 and with 20 timepoints a token, on one thread, in seconds of CPU
time. A matrix product is timed before every step, so that the share of the machine's own rate can
be told, whatever else the machine does. Cells that would take more than --step-seconds a step, by
their operations at 60 GFLOP/s, or more than --gigabytes of memory, by what a token
takes, are left out and say so; cells of more than a third of it are measured once. The result is
DIR/size_cost.csv, DIR/size_cost.md and DIR/size_cost.png.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _comparison import TIDY_COLUMNS
from _flops import forward_flops
from _report import markdown_table
from _steps import CROSS, EXACT, MASK_RATIO, QUARTER, SEED, SETTINGS, TrainingStep, cpu_seconds
from matplotlib.figure import Figure

from sklearn_brainlm.presets import PRESETS

N_PARCELS = (100, 200, 424, 1000)
N_TIMEPOINTS = (100, 200, 300, 400)
VARIANTS = (EXACT, CROSS, QUARTER)
GEMM_SIZE = 2048
RATE = 60e9  # operations a second by which cells are left out: the same ones on every machine
PATCH_LENGTH = PRESETS["13M"]["patch_length"]
LONG_SECONDS = 5
GIGABYTES_PER_TOKEN = 0.15e-3  # of the full decoder, see step_cost.md; the others take less
CELL_COLUMNS = "variant n_parcels n_timepoints n_tokens round gflop seconds share".split()
COLOURS = dict(zip(VARIANTS, ("#D55E00", "#0072B2", "#009E73"), strict=True))


def count_operations(variant, n_parcels, n_timepoints):
    """Count the operations of the matrix products of a step."""
    changes, decoded = SETTINGS[variant]
    n_tokens = n_parcels * (n_timepoints // PATCH_LENGTH)
    n_masked = round(MASK_RATIO * n_tokens)
    return 3 * forward_flops(
        {**PRESETS["13M"], **changes},
        n_parcels=n_parcels,
        n_timepoints=n_timepoints,
        n_visible=n_tokens - n_masked,
        n_decoded=round(decoded * n_masked),
    )


def list_cells(n_parcels, n_timepoints):
    """Return (operations, variant, n_parcels, n_timepoints) of all cells, the cheapest first."""
    cells = itertools.product(VARIANTS, n_parcels, n_timepoints)
    return sorted((count_operations(*cell), *cell) for cell in cells)


def measure(repeats, max_seconds, max_gigabytes, n_parcels=N_PARCELS, n_timepoints=N_TIMEPOINTS):
    """Time the steps of every cell that fits the budget, round by round.

    Yields
    ------
    cells : DataFrame
        One row a step so far: variant, n_parcels, n_timepoints, n_tokens, round, gflop, seconds,
        share. What is left out has one row, without seconds.
    """
    matrix, rows = torch.randn(GEMM_SIZE, GEMM_SIZE), []
    cpu_seconds(lambda: matrix @ matrix)  # the first one warms up
    for number in range(repeats):
        for operations, variant, parcels, timepoints in list_cells(n_parcels, n_timepoints):
            n_tokens = parcels * (timepoints // PATCH_LENGTH)
            expected = operations / RATE
            is_left_out = expected > max_seconds or n_tokens * GIGABYTES_PER_TOKEN > max_gigabytes
            if number and (is_left_out or expected > max_seconds / 3):
                continue
            row = (variant, parcels, timepoints, n_tokens, number, operations / 1e9)
            if is_left_out:
                row += (np.nan, np.nan)
            else:
                step = TrainingStep(variant, n_parcels=parcels, n_timepoints=timepoints)
                rate = 2 * GEMM_SIZE**3 / cpu_seconds(lambda: matrix @ matrix)
                seconds = cpu_seconds(step)
                row += (seconds, operations / seconds / rate)
                print(f"round {number + 1}: {row}", file=sys.stderr)
                del step
            rows.append(row)
            if expected > LONG_SECONDS:  # a run that is cut short leaves what it has
                yield pd.DataFrame(rows, columns=CELL_COLUMNS)
        yield pd.DataFrame(rows, columns=CELL_COLUMNS)


def fit_exponent(n_tokens, seconds):
    """Return the exponent of the power of the number of tokens that fits the cost best."""
    return np.polyfit(np.log(n_tokens), np.log(seconds), 1)[0]


def make_rows(cells):
    """Turn the measurements into tidy rows: value is a median, ci_low and ci_high the extremes."""
    rows = []
    about = {"benchmark": "size_cost", "dataset": "random numbers", "seed": SEED}
    groups = cells.groupby(["variant", "n_parcels", "n_timepoints"], sort=False)
    for (variant, n_parcels, n_timepoints), own in groups:
        about |= {
            "task": "training step",
            "method": variant,
            "cpu_seconds": own.seconds.dropna().median(),
        }
        about["setting"] = (
            f"{n_parcels} parcels, {n_timepoints} timepoints, {own.n_tokens.iloc[0]} tokens"
        )
        for metric, column in (
            ("CPU-s per recording", own.seconds),
            ("GFLOP per recording", own.gflop),
            ("share of GEMM rate", own.share),
        ):
            bounds = {"ci_low": column.min(), "ci_high": column.max()}
            rows.append({**about, "metric": metric, "value": column.dropna().median(), **bounds})
    for variant, exponents in exponents_of(cells).items():
        about |= {"task": "cost against tokens", "method": variant, "cpu_seconds": np.nan}
        for part, value in exponents.items():
            rows.append({**about, "setting": part, "metric": "exponent", "value": value})
    return pd.DataFrame(rows, columns=TIDY_COLUMNS)


def exponents_of(cells):
    """Return {variant: {part of the range: fitted exponent}}."""
    found = {}
    typical = cells.dropna(subset="seconds").groupby(["variant", "n_parcels", "n_timepoints"])
    typical = typical[["n_tokens", "seconds"]].median().reset_index()
    for variant, own in typical.groupby("variant"):
        middle = np.sqrt(own.n_tokens.min() * own.n_tokens.max())
        halves = {
            "all sizes": own,
            f"up to {middle:.0f} tokens": own[own.n_tokens <= middle],
            f"above {middle:.0f} tokens": own[own.n_tokens > middle],
        }
        found[variant] = {
            name: fit_exponent(part.n_tokens, part.seconds)
            for name, part in halves.items()
            if part.n_tokens.nunique() > 1
        }
    return found


def plot(cells):
    """Return a figure: CPU-seconds against tokens, one colour a decoder, with the fitted line."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    markers = dict(zip(sorted(cells.n_parcels.unique()), "osD^", strict=False))
    for variant, own in cells.dropna(subset="seconds").groupby("variant", sort=False):
        exponent = exponents_of(own)[variant]["all sizes"]
        for n_parcels, part in own.groupby("n_parcels"):
            points = part.groupby("n_tokens").seconds.median()
            axes.plot(points.index, points, markers[n_parcels], color=COLOURS[variant], ms=5)
        ends = np.array([own.n_tokens.min(), own.n_tokens.max()], float)
        offset = np.mean(np.log(own.seconds) - exponent * np.log(own.n_tokens))
        label = f"{variant}: tokens to the {exponent:.2f}"
        axes.plot(ends, np.exp(offset) * ends**exponent, color=COLOURS[variant], lw=1, label=label)
    for n_parcels, marker in markers.items():
        axes.plot([], [], marker, color="0.4", ms=5, label=f"{n_parcels} parcels")
    axes.set(xscale="log", yscale="log", xlabel="tokens of a window")
    axes.set_ylabel("CPU-seconds of a training step on one window")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_page(cells, max_seconds, max_gigabytes):
    """Write the table and what it means as Markdown."""
    lines = [["parcels", "timepoints", "tokens", *VARIANTS, "share of GEMM rate"]]
    for (n_parcels, n_timepoints, n_tokens), own in cells.groupby(
        ["n_parcels", "n_timepoints", "n_tokens"]
    ):
        cost = own.groupby("variant").seconds.agg(["median", "count"])
        shown = [
            "not measured yet"
            if v not in cost.index
            else f"{cost.loc[v, 'median']:.2f}" + " (once)" * int(cost.loc[v, "count"] == 1)
            if cost.loc[v, "count"]
            else f"left out, {own[own.variant == v].gflop.iloc[0]:,.0f} GFLOP"
            for v in VARIANTS
        ]
        shares = own.share.dropna()
        share = f"{shares.min():.2f} to {shares.max():.2f}" if len(shares) else ""
        lines.append([str(n_parcels), str(n_timepoints), f"{n_tokens:,}", *shown, share])
    exponents = [
        f"- {variant}: " + "; ".join(f"{value:.2f} ({part})" for part, value in found.items()) + "."
        for variant, found in exponents_of(cells).items()
    ]
    spent = cells.seconds.sum()
    parts = [
        "# What a training step costs against its size",
        __doc__.split("\n\n", 2)[2].split(" The result is")[0].replace("\n", " "),
        f"CPU-seconds a window, medians. Left out: more than {max_seconds:g} CPU-seconds a step "
        f"or {max_gigabytes:g} GB. The steps of the table took {spent:.0f} CPU-seconds in all, "
        f"torch {torch.__version__}.",
        markdown_table(lines),
        "Fitted exponents: cost grows as the number of tokens to the power of",
        "\n".join(exponents),
        "Attention grows with the square of the tokens, everything else in proportion to them, so "
        "the exponent rises with size. A cross decoder attends to the visible quarter only.",
        "![CPU-seconds against tokens](size_cost.png)",
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments=None):
    """Measure, then write table, page and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=results, help="folder for the results")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--step-seconds", type=float, default=22, help="dearest step")
    parser.add_argument("--gigabytes", type=float, default=4, help="memory of a step")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # noqa: TID251  (a script owns its process)
    limits = options.step_seconds, options.gigabytes
    options.output.mkdir(parents=True, exist_ok=True)
    for cells in measure(options.repeats, *limits, N_PARCELS, N_TIMEPOINTS):
        rows = make_rows(cells)
        rows.to_csv(options.output / "size_cost.csv", index=False, float_format="%.6g")
        page = write_page(cells, *limits)
        (options.output / "size_cost.md").write_text(page, encoding="utf-8")
        plot(cells).savefig(options.output / "size_cost.png", dpi=150)
    print(page)


if __name__ == "__main__":
    main()
