"""The tensors of released files: their names, their shapes, and which weights here they are."""

__all__ = ["tensors"]

# Rows of the time codes that files of the 13M family hold.
_TABLE_LENGTH = 5000


def tensors(settings):
    """Name every tensor of a released file.

    Parameters
    ----------
    settings : dict
        What :func:`check_config` returned.

    Yields
    ------
    released : str
        Name of the tensor in the file.
    shape : tuple of int
        Its shape.
    ours : str or None
        The weight here that it is, or is a part of: queries, keys and values, in this order, make
        one. None for tables that are computed here, and for tensors that nothing uses.
    """
    yield from (_brainlm if settings["family"] == "brainlm" else _vitmae)(settings)


def _brainlm(c):
    """Name the tensors of the 13M family."""
    dim, kernel, patch = c["hidden_size"], c["conv_kernel_size"], c["timepoint_patching_size"]
    yield "vit.embeddings.cls_token", (1, 1, dim), "cls_token"
    signal = "vit.embeddings.signal_embedding_projection"
    yield from _linear(signal, "patch_embedding", dim, patch)
    xyz = "positions.parcel_embedding.xyz"
    yield from _linear("vit.embeddings.xyz_embedding_projection", xyz, dim, 3)
    yield "vit.embeddings.pos_embedding.pe", (_TABLE_LENGTH, dim), None
    yield from _stacks(
        c, "attention.self", "attention.output.LayerNorm", "output.LayerNorm", kernel
    )
    yield from _linear("decoder.decoder_xyz_projection", f"decoder.{xyz}", dim, 3)
    yield "decoder.pos_embedding.pe", (_TABLE_LENGTH, dim), None
    # What the released program inherits and never calls.
    yield from _linear("decoder.decoder_pred", None, c["patch_size"] ** 2 * c["num_channels"], dim)
    yield from _linear("decoder.decoder_pred1", "decoder.head.0", dim // 2, dim)
    yield from _linear("decoder.decoder_pred2", "decoder.head.2", patch, dim // 2)


def _vitmae(c):
    """Name the tensors of the image family, with or without decoder, with or without head."""
    dim, patch, channels = c["hidden_size"], c["patch_size"], c["num_channels"]
    n_tokens = (c["image_size"] // patch) ** 2
    yield "vit.embeddings.cls_token", (1, 1, dim), "cls_token"
    yield "vit.embeddings.position_embeddings", (1, n_tokens + 1, dim), None
    projection = "vit.embeddings.patch_embeddings.projection"
    yield f"{projection}.weight", (dim, channels, patch, patch), "patch_embedding.weight"
    yield f"{projection}.bias", (dim,), "patch_embedding.bias"
    yield from _stacks(c, "attention.attention", "layernorm_before", "layernorm_after", None)
    if c["has_decoder"]:
        decoder_dim = c["decoder_hidden_size"]
        yield "decoder.decoder_pos_embed", (1, n_tokens + 1, decoder_dim), None
        n_values = patch**2 * channels
        yield from _linear("decoder.decoder_pred", "decoder.head", n_values, decoder_dim)
    if c["family"] == "vitmae_finetuned":
        yield from _linear("mlp_pred_head.lin1", "head.0", dim // 2, dim)
        yield from _linear("mlp_pred_head.lin2", "head.3", dim // 2, dim // 2)
        yield from _linear("mlp_pred_head.lin3", "head.6", 1, dim // 2)
        if c["loss_fn"] == "binary_cross_entropy" and c["pos_weight"] is not None:
            shape = (1,) if isinstance(c["pos_weight_as_given"], list) else ()
            yield "bce_with_logits_criterion.pos_weight", shape, "pos_weight"


def _stacks(c, attention, attention_norm, mlp_norm, kernel):
    """Name the tensors of encoder and decoder that both families have."""
    dim, decoder_dim = c["hidden_size"], c["decoder_hidden_size"]
    stacks = [("", "vit.encoder.layer", "encoder")]
    yield from _norm("vit.layernorm", "encoder_norm", dim)
    if c["has_decoder"]:
        stacks.append(("decoder_", "decoder.decoder_layers", "decoder.blocks"))
        yield "decoder.mask_token", (1, 1, decoder_dim), "decoder.mask_token"
        yield from _linear("decoder.decoder_embed", "decoder.embedding", decoder_dim, dim)
        yield from _norm("decoder.decoder_norm", "decoder.norm", decoder_dim)
    for prefix, stack, our_stack in stacks:
        dim, hidden = c[f"{prefix}hidden_size"], c[f"{prefix}intermediate_size"]
        for number in range(c[f"{prefix}num_hidden_layers"]):
            layer, ours = f"{stack}.{number}", f"{our_stack}.{number}"
            for part in ("query", "key", "value"):
                names = f"{layer}.{attention}.{part}", f"{ours}.attention.qkv"
                yield from _linear(*names, dim, dim, c.get("qkv_bias", True))
            if kernel is not None:
                shape = (c[f"{prefix}num_attention_heads"], 1, kernel, 1)
                yield f"{layer}.{attention}.conv.weight", shape, f"{ours}.attention.conv"
            yield from _linear(f"{layer}.attention.output.dense", f"{ours}.attention.out", dim, dim)
            yield from _norm(f"{layer}.{attention_norm}", f"{ours}.attention_norm", dim)
            yield from _linear(f"{layer}.intermediate.dense", f"{ours}.mlp.0", hidden, dim)
            yield from _linear(f"{layer}.output.dense", f"{ours}.mlp.2", dim, hidden)
            yield from _norm(f"{layer}.{mlp_norm}", f"{ours}.mlp_norm", dim)


def _linear(released, ours, n_out, n_in, bias=True):
    """Name weight and bias of a linear layer."""
    yield f"{released}.weight", (n_out, n_in), ours and f"{ours}.weight"
    if bias:
        yield f"{released}.bias", (n_out,), ours and f"{ours}.bias"


def _norm(released, ours, dim):
    """Name weight and bias of a normalisation."""
    for kind in ("weight", "bias"):
        yield f"{released}.{kind}", (dim,), f"{ours}.{kind}"
