"""The masked autoencoder that starts from the closed form and learns the rest."""

import torch
from torch import nn

from sklearn_brainlm.modules.autoencoder import MaskedAutoencoder
from sklearn_brainlm.modules.masking import take_tokens
from sklearn_brainlm.modules.prior import TABLE_SCALE, GaussianPrior


class InformedAutoencoder(MaskedAutoencoder):
    """Predict masked patches by a closed form that adapts to the person, plus a learned residual.

    The residual passes a gate that starts closed, and the adaptation starts at that of the closed
    form: before training, the prediction is the closed form to the last digit.

    Parameters
    ----------
    statistics : dict of arrays
        Statistics of the training recordings, see :class:`GaussianPrior`.
    **parameters : dict
        Parameters of :class:`MaskedAutoencoder`.

    Examples
    --------
    >>> identity = torch.eye(3)
    >>> statistics = dict(
    ...     covariance=identity, whitening=identity, colouring=identity,
    ...     autocorrelation=torch.ones(1, 3), cross_correlation=torch.zeros(1, 3, 3),
    ... )
    >>> autoencoder = InformedAutoencoder(
    ...     statistics, n_parcels=3, patch_length=5, embed_dim=8, depth=1, n_heads=2, mlp_dim=16,
    ...     decoder_embed_dim=8, decoder_depth=1, decoder_n_heads=2, decoder_mlp_dim=16,
    ...     parcel_embedding="learned",
    ... )
    >>> ids_keep, ids_mask = torch.tensor([[0, 2, 5]]), torch.tensor([[1, 3, 4]])
    >>> autoencoder(torch.zeros(1, 3, 10), ids_keep, ids_mask).shape
    torch.Size([1, 3, 5])
    """

    def __init__(self, statistics, **parameters):
        super().__init__(**parameters)
        self.prior = GaussianPrior(statistics)
        self.hint_embedding = nn.Linear(
            self.patch_embedding.in_features, self.decoder.embedding.out_features
        )
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, signals, ids_keep, ids_mask, observed=None, fold=None, seen=None):
        """Predict the masked patches of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows of whole patch columns.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.
        ids_mask : int64 tensor of shape (B, M)
            Tokens to predict.
        observed : bool tensor of shape (B, T), optional
            False for timepoints that only fill a short window up.
        fold : int64 tensor of shape (B,), optional
            Statistics the closed form uses for each window, all recordings' where negative.
        seen : bool tensor of shape (B, P, T), optional
            Values the closed form goes by; those of the visible patches when None. It does not
            need whole patches.

        Returns
        -------
        predicted : tensor of shape (B, M, parcels_per_patch * L)
            Predicted patches in the order of `ids_mask`.
        """
        n_columns = self._n_columns(signals)
        if seen is None:
            seen = self._visible(ids_keep, n_columns)
        filled = self.prior(signals, seen, observed, fold)
        hints = take_tokens(self.patchify(filled), ids_mask)
        latent = self.forward_encoder(signals, ids_keep)
        residual = self.decoder(
            latent, ids_keep, ids_mask, n_columns, hints=self.hint_embedding(hints)
        )
        return hints + TABLE_SCALE * self.gate * residual

    @torch.no_grad()
    def close(self, *, residual=True, adaptation=True):
        """Take back what was learned beyond the closed form.

        Parameters
        ----------
        residual : bool, default=True
            Close the gate of the residual.
        adaptation : bool, default=True
            Let the closed form adapt as it did before training.
        """
        if residual:
            self.gate.zero_()
        if adaptation:
            self.prior.reset()

    def _visible(self, ids_keep, n_columns):
        """Say which patches of which parcels are visible, (B, P, C)."""
        visible = ids_keep.new_zeros(len(ids_keep), self.n_rows * n_columns, dtype=torch.bool)
        visible = visible.scatter(1, ids_keep, True).view(len(ids_keep), self.n_rows, n_columns)
        visible = visible.repeat_interleave(self.parcels_per_patch, dim=1)[:, : self.n_parcels]
        return visible if self.parcel_order is None else visible[:, self.parcel_order.argsort()]
