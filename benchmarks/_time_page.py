"""The page and the figure of quality against CPU-seconds."""

import numpy as np
import pandas as pd
from _comparison import TIDY_COLUMNS
from matplotlib.figure import Figure

_SHOWN = 8  # curves with a colour of their own; the others are grey


def reached(rows, quality):
    """Return the CPU-seconds after which a curve reaches a quality, infinite if it does not.

    Between two marks the curve is taken as straight.
    """
    rows = rows.sort_values("train_cpu_seconds")
    seconds, r2 = rows["train_cpu_seconds"].to_numpy(), rows["r2"].to_numpy()
    above = np.flatnonzero(r2 >= quality)
    if not len(above):
        return np.inf
    first = above[0]
    if first == 0:
        return seconds[0]
    part = (quality - r2[first - 1]) / (r2[first] - r2[first - 1])
    return seconds[first - 1] + part * (seconds[first] - seconds[first - 1])


def curves(table):
    """Yield method, seed and rows of every curve."""
    for (method, seed), rows in table.groupby(["method", "seed"], sort=False):
        yield method, seed, rows.sort_values("train_cpu_seconds")


def tidy_rows(table, dataset, n_train, n_test, options):
    """Return the tidy table: R2 at every mark, and the time to the quality."""
    common = {
        "benchmark": "time_to_quality",
        "dataset": dataset,
        "task": "masked reconstruction",
        "n_train": n_train,
        "n_test": n_test,
    }
    rows = []
    for method, seed, curve in curves(table):
        mine = {**common, "method": method, "seed": seed}
        rows += [
            {
                **mine,
                "setting": f"mask_ratio=0.75 windows={row.n_windows_drawn:.0f}",
                "metric": "r2",
                "value": row.r2,
                "cpu_seconds": row.train_cpu_seconds,
            }
            for row in curve.itertuples()
        ]
        rows.append(
            {
                **mine,
                "setting": f"r2={options.quality:g}",
                "metric": "cpu_seconds_to_reach",
                "value": reached(curve, options.quality),
                "cpu_seconds": curve["train_cpu_seconds"].max(),
            }
        )
    return pd.DataFrame(rows).reindex(columns=TIDY_COLUMNS)


def write_markdown(table, lines, ratio_of, text, options):
    """Return the page."""
    line = {name: table.loc[table["method"] == name, "r2"].iloc[0] for name in lines}
    header = f"| variant | seed | R2 at the end | CPU-s | windows | CPU-s to {options.quality:g} |"
    header += "".join(f" CPU-s to {name} ({line[name]:.3f}) |" for name in lines)
    parts = [header, "| --- |" + " ---: |" * (5 + len(lines))]
    for method, seed, curve in curves(table):
        last = curve.iloc[-1]
        drawn = "" if np.isnan(last["n_windows_drawn"]) else f"{last['n_windows_drawn']:,.0f}"
        cells = [method, seed, f"{last['r2']:.4f}", f"{last['train_cpu_seconds']:.1f}", drawn]
        cells += [_shown(curve, quality) for quality in (options.quality, *line.values())]
        parts.append("| " + " | ".join(cells) + " |")
    remark = _compare(table, *ratio_of, options.quality)
    title = "# Time to quality"
    return "\n\n".join([title, text, "\n".join(parts), *remark]) + "\n"


def plot(table, lines, quality):
    """Return the figure: R2 against CPU-seconds, one curve a variant, the closed forms as lines."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots()
    learned = [curve for curve in curves(table) if curve[0] not in lines]
    best = sorted(learned, key=lambda curve: -curve[2]["r2"].iloc[-1])
    coloured = {(method, seed) for method, seed, _ in best[: _SHOWN - 1]}
    coloured |= {(method, seed) for method, seed, _ in best if method.startswith("Released")}
    markers = iter("os^vDPX*<>hd")
    for method, seed, curve in learned:
        own = (method, seed) in coloured
        axes.plot(
            np.maximum(curve["train_cpu_seconds"], 1.0),
            curve["r2"].clip(lower=-0.1),
            marker=next(markers) if own else ".",
            color=None if own else "0.7",
            linewidth=1.4 if own else 0.9,
            zorder=3 if own else 1,
            label=method if seed in ("", "0") else None,
        )
    for name, style in zip(lines, (":", "--"), strict=True):
        level = table.loc[table["method"] == name, "r2"].iloc[0]
        axes.axhline(level, color="black", linestyle=style, linewidth=1.2, label=name)
    axes.axhline(quality, color="0.4", linewidth=0.6)
    axes.annotate(f"R2 = {quality:g}", (1.0, quality), va="bottom", fontsize=8, color="0.4")
    axes.set(
        xscale="log",
        xlabel="CPU-seconds of training",
        ylabel="R2 on masked values of people not learned from",
    )
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def _shown(curve, quality):
    """Return the CPU-seconds to a quality as text."""
    seconds = reached(curve, quality)
    last = curve["train_cpu_seconds"].max()
    return f"{seconds:.0f}" if np.isfinite(seconds) else f"not in {last:.0f}"


def _compare(table, method, reference, quality):
    """Say how many times longer the reference takes."""
    ratios = []
    for seed in sorted(set(table.loc[table["method"] == reference, "seed"])):
        of = {
            name: table[(table["method"] == name) & (table["seed"] == seed)]
            for name in (method, reference)
        }
        mine = reached(of[method], quality) if len(of[method]) else np.inf
        if not np.isfinite(mine):
            continue
        theirs = reached(of[reference], quality)
        censored = not np.isfinite(theirs)
        last = of[reference]["train_cpu_seconds"].max()
        ratio = (last if censored else theirs) / mine
        how = f"more than {ratio:.1f} times" if censored else f"{ratio:.1f} times"
        why = f" (it has not reached it in {last:.0f} CPU-seconds)" if censored else ""
        ratios.append(
            f"To reach an R2 of {quality:g}, {reference} takes {how} the CPU-seconds of "
            f"{method}, seed {seed}{why}."
        )
    return ratios
