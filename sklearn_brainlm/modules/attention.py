"""Multi-head attention and the convolution that the released 13M models run beside it."""

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_brainlm.modules.masking import take_tokens

# Tokens that one product of the banded convolution covers: from 64 to 128 cost the same.
BAND_LENGTH = 128


class Attention(nn.Module):
    """Multi-head attention, with a convolution of the values over the tokens if asked for.

    Parameters
    ----------
    embed_dim : int
        Embedding dimension D.
    n_heads : int
        Heads; they must divide `embed_dim`.
    token_conv : int, optional
        Odd length of a filter, one a head, that runs over the values of all tokens in their order
        and is added to the attended values, as in the released 13M models.
    bias : bool, default=True
        Whether queries, keys and values have a bias.

    Raises
    ------
    ValueError
        If the heads do not divide `embed_dim` or `token_conv` is even.

    Examples
    --------
    >>> attention = Attention(embed_dim=8, n_heads=2)
    >>> attended, weights = attention(torch.zeros(1, 5, 8), return_attention=True)
    >>> attended.shape, weights.shape
    (torch.Size([1, 5, 8]), torch.Size([1, 2, 5, 5]))
    """

    def __init__(self, embed_dim, n_heads, token_conv=None, bias=True):
        super().__init__()
        if embed_dim % n_heads:
            raise ValueError(f"n_heads={n_heads} does not divide embed_dim={embed_dim}.")
        if token_conv is not None and token_conv % 2 == 0:
            raise ValueError(f"token_conv={token_conv} must be odd.")
        self.n_heads = n_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=bias)
        self.out = nn.Linear(embed_dim, embed_dim)
        self.conv = None
        if token_conv is not None:
            self.conv = nn.Parameter(torch.empty(n_heads, token_conv))
            nn.init.uniform_(self.conv, -(token_conv**-0.5), token_conv**-0.5)

    def forward(self, x, context=None, places=None, attn_bias=None, return_attention=False):
        """Let tokens attend.

        Parameters
        ----------
        x : tensor of shape (B, N, D)
            Tokens that attend.
        context : tensor of shape (B, M, D), optional
            Tokens attended to; `x` itself when None.
        places : int64 tensor of shape (B, N), optional
            Where the tokens of `x` stand in `context`; the convolution needs to know.
        attn_bias : tensor that broadcasts to (B, h, N, M), optional
            Added to the attention scores, or boolean and True where attention is allowed.
        return_attention : bool, default=False
            Also return the weights, computed explicitly.

        Returns
        -------
        attended : tensor of shape (B, N, D)
            Attended values.
        attention : tensor of shape (B, h, N, M)
            Attention weights, only when asked for.
        """
        if context is None:
            q, k, v = self._heads(self.qkv(x), 3)
        else:
            embed_dim = x.shape[2]
            weight, bias = self.qkv.weight, self.qkv.bias
            q_bias, kv_bias = (
                (None, None) if bias is None else bias.split([embed_dim, 2 * embed_dim])
            )
            (q,) = self._heads(F.linear(x, weight[:embed_dim], q_bias), 1)
            k, v = self._heads(F.linear(context, weight[embed_dim:], kv_bias), 2)
        attention = None
        if return_attention:
            attention = _attention_weights(q, k, attn_bias)  # (B, h, N, M)
            attended = attention @ v  # (B, h, N, d)
        else:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias)
        attended = attended.transpose(1, 2).flatten(2)  # (B, N, D)
        if self.conv is not None:
            if context is not None and places is None:
                raise ValueError("token_conv needs the places of the tokens in their context.")
            convolved = token_convolution(v, self.conv).transpose(1, 2).flatten(2)  # (B, M, D)
            attended = attended + (convolved if places is None else take_tokens(convolved, places))
        attended = self.out(attended)
        return (attended, attention) if return_attention else attended

    def weigh(self, x, context=None, attn_bias=None):
        """Compute the attention weights, and nothing else.

        Parameters
        ----------
        x : tensor of shape (B, N, D)
            Tokens that attend.
        context : tensor of shape (B, M, D), optional
            Tokens attended to; `x` itself when None.
        attn_bias : tensor that broadcasts to (B, h, N, M), optional
            As in :meth:`forward`.

        Returns
        -------
        attention : tensor of shape (B, h, N, M)
            Attention weights.
        """
        (q_weight, k_weight, _), (q_bias, k_bias) = self.qkv.weight.chunk(3), (None, None)
        if self.qkv.bias is not None:
            q_bias, k_bias, _ = self.qkv.bias.chunk(3)
        (q,) = self._heads(F.linear(x, q_weight, q_bias), 1)
        (k,) = self._heads(F.linear(x if context is None else context, k_weight, k_bias), 1)
        return _attention_weights(q, k, attn_bias)

    def _heads(self, projected, n_parts):
        """Split (B, N, n_parts * D) into n_parts tensors of shape (B, h, N, d)."""
        n_windows, n_tokens, _ = projected.shape
        head_dim = self.out.in_features // self.n_heads
        parts = projected.view(n_windows, n_tokens, n_parts, self.n_heads, head_dim)
        return parts.permute(2, 0, 3, 1, 4).unbind()


def token_convolution(v, weight):
    """Filter the values along the tokens, one filter a head, zeros beyond both ends.

    Parameters
    ----------
    v : tensor of shape (B, h, N, d)
        Values.
    weight : tensor of shape (h, k)
        Filters of odd length.

    Returns
    -------
    convolved : tensor of shape (B, h, N, d)
        Filtered values.

    Notes
    -----
    Written as products with a banded matrix: several times cheaper on a CPU than ``conv2d`` with
    groups, whose gradient with respect to such a filter is also wrong there by some per cent
    (torch 2.13 with oneDNN, one group a channel, padding).
    """
    n_tokens, n_taps = v.shape[2], weight.shape[1]
    reach = n_taps // 2
    n_bands = -(-n_tokens // BAND_LENGTH)
    v = F.pad(v, (0, 0, reach, n_bands * BAND_LENGTH - n_tokens + reach))
    windows = v.unfold(2, BAND_LENGTH + n_taps - 1, BAND_LENGTH).transpose(3, 4)
    # Each row of the band is the filter, one step further to the right than in the row above.
    width = BAND_LENGTH + n_taps - 1
    band = F.pad(weight, (0, BAND_LENGTH)).repeat(1, BAND_LENGTH)[:, : BAND_LENGTH * width]
    band = band.view(len(weight), 1, BAND_LENGTH, width)
    return (band @ windows).flatten(2, 3)[:, :, :n_tokens]


def _attention_weights(q, k, attn_bias):
    """Compute the softmax that scaled_dot_product_attention keeps to itself."""
    scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5  # (B, h, N, M)
    if attn_bias is None:
        return scores.softmax(3)
    if attn_bias.dtype == torch.bool:
        return scores.masked_fill(~attn_bias, -torch.inf).softmax(3)
    return (scores + attn_bias).softmax(3)
