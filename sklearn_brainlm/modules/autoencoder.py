"""The masked autoencoder of BrainLM, stage by stage as the article names them."""

import torch
from torch import nn

from sklearn_brainlm.modules import patching
from sklearn_brainlm.modules.blocks import NORM_EPS
from sklearn_brainlm.modules.choices import check_choice
from sklearn_brainlm.modules.decoder import CrossDecoder, FullDecoder
from sklearn_brainlm.modules.embeddings import ParcelEmbedding, TokenPositions
from sklearn_brainlm.modules.encoder import FactorisedEncoder, FullEncoder
from sklearn_brainlm.modules.initialisation import init_weights
from sklearn_brainlm.modules.masking import take_tokens


class MaskedAutoencoder(nn.Module):
    """Encode the visible tokens of a window, then predict the masked ones (article, section 3.2).

    Parameters
    ----------
    n_parcels : int
        Parcels P of a window.
    patch_length : int
        Timepoints L of a patch.
    parcels_per_patch : int, default=1
        Parcels of a patch.
    parcel_order : sequence of int of length P, optional
        The order in which parcels are grouped into patches, such as ascending MNI Y.
    parcel_similarity : array of shape (P, P), optional
        Correlations of the parcels, by which factorised attention learns to be biased.
    embed_dim, depth, n_heads, mlp_dim : int
        Size of the encoder: embedding dimension D, blocks, heads, hidden units.
    attention : {"full", "factorised"}, default="full"
        Whether a visible token sees all others in the encoder, or those of its patch column and
        then those of its parcel. Blocks of the latter are always "pre" and without `token_conv`.
    decoder : {"full", "cross"}, default="full"
        Whether all tokens attend to one another in the decoder, or the masked ones attend to the
        visible ones only.
    decoder_embed_dim, decoder_depth, decoder_n_heads, decoder_mlp_dim : int
        Size of the decoder.
    norm : {"pre", "post"}, default="pre"
        Where blocks normalise. The blocks of the cross decoder are always "pre".
    token_conv : int, optional
        Length of the filter over tokens in every self-attention.
    position : {"parcel", "image"}, default="parcel"
        Parcel embedding plus time code, or the code of row and column as in an image.
    parcel_embedding : {"xyz", "learned", "both"}, default="xyz"
        How rows are embedded when ``position="parcel"``.
    parcel_coords : array of shape (P, 3), optional
        MNI coordinates of the parcels in millimetres; a row of several parcels has their mean.
    xyz_scale : float, default=1.0
        The coordinates are multiplied by this first.
    head : {"mlp", "tanh", "linear"}, default="mlp"
        What turns a decoded token into a patch.
    loss : {"squared", "absolute"}, default="squared"
        Which error is averaged.
    dropout : float, default=0.0
        Dropout of the embedded tokens, in encoder and decoder, as in the release.
    gradient_checkpointing : bool, default=False
        Recompute the blocks in the backward pass instead of keeping their activations.

    Raises
    ------
    ValueError
        If a choice is unknown, or sizes do not fit one another.

    Examples
    --------
    >>> autoencoder = MaskedAutoencoder(
    ...     n_parcels=3, patch_length=5, embed_dim=8, depth=1, n_heads=2, mlp_dim=16,
    ...     decoder_embed_dim=8, decoder_depth=1, decoder_n_heads=2, decoder_mlp_dim=16,
    ...     parcel_embedding="learned",
    ... )
    >>> ids_keep, ids_mask = torch.tensor([[0, 2, 5]]), torch.tensor([[1, 3, 4]])
    >>> autoencoder(torch.zeros(1, 3, 10), ids_keep, ids_mask).shape
    torch.Size([1, 3, 5])
    """

    def __init__(
        self,
        *,
        n_parcels,
        patch_length,
        parcels_per_patch=1,
        parcel_order=None,
        parcel_similarity=None,
        embed_dim,
        depth,
        n_heads,
        mlp_dim,
        attention="full",
        decoder="full",
        decoder_embed_dim,
        decoder_depth,
        decoder_n_heads,
        decoder_mlp_dim,
        norm="pre",
        token_conv=None,
        position="parcel",
        parcel_embedding="xyz",
        parcel_coords=None,
        xyz_scale=1.0,
        head="mlp",
        loss="squared",
        dropout=0.0,
        gradient_checkpointing=False,
    ):
        super().__init__()
        check_choice("attention", attention, ("full", "factorised"))
        check_choice("decoder", decoder, ("full", "cross"))
        check_choice("position", position, ("parcel", "image"))
        check_choice("loss", loss, ("squared", "absolute"))
        self.loss = loss
        self.n_parcels = n_parcels
        self.patch_length = patch_length
        self.parcels_per_patch = parcels_per_patch
        self.gradient_checkpointing = gradient_checkpointing
        self.n_rows, _ = patching.grid_shape(n_parcels, 1, patch_length, parcels_per_patch)
        patch_size = parcels_per_patch * patch_length

        parcel_order = None if parcel_order is None else torch.as_tensor(parcel_order).long()
        # Which parcel goes where belongs to the atlas, not to the weights.
        self.register_buffer("parcel_order", parcel_order, persistent=False)
        coords = patching.row_coords(parcel_coords, n_parcels, parcels_per_patch, parcel_order)

        def positions(dim):
            """Build the positions of the encoder or of the decoder."""
            if position == "image":
                return TokenPositions(dim, self.n_rows)
            rows = ParcelEmbedding(dim, coords, parcel_embedding, self.n_rows, xyz_scale)
            return TokenPositions(dim, self.n_rows, rows)

        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.patch_embedding = nn.Linear(patch_size, embed_dim)
        self.positions = positions(embed_dim)
        encoder_size = (embed_dim, depth, n_heads, mlp_dim)
        if attention == "full":
            self.encoder = FullEncoder(*encoder_size, norm, token_conv, gradient_checkpointing)
        else:
            similarity = patching.row_similarity(parcel_similarity, parcels_per_patch, parcel_order)
            self.encoder = FactorisedEncoder(*encoder_size, similarity, gradient_checkpointing)
        self.encoder_norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)

        decoder_size = (decoder_embed_dim, decoder_depth, decoder_n_heads, decoder_mlp_dim)
        choices = (norm, token_conv, head, dropout, gradient_checkpointing)
        self.decoder = (FullDecoder if decoder == "full" else CrossDecoder)(
            embed_dim, *decoder_size, patch_size, positions(decoder_embed_dim), *choices
        )
        self.dropout = nn.Dropout(dropout)
        init_weights(self)

    @property
    def n_parameters(self):
        """Number of parameters, all of them trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    def patchify(self, signals):
        """Cut windows into patches, the parcels in the model's order.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows of any length; a last patch that is not full is filled with zeros.

        Returns
        -------
        patches : tensor of shape (B, N, parcels_per_patch * L)
            One patch a token.

        Raises
        ------
        ValueError
            If the windows do not have `n_parcels` parcels.
        """
        if signals.shape[1] != self.n_parcels:
            raise ValueError(
                f"signals have {signals.shape[1]} parcels, the model has {self.n_parcels}."
            )
        if self.parcel_order is not None:
            signals = signals[:, self.parcel_order]
        return patching.patchify(signals, self.patch_length, self.parcels_per_patch)

    def unpatchify(self, patches, n_parcels, n_timepoints):
        """Join all the patches of windows, the parcels in the order of the recordings.

        Parameters
        ----------
        patches : tensor of shape (B, N, parcels_per_patch * L)
            One patch a token.
        n_parcels, n_timepoints : int
            Size of the windows.

        Returns
        -------
        signals : tensor of shape (B, P, T)
            Windows.
        """
        sizes = (n_parcels, n_timepoints, self.patch_length, self.parcels_per_patch)
        signals = patching.unpatchify(patches, *sizes)
        return signals if self.parcel_order is None else signals[:, self.parcel_order.argsort()]

    def embed(self, signals, ids_keep):
        """Embed the visible patches: a linear projection plus their positions.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.

        Returns
        -------
        tokens : tensor of shape (B, K, D)
            Embedded tokens in the order of `ids_keep`.
        """
        patches = take_tokens(self.patchify(signals), ids_keep)
        positions = self.positions(ids_keep, self._n_columns(signals))
        return self.dropout(self.patch_embedding(patches) + positions)

    def forward_encoder(self, signals, ids_keep, return_attention=False, cls_only=False):
        """Encode the visible tokens, which see one another and nothing else.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        return_attention : bool, default=False
            Also return the attention weights of every block.
        cls_only : bool, default=False
            Compute nothing but the CLS token in the last block.

        Returns
        -------
        latent : tensor of shape (B, 1 + K, D), or (B, 1, D)
            The CLS embedding, then the visible tokens in the order of `ids_keep`.
        attentions : list of tensors of shape (B, h, 1 + K, 1 + K)
            Attention weights, only when asked for.
        """
        attentions = [] if return_attention else None
        encoded = self.encoder(
            self.cls_token,
            self.embed(signals, ids_keep),
            ids_keep,
            self.n_rows,
            self._n_columns(signals),
            attentions,
            cls_only,
        )
        latent = self.encoder_norm(encoded)
        return (latent, attentions) if return_attention else latent

    def forward_decoder(self, latent, ids_keep, ids_mask, n_columns):
        """Predict patches from the encoded visible tokens.

        Parameters
        ----------
        latent : tensor of shape (B, 1 + K, D)
            What the encoder returned.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        ids_mask : int64 tensor of shape (B, M)
            Tokens to predict: the masked ones, or some of them.
        n_columns : int
            Patch columns C of the window.

        Returns
        -------
        predicted : tensor of shape (B, M, parcels_per_patch * L)
            Predicted patches in the order of `ids_mask`.
        """
        return self.decoder(latent, ids_keep, ids_mask, n_columns)

    def forward_loss(self, signals, predicted, ids_mask, observed=None):
        """Average the error over the masked values that were recorded.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        predicted : tensor of shape (B, M, parcels_per_patch * L)
            Predicted patches.
        ids_mask : int64 tensor of shape (B, M)
            The tokens predicted.
        observed : bool tensor of shape (B, T), optional
            False for timepoints that only fill a short window up; all observed when None.

        Returns
        -------
        loss : tensor of shape ()
            Mean error, squared or absolute. What fills patches up never counts.
        """
        error = predicted - take_tokens(self.patchify(signals), ids_mask)
        error = error**2 if self.loss == "squared" else error.abs()
        if observed is None:
            if self.n_parcels % self.parcels_per_patch == signals.shape[2] % self.patch_length == 0:
                return error.mean()
            observed = torch.ones_like(signals[:, 0])
        recorded = observed.to(signals.dtype)[:, None].expand(-1, self.n_parcels, -1)
        recorded = patching.patchify(recorded, self.patch_length, self.parcels_per_patch)
        counted = take_tokens(recorded, ids_mask)
        return (error * counted).sum() / counted.sum()

    def forward(self, signals, ids_keep, ids_mask, observed=None):
        """Predict the masked patches of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        ids_mask : int64 tensor of shape (B, M)
            Tokens to predict.
        observed : bool tensor of shape (B, T), optional
            Accepted so that a whole batch can be handed over; only the loss uses it.

        Returns
        -------
        predicted : tensor of shape (B, M, parcels_per_patch * L)
            Predicted patches in the order of `ids_mask`.
        """
        latent = self.forward_encoder(signals, ids_keep)
        return self.forward_decoder(latent, ids_keep, ids_mask, self._n_columns(signals))

    def _n_columns(self, signals):
        """Count the patch columns of windows."""
        return patching.grid_shape(self.n_parcels, signals.shape[2], self.patch_length)[1]
