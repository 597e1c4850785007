"""The released forward passes, written down step by step: what the fast ones are compared with.

Every token is embedded, attention matrices are written out, and a filter over tokens is a
convolution, as the released program has it. Nothing of this package is used.
"""

import math

import torch
from torch.nn import functional as F


def embed_brainlm(tensors, config, signals, coords, ids_keep):
    """Encode windows by the 13M family.

    Parameters
    ----------
    tensors : dict of str to tensor
        Weights by their released names.
    config : dict
        The released configuration.
    signals : tensor of shape (B, P, T)
        Windows.
    coords : tensor of shape (P, 3)
        MNI coordinates in millimetres.
    ids_keep : int64 tensor of shape (B, K)
        Visible tokens, in their order.

    Returns
    -------
    latent : tensor of shape (B, 1 + K, D)
        The last hidden state.
    """
    n_windows, n_parcels, _ = signals.shape
    patches = signals.unflatten(2, (-1, config["timepoint_patching_size"]))  # (B, P, C, L)
    embeddings = "vit.embeddings"
    tokens = _linear(tensors, f"{embeddings}.signal_embedding_projection", patches)
    tokens = tokens + _linear(tensors, f"{embeddings}.xyz_embedding_projection", coords)[:, None]
    tokens = tokens + tensors[f"{embeddings}.pos_embedding.pe"][: patches.shape[2]]
    tokens = tokens.flatten(1, 2)  # (B, N, D)
    tokens = tokens.gather(1, ids_keep[..., None].expand(-1, -1, tokens.shape[2]))
    cls_token = tensors[f"{embeddings}.cls_token"].expand(n_windows, -1, -1)
    tokens = torch.cat([cls_token, tokens], dim=1)
    for number in range(config["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{number}"
        attended = _attend(
            tensors, f"{layer}.attention.self", tokens, config["num_attention_heads"]
        )
        attended = _linear(tensors, f"{layer}.attention.output.dense", attended)
        tokens = _norm(tensors, f"{layer}.attention.output.LayerNorm", tokens + attended)
        hidden = F.gelu(_linear(tensors, f"{layer}.intermediate.dense", tokens))
        hidden = _linear(tensors, f"{layer}.output.dense", hidden)
        tokens = _norm(tensors, f"{layer}.output.LayerNorm", tokens + hidden)
    return _norm(tensors, "vit.layernorm", tokens)


def embed_vitmae(tensors, config, signals, ids_keep):
    """Encode windows by the image family.

    Parameters
    ----------
    tensors : dict of str to tensor
        Weights by their released names.
    config : dict
        The released configuration.
    signals : tensor of shape (B, P, T)
        Windows, the parcels in the order of the rows.
    ids_keep : int64 tensor of shape (B, K)
        Visible tokens, in their order.

    Returns
    -------
    latent : tensor of shape (B, 1 + K, D)
        The last hidden state.
    """
    side = torch.Size(config["image_size"])
    rows, columns = (side[0] - signals.shape[1]) // 2, (side[1] - signals.shape[2]) // 2
    picture = F.pad(signals, (columns, columns, rows, rows), value=-1.0)
    picture = picture[:, None].expand(-1, config["num_channels"], -1, -1)
    projection = "vit.embeddings.patch_embeddings.projection"
    weight, bias = tensors[f"{projection}.weight"], tensors[f"{projection}.bias"]
    tokens = F.conv2d(picture, weight, bias, stride=config["patch_size"]).flatten(2).transpose(1, 2)
    positions = tensors["vit.embeddings.position_embeddings"]
    tokens = tokens + positions[:, 1:]
    tokens = tokens.gather(1, ids_keep[..., None].expand(-1, -1, tokens.shape[2]))
    cls_token = tensors["vit.embeddings.cls_token"] + positions[:, :1]
    tokens = torch.cat([cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
    for number in range(config["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{number}"
        attended = _attend(
            tensors,
            f"{layer}.attention.attention",
            _norm(tensors, f"{layer}.layernorm_before", tokens),
            config["num_attention_heads"],
        )
        tokens = tokens + _linear(tensors, f"{layer}.attention.output.dense", attended)
        hidden = _norm(tensors, f"{layer}.layernorm_after", tokens)
        hidden = F.gelu(_linear(tensors, f"{layer}.intermediate.dense", hidden))
        tokens = tokens + _linear(tensors, f"{layer}.output.dense", hidden)
    return _norm(tensors, "vit.layernorm", tokens)


def _attend(tensors, name, tokens, n_heads):
    """Attend by matrices, and filter the values over the tokens where there is a filter."""
    query, key, value = (
        _linear(tensors, f"{name}.{part}", tokens).unflatten(2, (n_heads, -1)).transpose(1, 2)
        for part in ("query", "key", "value")
    )  # (B, h, N, d)
    scale = math.sqrt(math.sqrt(query.shape[3]))
    attention = ((query / scale) @ (key / scale).transpose(2, 3)).softmax(3)
    attended = attention @ value
    kernel = tensors.get(f"{name}.conv.weight")
    if kernel is not None:
        attended = attended + F.conv2d(
            value, kernel, padding=(kernel.shape[2] // 2, 0), groups=n_heads
        )
    return attended.transpose(1, 2).flatten(2)


def _linear(tensors, name, x):
    """Apply a linear layer."""
    return F.linear(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))


def _norm(tensors, name, x):
    """Normalise."""
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.layer_norm(x, weight.shape, weight, bias, 1e-12)
