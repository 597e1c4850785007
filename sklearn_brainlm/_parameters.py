"""Legal values of the parameters that estimators share, as scikit-learn checks them."""

from numbers import Integral, Real

from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

__all__ = [
    "ARCHITECTURE",
    "CHECKPOINTS",
    "COUNT",
    "INPUT",
    "LOOP",
    "POSITIVE",
    "RUNNING",
    "TRAINING",
]

COUNT = Interval(Integral, 1, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
_BELOW_ONE = Interval(Real, 0, 1, closed="left")

INPUT = {
    "weights": [str, HasMethods("__fspath__"), HasMethods("get_params"), None],
    **dict.fromkeys(["window_length", "patch_length", "parcels_per_patch"], [COUNT]),
    **dict.fromkeys(["n_parcels", "window_stride"], [COUNT, None]),
    "parcel_coords": ["array-like", None],
    "t_r": [Real, None],
    "scaler": [StrOptions({"auto", "robust", "standard", "legacy"}), None],
    "clip": [POSITIVE, None],
    "short": [StrOptions({"pad", "raise"})],
}

ARCHITECTURE = {
    **dict.fromkeys(
        "embed_dim depth n_heads mlp_dim decoder_embed_dim decoder_depth decoder_n_heads "
        "decoder_mlp_dim".split(),
        [COUNT],
    ),
    "attention": [StrOptions({"full", "factorised"})],
    "decoder": [StrOptions({"full", "cross"})],
    "decoded_fraction": [Interval(Real, 0, 1, closed="right")],
    "norm": [StrOptions({"pre", "post"})],
    "token_conv": [COUNT, None],
    "position": [StrOptions({"parcel", "image"})],
    "parcel_embedding": [StrOptions({"xyz", "learned", "both"})],
    "xyz_scale": [POSITIVE],
    "head": [StrOptions({"mlp", "linear"})],
    "dropout": [_BELOW_ONE],
    "gradient_checkpointing": ["boolean"],
    "prior": [StrOptions({"gaussian", "coordinates"}), None],
}

# Of every training, whatever is learned.
LOOP = {
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    **dict.fromkeys(["windows_per_recording", "batch_size"], [COUNT]),
    "micro_batch_size": [COUNT, StrOptions({"auto"})],
    "lr": [POSITIVE],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    **dict.fromkeys(["warmup", "validation_fraction"], [_BELOW_ONE]),
    "grad_clip": [POSITIVE, None],
    "patience": [COUNT, None],
}

TRAINING = {
    "mask_ratio": [Interval(Real, 0, 1, closed="neither"), "array-like"],
    "masking": [StrOptions({"random", "future", "block", "parcel", "burst"})],
    **LOOP,
    "warm_start": ["boolean"],
}

RUNNING = {
    "device": [str],
    "precision": [StrOptions({"auto", "fp32", "bf16"})],
    "net_params": [dict, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

CHECKPOINTS = {
    "checkpoint_dir": [str, HasMethods("__fspath__"), None],
    "resume": ["boolean"],
}
