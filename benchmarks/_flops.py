"""Matrix products of the masked autoencoder, counted from shapes."""


def block_flops(n_queries, n_keys, embed_dim, mlp_dim):
    """Count the matrix products of one transformer block, 2 a multiply-add.

    Parameters
    ----------
    n_queries, n_keys : int
        Tokens that attend, and tokens attended to.
    embed_dim, mlp_dim : int
        Embedding dimension, hidden units of the perceptron.

    Returns
    -------
    flops : int
        Projections, scores, weighted sums and perceptron.
    """
    projections = 2 * (n_queries + n_keys) * embed_dim**2  # queries, output; keys, values
    attention = 2 * n_queries * n_keys * embed_dim  # scores; weighted sums
    mlp = 2 * n_queries * embed_dim * mlp_dim
    return 2 * (projections + attention + mlp)


def forward_flops(network, *, n_parcels, n_timepoints, n_visible, n_decoded):
    """Count the matrix products of one window's way through a MaskedAutoencoder, 2 a multiply-add.

    Parameters
    ----------
    network : dict
        Parameters of :class:`sklearn_brainlm.modules.MaskedAutoencoder`; those that shape it
        must be there, defaults are not filled in.
    n_parcels, n_timepoints : int
        Size of the window.
    n_visible, n_decoded : int
        Tokens encoded, and tokens predicted.

    Returns
    -------
    flops : int
        Of the forward pass. A backward pass is twice as much, as each product has two gradients.

    Notes
    -----
    The convolution over tokens is left out: by its definition it is a hundredth of the rest,
    and how it is computed here takes more products than that. So is what is computed twice under
    gradient checkpointing.
    """
    per_patch = network["parcels_per_patch"]
    patch_size = per_patch * network["patch_length"]
    n_tokens = -(-n_parcels // per_patch) * -(-n_timepoints // network["patch_length"])
    dim, decoder_dim = network["embed_dim"], network["decoder_embed_dim"]
    has_xyz = network["position"] == "parcel" and network["parcel_embedding"] != "learned"
    n_inputs = 3 if has_xyz else 0  # of the projection of coordinates
    block = (dim, network["mlp_dim"])
    decoder_block = (decoder_dim, network["decoder_mlp_dim"])
    context = 1 + n_visible  # with the CLS token

    encoder = 2 * n_visible * (patch_size + n_inputs) * dim
    encoder += network["depth"] * block_flops(context, context, *block)
    decoder = 2 * context * dim * decoder_dim
    depth = network["decoder_depth"]
    if network["decoder"] == "cross":
        decoder += 2 * (n_visible + n_decoded) * n_inputs * decoder_dim
        decoder += depth * block_flops(n_decoded, context, *decoder_block)
    else:
        decoder += 2 * n_tokens * n_inputs * decoder_dim
        decoder += (depth - 1) * block_flops(1 + n_tokens, 1 + n_tokens, *decoder_block)
        # Only the predicted tokens go through the last block, which is exact.
        decoder += block_flops(n_decoded, 1 + n_tokens, *decoder_block)
    if network["head"] == "mlp":
        head = decoder_dim * (decoder_dim // 2) + (decoder_dim // 2) * patch_size
    else:
        head = decoder_dim * patch_size
    return encoder + decoder + 2 * n_decoded * head
