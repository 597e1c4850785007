"""What can be trained, and how: the variants whose cost is compared."""

import numpy as np
import torch
from _factor_network import FactorReconstructor

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.modules import MaskedAutoencoder
from sklearn_brainlm.presets import PRESETS

DEFAULT = "BrainLM (no prior)"
RELEASED = "Released recipe"

# The same width and depth for everyone, so that what differs is how they are used.
_SIZE = {
    name: BrainLMTransformer().get_params()[name]
    for name in "embed_dim depth n_heads mlp_dim decoder_embed_dim decoder_depth decoder_n_heads "
    "decoder_mlp_dim window_length patch_length".split()
}
# Of the released code: architecture, mask ratio, rate, decay and schedule. It took 256 windows a
# step; one is what costs the least here, for everyone without a prior.
_RELEASED = {
    **PRESETS["13M"],
    **_SIZE,
    "mask_ratio": 0.2,
    "lr": 1e-3,
    "weight_decay": 0.05,
    "warmup": 0.05,
    "batch_size": 1,
}
_NO_PRIOR = {"prior": None, "batch_size": 1}


class LikenessBiased(BrainLMTransformer):
    """Without a prior, but with attention that can go by how parcels correlate in the group."""

    def _fit_prior(self, recordings, valid, groups, donor, going_on):
        """Learn the correlations."""
        scaled = np.concatenate(self.scaler_.transform(recordings))
        self.likeness_ = np.corrcoef(scaled, rowvar=False)
        return [], None

    def _build_module(self):
        """Hand them to the network."""
        module, parameters = super()._build_module()
        return module, {**parameters, "parcel_similarity": self.likeness_}


class LoadedAutoencoder(MaskedAutoencoder):
    """Masked autoencoder that begins with given parcel embeddings, as far as they go."""

    def __init__(self, loadings, **parameters):
        super().__init__(**parameters)
        for positions in (self.positions, self.decoder.positions):
            table = positions.parcel_embedding.table
            n_kept = min(table.shape[1], loadings.shape[1])
            with torch.no_grad():
                table[:, :n_kept] = torch.as_tensor(loadings[:, :n_kept], dtype=table.dtype)


class LoadingsFirst(LikenessBiased):
    """The same, and parcels are told apart by their loadings from the start."""

    def _build_module(self):
        """Hand principal components to the network, the largest first."""
        _, parameters = super()._build_module()
        values, vectors = np.linalg.eigh(self.likeness_)
        loadings = vectors * np.sqrt(np.maximum(values, 0.0))
        return LoadedAutoencoder, {**parameters, "loadings": loadings[:, ::-1].copy()}


def _variant(kind=BrainLMTransformer, **options):
    """Return what builds a variant for recordings."""

    def build(setting, seed):
        return kind(
            **options,
            scaler=None,
            parcel_coords=setting.parcel_coords,
            t_r=setting.t_r,
            validation_fraction=0.0,
            random_state=seed,
        )

    return build


VARIANTS = {
    RELEASED: _variant(**_RELEASED),
    "Released recipe, coordinates x 0.01, no dropout": _variant(
        **{**_RELEASED, "xyz_scale": 0.01, "dropout": 0.0}
    ),
    DEFAULT: _variant(**_NO_PRIOR),
    "Full decoder": _variant(**_NO_PRIOR, decoder="full"),
    "Quarter of the masked decoded": _variant(**_NO_PRIOR, decoded_fraction=0.25),
    "Eighth of the masked decoded": _variant(**_NO_PRIOR, decoded_fraction=0.125),
    "Mask ratio 0.75": _variant(**_NO_PRIOR, mask_ratio=0.75),
    "Mask ratio 0.9": _variant(**_NO_PRIOR, mask_ratio=0.9),
    "Full attention": _variant(**_NO_PRIOR, attention="full"),
    "Patches of 40 timepoints": _variant(**_NO_PRIOR, patch_length=40),
    "Four windows a step": _variant(**{**_NO_PRIOR, "batch_size": 4}),
    "Learning rate x 3": _variant(**_NO_PRIOR, lr=4.5e-3),
    "Long warm-up": _variant(**_NO_PRIOR, warmup=0.3),
    "Attention biased by the covariance": _variant(LikenessBiased, **_NO_PRIOR),
    "The same, and loadings as parcel embeddings": _variant(LoadingsFirst, **_NO_PRIOR),
    "Factor network": _variant(
        FactorReconstructor, **{**_NO_PRIOR, "lr": 3e-3, "weight_decay": 0.0}
    ),
    "BrainLM": _variant(),
}
