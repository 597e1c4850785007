"""The three sizes of the article, as parameters of BrainLMTransformer."""

__all__ = ["PRESETS"]

_IMAGE = {
    "attention": "full",
    "position": "image",
    "head": "linear",
    "norm": "pre",
    "token_conv": None,
    "dropout": 0.0,
    "decoder": "full",
    "decoder_embed_dim": 512,
    "decoder_depth": 8,
    "decoder_n_heads": 16,
    "decoder_mlp_dim": 2048,
    "prior": None,
}

# Only what shapes the network is here: how to train it stays with the caller. The image family
# was released on windows padded to a square; trained here, it cuts the true rectangle.
PRESETS = {
    "13M": {
        "window_length": 200,
        "patch_length": 20,
        "parcels_per_patch": 1,
        "embed_dim": 512,
        "depth": 4,
        "n_heads": 4,
        "mlp_dim": 1024,
        "attention": "full",
        "norm": "post",
        "token_conv": 65,
        "position": "parcel",
        "parcel_embedding": "xyz",
        "xyz_scale": 1.0,
        "head": "mlp",
        "dropout": 0.1,
        "decoder": "full",
        "decoder_embed_dim": 512,
        "decoder_depth": 2,
        "decoder_n_heads": 4,
        "decoder_mlp_dim": 1024,
        "prior": None,
    },
    "111M": {
        "window_length": 200,
        "patch_length": 16,
        "parcels_per_patch": 16,
        "embed_dim": 768,
        "depth": 12,
        "n_heads": 12,
        "mlp_dim": 3072,
        **_IMAGE,
    },
    "650M": {
        "window_length": 200,
        "patch_length": 14,
        "parcels_per_patch": 14,
        "embed_dim": 1280,
        "depth": 32,
        "n_heads": 16,
        "mlp_dim": 5120,
        **_IMAGE,
    },
}
