"""The image form of BrainLM, as released: windows in the middle of a square picture."""

import torch
from torch.nn import functional as F

from sklearn_brainlm.modules import patching
from sklearn_brainlm.modules.autoencoder import MaskedAutoencoder
from sklearn_brainlm.modules.blocks import NORM_EPS, set_blocks
from sklearn_brainlm.modules.channels import ChannelEmbedding, ChannelHead
from sklearn_brainlm.modules.choices import check_choice
from sklearn_brainlm.modules.initialisation import init_weights
from sklearn_brainlm.modules.masking import last_frames, take_tokens

TRAIN_MODES = ("auto_encode", "predict_last", "predict_last_pixel")
PADDING = -1.0


class ReleasedImageAutoencoder(MaskedAutoencoder):
    """Masked autoencoder of windows in the middle of a square picture filled with -1.

    The patches that hold nothing but filling are tokens like the others: embedded, masked and
    attended to, because the released weights were trained with them.

    Parameters
    ----------
    image_size : int
        Side of the picture, a multiple of `patch_length`.
    patch_length : int
        Timepoints, and parcels, of a patch.
    n_channels : int, default=3
        Channels of the picture; all show the window.
    parcel_order : sequence of int of length P, optional
        The order of the parcels in the picture, ascending MNI Y in the release; as given when None.
    qkv_bias : bool, default=True
        Whether queries, keys and values have a bias.
    norm_eps : float, default=1e-12
        Added to variances.
    hidden_dropout : float, default=0.0
        Dropout of what blocks add to their input.
    mask_ratio : float, default=0.75
        Part of the tokens, or of the frames, that :meth:`draw_tokens` masks.
    train_mode : {"auto_encode", "predict_last", "predict_last_pixel"}, default="auto_encode"
        What it masks: random patches, the patch columns that hold the last frames, or those that
        hold nothing but last frames, the remaining ones being set to zero.
    normalise_target : bool, default=False
        Compare predictions with each parcel's signal scaled to mean 0 and variance 1 of the window.
    has_decoder : bool, default=True
        Fine-tuned weights may come without a decoder.
    **sizes : dict
        Sizes of encoder and decoder, see :class:`MaskedAutoencoder`.

    Examples
    --------
    >>> sizes = dict(embed_dim=8, depth=1, n_heads=2, mlp_dim=16)
    >>> sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    >>> autoencoder = ReleasedImageAutoencoder(image_size=12, patch_length=4, **sizes)
    >>> ids_keep, ids_mask = autoencoder.draw_tokens(10, noise=torch.rand(2, 9))
    >>> autoencoder(torch.zeros(2, 6, 10), ids_keep, ids_mask).shape
    torch.Size([2, 7, 16])
    """

    def __init__(
        self,
        *,
        image_size,
        patch_length,
        n_channels=3,
        parcel_order=None,
        qkv_bias=True,
        norm_eps=NORM_EPS,
        hidden_dropout=0.0,
        mask_ratio=0.75,
        train_mode="auto_encode",
        normalise_target=False,
        has_decoder=True,
        **sizes,
    ):
        check_choice("train_mode", train_mode, TRAIN_MODES)
        if image_size % patch_length:
            raise ValueError(f"patch_length={patch_length} does not divide {image_size=}.")
        super().__init__(
            n_parcels=image_size,
            patch_length=patch_length,
            parcels_per_patch=patch_length,
            parcel_order=parcel_order,
            position="image",
            head="linear",
            **sizes,
        )
        # The picture has rows for any parcels; the order, if there is one, says how many they are.
        self.n_parcels = None if parcel_order is None else len(parcel_order)
        self.image_size = image_size
        self.mask_ratio = mask_ratio
        self.train_mode = train_mode
        self.normalise_target = normalise_target
        patch_size, embed_dim = patch_length**2, self.patch_embedding.out_features
        self.patch_embedding = ChannelEmbedding(n_channels, patch_size, embed_dim)
        decoder_dim = self.decoder.embedding.out_features
        self.decoder.head = ChannelHead(decoder_dim, patch_size, n_channels)
        init_weights(self)
        set_blocks(self, norm_eps, hidden_dropout, qkv_bias)
        if not has_decoder:
            self.decoder = None

    def picture(self, signals, fill=PADDING):
        """Put windows into the middle of a square, the parcels in the model's order.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows. Squares that this method made are returned as they are.
        fill : float, default=-1.0
            What is around the window.

        Returns
        -------
        picture : tensor of shape (B, image_size, image_size)
            Pictures, one channel of them.

        Raises
        ------
        ValueError
            If the windows do not fit, or have a middle that is not between two rows and columns.
        """
        n_parcels, n_timepoints = signals.shape[1:]
        if n_parcels == n_timepoints == self.image_size:
            return signals
        if self.n_parcels is not None and n_parcels != self.n_parcels:
            raise ValueError(f"signals have {n_parcels} parcels, the model has {self.n_parcels}.")
        rows, columns = self.image_size - n_parcels, self.image_size - n_timepoints
        if rows % 2 or columns % 2 or min(rows, columns) < 0:
            raise ValueError(
                f"Windows of {n_parcels} parcels and {n_timepoints} timepoints cannot be put into "
                f"the middle of a picture of {self.image_size} x {self.image_size}: both numbers "
                f"must differ from its side by an even number and not be larger."
            )
        if self.parcel_order is not None:
            signals = signals[:, self.parcel_order]
        return F.pad(signals, (columns // 2, columns // 2, rows // 2, rows // 2), value=fill)

    def patchify(self, signals):
        """Cut windows into patches of their pictures.

        Parameters
        ----------
        signals : tensor of shape (B, P, T) or (B, image_size, image_size)
            Windows, or their pictures.

        Returns
        -------
        patches : tensor of shape (B, N, L * L)
            One patch a token, those that hold nothing but filling included.
        """
        return patching.patchify(self.picture(signals), self.patch_length, self.patch_length)

    def unpatchify(self, patches, n_parcels, n_timepoints):
        """Join all the patches of pictures and cut the windows out of them.

        Parameters
        ----------
        patches : tensor of shape (B, N, L * L)
            One patch a token.
        n_parcels, n_timepoints : int
            Size of the windows.

        Returns
        -------
        signals : tensor of shape (B, P, T)
            Windows, the parcels in the order of the recordings.
        """
        sides = (self.image_size, self.image_size, self.patch_length, self.patch_length)
        top, left = (self.image_size - n_parcels) // 2, (self.image_size - n_timepoints) // 2
        picture = patching.unpatchify(patches, *sides)
        signals = picture[:, top : top + n_parcels, left : left + n_timepoints]
        return signals if self.parcel_order is None else signals[:, self.parcel_order.argsort()]

    def draw_tokens(self, n_timepoints, noise=None):
        """Choose which tokens are visible, as the release does.

        Parameters
        ----------
        n_timepoints : int
            Timepoints T of the windows.
        noise : tensor of shape (B, N), optional
            For ``train_mode="auto_encode"``: tokens stay visible where it is smallest, in its
            ascending order. The other modes need none, and make one line.

        Returns
        -------
        ids_keep, ids_mask : int64 tensors of shape (B, K), (B, M)
            Visible and masked tokens.

        Raises
        ------
        ValueError
            If the noise is missing.
        """
        if self.train_mode == "auto_encode":
            if noise is None:
                raise ValueError("train_mode='auto_encode' masks by noise, and there is none.")
            ids = noise.argsort(dim=1, stable=True)
            return ids.tensor_split([int(ids.shape[1] * (1 - self.mask_ratio))], dim=1)
        columns, _, _ = self._last_frames(n_timepoints)
        masked = torch.zeros(self.n_rows, self.n_rows, dtype=torch.bool)
        masked[:, columns] = True
        ids = masked.flatten().to(torch.uint8).argsort(stable=True)[None]
        return ids.tensor_split([ids.shape[1] - int(masked.sum())], dim=1)

    def forward_decoder(self, latent, ids_keep, ids_mask, n_columns=None):
        """Predict patches from the encoded visible tokens.

        Parameters
        ----------
        latent : tensor of shape (B, 1 + K, D)
            What the encoder returned.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        ids_mask : int64 tensor of shape (B, M)
            Tokens to predict.
        n_columns : int, optional
            Not needed: a picture has as many patch columns as token rows.

        Returns
        -------
        predicted : tensor of shape (B, M, L * L)
            Predicted patches, the mean of the channels.

        Raises
        ------
        ValueError
            If the weights came without a decoder.
        """
        if self.decoder is None:
            raise ValueError(
                "These fine-tuned weights have no decoder: they embed and predict, and reconstruct "
                "nothing."
            )
        return self.decoder(latent, ids_keep, ids_mask, self.n_rows)

    def forward_loss(self, signals, predicted, ids_mask, observed=None):
        """Average the squared error over the masked values that were recorded.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        predicted : tensor of shape (B, M, L * L)
            Predicted patches.
        ids_mask : int64 tensor of shape (B, M)
            The tokens predicted.
        observed : bool tensor of shape (B, T), optional
            False for timepoints that must not count; all count when None.

        Returns
        -------
        loss : tensor of shape ()
            Mean squared error; what is around the window never counts.
        """
        error = predicted - take_tokens(self.patchify(self._target(signals)), ids_mask)
        counted = torch.ones_like(signals)
        if observed is not None:
            counted = counted * observed[:, None]
        counted = patching.patchify(
            self.picture(counted, fill=0.0), self.patch_length, self.patch_length
        )
        counted = take_tokens(counted, ids_mask)
        return (error**2 * counted).sum() / counted.sum()

    def reproduce(self, signals, noise=None):
        """Do everything that the released program does with windows, and decode all tokens.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        noise : tensor of shape (B, N), optional
            What masks tokens, see :meth:`draw_tokens`.

        Returns
        -------
        made : dict of tensors
            ``ids_keep`` (B, K), ``latent`` (B, 1 + K, D), ``token_mask`` (B, N), ``logits`` and
            ``mask`` (B, P, T), and ``loss`` (). Masks are one where something was masked.
        """
        n_windows, n_parcels, n_timepoints = signals.shape
        picture, counted = self.picture(signals), slice(0, 0)
        if self.train_mode != "auto_encode":
            _, zeroed, counted = self._last_frames(n_timepoints)
            picture = picture.clone()
            picture[:, :, zeroed] = 0.0
        ids_keep, _ = self.draw_tokens(n_timepoints, noise)
        ids_keep = ids_keep.to(signals.device).expand(n_windows, -1)
        latent = self.forward_encoder(picture, ids_keep)
        every_id = torch.arange(self.n_rows**2, device=signals.device).expand(n_windows, -1)
        predicted = self.forward_decoder(latent, ids_keep, every_id)
        logits = self.unpatchify(predicted, n_parcels, n_timepoints)
        token_mask = torch.ones_like(predicted[:, :, 0]).scatter(1, ids_keep, 0.0)
        mask = token_mask[:, :, None].expand_as(predicted)
        mask = self.unpatchify(mask, n_parcels, n_timepoints).clone()
        mask[:, :, counted] = 1.0
        made = {"ids_keep": ids_keep, "latent": latent, "token_mask": token_mask, "mask": mask}
        loss = ((logits - self._target(signals)) ** 2 * mask).sum() / mask.sum()
        return {**made, "logits": logits, "loss": loss}

    def _n_columns(self, signals):
        """Count patch columns: pictures are square."""
        return self.n_rows

    def _target(self, signals):
        """Return what predictions are compared with."""
        if not self.normalise_target:
            return signals
        variance, mean = torch.var_mean(signals, dim=2, keepdim=True)
        return (signals - mean) / (variance + 1e-6).sqrt()

    def _last_frames(self, n_timepoints):
        """Say what a mask of the last frames does, see :func:`last_frames`."""
        whole = self.train_mode == "predict_last"
        n_masked = int(self.mask_ratio * n_timepoints)
        return last_frames(n_timepoints, n_masked, self.image_size, self.patch_length, whole)
