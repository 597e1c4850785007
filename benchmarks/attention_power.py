"""Which maps find the network that a task drives, where the truth is known, and nothing else.

    python benchmarks/attention_power.py

takes cohorts of make_cohort as they are frozen (40 subjects, about half of whom do a task of blocks
of 20 s that raise one network by .3 sd), pretrains a small BrainLMTransformer on each, contrasts
the task blocks with the rest blocks of the same subjects: attention_contrast, paired, corrected by
max-T. It does so at smaller amplitudes, too, and where there is no effect at all. Beside attention
stand other maps of the same network, and simple ones of the signal. What is run is in
_attention_maps.py. It writes results/attention_power.csv, .md and .png.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _attention_maps import MAPS, ON_NETWORKS, SIMPLE, Blocks, pretrain
from _comparison import TIDY_COLUMNS
from _report import markdown_table
from matplotlib.figure import Figure

from sklearn_brainlm.contrasts import attention_contrast
from sklearn_brainlm.datasets import make_cohort
from sklearn_brainlm.datasets.simulated import TASK_AMPLITUDE

BENCHMARK = "attention_power"
ALPHA = 0.05
LEVELS = ("networks", "parcels")


def main(arguments=None):
    """Measure cohort by cohort, and write the table, the page and the figure."""
    options = _read_options(arguments)
    print(f"Seeds {options.seeds}, amplitudes {options.amplitudes}.", flush=True)
    rows = []
    for seed in options.seeds:
        rows += measure(seed, options)
        print(f"seed {seed}: {time.process_time():.0f} CPU-s so far", flush=True)
    found = pd.DataFrame(rows)
    options.output.mkdir(parents=True, exist_ok=True)
    tidy = summarise(found, options)
    tidy.to_csv(options.output / f"{BENCHMARK}.csv", index=False, float_format="%.6g")
    page = write_page(tidy, options)
    (options.output / f"{BENCHMARK}.md").write_text(page, encoding="utf-8")
    plot(tidy).savefig(options.output / f"{BENCHMARK}.png", dpi=150)
    print(page)


def measure(seed, options):
    """Contrast all maps of one cohort at all amplitudes; one row a map, amplitude and level."""
    cohort = make_cohort(
        options.n_subjects, options.n_timepoints, atlas=options.atlas, random_state=seed
    )
    models, rows = {}, []
    for amplitude in options.amplitudes:
        blocks = Blocks.of_cohort(cohort, amplitude)
        # The null has a network of its own: nothing of a task is in it. The others share one.
        trained_at = TASK_AMPLITUDE if amplitude else 0.0
        if trained_at not in models:
            models[trained_at] = pretrain(cohort, trained_at, seed, options.epochs)
        for method, compute in MAPS.items():
            started = time.process_time()
            maps = compute(models[trained_at], blocks)
            seconds = time.process_time() - started
            for level in LEVELS:
                if level == "parcels" and method in ON_NETWORKS:
                    continue
                row = score(maps, cohort, level, method, options.permutations, seed)
                cost = {"cpu_seconds": seconds, "n_subjects": len(np.unique(maps[2]))}
                rows.append({"method": method, "amplitude": amplitude, "seed": seed, **row, **cost})
    return rows


def score(maps, cohort, level, method, n_permutations, seed):
    """Contrast task and rest, and compare what is found with the truth."""
    task, rest, *subjects = maps
    if level == "networks" and method not in ON_NETWORKS:
        task, rest = (_average_networks(side, cohort.labels) for side in (task, rest))
    n_units = task.shape[-1]
    contrast = attention_contrast(
        task.reshape(len(task), -1),  # heads and parcels are corrected for together
        rest.reshape(len(rest), -1),
        subjects_a=subjects[0],
        subjects_b=subjects[1],
        n_permutations=n_permutations,
        random_state=seed,
    )
    driven = np.isin(np.arange(cohort.n_parcels), cohort.task_parcels)
    if level == "networks":
        driven = np.unique(cohort.labels) == cohort.labels[cohort.task_parcels[0]]
    significant = contrast.significant(ALPHA).reshape(-1, n_units).any(axis=0)
    return {
        "level": level,
        "part_found": significant[driven].mean(),
        "found": float(significant[driven].any()),
        "false": float(significant[~driven].any()),
        "exactly": float(significant[driven].any() and not significant[~driven].any()),
        "anything": float(significant.any()),
    }


def _average_networks(maps, labels):
    """Average maps (..., P) over the parcels of each network."""
    return np.stack([maps[..., labels == name].mean(axis=-1) for name in np.unique(labels)], -1)


def summarise(found, options):
    """Average over seeds, into the tidy table."""
    rows = []
    for (method, level, amplitude), own in found.groupby(
        ["method", "level", "amplitude"], sort=False
    ):
        for metric in ("exactly", "anything", "false", "part_found"):
            rows.append({
                "benchmark": BENCHMARK,
                "dataset": f"make_cohort, {options.n_subjects} subjects",
                "task": f"task against rest, {level}",
                "method": method,
                "setting": f"amplitude={amplitude:g}",
                "metric": metric,
                "value": own[metric].mean(),
                "ci_low": np.nan,
                "ci_high": np.nan,
                "n_train": options.n_subjects,
                "n_test": round(own["n_subjects"].mean(), 1),
                "cpu_seconds": own["cpu_seconds"].mean(),
                "seed": " ".join(map(str, options.seeds)),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=TIDY_COLUMNS)


def _select(tidy, level, metric):
    """Pivot one metric: methods by amplitudes."""
    own = tidy[(tidy["metric"] == metric) & tidy["task"].str.endswith(level)]
    own = own.assign(amplitude=own["setting"].str.removeprefix("amplitude=").astype(float))
    return own.pivot(index="method", columns="amplitude", values="value").reindex(
        [method for method in MAPS if method in set(own["method"])]
    )


def write_page(tidy, options):
    """Write the tables and what they mean."""
    n_seeds = len(options.seeds)
    parts = [
        "# The network that a task drives\n",
        f"{n_seeds} cohorts of make_cohort (seeds {tidy['seed'].iloc[0]}), "
        f"{options.n_subjects} subjects of {options.n_timepoints} timepoints, of whom "
        f"{tidy['n_test'].max():.1f} on average do the task; amplitude {TASK_AMPLITUDE:g} sd as "
        "frozen. Blocks of task and of rest of the same subjects, paired, "
        f"{options.permutations} permutations, corrected p < {ALPHA:g} by max-T. The amplitude 0 "
        "is the null cohort, with a network pretrained on it.\n",
    ]
    for level in LEVELS:
        exact, part = _select(tidy, level, "exactly"), _select(tidy, level, "part_found")
        anything = _select(tidy, level, "anything")
        above = [amplitude for amplitude in exact.columns if amplitude > 0]
        head = ["map", *(f"exactly, {a:g} sd" for a in above), "anything, 0 sd"]
        if level == "parcels":
            head.append(f"part of the network, {TASK_AMPLITUDE:g} sd")
        lines = [head]
        for method in exact.index:
            cells = [_count(exact.loc[method, a], n_seeds) for a in above]
            cells.append(_count(anything.loc[method].get(0.0, np.nan), n_seeds))
            if level == "parcels":
                cells.append(f"{part.loc[method].get(TASK_AMPLITUDE, np.nan):.0%}")
            lines.append([method, *cells])
        what = {
            "networks": "Maps averaged over networks first: the driven network is found, and no "
            "other one",
            "parcels": "Parcel by parcel: some of the driven network are found, and none elsewhere",
        }[level]
        parts += [f"\n## {level.capitalize()}\n", f"{what}.\n", markdown_table(lines)]
    parts += ["\n## What it means\n", _meaning(tidy, n_seeds)]
    return "\n".join(parts) + "\n"


def _meaning(tidy, n_seeds):
    """Say what is reached, and by which map."""
    sentences = []
    for level in LEVELS:
        exact, null = _select(tidy, level, "exactly"), _select(tidy, level, "anything")
        if TASK_AMPLITUDE not in exact or 0.0 not in null:
            continue
        reach = [
            method
            for method in exact.index
            if exact.loc[method, TASK_AMPLITUDE] >= 0.9 and null.loc[method, 0.0] <= 0.1
        ]
        miss = [method for method in exact.index if method not in reach]
        sentences.append(
            f"By {level}: the driven network and nothing else in at least 9 of 10 cohorts, and "
            f"nothing in at least 9 of 10 null cohorts: {'; '.join(reach) or 'none'}. "
            f"Not: {'; '.join(miss) or 'none'}."
        )
    sentences.append(
        f"{', '.join(SIMPLE)} need no network: compare with them before a map of attention is "
        "read as more than the level of the signal."
    )
    sentences.append(
        "The network is pretrained for seconds and hardly leaves the mean. What its attention "
        "follows is the level of a patch, as far as its projection of the patch happens to hold "
        "it: compare with the row whose weights are shuffled."
    )
    sentences.append(
        "Maps by head have one unit a head and parcel or network, all corrected for together; a "
        "parcel or network is found where one of the heads finds it. Relative maps are logarithms "
        "of the weight over that of the CLS token: plain ones sum to one, so that what the driven "
        "network gains all others lose."
    )
    sentences.append(
        "A finding in 1 of 20 null cohorts is what p < .05 allows. "
        f"{n_seeds} cohorts tell a rate of .9 from one of .95 only roughly. Patches of half a "
        "block, 8 heads and the relative maps by head were chosen on seeds 0 and 1, which are not "
        "among those of the table by default, after a first table of the same seeds (patches of a "
        "whole block, 4 heads, no maps by head) in which no map of attention had found the driven "
        "network and nothing else in more than 6 of 10 cohorts. "
        "Directions of gradient and occlusion come from one half of the subjects, and the other "
        "half is tested."
    )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _count(part, n_seeds):
    """Write a part of the seeds as a count."""
    return "" if np.isnan(part) else f"{round(part * n_seeds)} of {n_seeds}"


def plot(tidy):
    """Draw the power of each map over the amplitude, by networks and by parcels."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    markers = "osD^v<>Xp*h"
    for one, level in zip(axes, LEVELS, strict=True):
        exact = _select(tidy, level, "exactly")
        for place, method in enumerate(MAPS):
            if method not in exact.index:
                continue
            simple = method in SIMPLE
            # Lines that coincide are told apart by a small shift.
            one.plot(
                exact.columns + 0.002 * (place - len(MAPS) / 2),
                exact.loc[method],
                marker=markers[place % len(markers)],
                ls="--" if simple else "-",
                color=f"{0.1 + 0.15 * (place % 3)}" if simple else f"C{place}",
                label=method,
                ms=4,
            )
        one.axhline(0.9, color="0.8", lw=0.8, zorder=0)
        one.set_title(f"by {level}")
        one.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("amplitude of the task blocks (sd of the parcel)", fontsize="medium")
    axes[0].set_ylabel("part of the cohorts: driven network\nand nothing else, corrected p < .05")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    return figure


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=list(range(10, 20)), help="of the cohorts")
    add(
        "--amplitudes",
        type=float,
        nargs="+",
        default=[0.0, TASK_AMPLITUDE / 2, TASK_AMPLITUDE],
        help="sd",
    )
    add("--n-subjects", type=int, default=40)
    add("--n-timepoints", type=int, default=240)
    add("--atlas", default="dosenbach", type=lambda x: int(x) if x.isdigit() else x)
    add("--epochs", type=int, default=6, help="of pretraining")
    add("--permutations", type=int, default=1000)
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
