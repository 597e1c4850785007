"""Transformer blocks: attention, then a perceptron, each beside a residual connection."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sklearn_brainlm.modules.attention import Attention
from sklearn_brainlm.modules.choices import check_choice
from sklearn_brainlm.modules.masking import take_tokens

NORM_EPS = 1e-12


class Mlp(nn.Sequential):
    """Two linear layers with the exact GELU between them.

    Parameters
    ----------
    embed_dim : int
        Embedding dimension D, in and out.
    hidden_dim : int
        Units between the layers.

    Examples
    --------
    >>> Mlp(8, 16)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, embed_dim, hidden_dim):
        super().__init__(
            nn.Linear(embed_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, embed_dim)
        )


class Block(nn.Module):
    """Self-attention and perceptron, normalised before (ViT) or after (BERT) each.

    Parameters
    ----------
    embed_dim, n_heads, mlp_dim : int
        Embedding dimension D, heads, hidden units of the perceptron.
    norm : {"pre", "post"}, default="pre"
        Whether tokens are normalised before or after attention and perceptron.
    token_conv : int, optional
        Length of the filter over tokens, see :class:`Attention`.
    dropout : float, default=0.0
        Dropout of what is added to the residual connection.
    norm_eps : float, default=1e-12
        Added to variances.

    Raises
    ------
    ValueError
        If `norm` is neither "pre" nor "post".

    Examples
    --------
    >>> Block(embed_dim=8, n_heads=2, mlp_dim=16)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        embed_dim,
        n_heads,
        mlp_dim,
        norm="pre",
        token_conv=None,
        dropout=0.0,
        norm_eps=NORM_EPS,
    ):
        super().__init__()
        check_choice("norm", norm, ("pre", "post"))
        self.norm = norm
        self.attention = Attention(embed_dim, n_heads, token_conv)
        self.attention_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = Mlp(embed_dim, mlp_dim)
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, wanted=None, return_attention=False):
        """Transform tokens.

        Parameters
        ----------
        x : tensor of shape (B, N, D)
            Tokens.
        wanted : int64 tensor of shape (B, M), optional
            Tokens whose output is wanted, all when None. The others are still attended to, so
            the output is the same and costs less.
        return_attention : bool, default=False
            Also return the attention weights.

        Returns
        -------
        x : tensor of shape (B, N, D), or (B, M, D)
            Tokens after the block.
        attention : tensor of shape (B, h, N, N), or (B, h, M, N)
            Attention weights, only when asked for.
        """
        pre = self.norm == "pre"
        context = self.attention_norm(x) if pre else x
        if wanted is None:
            attended = self.attention(context, return_attention=return_attention)
        else:
            x = take_tokens(x, wanted)
            attended = self.attention(
                take_tokens(context, wanted), context, wanted, return_attention=return_attention
            )
        attended, attention = attended if return_attention else (attended, None)
        x = x + self.dropout(attended)
        if pre:
            x = x + self.dropout(self.mlp(self.mlp_norm(x)))
        else:
            x = self.attention_norm(x)
            x = self.mlp_norm(x + self.dropout(self.mlp(x)))
        return (x, attention) if return_attention else x

    def weigh(self, x, wanted=slice(None)):
        """Compute the attention weights of tokens, and nothing else.

        Parameters
        ----------
        x : tensor of shape (B, N, D)
            Tokens, as the block takes them.
        wanted : slice, default=slice(None)
            Tokens whose weights are wanted, M of them.

        Returns
        -------
        attention : tensor of shape (B, h, M, N)
            Attention weights.
        """
        context = self.attention_norm(x) if self.norm == "pre" else x
        return self.attention.weigh(context[:, wanted], context)


class CrossBlock(nn.Module):
    """Queries attend to a context, never to one another; then the perceptron. Pre-norm.

    Parameters
    ----------
    embed_dim, n_heads, mlp_dim : int
        Embedding dimension D, heads, hidden units of the perceptron.
    dropout : float, default=0.0
        Dropout of what is added to the residual connection.
    norm_eps : float, default=1e-12
        Added to variances.

    Examples
    --------
    >>> block = CrossBlock(embed_dim=8, n_heads=2, mlp_dim=16)
    >>> block(torch.zeros(1, 5, 8), torch.zeros(1, 3, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, embed_dim, n_heads, mlp_dim, dropout=0.0, norm_eps=NORM_EPS):
        super().__init__()
        self.attention = Attention(embed_dim, n_heads)
        self.attention_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.context_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = Mlp(embed_dim, mlp_dim)
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, context):
        """Transform queries.

        Parameters
        ----------
        x : tensor of shape (B, M, D)
            Queries.
        context : tensor of shape (B, K, D)
            Tokens attended to.

        Returns
        -------
        x : tensor of shape (B, M, D)
            Queries after the block; each is independent of the others.
        """
        x = x + self.dropout(self.attention(self.attention_norm(x), self.context_norm(context)))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class FactorisedBlock(nn.Module):
    """Attention over the parcels of a moment, then over the moments of a parcel. Pre-norm.

    Only visible tokens are attended to; hidden ones ask but do not answer.

    Parameters
    ----------
    embed_dim, n_heads, mlp_dim : int
        Embedding dimension D, heads, hidden units of the perceptron.
    dropout : float, default=0.0
        Dropout of what is added to the residual connection.
    norm_eps : float, default=1e-12
        Added to variances.

    Examples
    --------
    >>> block = FactorisedBlock(embed_dim=8, n_heads=2, mlp_dim=16)
    >>> visible = torch.tensor([[[True, False], [True, True], [False, False]]])
    >>> block(torch.zeros(1, 3, 2, 8), visible).shape
    torch.Size([1, 3, 2, 8])
    """

    def __init__(self, embed_dim, n_heads, mlp_dim, dropout=0.0, norm_eps=NORM_EPS):
        super().__init__()
        self.parcel_attention = Attention(embed_dim, n_heads)
        self.parcel_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.time_attention = Attention(embed_dim, n_heads)
        self.time_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = Mlp(embed_dim, mlp_dim)
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, visible, parcel_bias=None):
        """Transform a grid of tokens.

        Parameters
        ----------
        x : tensor of shape (B, R, C, D)
            Tokens.
        visible : bool tensor of shape (B, R, C)
            Tokens that may be attended to.
        parcel_bias : tensor of shape (h, R, R), optional
            Added to the scores of attention over parcels.

        Returns
        -------
        x : tensor of shape (B, R, C, D)
            Tokens after the block.
        """
        columns = self.parcel_norm(x).transpose(1, 2)  # (B, C, R, D)
        attended = _attend_lines(
            self.parcel_attention, columns, visible.transpose(1, 2), parcel_bias
        )
        x = x + self.dropout(attended.transpose(1, 2))
        x = x + self.dropout(_attend_lines(self.time_attention, self.time_norm(x), visible))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


def run_block(block, *inputs, checkpointing):
    """Run a block, and keep its activations for the backward pass or compute them twice.

    Parameters
    ----------
    block : torch.nn.Module
        Block to run.
    *inputs : tensors
        What it takes.
    checkpointing : bool
        Keep the inputs only.

    Returns
    -------
    output : tensor
        What the block returns.
    """
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


def set_blocks(network, norm_eps=NORM_EPS, hidden_dropout=0.0, qkv_bias=True):
    """Set what the released configurations say of all blocks, in place.

    Parameters
    ----------
    network : torch.nn.Module
        Network with blocks.
    norm_eps : float, default=1e-12
        Added to variances.
    hidden_dropout : float, default=0.0
        Dropout of what blocks add to their input.
    qkv_bias : bool, default=True
        Whether queries, keys and values keep their bias.
    """
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = norm_eps
        elif isinstance(module, Block):
            module.dropout.p = hidden_dropout
        elif isinstance(module, Attention) and not qkv_bias:
            module.qkv.bias = None


def _attend_lines(attention, lines, visible, bias=None):
    """Attend within each line of a (B, lines, N, D) grid to its visible tokens."""
    has_visible = visible.any(2, keepdim=True)  # (B, lines, 1)
    # A line with nothing to attend to would be 0 / 0: open it, and drop what comes out.
    allowed = (visible | ~has_visible).flatten(0, 1)[:, None, None]  # (B * lines, 1, 1, N)
    if bias is not None:
        allowed = torch.where(allowed, bias, -torch.inf)  # (B * lines, h, N, N)
    attended = attention(lines.flatten(0, 1), attn_bias=allowed).view(lines.shape)
    return attended * has_visible[..., None]
