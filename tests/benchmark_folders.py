"""Small folders of recordings, and the way to the scripts of benchmarks/, which are no package."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd

N_PARCELS = 5
BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")


def import_script(name):
    """Import a file of benchmarks/ as the scripts there import each other."""
    if BENCHMARKS not in sys.path:
        sys.path.insert(0, BENCHMARKS)
    return importlib.import_module(name)


def write_folder(path, subjects, *, sites=None, seed=0, label="parcel", coords=None):
    """Write a folder of small recordings, one row a name in `subjects`.

    With `coords` (n_parcels, 3), parcels have places, and there are as many of them.
    """
    path.mkdir()
    n_parcels = N_PARCELS if coords is None else len(coords)
    rng = np.random.default_rng(seed)
    rows = []
    for index, subject in enumerate(subjects):
        n_timepoints = int(rng.integers(85, 130))
        shared = rng.standard_normal((n_timepoints, 1))
        values = 3 * shared + rng.standard_normal((n_timepoints, n_parcels))
        file = f"{subject}_run-{index:03}.npy"
        np.save(path / file, values.astype(np.float32))
        rows.append({"participant_id": subject, "recording": file, "tr_s": 1.0 + index % 2})
    table = pd.DataFrame(rows)
    if sites is not None:
        table["site"] = sites
    # Rows are written out of order: the order of the file names is what counts.
    table.sample(frac=1, random_state=seed).to_csv(path / "participants.tsv", sep="\t", index=False)
    parcels = pd.DataFrame({"index": range(n_parcels), "label": f"{label}"})
    if coords is not None:
        parcels[["x", "y", "z"]] = coords
    parcels.to_csv(path / "parcels.tsv", sep="\t", index=False)
    return path
