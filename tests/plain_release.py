"""The released forward passes, written plainly from their description: float64, no shortcut.

Weights keep their released names, attention is an explicit matrix, all tokens are decoded.
"""

import numpy as np
import torch
from torch.nn import functional as F


def plain_brainlm(config, weights, signals, coords, ids_keep):
    """Run one window of the 13M family; returns all that the released program returns."""
    w, eps = _doubles(weights), config.get("layer_norm_eps", 1e-12)
    n_parcels, patch = signals.shape[0], config["timepoint_patching_size"]
    n_columns = signals.shape[1] // patch
    patches = torch.tensor(signals).double().reshape(n_parcels, n_columns, patch)
    xyz = torch.tensor(coords).double()[:, None]
    x = _linear(w, "vit.embeddings.signal_embedding_projection", patches)
    x = x + _linear(w, "vit.embeddings.xyz_embedding_projection", xyz)
    x = x + w["vit.embeddings.pos_embedding.pe"][:n_columns]
    x = torch.cat([w["vit.embeddings.cls_token"][0], x.flatten(0, 1)[ids_keep]])
    embedded, attentions = x, []
    for number in range(config["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{number}"
        x, attention = _post_norm_layer(w, layer, x, config["num_attention_heads"], eps)
        attentions.append(attention)
    latent = _norm(w, "vit.layernorm", x, eps)
    y = _linear(w, "decoder.decoder_embed", latent)
    tokens = w["decoder.mask_token"][0].repeat(n_parcels * n_columns, 1)
    tokens[ids_keep] = y[1:]
    tokens = tokens.reshape(n_parcels, n_columns, -1)
    tokens = tokens + _linear(w, "decoder.decoder_xyz_projection", xyz)
    tokens = tokens + w["decoder.pos_embedding.pe"][:n_columns]
    y = torch.cat([y[:1], tokens.flatten(0, 1)])
    for number in range(config["decoder_num_hidden_layers"]):
        layer, heads = f"decoder.decoder_layers.{number}", config["decoder_num_attention_heads"]
        y, _ = _post_norm_layer(w, layer, y, heads, eps)
    y = _linear(w, "decoder.decoder_pred1", _norm(w, "decoder.decoder_norm", y, eps))
    logits = _linear(w, "decoder.decoder_pred2", F.leaky_relu(y, 0.1))[1:]
    if config.get("use_tanh_decoder"):
        logits = logits.tanh()
    mask = torch.ones(len(logits)).double()
    mask[ids_keep] = 0
    error = logits - patches.flatten(0, 1)
    error = error**2 if config["loss_fn"] == "mse" else error.abs()
    return {
        "embeddings": embedded,
        "attentions": attentions,
        "latent": latent,
        "logits": logits.reshape(patches.shape),
        "loss": (error * mask[:, None]).sum() / (mask.sum() * patch),
    }


def plain_vitmae(config, weights, signals, ids_keep, zeroed=slice(0, 0), mask=None):
    """Run one window of the image family; a pixel mask of the window gives it a loss."""
    w, eps = _doubles(weights), config.get("layer_norm_eps", 1e-12)
    patch, channels = config["patch_size"], config["num_channels"]
    side = {16: 432, 14: 434}[patch]
    signals = torch.tensor(signals).double()
    top, left = (side - signals.shape[0]) // 2, (side - signals.shape[1]) // 2
    picture = torch.full((side, side), -1.0).double()
    window = slice(top, side - top), slice(left, side - left)
    picture[window] = signals
    picture[:, zeroed] = 0.0
    projection = "vit.embeddings.patch_embeddings.projection"
    x = F.conv2d(
        picture.repeat(1, channels, 1, 1), w[f"{projection}.weight"], w[f"{projection}.bias"], patch
    )
    x = x[0].flatten(1).T
    positions = w["vit.embeddings.position_embeddings"][0]
    x = (x + positions[1:])[ids_keep]
    x = torch.cat([w["vit.embeddings.cls_token"][0] + positions[:1], x])
    attentions = []
    for number in range(config["num_hidden_layers"]):
        layer = f"vit.encoder.layer.{number}"
        x, attention = _pre_norm_layer(w, layer, x, config["num_attention_heads"], eps)
        attentions.append(attention)
    latent = _norm(w, "vit.layernorm", x, eps)
    made = {"latent": latent, "attentions": attentions}
    if "decoder.mask_token" not in w:
        return made
    y = _linear(w, "decoder.decoder_embed", latent)
    tokens = w["decoder.mask_token"][0].repeat(len(positions) - 1, 1)
    tokens[ids_keep] = y[1:]
    y = torch.cat([y[:1], tokens]) + w["decoder.decoder_pos_embed"][0]
    for number in range(config["decoder_num_hidden_layers"]):
        layer, heads = f"decoder.decoder_layers.{number}", config["decoder_num_attention_heads"]
        y, _ = _pre_norm_layer(w, layer, y, heads, eps)
    y = _linear(w, "decoder.decoder_pred", _norm(w, "decoder.decoder_norm", y, eps))[1:]
    n_rows = side // patch
    y = y.reshape(n_rows, n_rows, patch, patch, channels).permute(0, 2, 1, 3, 4)
    logits = y.reshape(side, side, channels)[window].mean(2)
    target = signals
    if config.get("norm_pix_loss"):
        mean, variance = signals.mean(1, keepdim=True), signals.var(1, keepdim=True)
        target = (signals - mean) / (variance + 1e-6) ** 0.5
    if mask is not None:
        mask = torch.as_tensor(mask).double()
        made["loss"] = ((logits - target) ** 2 * mask).sum() / mask.sum()
    return {**made, "logits": logits}


def plain_last_frames(config, shape):
    """Mark what the release masks at the end of a window, column by column.

    Returns the masked tokens, the columns of the picture that become zero, and the pixel mask.
    """
    patch, n_timepoints = config["patch_size"], shape[1]
    side = {16: 432, 14: 434}[patch]
    left = (side - n_timepoints) // 2
    n_masked = int(config["mask_ratio"] * n_timepoints)
    is_last = np.zeros(side, dtype=bool)
    is_last[left + n_timepoints - n_masked : left + n_timepoints] = True
    is_window = np.zeros(side, dtype=bool)
    is_window[left : left + n_timepoints] = True
    columns = []
    for column in range(side // patch):
        here = slice(column * patch, (column + 1) * patch)
        some, every = is_last[here].any(), (is_last | ~is_window)[here].all()
        columns.append(some if config["train_mode"] == "predict_last" else some and every)
    masked = np.repeat(np.array(columns), patch)
    zeroed = np.zeros(side, dtype=bool)
    if config["train_mode"] == "predict_last_pixel":
        zeroed = is_last & ~masked
    mask = np.tile((masked | zeroed)[is_window], (shape[0], 1))
    return np.tile(columns, side // patch), zeroed, mask


def plain_head(weights, latent, mean_pooling):
    """Predict one number from the encoded tokens of a window."""
    w = _doubles(weights)
    x = latent.mean(0) if mean_pooling else latent[0]
    x = _linear(w, "mlp_pred_head.lin1", x).relu()
    x = _linear(w, "mlp_pred_head.lin2", x).relu()
    return _linear(w, "mlp_pred_head.lin3", x)


def _doubles(weights):
    return {name: torch.tensor(value).double() for name, value in weights.items()}


def _linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def _norm(w, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def _attend(w, name, x, n_heads):
    """Attend explicitly, with the convolution of the values where the weights have one."""
    q, k, v = (
        _linear(w, f"{name}.{part}", x).unflatten(1, (n_heads, -1)).transpose(0, 1)
        for part in ("query", "key", "value")
    )
    attention = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(2)
    attended = attention @ v
    filters = w.get(f"{name}.conv.weight")
    if filters is not None:
        reach = filters.shape[2] // 2
        for head in range(n_heads):
            padded = F.pad(v[head], (0, 0, reach, reach))
            for tap in range(filters.shape[2]):
                attended[head] += filters[head, 0, tap, 0] * padded[tap : tap + len(x)]
    return attended.transpose(0, 1).flatten(1), attention


def _post_norm_layer(w, layer, x, n_heads, eps):
    attended, attention = _attend(w, f"{layer}.attention.self", x, n_heads)
    attended = _linear(w, f"{layer}.attention.output.dense", attended)
    x = _norm(w, f"{layer}.attention.output.LayerNorm", x + attended, eps)
    hidden = F.gelu(_linear(w, f"{layer}.intermediate.dense", x))
    return _norm(
        w, f"{layer}.output.LayerNorm", x + _linear(w, f"{layer}.output.dense", hidden), eps
    ), attention


def _pre_norm_layer(w, layer, x, n_heads, eps):
    normed = _norm(w, f"{layer}.layernorm_before", x, eps)
    attended, attention = _attend(w, f"{layer}.attention.attention", normed, n_heads)
    x = x + _linear(w, f"{layer}.attention.output.dense", attended)
    hidden = _linear(w, f"{layer}.intermediate.dense", _norm(w, f"{layer}.layernorm_after", x, eps))
    return x + _linear(w, f"{layer}.output.dense", F.gelu(hidden)), attention
