"""Released weights: what the released program printed is what comes out, and files round-trip.

The folders of ``BRAINLM_FIXTURES`` hold inputs, weights and outputs of the released program; any
folder of their form will do. Without them, the networks are rebuilt from seeds and compared with
numbers that were written down when all folders agreed.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from released_files import draw_tensors, write_checkpoint
from safetensors.numpy import load_file

from sklearn_brainlm.exceptions import AtlasMismatchError, CheckpointError
from sklearn_brainlm.official import networks
from sklearn_brainlm.weights import load_weights

FOLDER = os.environ.get("BRAINLM_FIXTURES")
NAMES = sorted(path.name for path in Path(FOLDER).iterdir() if path.is_dir()) if FOLDER else []
NYSTROM = [name for name in NAMES if "nystrom" in name]
EXACT = [name for name in NAMES if "nystrom" not in name]
FILES = [name for name in EXACT if not name.startswith("big_")]
TIGHT = {"atol": 2e-5, "rtol": 1e-4}
LOOSE = {"atol": 2e-4, "rtol": 1e-4}  # of large networks

needs_fixtures = pytest.mark.skipif(
    FOLDER is None, reason="BRAINLM_FIXTURES is not set: no outputs of the released program"
)


def family_of(name):
    """Family of a folder, from its configuration."""
    config = json.loads((Path(FOLDER) / name / "config.json").read_text())
    return networks.family_of(config)


def of_family(*families, among=EXACT):
    return [name for name in among if family_of(name) in families]


def read(name, window=None, coords=None):
    """Weights of a folder and the arrays beside them."""
    folder = Path(FOLDER) / name
    arrays = dict(np.load(folder / "data.npz", allow_pickle=False))
    if window is not None and "xyz_vectors" in arrays:
        coords = arrays["xyz_vectors"][window]
    if not name.startswith("big_"):
        return load_weights(folder, parcel_coords=coords), arrays
    config = json.loads((folder / "config.json").read_text())
    seed = json.loads((folder / "notes.json").read_text())["seed"]
    module, _ = networks.build_module(config, draw_tensors(config, seed), coords)
    return module, arrays


def module_of(weights):
    return getattr(weights, "module", weights)


def compare(name, found, arrays, key, **tolerance):
    """Compare what was made with what was printed, which may be the first rows only."""
    expected = arrays[key]
    found = np.asarray(found)[tuple(slice(n) for n in expected.shape)]
    tolerance = tolerance or (LOOSE if name.startswith("big_") else TIGHT)
    np.testing.assert_allclose(found, expected, err_msg=f"{name}: {key}", **tolerance)


# --- the same numbers ----------------------------------------------------------------------------


@needs_fixtures
@pytest.mark.parametrize("name", of_family("brainlm"))
def test_brainlm_computes_what_was_released(name):
    arrays = dict(np.load(Path(FOLDER) / name / "data.npz", allow_pickle=False))
    n_windows, n_visible = arrays["ids_keep"].shape
    ids = np.argsort(arrays["noise"], axis=1)
    np.testing.assert_array_equal(ids[:, :n_visible], arrays["ids_keep"])
    np.testing.assert_array_equal(np.argsort(ids, axis=1), arrays["ids_restore"])
    losses, latents, logits = [], [], []
    for window in range(n_windows):  # each has its own coordinates
        module = module_of(read(name, window)[0])
        signals = torch.tensor(arrays["signal_vectors"][[window]])
        ids_keep, ids_mask = torch.tensor(ids[[window]]).tensor_split([n_visible], dim=1)
        every_id = torch.arange(ids.shape[1])[None]
        n_columns = ids.shape[1] // signals.shape[1]
        layers = sorted(key for key in arrays if key.startswith("attention_") and key[-1].isdigit())
        with torch.inference_mode():
            asked = bool(layers) or "attention_cls_row" in arrays
            latent = module.forward_encoder(signals, ids_keep, return_attention=asked)
            latent, attentions = latent if asked else (latent, [])
            embedded = module.embed(signals, ids_keep)
            cls = module.forward_encoder(signals, ids_keep, cls_only=True)
            decoded = module.forward_decoder(latent, ids_keep, every_id, n_columns)
            predicted = module(signals, ids_keep, ids_mask)
            losses.append(module.forward_loss(signals, predicted, ids_mask).item())
        embedded = torch.cat([module.cls_token.detach(), embedded], dim=1)
        expected = {key: value[[window]] for key, value in arrays.items() if value.shape[:1]}
        compare(name, embedded, expected, "embeddings")
        compare(name, cls[:, 0], expected, "cls")
        np.testing.assert_allclose(cls[:, 0], latent[:, 0], **TIGHT)
        for key in layers:
            compare(name, attentions[int(key.split("_")[1])], expected, key)
        if "attention_cls_row" in arrays:
            found = np.stack([attention[0, :, 0] for attention in attentions])
            np.testing.assert_allclose(found, arrays["attention_cls_row"][:, window], **TIGHT)
        np.testing.assert_allclose(predicted, decoded[:, ids_mask[0]], **LOOSE)
        latents.append(latent[0])
        shown = decoded[0].unflatten(0, (signals.shape[1], n_columns))
        logits.append(shown[arrays["logit_parcels"]] if "logit_parcels" in arrays else shown)
    compare(name, np.stack(latents), arrays, "last_hidden_state")
    compare(name, np.stack(logits), arrays, "logits")
    mask = np.ones(ids.shape)
    np.put_along_axis(mask, arrays["ids_keep"], 0, axis=1)
    np.testing.assert_array_equal(mask.reshape(arrays["mask"].shape), arrays["mask"])
    # Every window has as many masked values, so that the mean of means is the mean.
    tolerance = 1e-4 if name.startswith("big_") else 1e-5
    np.testing.assert_allclose(np.mean(losses), arrays["loss"], rtol=tolerance)


@needs_fixtures
@pytest.mark.parametrize("name", of_family("vitmae"))
def test_image_family_computes_what_was_released(name):
    weights, arrays = read(name)
    module = module_of(weights)
    noise = torch.tensor(arrays["noise"]) if "noise" in arrays else None
    signals = torch.tensor(arrays["signals"])
    with torch.inference_mode():
        made = module.reproduce(signals, noise)
    expected_ids = arrays["ids_keep"]
    # Ties of the released argsort may stand in another order: token by token, not row by row.
    order = np.argsort(made["ids_keep"].numpy(), axis=1)
    expected_order = np.argsort(expected_ids, axis=1)
    for window in range(len(signals)):
        np.testing.assert_array_equal(
            made["ids_keep"][window].numpy()[order[window]],
            expected_ids[window][expected_order[window]],
        )
        rows = {int(token): row for row, token in enumerate(made["ids_keep"][window])}
        stored = arrays["last_hidden_state"][window]
        mine = [0, *(1 + rows[int(token)] for token in expected_ids[window])][: len(stored)]
        compare(name, made["latent"][window][mine], {"latent": stored}, "latent")
    compare(name, made["latent"][:, 0], arrays, "cls")
    np.testing.assert_array_equal(made["token_mask"], arrays["token_mask"])
    np.testing.assert_array_equal(made["mask"], arrays["mask"])
    logits = made["logits"]
    if "logit_rows" in arrays:
        logits = logits[:, arrays["logit_rows"]]
    compare(name, logits, arrays, "logits")
    tolerance = 1e-4 if name.startswith("big_") else 1e-5
    np.testing.assert_allclose(made["loss"], arrays["loss"], rtol=tolerance)
    layers = sorted(key for key in arrays if key.startswith("attention_"))
    if layers:
        picture = module.picture(signals)
        if module.train_mode == "predict_last_pixel":  # frames of visible patches become zero
            columns = arrays["token_mask"][0, : module.n_rows]  # every row is masked alike
            columns = np.repeat(columns, module.patch_length).astype(bool)
            left = (module.image_size - signals.shape[2]) // 2
            counted = np.flatnonzero(arrays["mask"][0, 0]) + left
            picture[:, :, np.setdiff1d(counted, np.flatnonzero(columns))] = 0
        with torch.inference_mode():
            _, attentions = module.forward_encoder(
                picture, torch.tensor(expected_ids), return_attention=True
            )
        for key in (key for key in layers if key[-1].isdigit()):
            compare(name, attentions[int(key.split("_")[1])], arrays, key)
        if "attention_cls_row" in arrays:
            rows = np.stack([attention[:, :, 0] for attention in attentions])
            compare(name, rows, arrays, "attention_cls_row")


@needs_fixtures
# "predict_last_pixel" counts frames of visible patches too: test_official_arithmetic.py has it.
@pytest.mark.parametrize("name", [n for n in of_family("vitmae") if "last_pixel" not in n])
def test_loss_of_training_is_that_of_the_release(name):
    weights, arrays = read(name)
    module = module_of(weights)
    signals = torch.tensor(arrays["signals"])
    ids_keep = torch.tensor(arrays["ids_keep"])
    masked = np.nonzero(arrays["token_mask"])[1].reshape(len(signals), -1)
    with torch.inference_mode():
        predicted = module(signals, ids_keep, torch.tensor(masked))
        loss = module.forward_loss(signals, predicted, torch.tensor(masked))
    np.testing.assert_allclose(loss, arrays["loss"], rtol=1e-4)


@needs_fixtures
@pytest.mark.parametrize("name", of_family("vitmae_finetuned"))
def test_fine_tuned_heads_compute_what_was_released(name):
    weights, arrays = read(name)
    module, signals = weights.module, torch.tensor(arrays["signals"])
    ids_keep, ids_mask = module.draw_tokens(signals.shape[2], torch.tensor(arrays["noise"]))
    token_mask = np.zeros(arrays["token_mask"].shape)
    np.put_along_axis(token_mask, ids_mask.numpy(), 1, axis=1)
    np.testing.assert_array_equal(token_mask, arrays["token_mask"])
    labels = torch.tensor(arrays["labels"])
    with torch.inference_mode():
        latent = module.forward_encoder(signals, ids_keep)
        raw, outputs = module.forward_head(latent), module.forward_target(signals, ids_keep)
        loss = module.forward_target_loss(outputs, labels)
        if "recon_loss" in arrays:
            both = module.forward_self_supervised_loss(signals, labels, ids_keep, ids_mask)
            np.testing.assert_allclose(loss, arrays["mlp_loss"], rtol=1e-5)
            loss = both
    compare(name, latent[:, 0], arrays, "cls")
    compare(name, latent.mean(dim=1), arrays, "mean_pooled")
    compare(name, raw, arrays, "logits_raw")
    compare(name, outputs, arrays, "logits")
    np.testing.assert_allclose(loss, arrays["loss"], rtol=1e-5)


@needs_fixtures
@pytest.mark.parametrize("name", NYSTROM)
def test_nystrom_attention_is_refused(name):
    with pytest.raises(CheckpointError, match="Nystrom"):
        load_weights(Path(FOLDER) / name)


# --- files ---------------------------------------------------------------------------------------


@needs_fixtures
@pytest.mark.parametrize("name", FILES)
def test_round_trip_is_exact(name, tmp_path):
    folder = Path(FOLDER) / name
    original = load_file(folder / "pytorch_model.safetensors")
    weights = load_weights(folder)
    exported = weights.export_official(tmp_path)
    written = load_file(exported / "model.safetensors")
    assert set(written) == set(original)
    for key, array in original.items():
        assert array.shape == written[key].shape and array.dtype == written[key].dtype
        assert array.tobytes() == written[key].tobytes(), key
    assert load_weights(exported).family == weights.family
    card = (exported / "README.md").read_text()
    assert "CC BY-NC-ND 4.0" in card and "Do not redistribute" in card


@needs_fixtures
@pytest.mark.parametrize("name", FILES)
def test_both_kinds_of_files_hold_the_same(name, tmp_path):
    for file in ("config.json", "pytorch_model.bin"):
        shutil.copy(Path(FOLDER) / name / file, tmp_path)
    ours, other = load_weights(Path(FOLDER) / name), load_weights(tmp_path)
    for key, weight in ours.module.state_dict().items():
        assert torch.equal(weight, other.module.state_dict()[key])
    assert load_weights(Path(FOLDER) / name / "pytorch_model.bin").sha256 == other.sha256


# --- without fixtures ----------------------------------------------------------------------------

BRAINLM = {
    "model_type": "brainlm_mae",
    "architectures": ["BrainLMForPretraining"],
    "num_brain_voxels": 7,
    "num_timepoints_per_voxel": 40,
    "timepoint_patching_size": 10,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
    "mask_ratio": 0.5,
    "conv_kernel_size": 5,
    "num_landmarks": 64,
    "segment_means_seq_len": 64,
    "loss_fn": "mse",
    "use_tanh_decoder": False,
    "patch_size": 4,
    "num_channels": 3,
}
VITMAE = {
    "model_type": "vit_mae",
    "architectures": ["ViTMAEForPreTraining"],
    "image_size": [432, 432],
    "patch_size": 16,
    "num_channels": 3,
    "qkv_bias": True,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
    "mask_ratio": 0.75,
    "train_mode": "auto_encode",
}
HEAD = {
    **VITMAE,
    "architectures": ["ViTMAEForFinetuning"],
    "loss_fn": "mse",
    "sigmoid_outputs": False,
    "use_mean_pooling": False,
}
CONFIGS = {"brainlm": BRAINLM, "vitmae": VITMAE, "vitmae_finetuned": HEAD}
COORDS = np.random.RandomState(1).uniform(-60, 60, (7, 3))


@pytest.fixture(params=CONFIGS)
def checkpoint(request, tmp_path):
    return write_checkpoint(tmp_path / "checkpoint", CONFIGS[request.param], seed=3)


def test_arithmetic_of_the_13m_family_without_fixtures():
    module, _ = networks.build_module(BRAINLM, draw_tensors(BRAINLM, seed=3), COORDS)
    draw = np.random.RandomState(4)
    signals = torch.tensor(draw.randn(2, 7, 40), dtype=torch.float32)
    ids = torch.tensor(np.argsort(draw.rand(2, 28), axis=1))
    with torch.inference_mode():
        predicted = module(signals, ids[:, :14], ids[:, 14:])
        loss = module.forward_loss(signals, predicted, ids[:, 14:])
    np.testing.assert_allclose(loss, BRAINLM_NUMBERS[0], rtol=1e-4)
    np.testing.assert_allclose(predicted[0, 0, :3], BRAINLM_NUMBERS[1:], rtol=1e-3, atol=1e-5)


def test_arithmetic_of_the_image_family_without_fixtures():
    module, _ = networks.build_module(VITMAE, draw_tensors(VITMAE, seed=3))
    draw = np.random.RandomState(4)
    signals = torch.tensor(draw.randn(1, 424, 200), dtype=torch.float32)
    with torch.inference_mode():
        made = module.reproduce(signals, torch.tensor(draw.rand(1, 729)))
    np.testing.assert_allclose(made["loss"], VITMAE_NUMBERS[0], rtol=1e-4)
    np.testing.assert_allclose(made["logits"][0, 0, :3], VITMAE_NUMBERS[1:], rtol=1e-3, atol=1e-5)


# Written down when every folder of fixtures agreed.
BRAINLM_NUMBERS = [1.191248, -0.038094, 0.178643, 0.164351]
VITMAE_NUMBERS = [1.343657, 0.782668, 0.615482, 1.116552]


@pytest.mark.parametrize("pos_weight", [None, 2.5])
@pytest.mark.parametrize("mean_pooling", [False, True])
@pytest.mark.parametrize("loss_fn", ["mse", "mae", "binary_cross_entropy"])
def test_heads_follow_their_formulas(loss_fn, mean_pooling, pos_weight):
    config = {
        **HEAD,
        "architectures": ["ViTMAEForSelfSupervisedFinetuning"],
        "loss_fn": loss_fn,
        "use_mean_pooling": mean_pooling,
        "pos_weight": pos_weight,
    }
    tensors = draw_tensors(config, seed=5)
    head = {name: tensors[name].astype(np.float64) for name in tensors if "pred_head" in name}
    module, _ = networks.build_module(config, dict(tensors))
    draw = np.random.RandomState(6)
    signals = torch.tensor(draw.randn(3, 424, 200), dtype=torch.float32)
    ids_keep, ids_mask = module.draw_tokens(200, torch.tensor(draw.rand(3, 729)))
    labels = torch.tensor([0.0, 1.0, 1.0])
    with torch.inference_mode():
        latent = module.forward_encoder(signals, ids_keep).double().numpy()
        outputs = module.forward_target(signals, ids_keep)
        loss = module.forward_target_loss(outputs, labels)
        both = module.forward_self_supervised_loss(signals, labels, ids_keep, ids_mask)
        decoded = module.forward_decoder(torch.tensor(latent).float(), ids_keep, ids_mask)
        reconstruction = module.forward_loss(signals, decoded, ids_mask)
    x = latent.mean(axis=1) if mean_pooling else latent[:, 0]
    for number in (1, 2, 3):
        x = (
            x @ head[f"mlp_pred_head.lin{number}.weight"].T
            + head[f"mlp_pred_head.lin{number}.bias"]
        )
        x = np.maximum(x, 0) if number < 3 else x
    np.testing.assert_allclose(outputs, x, atol=1e-4)
    x, y = x[:, 0], labels.numpy()
    log = np.logaddexp
    expected = {
        "mse": ((x - y) ** 2).mean(),
        "mae": np.abs(x - y).mean(),
        "binary_cross_entropy": ((pos_weight or 1.0) * y * log(0, -x) + (1 - y) * log(0, x)).mean(),
    }[loss_fn]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(both, expected + 0.5 * reconstruction, rtol=1e-4)


def test_round_trip_without_fixtures(checkpoint, tmp_path):
    original = load_file(checkpoint / "model.safetensors")
    written = load_file(load_weights(checkpoint).export_official(tmp_path) / "model.safetensors")
    assert set(written) == set(original)
    assert all(written[key].tobytes() == array.tobytes() for key, array in original.items())


def test_faults_in_tensors_are_listed(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    arrays = load_file(checkpoint / "model.safetensors")
    arrays["stranger"] = np.zeros(2, np.float32)
    del arrays["vit.layernorm.bias"]
    arrays["vit.layernorm.weight"] = np.ones(3, np.float32)
    with pytest.raises(CheckpointError) as caught:
        networks.build_module(config, arrays)
    for words in (
        "missing: vit.layernorm.bias",
        "unexpected: stranger",
        "vit.layernorm.weight (3,) instead of (16,)",
        "Nothing was loaded",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize("said", CONFIGS)
@pytest.mark.parametrize("is_", CONFIGS)
def test_one_family_given_as_another_is_named(said, is_):
    if said == is_:
        return
    with pytest.raises(CheckpointError, match=f"'{said}'.*'{is_}'"):
        networks.build_module(CONFIGS[said], draw_tensors(CONFIGS[is_], seed=0))


def test_a_table_that_is_not_the_released_one_is_refused():
    tensors = draw_tensors(VITMAE, seed=0)
    tensors["vit.embeddings.position_embeddings"][0, 5] += 0.1
    with pytest.raises(CheckpointError, match="table of sines and cosines"):
        networks.build_module(VITMAE, tensors)


def test_mask_ratio_zero_has_no_loss():
    module, _ = networks.build_module(BRAINLM, draw_tensors(BRAINLM, seed=3), COORDS)
    signals, everything = torch.zeros(1, 7, 40), torch.arange(28)[None]
    with torch.inference_mode():
        predicted = module(signals, everything, everything[:, :0])
        assert torch.isnan(module.forward_loss(signals, predicted, everything[:, :0]))


def test_without_coordinates_nothing_is_computed():
    module, _ = networks.build_module(BRAINLM, draw_tensors(BRAINLM, seed=3))
    with pytest.raises(ValueError, match="give parcel_coords"):
        module(torch.zeros(1, 7, 40), torch.arange(10)[None], torch.arange(10, 28)[None])


def test_the_image_family_belongs_to_its_atlas(tmp_path):
    folder = write_checkpoint(tmp_path, VITMAE, seed=3)
    with pytest.raises(AtlasMismatchError, match="rows of the image"):
        load_weights(folder, parcel_coords=COORDS)


def test_rows_of_the_picture_ascend_along_y():
    coords = np.random.RandomState(0).uniform(-60, 60, (424, 3)).round(-1)  # with ties
    module, _ = networks.build_module(VITMAE, draw_tensors(VITMAE, seed=3), coords)
    ordered = coords[module.parcel_order, 1]
    assert (np.diff(ordered) >= 0).all()
    ties = np.diff(ordered) == 0
    assert ties.any() and (np.diff(module.parcel_order)[ties] > 0).all()  # as they come
