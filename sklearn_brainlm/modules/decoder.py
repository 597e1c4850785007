"""Decoders: from the encoded visible tokens to the patches that were masked."""

import torch
from torch import nn

from sklearn_brainlm.modules.blocks import NORM_EPS, Block, CrossBlock, run_block
from sklearn_brainlm.modules.choices import check_choice
from sklearn_brainlm.modules.masking import put_tokens


class FullDecoder(nn.Module):
    """Put mask tokens in the empty places and let all tokens see one another.

    Parameters
    ----------
    encoder_dim : int
        Embedding dimension of the encoder.
    embed_dim, depth, n_heads, mlp_dim : int
        Size of the decoder: embedding dimension, blocks, heads, hidden units.
    patch_size : int
        Values in a patch.
    positions : TokenPositions
        What is added to every token but the CLS token.
    norm : {"pre", "post"}, default="pre"
        Where blocks normalise.
    token_conv : int, optional
        Length of the filter over tokens in every self-attention.
    head : {"mlp", "tanh", "linear"}, default="mlp"
        What turns a decoded token into a patch; "tanh" is "mlp" with values from -1 to 1.
    dropout : float, default=0.0
        Dropout of the embedded tokens.
    gradient_checkpointing : bool, default=False
        Recompute the blocks in the backward pass.

    Examples
    --------
    >>> from sklearn_brainlm.modules import TokenPositions
    >>> decoder = FullDecoder(8, 8, 1, 2, 16, 5, TokenPositions(8, n_rows=3))
    >>> ids_keep, ids_mask = torch.tensor([[0, 4]]), torch.tensor([[1, 2, 5]])
    >>> decoder(torch.zeros(1, 3, 8), ids_keep, ids_mask, n_columns=2).shape
    torch.Size([1, 3, 5])
    """

    def __init__(
        self,
        encoder_dim,
        embed_dim,
        depth,
        n_heads,
        mlp_dim,
        patch_size,
        positions,
        norm="pre",
        token_conv=None,
        head="mlp",
        dropout=0.0,
        gradient_checkpointing=False,
    ):
        super().__init__()
        check_choice("head", head, ("mlp", "tanh", "linear"))
        self.gradient_checkpointing = gradient_checkpointing
        self.embedding = nn.Linear(encoder_dim, embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.positions = positions
        self.blocks = nn.ModuleList(
            self._block(embed_dim, n_heads, mlp_dim, norm, token_conv) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        if head == "linear":
            self.head = nn.Linear(embed_dim, patch_size)
        else:
            self.head = nn.Sequential(
                nn.Linear(embed_dim, embed_dim // 2),
                nn.LeakyReLU(0.1),
                nn.Linear(embed_dim // 2, patch_size),
            )
            if head == "tanh":
                self.head.append(nn.Tanh())
        self.dropout = nn.Dropout(dropout)

    def forward(self, latent, ids_keep, ids_mask, n_columns, hints=None):
        """Predict patches.

        Parameters
        ----------
        latent : tensor of shape (B, 1 + K, encoder_dim)
            CLS embedding and encoded visible tokens.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        ids_mask : int64 tensor of shape (B, M)
            Tokens to predict.
        n_columns : int
            Patch columns C of the window.
        hints : tensor of shape (B, M, embed_dim), optional
            What is known of each masked token beforehand; added to its mask token.

        Returns
        -------
        predicted : tensor of shape (B, M, patch_size)
            Predicted patches in the order of `ids_mask`.
        """
        cls_token, visible = self.embedding(latent).split([1, ids_keep.shape[1]], dim=1)
        decoded = self._decode(cls_token, visible, ids_keep, ids_mask, n_columns, hints)
        return self.head(self.norm(decoded))

    def _block(self, embed_dim, n_heads, mlp_dim, norm, token_conv):
        """Make one block."""
        return Block(embed_dim, n_heads, mlp_dim, norm, token_conv)

    def _decode(self, cls_token, visible, ids_keep, ids_mask, n_columns, hints):
        """Decode all tokens; the last block computes the wanted ones only."""
        n_tokens = self.positions.n_rows * n_columns
        tokens = put_tokens(visible, ids_keep, n_tokens, self.mask_token)
        if hints is not None:
            tokens = tokens.scatter_add(1, ids_mask[..., None].expand_as(hints), hints)
        every_id = torch.arange(n_tokens, device=ids_keep.device)[None]
        tokens = self.dropout(tokens + self.positions(every_id, n_columns))
        tokens = torch.cat([cls_token, tokens], dim=1)
        for block in self.blocks[:-1]:
            tokens = run_block(block, tokens, checkpointing=self.gradient_checkpointing)
        wanted = 1 + ids_mask  # behind the CLS token
        return run_block(self.blocks[-1], tokens, wanted, checkpointing=self.gradient_checkpointing)


class CrossDecoder(FullDecoder):
    """Let each mask token ask the visible tokens, and them only.

    The parameters are those of :class:`FullDecoder`; `norm` and `token_conv` have no effect. Each
    masked token is predicted independently of which others are, so any subset can be.

    Examples
    --------
    >>> from sklearn_brainlm.modules import TokenPositions
    >>> decoder = CrossDecoder(8, 8, 1, 2, 16, 5, TokenPositions(8, n_rows=3))
    >>> ids_keep, ids_mask = torch.tensor([[0, 4]]), torch.tensor([[1, 2, 5]])
    >>> decoder(torch.zeros(1, 3, 8), ids_keep, ids_mask, n_columns=2).shape
    torch.Size([1, 3, 5])
    """

    def _block(self, embed_dim, n_heads, mlp_dim, norm, token_conv):
        """Make one block."""
        return CrossBlock(embed_dim, n_heads, mlp_dim)

    def _decode(self, cls_token, visible, ids_keep, ids_mask, n_columns, hints):
        """Decode the wanted tokens."""
        visible = self.dropout(visible + self.positions(ids_keep, n_columns))
        context = torch.cat([cls_token, visible], dim=1)
        queries = self.mask_token + self.positions(ids_mask, n_columns)
        queries = self.dropout(queries if hints is None else queries + hints)
        for block in self.blocks:
            queries = run_block(block, queries, context, checkpointing=self.gradient_checkpointing)
        return queries
