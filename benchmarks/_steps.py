"""The training step that is measured, on random windows of the "13M" preset."""

import resource
import sys
import time

import numpy as np
import torch
from _flops import forward_flops

from sklearn_brainlm.masking import random_mask
from sklearn_brainlm.modules import MaskedAutoencoder
from sklearn_brainlm.presets import PRESETS

SEED = 0
N_PARCELS, N_TIMEPOINTS, MASK_RATIO = 424, 200, 0.75
GRAD_CLIP = 1.0

# What the module gets beside the preset, and the part of the masked tokens that is decoded.
SETTINGS = {
    "full decoder": ({}, 1.0),
    "full decoder, checkpointing": ({"gradient_checkpointing": True}, 1.0),
    "cross decoder": ({"decoder": "cross"}, 1.0),
    "cross decoder, quarter of the masked": ({"decoder": "cross"}, 0.25),
}
EXACT, CHECKPOINTED, CROSS, QUARTER = SETTINGS


class TrainingStep:
    """One optimizer step of the "13M" preset on random windows."""

    def __init__(self, setting, n_windows=1, n_parcels=N_PARCELS, n_timepoints=N_TIMEPOINTS):
        changes, decoded_fraction = SETTINGS[setting]
        preset = PRESETS["13M"]
        self.network = {k: v for k, v in preset.items() if k not in ("window_length", "prior")}
        self.network.update(changes)
        torch.manual_seed(SEED)
        self.n_parcels, self.n_timepoints = n_parcels, n_timepoints
        self.module = MaskedAutoencoder(
            n_parcels=n_parcels, parcel_coords=40 * torch.randn(n_parcels, 3), **self.network
        )
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=1e-4, fused=True)
        self.decoded_fraction = decoded_fraction
        # A step on one patch column first, so that the optimizer has its state and memory.
        self.draw_windows(1, self.network["patch_length"])
        self()
        self.draw_windows(n_windows, n_timepoints)

    def draw_windows(self, n_windows, n_timepoints):
        """Draw random windows and their masks."""
        n_columns = n_timepoints // self.network["patch_length"]
        rng = np.random.default_rng(SEED)
        ids = random_mask(self.n_parcels, n_columns, MASK_RATIO, n_windows=n_windows, rng=rng)
        self.ids_keep, hidden = map(torch.from_numpy, ids)
        # Masked tokens come in random order, so the first quarter is a random one.
        self.ids_mask = hidden[:, : round(self.decoded_fraction * hidden.shape[1])]
        self.signals = torch.randn(n_windows, self.n_parcels, n_timepoints)

    def __call__(self):
        """Take the step."""
        predicted = self.module(self.signals, self.ids_keep, self.ids_mask)
        loss = self.module.forward_loss(self.signals, predicted, self.ids_mask)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), GRAD_CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()

    @property
    def flops(self):
        """Matrix products of one window, forward and backward."""
        return 3 * forward_flops(
            self.network,
            n_parcels=self.n_parcels,
            n_timepoints=self.n_timepoints,
            n_visible=self.ids_keep.shape[1],
            n_decoded=self.ids_mask.shape[1],
        )


def cpu_seconds(work):
    """Call `work` and return the CPU time it took."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_memory(setting, n_windows):
    """Take one step and return the peak memory of this process in MB and the step's CPU-seconds."""
    torch.set_num_threads(1)  # noqa: TID251  (this process is for the measurement only)
    seconds = cpu_seconds(TrainingStep(setting, n_windows))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, seconds
