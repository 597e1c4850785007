"""What the CLS token and the rows of an encoder attend to, without N x N weights in memory.

Nothing is masked here: all tokens of a window, in raster order, after the CLS token.
"""

import torch

from sklearn_brainlm.modules.blocks import Block

MAX_WEIGHTS = 2**22  # attention weights that exist at a time: 16 MB


def encode_all(autoencoder, signals, watch=None, cls_only=True):
    """Encode all tokens of windows.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Whose encoder.
    signals : tensor of shape (B, P, T)
        Windows.
    watch : callable, optional
        Called before each block, see the encoders.
    cls_only : bool, default=True
        Compute nothing but the CLS token in the last block.

    Returns
    -------
    latent : tensor of shape (B, 1, D), or (B, 1 + N, D)
        The CLS embedding, then the tokens.
    """
    n_columns = autoencoder._n_columns(signals)
    n_tokens = autoencoder.n_rows * n_columns
    ids_keep = torch.arange(n_tokens, device=signals.device).expand(len(signals), -1)
    encoded = autoencoder.encoder(
        autoencoder.cls_token,
        autoencoder.embed(signals, ids_keep),
        ids_keep,
        autoencoder.n_rows,
        n_columns,
        cls_only=cls_only,
        watch=watch,
    )
    return autoencoder.encoder_norm(encoded)


def cls_attention(autoencoder, signals):
    """Compute what the CLS token attends to in each block.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Whose encoder.
    signals : tensor of shape (B, P, T)
        Windows.

    Returns
    -------
    attention : tensor of shape (B, n_blocks, h, 1 + N)
        Attention weights, which sum to one: that of the CLS token, then those of the tokens.

    Notes
    -----
    With factorised attention, the CLS token has a place in every patch column, from which it
    attends to the rows of that column. The CLS embedding is the mean over the places, so the
    weight of a token is that of its row in its column, divided by the number of columns. What the
    places of the CLS token then attend to among themselves, over time, holds no parcel.

    Examples
    --------
    >>> from sklearn_brainlm.modules import MaskedAutoencoder
    >>> sizes = dict(embed_dim=8, depth=1, n_heads=2, mlp_dim=16)
    >>> sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    >>> autoencoder = MaskedAutoencoder(
    ...     n_parcels=3, patch_length=5, parcel_embedding="learned", **sizes
    ... )
    >>> cls_attention(autoencoder, torch.zeros(4, 3, 10)).shape
    torch.Size([4, 1, 2, 7])
    """
    found = []

    def watch(block, tokens, bias=None):
        # Keep the row of the CLS token.
        if isinstance(block, Block):
            found.append(block.weigh(tokens, slice(1))[:, :, 0])  # (B, h, 1 + N)
            return
        rows = _weigh_parcels(block, tokens, bias, slice(1))[:, :, :, 0]  # (B, C, h, 1 + R)
        rows = rows / rows.shape[1]
        cls = rows[..., :1].sum(1)  # (B, h, 1)
        found.append(torch.cat([cls, rows[..., 1:].permute(0, 2, 3, 1).flatten(2)], dim=2))

    encode_all(autoencoder, signals, watch)
    return torch.stack(found, dim=1)


def rollout(autoencoder, signals):
    """Follow the attention of the CLS token down through all blocks.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Whose encoder.
    signals : tensor of shape (B, P, T)
        Windows.

    Returns
    -------
    attention : tensor of shape (B, 1 + N)
        The row of the CLS token in the product of ``(A + I) / 2`` over blocks, A being the mean
        attention of the heads. It sums to one.

    Notes
    -----
    Abnar and Zuidema (2020), Quantifying attention flow in transformers. From the last block down,
    one row is multiplied by one matrix after the other, of which some rows exist at a time. A
    factorised block is two such matrices, that of attention over parcels and that over time.
    """
    inputs = []
    encode_all(autoencoder, signals, lambda *block: inputs.append(block))
    row = None
    for block, tokens, *bias in reversed(inputs):
        if row is None:
            row = torch.zeros_like(tokens[..., 0])
            row[:, 0] = 1.0 if row.ndim == 2 else 1 / row.shape[2]  # places of the CLS token
        if isinstance(block, Block):
            attended = torch.zeros_like(row)
            for which, weights in _weights_in_parts(block, tokens):
                attended += (row[:, None, which] @ weights.mean(1))[:, 0]
            row = (row + attended) / 2
            continue
        weights = _weigh_times(block, tokens, *bias).mean(2)  # (B, 1 + R, C, C)
        row = (row + (row[:, :, None] @ weights)[:, :, 0]) / 2
        columns = row.transpose(1, 2)[:, :, None]  # (B, C, 1, 1 + R)
        attended = torch.zeros_like(row)
        for which, weights in _parcel_weights_in_parts(block, tokens, *bias):
            attended += (columns[..., which] @ weights.mean(2))[:, :, 0].transpose(1, 2)
        row = (row + attended) / 2
    if row.ndim == 2:
        return row
    return torch.cat([row[:, 0].sum(1, keepdim=True), row[:, 1:].flatten(1)], dim=1)


def row_attention(autoencoder, signals, columns, layer=-1):
    """Compute what rows of tokens attend to: other rows.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Whose encoder.
    signals : tensor of shape (B, P, T)
        Windows.
    columns : int64 tensor of shape (C,)
        Patch columns that count.
    layer : int, default=-1
        Which block.

    Returns
    -------
    attention : tensor of shape (B, h, R, R)
        Mean weight of pairs of tokens: over the patches of the row that attends (first) and over
        those of the row attended to. With factorised attention, pairs from two columns are zero.
    """
    inputs = []
    encode_all(autoencoder, signals, lambda *block: inputs.append(block))
    block, tokens, *bias = inputs[layer]
    n_windows, n_rows = len(signals), autoencoder.n_rows
    if not isinstance(block, Block):
        parts = [
            weights[..., 1:][:, columns].sum(1)
            for _, weights in _parcel_weights_in_parts(block, tokens, *bias)
        ]
        return torch.cat(parts, dim=2)[:, :, 1:] / len(columns) ** 2
    n_columns = autoencoder._n_columns(signals)
    found = tokens.new_zeros(n_windows, block.attention.n_heads, n_rows, n_rows)
    place = torch.arange(1, tokens.shape[1], device=tokens.device) - 1
    counted = torch.isin(place % n_columns, columns)
    for which, weights in _weights_in_parts(block, tokens, first=1):
        keys = weights[..., 1:].unflatten(3, (n_rows, n_columns))[..., columns].mean(4)
        which = slice(which.start - 1, which.stop - 1)
        keys = keys[:, :, counted[which]]
        found.index_add_(2, place[which][counted[which]] // n_columns, keys)
    return found / len(columns)


def _weights_in_parts(block, tokens, first=0):
    """Yield the attention weights (B, h, part, N) of a block, some rows at a time."""
    n_windows, n_tokens, _ = tokens.shape
    step = max(1, MAX_WEIGHTS // (n_windows * block.attention.n_heads * n_tokens))
    for start in range(first, n_tokens, step):
        which = slice(start, min(start + step, n_tokens))
        yield which, block.weigh(tokens, which)


def _parcel_weights_in_parts(block, tokens, bias=None):
    """Yield the weights over parcels (B, C, h, part, 1 + R) of a block, some rows at a time."""
    n_windows, n_rows, n_columns, _ = tokens.shape
    size = n_windows * n_columns * block.parcel_attention.n_heads * n_rows
    step = max(1, MAX_WEIGHTS // size)
    for start in range(0, n_rows, step):
        which = slice(start, min(start + step, n_rows))
        yield which, _weigh_parcels(block, tokens, bias, which)


def _weigh_parcels(block, grid, bias=None, wanted=slice(None)):
    """Return the weights over parcels (B, C, h, M, R) of the wanted rows of a grid (B, R, C, D)."""
    columns = block.parcel_norm(grid).transpose(1, 2)  # (B, C, R, D)
    lines = columns.flatten(0, 1)
    bias = None if bias is None else bias[:, wanted]
    attention = block.parcel_attention.weigh(lines[:, wanted], lines, bias)
    return attention.unflatten(0, columns.shape[:2])


def _weigh_times(block, grid, bias=None):
    """Return the weights over moments (B, R, h, C, C) that follow attention over parcels."""
    columns = block.parcel_norm(grid).transpose(1, 2)  # (B, C, R, D)
    attended = block.parcel_attention(columns.flatten(0, 1), attn_bias=bias).view(columns.shape)
    lines = block.time_norm(grid + attended.transpose(1, 2))
    attention = block.time_attention.weigh(lines.flatten(0, 1))
    return attention.unflatten(0, grid.shape[:2])
