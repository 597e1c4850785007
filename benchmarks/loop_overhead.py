"""What a training step costs beside the network: ReconstructionNet against a bare PyTorch loop.

    python benchmarks/loop_overhead.py [--output DIR] [--rounds N] [--profile]

The network is one linear map, so that the loop is most of what is measured. Both loops move the
batch to tensors, compute the loss, its gradients, clip them, take a fused AdamW step and note the
loss. They are run in turn, one epoch each, the order swapped every round, on one thread; a
difference is that of a round. The result is DIR/loop_overhead.csv and DIR/loop_overhead.md.
"""

import argparse
import copy
import cProfile
import csv
import pstats
import time
from pathlib import Path

import numpy as np
import torch
from _costs import COLUMNS

from sklearn_brainlm.nets import ReconstructionNet

SEED, N_STEPS, N_WINDOWS, N_PARCELS, N_TIMEPOINTS = 0, 400, 2, 4, 8
AIM = 0.6


class LinearMap(torch.nn.Module):
    """The least that ReconstructionNet can train."""

    def __init__(self):
        super().__init__()
        self.map = torch.nn.Linear(N_TIMEPOINTS, N_TIMEPOINTS)

    def forward(self, signals, ids_keep, ids_mask):
        """Map each signal."""
        return self.map(signals)

    def forward_loss(self, signals, predicted, ids_mask, observed=None):
        """Compare with what was given."""
        return (predicted - signals).square().mean()


class FixedBatches(list):
    """The same batches in every epoch."""

    def next_epoch(self):
        """Change nothing."""


def make_batches(n_steps=N_STEPS):
    """Make batches in the form that ReconstructionNet takes."""
    rng = np.random.default_rng(SEED)
    ids = np.arange(N_PARCELS)[None].repeat(N_WINDOWS, axis=0)
    targets = {
        "observed": np.ones((N_WINDOWS, N_TIMEPOINTS), bool),
        "n_values": np.full(N_WINDOWS, N_TIMEPOINTS, np.float32),
        "recording": np.arange(N_WINDOWS),
    }
    shape = (N_WINDOWS, N_PARCELS, N_TIMEPOINTS)
    return FixedBatches(
        (
            {
                "signals": rng.standard_normal(shape, dtype=np.float32),
                "ids_keep": ids,
                "ids_mask": ids,
            },
            targets,
        )
        for _ in range(n_steps)
    )


def make_loops(batches):
    """Return the two loops over the batches, with networks that start alike."""
    torch.manual_seed(SEED)
    net = ReconstructionNet(LinearMap, optimizer__fused=True, grad_clip=1.0, max_epochs=1)
    net.initialize()
    module = copy.deepcopy(net.module_)
    optimizer = torch.optim.AdamW(module.parameters(), lr=net.lr, fused=True)

    def bare():
        """Do what a step needs and note the loss, as any loop does."""
        losses = []
        for inputs, targets in batches:
            x = {name: torch.from_numpy(value) for name, value in inputs.items()}
            observed = torch.from_numpy(targets["observed"])
            optimizer.zero_grad()
            loss = module.forward_loss(x["signals"], module(**x), x["ids_mask"], observed)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())

    return {"ReconstructionNet": lambda: net.partial_fit(batches), "bare PyTorch": bare}


def measure(n_rounds, n_steps=N_STEPS):
    """Time an epoch of both loops in turn.

    Returns
    -------
    milliseconds : dict of str to ndarray of shape (n_rounds,)
        CPU time a step of each loop in each round.
    """
    loops = make_loops(make_batches(n_steps))
    spent = {name: [] for name in loops}
    for number in range(1 + n_rounds):
        for name in loops if number % 2 else reversed(loops):
            began = time.process_time()
            loops[name]()
            spent[name].append(1e3 * (time.process_time() - began) / n_steps)
    return {name: np.array(each[1:]) for name, each in spent.items()}  # the first warms up


def make_rows(milliseconds):
    """Turn the measurements into tidy rows: value is a median, the bounds are quartiles."""
    through, bare = milliseconds.values()
    measured = [*milliseconds.items(), ("ReconstructionNet minus bare PyTorch", through - bare)]
    rows = []
    for name, values in measured:
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        rows.append(
            {
                "benchmark": "loop_overhead",
                "dataset": "random numbers",
                "task": "training step",
                "method": name,
                "setting": f"linear map, {len(values)} rounds",
                "metric": "CPU-ms per step",
                "value": middle,
                "ci_low": low,
                "ci_high": high,
                "cpu_seconds": middle / 1e3,
                "seed": SEED,
            }
        )
    return rows


def write_page(rows):
    """Write the table and what it means as Markdown."""
    extra = rows[-1]["value"]
    return "\n".join(
        [
            "# What a training step costs beside the network",
            "",
            __doc__.split("\n\n", 2)[2].split(" The result is")[0].replace("\n", " "),
            "",
            f"CPU-milliseconds a step, {rows[0]['setting']} of {N_STEPS} steps, torch "
            f"{torch.__version__}.",
            "",
            "| loop | median | lower quartile | upper quartile |",
            "| --- | ---: | ---: | ---: |",
            *(
                f"| {row['method']} | {row['value']:.3f} | {row['ci_low']:.3f} | "
                f"{row['ci_high']:.3f} |"
                for row in rows
            ),
            "",
            f"- The loop costs {extra:.2f} ms more than a bare one, the aim was at most {AIM}: "
            f"**{'reached' if extra <= AIM else 'MISSED'}**.",
            "",
        ]
    )


def main(arguments=None):
    """Measure, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=results, help="folder for the results")
    parser.add_argument("--rounds", type=int, default=20, help="rounds that count")
    parser.add_argument("--profile", action="store_true", help="say where the time goes instead")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # noqa: TID251  (a script owns its process)
    if options.profile:
        train = make_loops(make_batches())["ReconstructionNet"]
        train()
        with cProfile.Profile() as profile:
            train()
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return
    rows = make_rows(measure(options.rounds))
    options.output.mkdir(parents=True, exist_ok=True)
    with open(options.output / "loop_overhead.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    page = write_page(rows)
    (options.output / "loop_overhead.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
