"""BrainLM for the Brainmarks evaluation suite, installed as ``brainmarks.models.sklearn_brainlm``.

Brainmarks imports every file of its namespace package ``brainmarks.models`` and calls what is
registered there. Without Brainmarks, nobody imports this file.
"""

from functools import partial

import numpy as np
import torch
from brainmarks.models.base import Embeddings
from brainmarks.models.registry import register_model

from sklearn_brainlm import BrainLMTransformer, RecordingScaler, resample_recordings
from sklearn_brainlm.recordings import window_starts

_LEAST_TIMEPOINTS = 2  # that can be resampled


class _BrainLMTransform:
    """Turn a sample of the suite into one window, as the weights expect it.

    Parameters
    ----------
    contract : InputContract
        What the weights expect.

    Notes
    -----
    The window is taken from the middle of a recording; a shorter one is filled up with zeros, the
    centre of every parcel. Statistics that were not published with the weights are learned by
    ``fit`` from the training samples, or from the sample itself without ``fit``.
    """

    def __init__(self, contract):
        self.contract = contract
        self.scaler = RecordingScaler(contract.scaler, clip=contract.clip, divisor=contract.divisor)
        self.is_fitted = False

    def fit(self, train_dataset):
        """Learn the scaling of each parcel from training samples."""
        self.scaler.fit([self._recording(sample) for sample in train_dataset])
        self.is_fitted = True

    def __call__(self, sample):
        """Scale, resample and cut; ``bold`` becomes the window (T, P)."""
        recording = self._recording(sample)
        scaler = self.scaler if self.is_fitted else self.scaler.fit([recording])
        length = self.contract.window_length
        starts = window_starts(len(recording), min(length, len(recording)), stride=1)
        start = starts[len(starts) // 2]
        window = scaler.scale_window(recording[start : start + length])
        filled = np.zeros((length, window.shape[1]), np.float32)
        filled[: len(window)] = window
        return {"bold": torch.from_numpy(filled)}

    def _recording(self, sample):
        """Undo the normalisation of the suite and bring the repetition time to the weights'."""
        recording = np.asarray(sample["bold"] * sample["std"] + sample["mean"], dtype=np.float32)
        if len(recording) < _LEAST_TIMEPOINTS:
            return recording
        return resample_recordings([recording], float(sample["tr"]), self.contract.t_r)[0]


class _BrainLMWrapper(torch.nn.Module):
    """Embed windows: one CLS embedding, and one of each patch in raster order.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    n_tokens : int
        Tokens of a window.
    """

    __space__ = "a424"

    def __init__(self, module, n_tokens):
        super().__init__()
        self.module = module.requires_grad_(False)
        self.n_tokens = n_tokens

    def forward(self, batch):
        """Return cls (B, 1, D), no registers, and patch embeddings (B, N, D)."""
        signals = batch["bold"].transpose(1, 2).contiguous()  # (B, P, T)
        ids = torch.arange(self.n_tokens, device=signals.device).expand(len(signals), -1)
        latent = self.module.forward_encoder(signals, ids)
        return Embeddings(latent[:, :1], None, latent[:, 1:])


def _build(weights, parcel_coords=None, **options):
    """Return the transform and the wrapper of weights of 424 parcels of A424."""
    model = BrainLMTransformer.from_pretrained(
        weights, parcel_coords=parcel_coords, device="cpu", **options
    )
    contract = model.contract_
    n_tokens = model._grid.n_tokens(contract.window_length)
    return _BrainLMTransform(contract), _BrainLMWrapper(model.net_.module_.eval(), n_tokens)


# Each may be given other weights of the same parcels: create_model(name, weights=folder).
for _size in ("13M", "111M", "650M"):
    register_model(f"sklearn_brainlm_{_size.lower()}")(
        partial(
            lambda name, weights=None, **options: _build(weights or name, **options),
            f"brainlm-{_size}",
        )
    )
