"""The released checkpoints: their tensors into our networks, and back."""

import numpy as np
import torch

from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.grids import order_along_y
from sklearn_brainlm.modules import (
    MaskedAutoencoder,
    ReleasedFinetuning,
    ReleasedImageAutoencoder,
    image_code,
    set_blocks,
    time_code,
)
from sklearn_brainlm.official.configs import check_config, family_of
from sklearn_brainlm.official.keys import tensors

__all__ = ["build_module", "check_config", "export_arrays", "family_of", "make_network"]

_TARGET_LOSSES = {
    "mse": "squared",
    "mae": "absolute",
    "binary_cross_entropy": "cross_entropy",
    "weighted_mse": "weighted",
}
# A tensor that only files of one family have.
_SIGNS = {
    "mlp_pred_head.lin1.weight": "vitmae_finetuned",
    "vit.embeddings.patch_embeddings.projection.weight": "vitmae",
    "vit.embeddings.signal_embedding_projection.weight": "brainlm",
}


def build_module(config, arrays, parcel_coords=None):
    """Build a released network around the tensors of its file.

    Parameters
    ----------
    config : dict
        What config.json holds.
    arrays : dict of str to array
        The tensors by their released names. They are taken out one by one and mostly become the
        weights themselves, so that there is no second copy of them.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates of the parcels in millimetres, without which nothing can be computed.

    Returns
    -------
    module : torch.nn.Module
        The network, ready to compute.
    leftovers : dict of str to array
        Tensors that no computation uses.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected, or of another shape or kind than `config` says.
    """
    settings = check_config(config)
    _check_tensors(settings, arrays)
    state, leftovers, parts = {}, {}, {}
    for name, _, ours in tensors(settings):
        array = np.ascontiguousarray(arrays.pop(name), dtype=np.float32)
        if ours is None:
            leftovers[name] = array
        elif ".qkv." in ours:
            parts.setdefault(ours, []).append(array)
            if len(parts[ours]) == 3:
                state[ours] = torch.from_numpy(np.concatenate(parts.pop(ours)))
        else:
            state[ours] = torch.from_numpy(array)
    _check_tables(settings, leftovers)
    with torch.device("meta"):  # shapes without memory
        module = make_network(config, parcel_coords)
    for name, weight in module.state_dict().items():
        if name in state:
            state[name] = state[name].reshape(weight.shape)
    module.load_state_dict(state, assign=True)
    _fill_buffers(module, parcel_coords)
    return module.eval(), leftovers


def export_arrays(config, module, leftovers):
    """Take the tensors of a released network apart, under their released names.

    Parameters
    ----------
    config : dict
        What config.json holds.
    module : torch.nn.Module
        The network.
    leftovers : dict of str to array
        Tensors that no computation uses.

    Returns
    -------
    arrays : dict of str to array
        Those that the file had.
    """
    state, n_taken, arrays = module.state_dict(), {}, {}
    for name, shape, ours in tensors(check_config(config)):
        if ours is None:
            arrays[name] = leftovers[name]
            continue
        weight = state[ours]
        if ".qkv." in ours:
            part = n_taken.get(ours, 0)
            n_taken[ours] = part + 1
            weight = weight.chunk(3)[part]
        arrays[name] = weight.detach().cpu().numpy().reshape(shape)
    return arrays


def make_network(config, parcel_coords=None):
    """Make a released network, its weights still to come.

    Parameters
    ----------
    config : dict
        What config.json holds.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates of the parcels in millimetres.

    Returns
    -------
    network : torch.nn.Module
        The network.
    """
    c = check_config(config)
    sizes = {
        "embed_dim": c["hidden_size"],
        "depth": c["num_hidden_layers"],
        "n_heads": c["num_attention_heads"],
        "mlp_dim": c["intermediate_size"],
        "decoder_embed_dim": c["decoder_hidden_size"],
        "decoder_depth": c["decoder_num_hidden_layers"],
        "decoder_n_heads": c["decoder_num_attention_heads"],
        "decoder_mlp_dim": c["decoder_intermediate_size"],
    }
    if c["family"] == "brainlm":
        known = parcel_coords is not None
        coords = parcel_coords if known else np.zeros((c["num_brain_voxels"], 3))
        network = MaskedAutoencoder(
            n_parcels=len(coords),
            patch_length=c["timepoint_patching_size"],
            norm="post",
            token_conv=c["conv_kernel_size"],
            parcel_coords=coords,
            head="tanh" if c["use_tanh_decoder"] else "mlp",
            loss="squared" if c["loss_fn"] == "mse" else "absolute",
            dropout=0.1,  # written into the released program, whatever its configuration says
            **sizes,
        )
        set_blocks(network, c["layer_norm_eps"], c["hidden_dropout_prob"])
        if not known:
            for positions in (network.positions, network.decoder.positions):
                positions.parcel_embedding.coords = None
        return network
    parameters = {
        "image_size": c["image_size"],
        "patch_length": c["patch_size"],
        "n_channels": c["num_channels"],
        "parcel_order": order_along_y(parcel_coords),
        "qkv_bias": c["qkv_bias"],
        "norm_eps": c["layer_norm_eps"],
        "hidden_dropout": c["hidden_dropout_prob"],
        "mask_ratio": c["mask_ratio"],
        "normalise_target": c["norm_pix_loss"],
        "has_decoder": c["has_decoder"],
        **sizes,
    }
    if c["family"] == "vitmae":
        return ReleasedImageAutoencoder(train_mode=c["train_mode"], **parameters)
    pos_weight = c["pos_weight_as_given"]
    if c["loss_fn"] != "binary_cross_entropy":
        pos_weight = None  # not in the file then
    return ReleasedFinetuning(
        target_loss=_TARGET_LOSSES[c["loss_fn"]],
        mean_pooling=c["use_mean_pooling"],
        sigmoid=c["sigmoid_outputs"],
        pos_weight=None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32),
        **parameters,
    )


def _check_tensors(settings, arrays):
    """Refuse a file whose tensors are not exactly those that its configuration asks for."""
    said = settings["family"]
    found = next((family for name, family in _SIGNS.items() if name in arrays), None)
    if found is not None and found != said:
        raise CheckpointError(
            f"config.json says that the weights are of the family {said!r}, and their tensors are "
            f"those of {found!r}. Take config.json and weights from one folder."
        )
    expected = {name: shape for name, shape, _ in tensors(settings)}
    faults = {
        "missing": sorted(set(expected) - set(arrays)),
        "unexpected": sorted(set(arrays) - set(expected)),
        "of a wrong shape": [
            f"{name} {array.shape} instead of {expected[name]}"
            for name, array in sorted(arrays.items())
            if name in expected and array.shape != expected[name]
        ],
        "not of floating point": [
            name for name, a in sorted(arrays.items()) if name in expected and a.dtype.kind != "f"
        ],
    }
    listed = [f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names]
    if listed:
        raise CheckpointError(
            f"The tensors are not those of a {said!r} model of this configuration. "
            f"{'; '.join(listed)}. Nothing was loaded."
        )


def _check_tables(settings, leftovers):
    """Compare the tables of positions in a file with those that are computed here."""
    for name, table in leftovers.items():
        if "decoder_pred." in name:
            continue
        if name.endswith("pos_embedding.pe"):
            known = time_code(*table.shape).numpy()
            # The release computed angles in float32: far rows are off, and are never used.
            known, table = known[:200], table[:200]
        else:
            side = settings["image_size"] // settings["patch_size"]
            known = np.zeros_like(table)
            known[0, 1:] = image_code(side, side, table.shape[2]).numpy()
        if not np.allclose(table, known, atol=1e-4):
            raise CheckpointError(
                f"{name} is not the table of sines and cosines of the released models: largest "
                f"difference {np.abs(table - known).max():.3g}."
            )


def _fill_buffers(module, parcel_coords):
    """Give a network that was made without memory what is not in its file."""
    if parcel_coords is None:
        return
    if getattr(module, "parcel_order", None) is not None:
        module.parcel_order = torch.from_numpy(order_along_y(parcel_coords))
    for part in module.modules():
        if getattr(part, "coords", None) is not None:
            part.coords = torch.tensor(np.asarray(parcel_coords), dtype=torch.float32)
