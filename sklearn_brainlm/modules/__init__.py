"""The masked autoencoder, in torch and nothing else: tensors in, tensors out.

Shapes are written with these letters: ``B`` windows in a batch, ``P`` parcels, ``T`` timepoints,
``L`` patch length, ``R`` token rows and ``C`` patch columns of a window, ``N = R * C`` tokens,
``K`` visible and ``M`` masked tokens, ``D`` embedding, ``h`` heads and ``d = D / h``.
Signals are parcel-major, ``(B, P, T)``, and token ``row * C + column`` is the patch of that row and
column.
"""

from sklearn_brainlm.modules.attention import Attention
from sklearn_brainlm.modules.autoencoder import MaskedAutoencoder
from sklearn_brainlm.modules.blocks import Block, CrossBlock, FactorisedBlock, Mlp, set_blocks
from sklearn_brainlm.modules.channels import ChannelEmbedding, ChannelHead
from sklearn_brainlm.modules.decoder import CrossDecoder, FullDecoder
from sklearn_brainlm.modules.embeddings import (
    ParcelEmbedding,
    TokenPositions,
    image_code,
    time_code,
)
from sklearn_brainlm.modules.encoder import FactorisedEncoder, FullEncoder
from sklearn_brainlm.modules.forecasting import ForecastingNetwork
from sklearn_brainlm.modules.heads import ReleasedFinetuning
from sklearn_brainlm.modules.informed import InformedAutoencoder
from sklearn_brainlm.modules.masking import last_frames, put_tokens, take_tokens
from sklearn_brainlm.modules.patching import patchify, unpatchify
from sklearn_brainlm.modules.prediction import PredictionNetwork, label_loss
from sklearn_brainlm.modules.prior import GaussianPrior
from sklearn_brainlm.modules.released import ReleasedImageAutoencoder
from sklearn_brainlm.modules.wiener import AdaptiveWiener

__all__ = [
    "AdaptiveWiener",
    "Attention",
    "Block",
    "ChannelEmbedding",
    "ChannelHead",
    "CrossBlock",
    "CrossDecoder",
    "FactorisedBlock",
    "FactorisedEncoder",
    "ForecastingNetwork",
    "FullDecoder",
    "FullEncoder",
    "GaussianPrior",
    "InformedAutoencoder",
    "MaskedAutoencoder",
    "Mlp",
    "ParcelEmbedding",
    "PredictionNetwork",
    "ReleasedFinetuning",
    "ReleasedImageAutoencoder",
    "TokenPositions",
    "image_code",
    "label_loss",
    "last_frames",
    "patchify",
    "put_tokens",
    "set_blocks",
    "take_tokens",
    "time_code",
    "unpatchify",
]
