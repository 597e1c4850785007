"""The 13M family against numbers that the authors' program printed for random weights.

The folder of these numbers comes from the environment variable BRAINLM_FIXTURES. Only the network
is checked, with the keys mapped here; reading released files is not.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sklearn_brainlm.modules import MaskedAutoencoder

FOLDER = os.environ.get("BRAINLM_FIXTURES")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="BRAINLM_FIXTURES does not name the folder of the released numbers"
)

STACKS = {"vit.encoder.layer.": "encoder", "decoder.decoder_layers.": "decoder.blocks"}
LAYER = {
    "attention.self.conv.weight": "attention.conv",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
    "output.LayerNorm": "mlp_norm",
}
OUTSIDE = {
    "vit.embeddings.cls_token": "cls_token",
    "vit.embeddings.signal_embedding_projection": "patch_embedding",
    "vit.embeddings.xyz_embedding_projection": "positions.parcel_embedding.xyz",
    "vit.layernorm": "encoder_norm",
    "decoder.mask_token": "decoder.mask_token",
    "decoder.decoder_embed": "decoder.embedding",
    "decoder.decoder_xyz_projection": "decoder.positions.parcel_embedding.xyz",
    "decoder.decoder_norm": "decoder.norm",
    "decoder.decoder_pred1": "decoder.head.0",
    "decoder.decoder_pred2": "decoder.head.2",
}


def map_keys(released):
    """Rename the released weights, join queries, keys and values, leave out what is unused."""
    weights = {}
    for key, value in released.items():
        stem, _, kind = key.rpartition(".")
        if key in OUTSIDE or stem in OUTSIDE:
            weights[OUTSIDE.get(key) or f"{OUTSIDE[stem]}.{kind}"] = value
        for theirs, ours in STACKS.items():
            if not key.startswith(theirs):
                continue
            index, _, name = key.removeprefix(theirs).partition(".")
            stem = name.rpartition(".")[0]
            if name.startswith("attention.self.query"):
                parts = [released[key.replace("query", part)] for part in ("query", "key", "value")]
                weights[f"{ours}.{index}.attention.qkv.{kind}"] = torch.cat(parts)
            elif name in LAYER:
                weights[f"{ours}.{index}.{LAYER[name]}"] = value[:, 0, :, 0]
            elif stem in LAYER:
                weights[f"{ours}.{index}.{LAYER[stem]}.{kind}"] = value
    return weights


def build(folder, xyz):
    """Build our network with the sizes and weights of a folder."""
    config = json.loads((folder / "config.json").read_text())
    autoencoder = MaskedAutoencoder(
        n_parcels=config["num_brain_voxels"],
        patch_length=config["timepoint_patching_size"],
        embed_dim=config["hidden_size"],
        depth=config["num_hidden_layers"],
        n_heads=config["num_attention_heads"],
        mlp_dim=config["intermediate_size"],
        decoder_embed_dim=config["decoder_hidden_size"],
        decoder_depth=config["decoder_num_hidden_layers"],
        decoder_n_heads=config["decoder_num_attention_heads"],
        decoder_mlp_dim=config["decoder_intermediate_size"],
        norm="post",
        token_conv=config["conv_kernel_size"],
        parcel_coords=xyz,
        dropout=0.1,
    )
    released = load_file(folder / "pytorch_model.safetensors")
    autoencoder.load_state_dict(map_keys(released), strict=True)
    return autoencoder.eval(), released


@pytest.mark.parametrize(
    "name", ["brainlm_tiny_mask02", "brainlm_tiny_mask075_mae", "brainlm_a424_mask02"]
)
def test_released_network_gives_the_released_numbers(name):
    folder = Path(FOLDER) / name
    arrays = np.load(folder / "data.npz", allow_pickle=False)
    for window in range(len(arrays["signal_vectors"])):
        # Every window has its own coordinates there; ours belong to the network.
        autoencoder, _ = build(folder, arrays["xyz_vectors"][window])
        signals = torch.tensor(arrays["signal_vectors"][[window]])
        ids = torch.tensor(np.argsort(arrays["noise"][[window]], axis=1))
        ids_keep, ids_mask = ids.split(
            [arrays["ids_keep"].shape[1], ids.shape[1] - arrays["ids_keep"].shape[1]], dim=1
        )
        np.testing.assert_array_equal(ids_keep[0], arrays["ids_keep"][window])
        with torch.inference_mode():
            latent, attentions = autoencoder.forward_encoder(
                signals, ids_keep, return_attention=True
            )
            # All tokens, the visible ones too, because the release decodes them all.
            every_id = torch.arange(ids.shape[1])[None]
            n_columns = ids.shape[1] // signals.shape[1]
            predicted = autoencoder.forward_decoder(latent, ids_keep, every_id, n_columns)
            masked = autoencoder(signals, ids_keep, ids_mask)
        tolerance = {"atol": 2e-5, "rtol": 1e-4}
        np.testing.assert_allclose(latent[0], arrays["last_hidden_state"][window], **tolerance)
        logits = torch.tensor(arrays["logits"][window]).flatten(0, 1)
        np.testing.assert_allclose(predicted[0], logits, **tolerance)
        np.testing.assert_allclose(masked[0], logits[ids_mask[0]], **tolerance)
        for layer, attention in enumerate(attentions):
            if f"attention_{layer}" in arrays:
                expected = arrays[f"attention_{layer}"][window]
                np.testing.assert_allclose(attention[0], expected, **tolerance)


def test_released_loss_is_reproduced():
    folder = Path(FOLDER) / "brainlm_tiny_mask02"
    arrays = np.load(folder / "data.npz", allow_pickle=False)
    n_visible = arrays["ids_keep"].shape[1]
    losses = []
    for window in range(len(arrays["signal_vectors"])):
        autoencoder, _ = build(folder, arrays["xyz_vectors"][window])
        signals = torch.tensor(arrays["signal_vectors"][[window]])
        ids = torch.tensor(np.argsort(arrays["noise"][[window]], axis=1))
        ids_keep, ids_mask = ids[:, :n_visible], ids[:, n_visible:]
        with torch.inference_mode():
            predicted = autoencoder(signals, ids_keep, ids_mask)
            losses.append(autoencoder.forward_loss(signals, predicted, ids_mask).item())
    np.testing.assert_allclose(np.mean(losses), arrays["loss"], rtol=1e-5)


def test_only_dead_weights_and_tables_are_left_out():
    folder = Path(FOLDER) / "brainlm_tiny_mask02"
    xyz = np.load(folder / "data.npz", allow_pickle=False)["xyz_vectors"][0]
    autoencoder, released = build(folder, xyz)
    left_out = {key: value for key, value in released.items() if "decoder_pred." in key}
    tables = [key for key in released if key.endswith("pos_embedding.pe")]
    assert len(left_out) == 2 and len(tables) == 2
    n_left_out = sum(value.numel() for value in left_out.values())
    n_tables = sum(released[key].numel() for key in tables)
    n_released = sum(value.numel() for value in released.values())
    assert autoencoder.n_parameters + n_left_out + n_tables == n_released
