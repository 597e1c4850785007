"""A small training that tests interrupt: its recordings, its model, and what it ends in.

Nothing here is a test.
"""

import hashlib

import numpy as np
from skorch.callbacks import Callback

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.checkpointing import files

SMALL = {
    "window_length": 20,
    "patch_length": 5,
    "embed_dim": 8,
    "depth": 1,
    "n_heads": 2,
    "mlp_dim": 8,
    "decoder_embed_dim": 8,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 8,
    "prior": None,
    "dropout": 0.1,
    "batch_size": 2,
    "max_epochs": 4,
    "random_state": 0,
}


def make_recordings(n_recordings=9):
    """Return recordings (40 timepoints, 4 parcels)."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((40, 4)).astype(np.float32) for _ in range(n_recordings)]


def make_model(checkpoint_dir=None, *, every_steps=3, **parameters):
    """Return a model whose epochs have four steps; it saves after every third."""
    saving = {"callbacks__checkpoint__every_steps": every_steps}
    return BrainLMTransformer(
        **{**SMALL, "checkpoint_dir": checkpoint_dir, "net_params": saving, **parameters}
    )


def outcome(model):
    """Return what a training ended in: SHA-256 of the weights, losses, learning rates, features."""
    sha = hashlib.sha256()
    for name, value in sorted(model.net_.get_weights().items()):
        sha.update(name.encode() + value.tobytes())
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history_]
    features = model.transform(make_recordings())
    return {
        "weights": sha.hexdigest(),
        "history": rows,
        "features": hashlib.sha256(features.tobytes()).hexdigest(),
    }


def train(folder, *, n_recordings=9, **parameters):
    """Train, or go on training, and return the outcome."""
    model = make_model(folder, resume=True, **parameters)
    return outcome(model.fit(make_recordings(n_recordings)))


class Cut(Exception):
    """Stands for the end of a process."""


def cut_at(monkeypatch, phase, n):
    """End trainings at a phase of their nth checkpoint; of the 0th, never."""
    seen = 0

    def mark(name):
        nonlocal seen
        seen += name == phase
        if name == phase and seen == n:
            raise Cut

    monkeypatch.setattr(files, "phase", mark)


class Act(Callback):
    """Do something after a training step, and count the steps."""

    def __init__(self, step=None, act=None):
        self.step = step
        self.act = act
        self.n_steps = 0

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        self.n_steps += training
        if training and self.n_steps == self.step:
            self.act()


def names(folder):
    """Return the names of the checkpoints in a folder, without the zeros of the number."""
    return [path.name.replace("0", "") for path in files.list_checkpoints(folder)]
