"""Released configurations: whatever is wrong with one is said before anything is allocated."""

import pytest
from test_official_arithmetic import BRAINLM, HEAD, VITMAE

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.official.configs import check_config, family_of
from sklearn_brainlm.official.keys import tensors

BASE = {  # of the 111M model
    **VITMAE,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "decoder_hidden_size": 512,
    "decoder_num_hidden_layers": 8,
    "decoder_num_attention_heads": 16,
    "decoder_intermediate_size": 2048,
}
HUGE = {
    **BASE,
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "intermediate_size": 5120,
    "patch_size": 14,
    "image_size": [434, 434],
}


@pytest.mark.parametrize(
    ("config", "n_tensors", "n_values"), [(BASE, 334, 112_590_080), (HUGE, 654, 658_337_868)]
)
def test_sizes_of_the_released_image_models(config, n_tensors, n_values):
    total, names = 0, set()
    for name, shape, _ in tensors(check_config(config)):
        size = 1
        for side in shape:
            size *= side
        total += size
        names.add(name)
    assert (len(names), total) == (n_tensors, n_values)


@pytest.mark.parametrize("config", [BRAINLM, VITMAE, HEAD])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 10**9),
        ("hidden_size", 10**400),
        ("hidden_size", "16"),
        ("hidden_size", 16.0),
        ("hidden_size", True),
        ("hidden_size", None),
        ("hidden_size", [16]),
        ("num_hidden_layers", -1),
        ("num_hidden_layers", 0),
        ("num_attention_heads", 3),
        ("decoder_num_attention_heads", 5),
        ("mask_ratio", float("nan")),
        ("mask_ratio", 1.5),
        ("layer_norm_eps", float("inf")),
        ("hidden_act", "relu"),
        ("patch_size", {"height": 16}),
    ],
)
def test_a_field_that_cannot_be_is_named(config, field, value):
    with pytest.raises(CheckpointError, match=field):
        check_config({**config, field: value})


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (BRAINLM, {"decoder_hidden_size": 32}, "decoder_hidden_size=32 differs"),
        (BRAINLM, {"timepoint_patching_size": 7}, "does not divide num_timepoints_per_voxel"),
        (BRAINLM, {"conv_kernel_size": 64}, "not odd"),
        (BRAINLM, {"num_landmarks": 8}, "Nystrom"),
        (BRAINLM, {"loss_fn": "huber"}, "loss_fn='huber' is not a str among mse, mae"),
        (VITMAE, {"image_size": [432, 400]}, "image_size"),
        (VITMAE, {"image_size": 224}, "never released"),
        (VITMAE, {"patch_size": 8}, "never released"),
        (VITMAE, {"train_mode": "predict_first"}, "train_mode"),
        (VITMAE, {"hidden_size": 18}, "multiple of 4"),
        (HEAD, {"pos_weight": [1.0, 2.0]}, "pos_weight"),
        (HEAD, {"loss_fn": "bce"}, "binary_cross_entropy"),
    ],
)
def test_fields_that_contradict_one_another_are_named(config, change, message):
    with pytest.raises(CheckpointError, match=message):
        check_config({**config, **change})


@pytest.mark.parametrize(
    "field", ["hidden_size", "num_brain_voxels", "timepoint_patching_size", "mask_ratio"]
)
def test_a_missing_field_is_named(field):
    config = {name: value for name, value in BRAINLM.items() if name != field}
    with pytest.raises(CheckpointError, match=f"{field} is missing"):
        check_config(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auto_map": {"AutoModel": "model.Model"}}, "never run"),
        ({"model_type": "llama"}, "'brainlm_mae', 'vit_mae'"),
        ({"model_type": ["vit_mae"]}, "unknown"),
        ({"architectures": ["LlamaForCausalLM"]}, "ViTMAEForPreTraining"),
        ({"architectures": "ViTMAEForPreTraining"}, "not a list"),
        ({"model_type": "brainlm_mae"}, "which is not"),
    ],
)
def test_other_models_and_foreign_code_are_refused(change, message):
    with pytest.raises(UntrustedFileError, match=message):
        family_of({**VITMAE, **change})


@pytest.mark.parametrize(
    ("config", "family"), [(BRAINLM, "brainlm"), (VITMAE, "vitmae"), (HEAD, "vitmae_finetuned")]
)
def test_the_family_is_known_without_architectures(config, family):
    assert family_of(config) == family
    assert family_of({**config, "architectures": None}) == family


def test_what_the_released_program_saves_again_is_of_the_13m_family():
    # It loads with the configuration class of the image family and writes that one's type.
    assert family_of({**BRAINLM, "model_type": "vit_mae"}) == "brainlm"
