"""A small folder of recordings and small weights, for the tests of the commands."""

import json

import numpy as np

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.datasets import load_recordings_folder

N_PARCELS = 6
N_RECORDINGS = 12

# The smallest network that has every part, as parameters and as options.
TINY = {
    "window_length": 40,
    "patch_length": 10,
    "embed_dim": 8,
    "n_heads": 2,
    "mlp_dim": 8,
    "decoder_embed_dim": 8,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 8,
    "max_epochs": 1,
}
TINY_OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


def write_folder(path, *, t_rs=(2.0,), n_timepoints=90, unknown=()):
    """Write twelve recordings of twelve people; the spread of values follows age."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ["participant_id\trecording\tage\tsex\tsite\ttr_s"]
    for index in range(N_RECORDINGS):
        name = f"sub-{index:02d}"
        own = rng.standard_normal((n_timepoints, N_PARCELS))
        values = 100 + rng.standard_normal((n_timepoints, 1)) + (1 + index / 4) * own
        np.save(path / f"{name}.npy", values.astype("f4"))
        age = "n/a" if index in unknown else 20.5 + index
        t_r = t_rs[index % len(t_rs)]
        rows.append(f"{name}\t{name}.npy\t{age}\t{'FM'[index % 2]}\tsite{index % 3}\t{t_r}")
    (path / "participants.tsv").write_text("\n".join(rows) + "\n")
    coords = rng.uniform(-50, 50, (N_PARCELS, 3)).round(1)
    parcels = [f"{i}\tparcel {i}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(coords)]
    (path / "parcels.tsv").write_text("\n".join(["index\tlabel\tx\ty\tz", *parcels]) + "\n")
    return path


def write_weights(path, folder, **parameters):
    """Pretrain for a moment on all but the last three recordings, and write the weights."""
    opened = load_recordings_folder(folder)
    model = BrainLMTransformer(
        **{**TINY, **parameters}, parcel_coords=opened.parcel_coords, t_r=2.0, random_state=0
    )
    groups = opened.participants["participant_id"].to_numpy()[:-3]
    model.fit(opened.recordings[:-3], groups=groups).save_pretrained(path)
    return path


def read_json(path):
    """Return what a sidecar says."""
    return json.loads(path.read_text())


def leftovers(folder):
    """Return what a command that was cut short has left in a folder."""
    return sorted(entry.name for entry in folder.iterdir() if ".part" in entry.name)
