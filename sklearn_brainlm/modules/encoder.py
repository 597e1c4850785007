"""Encoders: the visible tokens of a window among themselves."""

import torch
from torch import nn

from sklearn_brainlm.modules.blocks import Block, FactorisedBlock, run_block
from sklearn_brainlm.modules.masking import put_tokens, take_tokens


class FullEncoder(nn.ModuleList):
    """Let every visible token see every other, and the CLS token.

    Parameters
    ----------
    embed_dim, depth, n_heads, mlp_dim : int
        Embedding dimension, blocks, heads, hidden units.
    norm : {"pre", "post"}, default="pre"
        Where blocks normalise.
    token_conv : int, optional
        Length of the filter over tokens in every self-attention.
    gradient_checkpointing : bool, default=False
        Recompute the blocks in the backward pass.

    Examples
    --------
    >>> encoder = FullEncoder(8, 1, 2, 16)
    >>> tokens, ids_keep = torch.zeros(1, 2, 8), torch.tensor([[0, 3]])
    >>> encoder(torch.zeros(1, 1, 8), tokens, ids_keep, n_rows=2, n_columns=2).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        embed_dim,
        depth,
        n_heads,
        mlp_dim,
        norm="pre",
        token_conv=None,
        gradient_checkpointing=False,
    ):
        super().__init__(Block(embed_dim, n_heads, mlp_dim, norm, token_conv) for _ in range(depth))
        self.gradient_checkpointing = gradient_checkpointing

    def forward(
        self,
        cls_token,
        tokens,
        ids_keep,
        n_rows,
        n_columns,
        attentions=None,
        cls_only=False,
        watch=None,
    ):
        """Encode tokens.

        Parameters
        ----------
        cls_token : tensor of shape (1, 1, D)
            The CLS token.
        tokens : tensor of shape (B, K, D)
            Embedded visible tokens.
        ids_keep : int64 tensor of shape (B, K)
            Their places; not used here.
        n_rows, n_columns : int
            Token grid; not used here.
        attentions : list, optional
            The attention weights of each block, (B, h, 1 + K, 1 + K), are appended to it.
        cls_only : bool, default=False
            Compute nothing but the CLS token in the last block; its attention weights are then
            (B, h, 1, 1 + K).
        watch : callable, optional
            Called before each block with the block and its tokens (B, 1 + K, D).

        Returns
        -------
        encoded : tensor of shape (B, 1 + K, D), or (B, 1, D)
            The CLS token, then the visible tokens.
        """
        tokens = torch.cat([cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        for number, block in enumerate(self, start=1):
            wanted = None
            if cls_only and number == len(self):
                wanted = ids_keep.new_zeros(len(tokens), 1)  # the CLS token is the first
            if watch is not None:
                watch(block, tokens)
            if attentions is None:
                tokens = run_block(block, tokens, wanted, checkpointing=self.gradient_checkpointing)
            else:
                tokens, attention = block(tokens, wanted, return_attention=True)
                attentions.append(attention)
        return tokens


class FactorisedEncoder(nn.ModuleList):
    """Let visible tokens see those of their patch column, then those of their parcel.

    The CLS token is one more parcel: it has a place in every column, and what is returned is its
    mean over columns.

    Parameters
    ----------
    embed_dim, depth, n_heads, mlp_dim : int
        Embedding dimension, blocks, heads, hidden units.
    parcel_similarity : tensor of shape (R, R), optional
        Correlations of the rows. Each head learns how much it attends by them.
    gradient_checkpointing : bool, default=False
        Recompute the blocks in the backward pass.

    Examples
    --------
    >>> encoder = FactorisedEncoder(8, 1, 2, 16)
    >>> tokens, ids_keep = torch.zeros(1, 2, 8), torch.tensor([[0, 3]])
    >>> encoder(torch.zeros(1, 1, 8), tokens, ids_keep, n_rows=2, n_columns=2).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        embed_dim,
        depth,
        n_heads,
        mlp_dim,
        parcel_similarity=None,
        gradient_checkpointing=False,
    ):
        super().__init__(FactorisedBlock(embed_dim, n_heads, mlp_dim) for _ in range(depth))
        self.gradient_checkpointing = gradient_checkpointing
        if parcel_similarity is not None:
            # A CLS row and column that favour nobody; the similarities belong to the atlas.
            parcel_similarity = nn.functional.pad(parcel_similarity, (1, 0, 1, 0))
            self.slope = nn.Parameter(torch.ones(depth, n_heads))
        self.register_buffer("parcel_similarity", parcel_similarity, persistent=False)

    def forward(
        self,
        cls_token,
        tokens,
        ids_keep,
        n_rows,
        n_columns,
        attentions=None,
        cls_only=False,
        watch=None,
    ):
        """Encode tokens.

        Parameters
        ----------
        cls_token : tensor of shape (1, 1, D)
            The CLS token.
        tokens : tensor of shape (B, K, D)
            Embedded visible tokens.
        ids_keep : int64 tensor of shape (B, K)
            Their places.
        n_rows, n_columns : int
            Token grid.
        attentions : None
            Weights over all pairs of tokens do not exist here.
        cls_only : bool, default=False
            Return nothing but the CLS token; nothing is saved, as it is a mean over columns.
        watch : callable, optional
            Called before each block with the block, its tokens (B, 1 + R, C, D), the CLS token
            being the first row, and the bias of attention over rows (h, 1 + R, 1 + R), or None.

        Returns
        -------
        encoded : tensor of shape (B, 1 + K, D)
            The CLS token, then the visible tokens.

        Raises
        ------
        ValueError
            If attention weights are asked for.
        """
        if attentions is not None:
            raise ValueError("attention='factorised' has no weights over all pairs of tokens.")
        n_windows, _, embed_dim = tokens.shape
        empty = tokens.new_zeros(1, 1, embed_dim)
        grid = put_tokens(tokens, ids_keep, n_rows * n_columns, empty)
        grid = grid.view(n_windows, n_rows, n_columns, embed_dim)
        cls_row = cls_token[:, :, None].expand(n_windows, 1, n_columns, embed_dim)
        grid = torch.cat([cls_row, grid], dim=1)  # (B, 1 + R, C, D)
        visible = torch.zeros(n_windows, n_rows * n_columns, dtype=torch.bool, device=grid.device)
        visible = visible.scatter(1, ids_keep, True).view(n_windows, n_rows, n_columns)
        visible = torch.cat([visible.new_ones(n_windows, 1, n_columns), visible], dim=1)
        for number, block in enumerate(self):
            bias = None
            if self.parcel_similarity is not None:
                bias = self.slope[number, :, None, None] * self.parcel_similarity
            if watch is not None:
                watch(block, grid, bias)
            grid = run_block(block, grid, visible, bias, checkpointing=self.gradient_checkpointing)
        cls_token = grid[:, 0].mean(1, keepdim=True)
        if cls_only:
            return cls_token
        encoded = take_tokens(grid[:, 1:].flatten(1, 2), ids_keep)
        return torch.cat([cls_token, encoded], dim=1)
