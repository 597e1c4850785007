"""Released networks against the plain forward passes of ``plain_release.py``, in many variants.

And against numbers: the tiny networks of the fixtures are rebuilt here from their seeds, and what
they make of drawn windows was written down when all folders of fixtures agreed. What the released
program printed is in test_official.py.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_release import plain_brainlm, plain_head, plain_last_frames, plain_vitmae
from released_files import draw_tensors
from safetensors.numpy import load_file

from sklearn_brainlm.modules import last_frames
from sklearn_brainlm.official import networks
from sklearn_brainlm.official.configs import check_config

FOLDER = os.environ.get("BRAINLM_FIXTURES")
TIGHT = {"atol": 2e-5, "rtol": 1e-4}

LAYERS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
    "num_channels": 3,
    "patch_size": 16,
}
BRAINLM = {
    **LAYERS,
    "model_type": "brainlm_mae",
    "architectures": ["BrainLMForPretraining"],
    "num_brain_voxels": 24,
    "num_timepoints_per_voxel": 120,
    "timepoint_patching_size": 20,
    "conv_kernel_size": 65,
    "mask_ratio": 0.2,
    "loss_fn": "mse",
}
WIDER = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "decoder_hidden_size": 24,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 56,
}
VITMAE = {
    **LAYERS,
    "model_type": "vit_mae",
    "architectures": ["ViTMAEForPreTraining"],
    "decoder_hidden_size": 12,
    "decoder_intermediate_size": 24,
    "image_size": [432, 432],
    "mask_ratio": 0.75,
    "train_mode": "auto_encode",
}
HEAD = {
    **VITMAE,
    "architectures": ["ViTMAEForFinetuning"],
    "loss_fn": "mse",
    "pos_weight": None,
    "sigmoid_outputs": False,
    "use_mean_pooling": False,
}
P14 = {"patch_size": 14, "image_size": [434, 434]}
LAST = {"train_mode": "predict_last", "mask_ratio": 0.1}
PIXEL = {"train_mode": "predict_last_pixel", "mask_ratio": 0.1}

# The tiny networks of the fixtures: configuration, seed, and what comes out, see `summary`.
TINY = {
    "brainlm_tiny_mask02": (BRAINLM, 101, [1.028212, 0.3750472, 0.1940545, -0.09921119]),
    "brainlm_tiny_mask075_mae": (
        {
            **BRAINLM,
            **WIDER,
            "num_brain_voxels": 30,
            "num_timepoints_per_voxel": 80,
            "timepoint_patching_size": 10,
            "mask_ratio": 0.75,
            "loss_fn": "mae",
        },
        112,
        [1.09028, -0.8012431, -1.102622, 1.004694],
    ),
    "vitmae_tiny_p16_mask075": (VITMAE, 201, [1.343538, 0.3014166, 0.03233916, -0.02188331]),
    "vitmae_tiny_p14_mask075": (
        {**VITMAE, **P14},
        212,
        [1.373541, -1.441388, -0.4375158, -0.3268051],
    ),
    "vitmae_tiny_p16_predict_last": (
        {**VITMAE, **LAST},
        223,
        [1.311862, -0.3475913, 0.09385975, 0.681662],
    ),
    "vitmae_tiny_p16_predict_last_pixel": (
        {**VITMAE, **PIXEL},
        234,
        [1.406851, -0.6000005, -0.3472086, 0.5000266],
    ),
    "vitmae_finetune_mse": (HEAD, 301, [0.00644088, 0.4197449]),
}


def draw_input(config, seed, shape=(424, 200)):
    """Draw one window, and coordinates or noise."""
    draw = np.random.RandomState(seed)
    if config["model_type"] == "brainlm_mae":
        shape = config["num_brain_voxels"], config["num_timepoints_per_voxel"]
    n_tokens = (432 // 16) ** 2 if config["patch_size"] == 16 else (434 // 14) ** 2
    if config["model_type"] == "brainlm_mae":
        n_tokens = shape[0] * shape[1] // config["timepoint_patching_size"]
    signals = draw.randn(*shape).astype(np.float32)
    return signals, draw.uniform(-60, 60, (shape[0], 3)), draw.rand(n_tokens)


def run_brainlm(config, signals, coords, noise, tensors):
    """Run one window as released; return what `plain_brainlm` returns, and the visible tokens."""
    module, _ = networks.build_module(config, dict(tensors), coords)
    order = np.argsort(noise)
    n_visible = int(len(noise) * (1 - config["mask_ratio"]))
    ids_keep, ids_mask = torch.tensor(order[None]).tensor_split([n_visible], dim=1)
    batch, every_id = torch.tensor(signals[None]), torch.arange(len(noise))[None]
    n_columns = len(noise) // len(signals)
    with torch.inference_mode():
        latent, attentions = module.forward_encoder(batch, ids_keep, return_attention=True)
        decoded = module.forward_decoder(latent, ids_keep, every_id, n_columns)
        predicted = module(batch, ids_keep, ids_mask)
        loss = module.forward_loss(batch, predicted, ids_mask)
    made = {"latent": latent[0], "attentions": [a[0] for a in attentions], "loss": loss}
    return {**made, "logits": decoded[0].unflatten(0, (-1, n_columns))}, order[:n_visible]


def summary(config, seed):
    """Return loss and first logits of a rebuilt network, or for a head loss and output."""
    tensors = draw_tensors(config, seed)
    signals, coords, noise = draw_input(config, seed + 1)
    if config["model_type"] == "brainlm_mae":
        made, _ = run_brainlm(config, signals, coords, noise, tensors)
        return [made["loss"].item(), *made["logits"][0, 0, :3].tolist()]
    module, _ = networks.build_module(config, tensors)
    batch, noise = torch.tensor(signals[None]), torch.tensor(noise[None])
    with torch.inference_mode():
        if "loss_fn" not in config:
            made = module.reproduce(batch, noise)
            return [made["loss"].item(), *made["logits"][0, 200, :3].tolist()]
        outputs = module.forward_target(batch, module.draw_tokens(200, noise)[0])
        loss = module.forward_target_loss(outputs, torch.tensor([0.5]))
    return [loss.item(), *outputs[0].tolist()]


@pytest.mark.parametrize("name", TINY)
def test_rebuilt_networks_make_the_numbers_written_down(name):
    config, seed, expected = TINY[name]
    found = summary(config, seed)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1:], expected[1:], **TIGHT)


@pytest.mark.skipif(not FOLDER, reason="BRAINLM_FIXTURES is not set: no weights to compare with")
@pytest.mark.parametrize("name", TINY)
def test_rebuilt_networks_are_those_of_the_fixtures(name):
    folder = Path(FOLDER) / name
    if not folder.is_dir():
        pytest.skip(f"these fixtures have no folder {name}")
    config, seed, _ = TINY[name]
    assert check_config(config) == check_config(json.loads((folder / "config.json").read_text()))
    stored, rebuilt = load_file(folder / "pytorch_model.safetensors"), draw_tensors(config, seed)
    assert set(stored) == set(rebuilt)
    for key, array in stored.items():
        if key.endswith(("pos_embedding.pe", "position_embeddings", "decoder_pos_embed")):
            np.testing.assert_allclose(array[:200], rebuilt[key][:200], atol=1e-4)
        else:
            np.testing.assert_array_equal(array, rebuilt[key], err_msg=key)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"loss_fn": "mae", "mask_ratio": 0.75},
        {"use_tanh_decoder": True},
        {"conv_kernel_size": 1},
        {"conv_kernel_size": 3, "num_brain_voxels": 5, "timepoint_patching_size": 8},
        {"conv_kernel_size": 301},
        {"conv_kernel_size": None},
        {"layer_norm_eps": 0.1},
        {"num_attention_heads": 8, "decoder_num_attention_heads": 1, "mask_ratio": 0.9},
        {**WIDER, "num_timepoints_per_voxel": 20},
        {"qkv_bias": False, "norm_pix_loss": True},  # of no effect in this family
    ],
    ids=str,
)
def test_13m_family_follows_the_plain_forward_pass(change):
    config = {**BRAINLM, **change}
    tensors = draw_tensors(config, seed=7)
    signals, coords, noise = draw_input(config, seed=8)
    made, ids_keep = run_brainlm(config, signals, coords, noise, tensors)
    expected = plain_brainlm(config, tensors, signals, coords, ids_keep)
    for key in ("latent", "logits"):
        np.testing.assert_allclose(made[key], expected[key], **TIGHT)
    np.testing.assert_allclose(made["loss"], expected["loss"], rtol=1e-5)
    for found, attention in zip(made["attentions"], expected["attentions"], strict=True):
        np.testing.assert_allclose(found, attention, **TIGHT)


@pytest.mark.parametrize("shape", [(424, 200), (100, 432 - 48), (2, 50)], ids=str)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mask_ratio": 0.4, "qkv_bias": False, "layer_norm_eps": 0.1},
        {**P14, "norm_pix_loss": True, "num_channels": 1},
        LAST,
        PIXEL,
        {**LAST, **P14, "mask_ratio": 0.5},
        {**PIXEL, **P14, "mask_ratio": 0.5},
    ],
    ids=str,
)
def test_image_family_follows_the_plain_forward_pass(change, shape):
    config = {**VITMAE, **change}
    tensors = draw_tensors(config, seed=7)
    signals, _, noise = draw_input(config, 8, shape)
    module, _ = networks.build_module(config, dict(tensors))
    with torch.inference_mode():
        made = module.reproduce(torch.tensor(signals[None]), torch.tensor(noise[None]))
    zeroed = np.zeros(1, dtype=bool)
    if config["train_mode"] == "auto_encode":
        ids_keep = np.argsort(noise)[: int(len(noise) * (1 - config["mask_ratio"]))]
        masked = np.ones(len(noise), dtype=bool)
        masked[ids_keep] = False
        mask = made["mask"][0]  # tokens unfolded, which patchify's own tests check
    else:
        masked, zeroed, mask = plain_last_frames(config, shape)
        ids_keep = np.flatnonzero(~masked)
        np.testing.assert_array_equal(made["mask"][0], mask)
    zeroed = torch.tensor(np.flatnonzero(zeroed))
    expected = plain_vitmae(config, tensors, signals, ids_keep, zeroed, mask)
    np.testing.assert_array_equal(made["token_mask"][0], masked)
    np.testing.assert_array_equal(made["ids_keep"][0], ids_keep)
    for key in ("latent", "logits"):
        np.testing.assert_allclose(made[key][0], expected[key], **TIGHT)
    np.testing.assert_allclose(made["loss"], expected["loss"], rtol=1e-5)


@pytest.mark.parametrize("change", [{}, PIXEL], ids=["auto_encode", "predict_last_pixel"])
def test_the_loss_of_training_is_that_of_the_plain_forward_pass(change):
    config = {**VITMAE, **change}
    module, _ = networks.build_module(config, draw_tensors(config, seed=7))
    signals, _, noise = draw_input(config, 8)
    signals, noise = torch.tensor(signals[None]), torch.tensor(noise[None])
    with torch.inference_mode():
        made = module.reproduce(signals, noise)
        ids_keep, ids_mask = module.draw_tokens(200, noise)
        picture, observed = module.picture(signals), None
        if change:  # the frames set to zero are in visible patches, which are predicted too
            picture[:, :, 296:304] = 0
            ids_mask = torch.arange(729).view(27, 27)[:, 18:20].reshape(1, -1)
            observed = torch.arange(200)[None] >= 180
        predicted = module(picture, ids_keep, ids_mask)
        loss = module.forward_loss(signals, predicted, ids_mask, observed)
    np.testing.assert_allclose(loss, made["loss"], rtol=1e-5)


def test_a_mask_within_the_last_patch_counts_nothing_as_released():
    masked, zeroed, counted = last_frames(200, 2, 432, 16, whole_patches=False)
    assert masked == slice(20, 20)
    assert zeroed == slice(314, 320)  # two frames, and four columns beyond the window
    assert list(range(200))[counted] == []
    config = {**VITMAE, **PIXEL, "mask_ratio": 0.01}
    module, _ = networks.build_module(config, draw_tensors(config, seed=7))
    with torch.inference_mode():
        assert torch.isnan(module.reproduce(torch.zeros(1, 4, 200))["loss"])


def test_image_family_has_no_loss_at_mask_ratio_zero():
    config = {**VITMAE, "mask_ratio": 0.0}
    module, _ = networks.build_module(config, draw_tensors(config, seed=7))
    noise = torch.rand(1, 729, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        made = module.reproduce(torch.zeros(1, 4, 6), noise)
    assert torch.isnan(made["loss"]) and torch.isfinite(made["logits"]).all()


@pytest.mark.parametrize("shape", [(423, 200), (424, 199), (434, 200)])
def test_windows_without_a_middle_are_refused(shape):
    module, _ = networks.build_module(VITMAE, draw_tensors(VITMAE, seed=7))
    with pytest.raises(ValueError, match=f"{shape[0]} parcels and {shape[1]} timepoints"):
        module.picture(torch.zeros(1, *shape))


def weighted(x, y):
    """Weighted squared error, band by band, window by window."""
    total = 0.0
    for prediction, label in zip(x, y, strict=True):
        error = (prediction - label) ** 2
        if -4.40 <= label <= -3.46:
            total += 0.01 * 24.16 * error
        if -3.35 <= label <= -2.40:
            total += 0.01 * 30.73 * error
        if -1.25 <= label <= -0.305:
            total += 0.01 * 1.5 * error
        if -0.199 <= label <= 0.747:
            total += 0.01 * error
        if 0.852 <= label <= 1.799:
            total += 0.01 * 2.11 * error
    return total


HEAD_LOSSES = {
    "mse": lambda x, y: ((x - y) ** 2).mean(),
    "mae": lambda x, y: np.abs(x - y).mean(),
    "binary_cross_entropy": lambda x, y: (
        -(1.75 * y * np.log(1 / (1 + np.exp(-x))) + (1 - y) * np.log(1 / (1 + np.exp(x)))).mean()
    ),
    "weighted_mse": weighted,
}


@pytest.mark.parametrize("change", [{}, {"use_mean_pooling": True, "sigmoid_outputs": True}])
@pytest.mark.parametrize("loss_fn", HEAD_LOSSES)
def test_heads_follow_the_plain_forward_pass(loss_fn, change):
    config = {**HEAD, **change, "loss_fn": loss_fn, "pos_weight": 1.75}
    tensors = draw_tensors(config, seed=7)
    module, _ = networks.build_module(config, dict(tensors))
    signals, _, noise = draw_input(config, 8, shape=(60, 80))
    signals = np.stack([signals, 0.5 * signals, -signals, 2 * signals, 1 - signals, signals])
    noise = torch.tensor(noise).repeat(6, 1)
    # One label in each band; the fourth is between two, where the weighted error is zero.
    labels = np.array([-4.0, -3.0, -1.0, 0.8, 0.5, 1.0], dtype=np.float32)
    labels = labels if loss_fn != "binary_cross_entropy" else (labels > 0).astype(np.float32)
    with torch.inference_mode():
        ids_keep, _ = module.draw_tokens(80, noise)
        outputs = module.forward_target(torch.tensor(signals), ids_keep)
        loss = module.forward_target_loss(outputs, torch.tensor(labels))
    plain = []
    for window in signals:
        latent = plain_vitmae(config, tensors, window, ids_keep[0])["latent"]
        plain.append(plain_head(tensors, latent, config["use_mean_pooling"]).item())
    plain = np.array(plain)
    if config["sigmoid_outputs"]:
        plain = 1 / (1 + np.exp(-plain))
    np.testing.assert_allclose(outputs[:, 0], plain, **TIGHT)
    np.testing.assert_allclose(loss, HEAD_LOSSES[loss_fn](plain, labels), rtol=1e-4)
    assert (loss_fn == "binary_cross_entropy") == ("pos_weight" in module.state_dict())
