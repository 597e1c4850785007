"""What a training step costs: time, share of the machine's own matrix product, skorch, memory.

    python benchmarks/step_cost.py [--output DIR] [--repeats N]

Everything runs on random numbers and one thread, in seconds of CPU time. What is compared is
interleaved in one process and compared within a round, so that a busy machine slows all of it
down alike. The result is DIR/step_cost.csv and DIR/step_cost.md.
"""

import argparse
import copy
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _costs import COLUMNS, write_results
from _steps import (
    CHECKPOINTED,
    CROSS,
    EXACT,
    GRAD_CLIP,
    MASK_RATIO,
    N_PARCELS,
    N_TIMEPOINTS,
    QUARTER,
    SEED,
    SETTINGS,
    TrainingStep,
    cpu_seconds,
    peak_memory,
)

from sklearn_brainlm.masking import random_mask
from sklearn_brainlm.modules import MaskedAutoencoder
from sklearn_brainlm.nets import ReconstructionNet

GEMM_SIZE = 2048
MEMORY_BATCH_SIZES = (1, 2, 3)
N_TINY_STEPS, N_TINY_ROUNDS = 25, 16

MIN_SHARE, MIN_SPEED_UP = 0.55, 2.5


class FixedBatches(list):
    """The same batches in every epoch."""

    def next_epoch(self):
        """Change nothing."""


def measure_steps(repeats):
    """Time matrix products and steps in turn.

    Returns
    -------
    rates : list of float
        Rate of the matrix product in each round, in GFLOP/s.
    seconds : dict of str to list of float
        CPU-seconds of a step of each setting in each round.
    flops : dict of str to int
        Matrix products of a step of each setting.
    """
    steps = {setting: TrainingStep(setting) for setting in SETTINGS}
    matrix = torch.randn(GEMM_SIZE, GEMM_SIZE)
    rates, seconds = [], {setting: [] for setting in SETTINGS}
    for n_done in range(1 + repeats):
        products = []
        for setting, step in steps.items():
            products.append(cpu_seconds(lambda: matrix @ matrix))
            seconds[setting].append(cpu_seconds(step))
        rates.append(2 * GEMM_SIZE**3 / 1e9 / median(products))
        print(f"round {n_done} of {repeats}", file=sys.stderr)
    # The first round warms up.
    flops = {setting: step.flops for setting, step in steps.items()}
    return rates[1:], {setting: each[1:] for setting, each in seconds.items()}, flops


def make_tiny_batches(network, n_windows=4, n_parcels=12, n_timepoints=60):
    """Make batches in the form that ReconstructionNet takes."""
    rng = np.random.default_rng(SEED)
    batches = FixedBatches()
    for _ in range(N_TINY_STEPS):
        n_columns = n_timepoints // network["patch_length"]
        ids_keep, ids_mask = random_mask(
            n_parcels, n_columns, MASK_RATIO, n_windows=n_windows, rng=rng
        )
        signals = rng.standard_normal((n_windows, n_parcels, n_timepoints), dtype=np.float32)
        targets = {
            "observed": np.ones((n_windows, n_timepoints), dtype=bool),
            "n_values": np.full(n_windows, ids_mask.shape[1] * network["patch_length"], np.float32),
            "recording": np.arange(n_windows),
        }
        batches.append(({"signals": signals, "ids_keep": ids_keep, "ids_mask": ids_mask}, targets))
    return batches


def measure_skorch(n_rounds=N_TINY_ROUNDS):
    """Time the steps of a tiny network through ReconstructionNet and in a bare loop, in turn.

    Returns
    -------
    through, bare : list of float
        CPU-seconds a step in each round.
    """
    network = {"patch_length": 20, "n_parcels": 12, "parcel_embedding": "learned"}
    network.update(embed_dim=32, depth=1, n_heads=2, mlp_dim=64)
    network.update({f"decoder_{name}": network[name] for name in ("embed_dim", "depth")})
    network.update(decoder_n_heads=2, decoder_mlp_dim=64)
    batches = make_tiny_batches(network)
    torch.manual_seed(SEED)
    net = ReconstructionNet(
        MaskedAutoencoder,
        **{f"module__{name}": value for name, value in network.items()},
        optimizer__fused=True,
        grad_clip=GRAD_CLIP,
        max_epochs=1,
    ).initialize()
    module = copy.deepcopy(net.module_)
    optimizer = torch.optim.AdamW(module.parameters(), lr=net.lr, fused=True)

    def bare_epoch():
        """Do what a step needs and note the loss, as any loop does."""
        losses = []
        for inputs, targets in batches:
            x = {name: torch.from_numpy(value) for name, value in inputs.items()}
            observed = torch.from_numpy(targets["observed"])
            optimizer.zero_grad()
            loss = module.forward_loss(x["signals"], module(**x), x["ids_mask"], observed)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), GRAD_CLIP)
            optimizer.step()
            losses.append(loss.item())

    through, bare = [], []
    for _ in range(1 + n_rounds):
        through.append(cpu_seconds(lambda: net.partial_fit(batches)) / N_TINY_STEPS)
        bare.append(cpu_seconds(bare_epoch) / N_TINY_STEPS)
    return through[1:], bare[1:]  # the first round warms up


def measure_memory():
    """Return {setting: [(peak memory in MB, CPU-seconds) of each batch size]}."""
    spawn = multiprocessing.get_context("spawn")
    measured = {}
    for setting in (EXACT, CHECKPOINTED):
        measured[setting] = []
        for n_windows in MEMORY_BATCH_SIZES:
            # The peak belongs to the process, so every batch size has its own.
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                measured[setting].append(pool.submit(peak_memory, setting, n_windows).result())
            print(f"memory: {setting}, {n_windows} in the batch", file=sys.stderr)
    return measured


def make_rows(rates, seconds, flops, skorch, memory):
    """Turn the measurements into tidy rows: value is a median, ci_low and ci_high the extremes."""
    rows = []

    def add(task, method, setting, metric, values, cost=""):
        row = {
            "benchmark": "step_cost",
            "dataset": "random numbers",
            "task": task,
            "method": method,
            "setting": setting,
            "metric": metric,
            "value": median(values),
            "ci_low": min(values),
            "ci_high": max(values),
            "cpu_seconds": cost,
            "seed": SEED,
        }
        rows.append({name: row.get(name, "") for name in COLUMNS})

    gemm_seconds = 2 * GEMM_SIZE**3 / 1e9 / median(rates)
    add("step", "GEMM", f"fp32 {GEMM_SIZE}", "GFLOP/s", rates, gemm_seconds)
    for setting, each in seconds.items():
        cost = median(each)
        giga = flops[setting] / 1e9
        shares = [giga / s / rate for s, rate in zip(each, rates, strict=True)]
        speed_ups = [exact / s for exact, s in zip(seconds[EXACT], each, strict=True)]
        add("step", "BrainLM", setting, "CPU-s per step", each, cost)
        add("step", "BrainLM", setting, "GFLOP per step", [giga], cost)
        add("step", "BrainLM", setting, "share of GEMM rate", shares, cost)
        add("step", "BrainLM", setting, f"times as fast as {EXACT}", speed_ups, cost)
    through, bare = ([1e3 * s for s in each] for each in skorch)
    extra = [a - b for a, b in zip(through, bare, strict=True)]
    add("loop", "ReconstructionNet", "tiny network", "CPU-ms per step", through)
    add("loop", "bare torch", "tiny network", "CPU-ms per step", bare)
    add("loop", "ReconstructionNet", "tiny network", "CPU-ms more than bare torch", extra)
    for setting, each in memory.items():
        for n_windows, (peak, cost) in zip(MEMORY_BATCH_SIZES, each, strict=True):
            name = f"{setting}, {n_windows} in the batch"
            add("memory", "BrainLM", name, "peak MB", [peak], cost)
        peaks = [peak for peak, _ in each]
        add("memory", "BrainLM", setting, "MB per extra recording", np.diff(peaks).tolist())
    return rows


def write_report(rows):
    """Write the table and what it means as Markdown."""

    def value(setting, metric):
        """Look a measured value up."""
        (found,) = (r["value"] for r in rows if (r["setting"], r["metric"]) == (setting, metric))
        return found

    def verdict(name, reached, aim):
        """Say whether an aim was reached."""
        word = "reached" if reached >= aim else "MISSED"
        return f"- {name}: {reached:.2f}, the aim was at least {aim}: **{word}**."

    speed_up = f"times as fast as {EXACT}"
    extra = value("tiny network", "CPU-ms more than bare torch")
    memory = [value(s, "MB per extra recording") for s in (EXACT, CHECKPOINTED)]
    slower = 1 / value(CHECKPOINTED, speed_up)
    lines = [
        "# What a training step costs",
        "",
        f'One step (forward, backward, clipping, fused AdamW) of the "13M" preset: {N_PARCELS} '
        f"parcels, {N_TIMEPOINTS} timepoints, mask ratio {MASK_RATIO}, one window, one thread, "
        f"float32, torch {torch.__version__}. Times are CPU time, measured in turn in one process "
        "and compared within a round; each value is the median over the rounds, with the smallest "
        "and the largest. Written by `python benchmarks/step_cost.py`.",
        "",
        "| what | setting | metric | median | min | max |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['method']} | {row['setting']} | {row['metric']} | {row['value']:.4g} | "
        f"{row['ci_low']:.4g} | {row['ci_high']:.4g} |"
        for row in rows
    ]
    lines += [
        "",
        "Operations are those of the matrix products alone, 2 a multiply-add, a backward pass "
        "twice the forward pass; the convolution over tokens, what is recomputed under "
        "checkpointing and everything element by element counts as time but not as work. The rate "
        f"they are compared with is that of a product of two {GEMM_SIZE} x {GEMM_SIZE} matrices.",
        "",
        verdict(
            "Share of the GEMM rate, full decoder", value(EXACT, "share of GEMM rate"), MIN_SHARE
        ),
        verdict("Cross decoder, quarter: times cheaper", value(QUARTER, speed_up), MIN_SPEED_UP),
        "",
        f"With all the masked tokens the cross decoder is {value(CROSS, speed_up):.2f} times "
        "cheaper than the full one. A step through ReconstructionNet (skorch, and our schedule "
        f"and checks) costs {extra:.2f} ms more than one in a bare loop, which is "
        f"{extra / 10 / value(EXACT, 'CPU-s per step'):.3f}% of a step of the "
        "full decoder. Each further recording in a batch takes "
        f"{memory[0]:.0f} MB, with gradient checkpointing {memory[1]:.0f} MB "
        f"({memory[0] / memory[1]:.1f} times less), for {slower:.2f} times the time.",
        "",
    ]
    return "\n".join(lines)


def main(arguments=None):
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=folder, help="folder for the results")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of steps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # noqa: TID251  (a script owns its process)
    # Memory first: a process starts with the peak of the one that started it.
    memory = measure_memory()
    skorch = measure_skorch()
    rows = make_rows(*measure_steps(options.repeats), skorch, memory)
    write_results(options.output, "step_cost", rows, write_report(rows))


if __name__ == "__main__":
    main()
