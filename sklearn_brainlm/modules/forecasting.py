"""A masked autoencoder that forecasts: its masked patches are those of the future."""

import torch
from torch import nn

from sklearn_brainlm.modules.masking import take_tokens
from sklearn_brainlm.modules.wiener import TABLE_SCALE, AdaptiveWiener


class ForecastingNetwork(nn.Module):
    """Predict the last timepoints of windows from those before (article, section 4.3).

    With a closed form, the prediction is that plus the residual of the decoder, which passes a gate
    that starts closed. Without, it is that of the autoencoder.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Network to train with the future masked.
    closed_form : dict, optional
        Parameters of :class:`AdaptiveWiener`.

    Examples
    --------
    >>> from sklearn_brainlm.modules import MaskedAutoencoder
    >>> sizes = dict(embed_dim=8, depth=1, n_heads=2, mlp_dim=16)
    >>> sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    >>> autoencoder = MaskedAutoencoder(
    ...     n_parcels=2, patch_length=5, parcel_embedding="learned", **sizes
    ... )
    >>> network = ForecastingNetwork(autoencoder)
    >>> ids_keep, ids_mask = torch.tensor([[0, 1, 3, 4]]), torch.tensor([[2, 5]])
    >>> network(torch.zeros(1, 2, 15), ids_keep, ids_mask).shape
    torch.Size([1, 2, 5])
    """

    def __init__(self, autoencoder, closed_form=None):
        super().__init__()
        self.autoencoder = autoencoder
        self.closed_form = None
        if closed_form is not None:
            self.closed_form = AdaptiveWiener(**closed_form)
            patch_size = autoencoder.patch_embedding.in_features
            decoder_dim = autoencoder.decoder.embedding.out_features
            self.hint_embedding = nn.Linear(patch_size, decoder_dim)
            self.gate = nn.Parameter(torch.zeros(()))

    @property
    def n_parameters(self):
        """Number of parameters, all of them trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, signals, ids_keep, ids_mask, observed=None, fold=None):
        """Predict the masked patches of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows of whole patch columns; the future is not looked at.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        ids_mask : int64 tensor of shape (B, M)
            Tokens to predict: those that reach into the future.
        observed : bool tensor of shape (B, T), optional
            False for timepoints that only fill a window up. Windows of a batch are as long.
        fold : int64 tensor of shape (B,), optional
            Who each window is of, see :meth:`AdaptiveWiener.leave_out`.

        Returns
        -------
        predicted : tensor of shape (B, M, parcels_per_patch * L)
            Predicted patches in the order of `ids_mask`.
        """
        if self.closed_form is None:
            return self.autoencoder(signals, ids_keep, ids_mask)
        n_timepoints = signals.shape[2] if observed is None else int(observed[0].sum())
        n_before = n_timepoints - self.closed_form.horizon
        future = self.closed_form(signals[:, :, :n_before], fold)
        filled = [signals[:, :, :n_before], future, torch.zeros_like(signals[:, :, n_timepoints:])]
        hints = take_tokens(self.patchify(torch.cat(filled, dim=2)), ids_mask)
        autoencoder = self.autoencoder
        latent = autoencoder.forward_encoder(signals, ids_keep)
        n_columns = -(-signals.shape[2] // autoencoder.patch_length)
        residual = autoencoder.decoder(
            latent, ids_keep, ids_mask, n_columns, hints=self.hint_embedding(hints)
        )
        return hints + TABLE_SCALE * self.gate * residual

    def forward_loss(self, signals, predicted, ids_mask, observed=None):
        """Average the error over the masked values, see :class:`MaskedAutoencoder`.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        predicted : tensor of shape (B, M, parcels_per_patch * L)
            Predicted patches.
        ids_mask : int64 tensor of shape (B, M)
            The tokens predicted.
        observed : bool tensor of shape (B, T), optional
            False for timepoints that only fill a window up.

        Returns
        -------
        loss : tensor of shape ()
            Mean error.
        """
        return self.autoencoder.forward_loss(signals, predicted, ids_mask, observed)

    def patchify(self, signals):
        """Cut windows into patches, as the autoencoder does.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.

        Returns
        -------
        patches : tensor of shape (B, N, parcels_per_patch * L)
            One patch a token.
        """
        return self.autoencoder.patchify(signals)

    def unpatchify(self, patches, n_parcels, n_timepoints):
        """Join all the patches of windows, as the autoencoder does.

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
        return self.autoencoder.unpatchify(patches, n_parcels, n_timepoints)
