"""Reconstruction against recordings learned from and parameters: the article's Figure 4.

    python benchmarks/scaling.py --recordings FOLDER

fits BrainLM and the closed forms to more and more of the training people and fills in masked
patches of the test people. Networks are shown the same number of windows whatever the number of
recordings, so that more recordings are not more training. It writes results/scaling_NAME.csv, .md
and .png; the curve is ``sklearn_brainlm.scaling_curve``. Measurements are kept in
results/scaling_NAME_kept.csv, from which a run that is cut short goes on.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from _cohorts import describe_sides, load_cohort, split
from _costs import write_results
from _methods import ONE_WINDOW_A_STEP
from matplotlib.figure import Figure

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor, scaling_curve
from sklearn_brainlm.plotting import plot_scaling_curve

BENCHMARK = "scaling"
BRAINLM = "BrainLM"
# Embedding width, width of the layers between, and what the row is called.
WIDTHS = {
    "BrainLM (no prior, 16 wide)": 16,
    "BrainLM (no prior, 32 wide)": 32,
    "BrainLM (no prior, 64 wide)": 64,
}
N_BOOTSTRAP = 10_000


def main(arguments=None):
    """Measure what has not been measured yet; write table, page and figure."""
    options = _read_options(arguments)
    train, test = split(load_cohort(options.recordings))
    sizes = options.sizes or _halves(len(train))
    files = options.output / f"{BENCHMARK}_{train.name}"
    options.output.mkdir(parents=True, exist_ok=True)
    parts = []
    for size in sizes:
        parts.append(
            scaling_curve(
                make_methods(size, train.parcel_coords, options),
                train.recordings,
                test.recordings,
                n_recordings=[size],
                subjects=train.subjects,
                test_subjects=test.subjects,
                mask_ratio=options.mask_ratio,
                seeds=options.seeds,
                n_bootstrap=N_BOOTSTRAP,
                path=f"{files}_kept.csv",
                verbose=1,
            )
        )
        curve = pd.concat(parts, ignore_index=True)
        page = write_page(curve, train, test, options)
        rows = tidy(curve, train.name, options, len(test))
        write_results(options.output, f"{BENCHMARK}_{train.name}", rows, page)
        draw(curve, max(sizes[: len(parts)])).savefig(f"{files}.png", dpi=150)


def make_methods(size, parcel_coords, options):
    """Build what is fitted to this many recordings."""
    given = {
        "window_length": options.window_length,
        "patch_length": options.patch_length,
        "parcel_coords": parcel_coords,
        "validation_fraction": 0.0,  # nothing is decided by it
    }
    closed = {name: given[name] for name in ("window_length", "patch_length")}
    methods = {
        "Gaussian": GaussianReconstructor(
            temporal=False, adaptive=False, cross_spectra=True, **closed
        ),
        "Adaptive space-time Gaussian": GaussianReconstructor(
            temporal=True, adaptive=True, cross_spectra=True, **closed
        ),
    }
    if options.windows_with_prior:
        epochs = -(-options.windows_with_prior // size)
        methods[BRAINLM] = BrainLMTransformer(max_epochs=epochs, **given)
    if options.windows:
        epochs = -(-options.windows // size)
        for name, width in WIDTHS.items():
            methods[name] = BrainLMTransformer(
                prior=None,
                embed_dim=width,
                mlp_dim=2 * width,
                decoder_embed_dim=width,
                decoder_mlp_dim=2 * width,
                max_epochs=epochs,
                **ONE_WINDOW_A_STEP,
                **given,
            )
    return methods


def write_page(curve, train, test, options):
    """Say what was measured, and how it goes with size."""
    lines = [
        f"# Reconstruction by size, {train.name}",
        describe_sides(train, test) + f" Windows of {options.window_length} timepoints, "
        f"{options.mask_ratio:g} of the patches masked, one mask a window. Networks are shown "
        f"{options.windows_with_prior:,} windows with a prior and {options.windows:,} without one, "
        "whatever the number of recordings.",
        "R2 is pooled over masked values, with 95% bootstrap intervals over test subjects "
        f"({N_BOOTSTRAP:,} resamples). Seeds: {', '.join(map(str, options.seeds))}.",
        "| method | recordings | parameters | R2 | fit CPU-s |\n"
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    order = curve["method"].drop_duplicates()
    for method in order:
        for row in curve[curve["method"] == method].itertuples():
            parameters = "" if np.isnan(row.n_parameters) else f"{row.n_parameters:,.0f}"
            lines[-1] += (
                f"\n| {method} | {row.n_recordings} | {parameters} | {row.r2:.4f} "
                f"[{row.ci_low:.4f}, {row.ci_high:.4f}] | {row.cpu_seconds:.1f} |"
            )
    lines += ["## What it says", "\n".join(f"- {said}" for said in read_curve(curve))]
    return "\n\n".join(lines) + "\n"


def read_curve(curve):
    """Put into words what more recordings and more parameters bring."""
    said = []
    for method, own in curve.groupby("method", sort=False):
        if len(own) > 1:
            first, last = own.iloc[0], own.iloc[-1]
            said.append(
                f"{method}: {last.r2 - first.r2:+.4f} from {first.n_recordings:.0f} to "
                f"{last.n_recordings:.0f} recordings."
            )
    networks = curve[curve["method"].isin(WIDTHS)]
    at_most = networks[networks["n_recordings"] == networks["n_recordings"].max()]
    if len(at_most) > 1:
        best = at_most.loc[at_most["r2"].idxmax()]
        said.append(
            f"Without a prior, of {len(at_most)} sizes the best with "
            f"{best.n_recordings:.0f} recordings has {best.n_parameters:,.0f} parameters."
        )
    for size, own in curve.groupby("n_recordings"):
        simple = own[~own["method"].str.startswith(BRAINLM)]
        best = own.loc[own["r2"].idxmax()]
        ours = "BrainLM" if best.method.startswith(BRAINLM) else "a simple row"
        said.append(
            f"With {size} recordings {ours} is best: {best.method}, {best.r2:.4f}; best simple row "
            f"{simple['r2'].max():.4f}."
        )
    return said


def tidy(curve, dataset, options, n_test):
    """Return the rows of the tidy table."""
    about = {"benchmark": BENCHMARK, "dataset": dataset, "task": "masked reconstruction"}
    rows = []
    for point in curve.itertuples():
        row = {
            **about,
            "method": point.method,
            "setting": f"mask_ratio={options.mask_ratio:g} n_parameters={point.n_parameters:.0f}",
            "metric": "r2",
            "value": f"{point.r2:.6g}",
            "ci_low": f"{point.ci_low:.6g}",
            "ci_high": f"{point.ci_high:.6g}",
            "n_train": point.n_recordings,
            "n_test": n_test,
            "cpu_seconds": f"{point.cpu_seconds:.4g}",
            "seed": " ".join(map(str, options.seeds)),
        }
        rows.append(row)
    return rows


def draw(curve, largest):
    """Return the figure: R2 by recordings, and by parameters with the most recordings."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_scaling_curve(curve, axes=left)
    networks = curve[(curve["n_recordings"] == largest) & curve["method"].isin(WIDTHS)]
    if len(networks):
        one_line = networks.assign(method=f"BrainLM (no prior), {largest} recordings")
        plot_scaling_curve(one_line, x="n_parameters", axes=right)
    else:
        right.set_axis_off()
    return figure


def _halves(n_recordings):
    """Return all recordings and their halves, down to eight."""
    sizes = [n_recordings]
    while sizes[0] // 2 >= 8:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder to learn from and to test on")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--sizes", type=int, nargs="+", help="recordings to learn from; all and their halves")
    add("--mask-ratio", type=float, default=0.75, help="part of the patches that is masked")
    add("--window-length", type=int, default=200, help="timepoints")
    add("--patch-length", type=int, default=20, help="timepoints")
    add("--windows", type=int, default=9000, help="shown to networks without a prior; 0 for none")
    add("--windows-with-prior", type=int, default=700, help="shown to BrainLM; 0 for none")
    add("--seeds", type=int, nargs="+", default=[0], help="of orders of people, and of networks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
