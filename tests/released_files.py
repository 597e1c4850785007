"""Checkpoints in the released form, with weights drawn from a seed."""

import json

import numpy as np
from safetensors.numpy import save_file

from sklearn_brainlm.modules import image_code, time_code
from sklearn_brainlm.official.configs import check_config
from sklearn_brainlm.official.keys import tensors


def draw_tensors(config, seed):
    """Draw all tensors of a released configuration by the rule of the fixtures."""
    settings = check_config(config)
    shapes = {name: shape for name, shape, _ in tensors(settings)}
    draw, arrays = np.random.RandomState(seed), {}
    for key in sorted(shapes):
        shape = shapes[key]
        if key.endswith("pos_embedding.pe"):
            arrays[key] = time_code(*shape).numpy()
            continue
        if key.endswith(("position_embeddings", "decoder_pos_embed")):
            side = settings["image_size"] // settings["patch_size"]
            arrays[key] = np.zeros(shape, np.float32)
            arrays[key][0, 1:] = image_code(side, side, shape[2]).numpy()
            continue
        if key.endswith("pos_weight"):
            arrays[key] = np.full(shape, config["pos_weight"], np.float32)
            continue
        values = draw.randn(*shape)
        is_norm = "layernorm" in key.lower() or "decoder_norm" in key
        if is_norm and key.endswith("weight"):
            values = 1 + 0.1 * values
        elif key.endswith("bias"):
            values = 0.05 * values
        elif key.endswith(("cls_token", "mask_token")):
            values = 0.3 * values
        elif "xyz" in key:
            values = 0.01 * values
        elif key.endswith("conv.weight"):
            values = 0.05 * values
        else:
            values = values / np.sqrt(np.prod(shape[1:]))
        arrays[key] = values.astype(np.float32)
    return arrays


def write_checkpoint(folder, config, seed):
    """Write a folder in the released form."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(draw_tensors(config, seed), folder / "model.safetensors")
    return folder
