"""Released configurations: which fields are used, and what they may say."""

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import shown

__all__ = ["check_config", "family_of"]

# The classes of the released program, and the family each belongs to here.
_ARCHITECTURES = {
    "BrainLMForPretraining": "brainlm",
    "ViTMAEForPreTraining": "vitmae",
    "ViTMAEForFinetuning": "vitmae_finetuned",
    "ViTMAEForSelfSupervisedFinetuning": "vitmae_finetuned",
}
_MODEL_TYPES = {"brainlm_mae": "brainlm", "vit_mae": "vitmae"}
_IMAGE_SIZES = {16: 432, 14: 434}

_REQUIRED = object()
# Field: type, and the range of a number or the choices of a word, then the default.
_SIZES = {
    "hidden_size": (int, (2, 16384), _REQUIRED),
    "num_hidden_layers": (int, (1, 256), _REQUIRED),
    "num_attention_heads": (int, (1, 1024), _REQUIRED),
    "intermediate_size": (int, (1, 65536), _REQUIRED),
    "layer_norm_eps": (float, (0, 1), 1e-12),
    "hidden_dropout_prob": (float, (0, 1), 0.0),
    "hidden_act": (str, ("gelu",), "gelu"),
    "num_channels": (int, (1, 64), 3),
    "mask_ratio": (float, (0, 1), _REQUIRED),
    "decoder_hidden_size": (int, (2, 16384), 512),
    "decoder_num_hidden_layers": (int, (1, 256), 8),
    "decoder_num_attention_heads": (int, (1, 1024), 16),
    "decoder_intermediate_size": (int, (1, 65536), 2048),
}
_IMAGE = {
    **_SIZES,
    "patch_size": (int, (1, 1024), _REQUIRED),
    "image_size": (int, (1, 16384), _REQUIRED),
    "qkv_bias": (bool, None, True),
    "norm_pix_loss": (bool, None, False),
}
_FIELDS = {
    "brainlm": {
        **_SIZES,
        "patch_size": (int, (1, 1024), 16),
        "num_brain_voxels": (int, (1, 100_000), _REQUIRED),
        "num_timepoints_per_voxel": (int, (1, 100_000), _REQUIRED),
        "timepoint_patching_size": (int, (1, 100_000), _REQUIRED),
        "conv_kernel_size": (int, (1, 100_001), 65),
        "num_landmarks": (int, (1, 100_000), 64),
        "segment_means_seq_len": (int, (1, 100_000), 64),
        "loss_fn": (str, ("mse", "mae"), "mse"),
        "use_tanh_decoder": (bool, None, False),
    },
    "vitmae": {
        **_IMAGE,
        "train_mode": (str, ("auto_encode", "predict_last", "predict_last_pixel"), "auto_encode"),
    },
    "vitmae_finetuned": {
        **_IMAGE,
        "loss_fn": (str, ("mse", "mae", "binary_cross_entropy", "weighted_mse"), "mse"),
        "sigmoid_outputs": (bool, None, False),
        "use_mean_pooling": (bool, None, False),
        "pos_weight": (float, (0, 1e9), None),
    },
}
_NULLABLE = ("conv_kernel_size", "pos_weight")
# What the released program and transformers write besides, and nothing here depends on.
_UNUSED = {
    *("_attn_implementation", "_name_or_path", "architectures", "attention_probs_dropout_prob"),
    *("dtype", "finetuning_task", "id2label", "initializer_range", "inv_coeff_init_option"),
    *("label2id", "model_type", "num_labels", "output_attentions", "output_hidden_states"),
    *("problem_type", "return_dict", "torch_dtype", "transformers_version", "use_cache"),
}
_KNOWN = _UNUSED.union(*_FIELDS.values())


def family_of(config):
    """Tell the family from a released configuration.

    Parameters
    ----------
    config : dict
        What config.json holds.

    Returns
    -------
    family : {"brainlm", "vitmae", "vitmae_finetuned"}
        The family.

    Raises
    ------
    UntrustedFileError
        If it is none of them, or asks for code of its own.
    """
    if "auto_map" in config or "trust_remote_code" in config:
        raise UntrustedFileError(
            "config.json asks for code from beside the weights (auto_map). Such code is never run "
            "here, and the released models need none: remove that field. Known model types are "
            f"{', '.join(map(repr, _MODEL_TYPES))}."
        )
    model_type, named = config.get("model_type"), config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise UntrustedFileError(
            f"architectures={named!r:.80} in config.json is not a list of names."
        )
    if not isinstance(model_type, str) or model_type not in _MODEL_TYPES:
        raise UntrustedFileError(
            f"model_type={model_type!r:.80} in config.json is unknown: known are "
            f"{', '.join(map(repr, _MODEL_TYPES))}. Give weights of one of these."
        )
    unknown = [name for name in named if name not in _ARCHITECTURES]
    if unknown or len(named) > 1:
        raise UntrustedFileError(
            f"architectures={named!r:.200} in config.json is unknown: known is one of "
            f"{', '.join(_ARCHITECTURES)}."
        )
    if named:
        family = _ARCHITECTURES[named[0]]
        # The released program writes vit_mae into configurations of the other family as well.
        if model_type == "brainlm_mae" and family != "brainlm":
            raise UntrustedFileError(
                f"config.json says {model_type!r} and {named[0]}, which is not."
            )
        return family
    if _MODEL_TYPES[model_type] == "vitmae" and "sigmoid_outputs" in config:
        return "vitmae_finetuned"
    return _MODEL_TYPES[model_type]


def check_config(config):
    """Check every field of a released configuration that is used, before anything is allocated.

    Parameters
    ----------
    config : dict
        What config.json holds.

    Returns
    -------
    settings : dict
        The fields that are used, ``family``, and ``has_decoder``.

    Raises
    ------
    CheckpointError
        If a field is missing, unknown, of the wrong type, out of range, or contradicts another
        one.
    UntrustedFileError
        If it is of no released family.
    """
    family = family_of(config)
    config = dict(config)
    size = config.get("image_size")
    if family != "brainlm" and isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        config["image_size"] = size[0]
    if isinstance(config.get("pos_weight"), list) and len(config["pos_weight"]) == 1:
        config["pos_weight"] = config["pos_weight"][0]
    settings, faults = {}, []
    unknown = sorted(set(config) - _KNOWN)
    if unknown:
        faults.append(f"unknown fields {shown(unknown)}, without which it may mean something else")
    for name, (kind, allowed, default) in _FIELDS[family].items():
        value = config.get(name, default)
        if value is _REQUIRED:
            faults.append(f"{name} is missing")
        elif not (value is None and name in _NULLABLE) and not _is_allowed(value, kind, allowed):
            among = "" if allowed is None else f" among {', '.join(map(str, allowed))}"
            among = f" from {allowed[0]} to {allowed[1]}" if kind in (int, float) else among
            faults.append(f"{name}={value!r:.80} is not a {kind.__name__}{among}")
        settings[name] = value
    if not faults:
        faults = list(_contradictions(family, settings))
    if faults:
        raise CheckpointError(f"config.json cannot be used: {'; '.join(faults)}.")
    named = config.get("architectures") or [""]
    settings["has_decoder"] = (
        family != "vitmae_finetuned" or named[0] == "ViTMAEForSelfSupervisedFinetuning"
    )
    # A list of one weight and one weight are tensors of different shapes.
    return {**settings, "family": family, "pos_weight_as_given": config.get("pos_weight")}


def _is_allowed(value, kind, allowed):
    """Check one value; a bool is no number and a number with a point no count."""
    if kind is float:
        kind = (int, float)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if kind is bool:
        return True
    if kind is str:
        return value in allowed
    return allowed[0] <= value <= allowed[1]  # not true of NaN


def _contradictions(family, settings):
    """Yield what fields say against one another."""
    for stack in ("", "decoder_"):
        dim, heads = settings[f"{stack}hidden_size"], settings[f"{stack}num_attention_heads"]
        if dim % heads:
            yield f"{stack}num_attention_heads={heads} does not divide {stack}hidden_size={dim}"
        if dim % (multiple := 2 if family == "brainlm" else 4):
            yield f"{stack}hidden_size={dim} is not a multiple of {multiple}"
    if family != "brainlm":
        patch, size = settings["patch_size"], settings["image_size"]
        if _IMAGE_SIZES.get(patch) != size:
            yield (
                f"patch_size={patch} with image_size={size} was never released: it is 16 with 432, "
                f"or 14 with 434"
            )
        return
    dims = settings["hidden_size"], settings["decoder_hidden_size"]
    if dims[0] != dims[1]:
        yield f"decoder_hidden_size={dims[1]} differs from hidden_size={dims[0]}"
    window, patch = settings["num_timepoints_per_voxel"], settings["timepoint_patching_size"]
    if window % patch:
        yield f"timepoint_patching_size={patch} does not divide num_timepoints_per_voxel={window}"
    if settings["conv_kernel_size"] is not None and settings["conv_kernel_size"] % 2 == 0:
        yield f"conv_kernel_size={settings['conv_kernel_size']} is not odd"
    landmarks, length = settings["num_landmarks"], settings["segment_means_seq_len"]
    if landmarks != length:
        yield (
            f"num_landmarks={landmarks} differs from segment_means_seq_len={length}, which asks "
            f"for Nystrom attention. No such weights were ever released, and none are read: the "
            f"released ones attend exactly"
        )
