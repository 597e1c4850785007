"""What was put on top of the image form of BrainLM to predict something of a person."""

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_brainlm.modules.choices import check_choice
from sklearn_brainlm.modules.released import ReleasedImageAutoencoder

LOSSES = ("squared", "absolute", "cross_entropy", "weighted")
# Lowest and highest label of a band, and what an error counts there; between bands it does not.
BANDS = (
    (-4.40, -3.46, 24.16),
    (-3.35, -2.40, 30.73),
    (-1.25, -0.305, 1.5),
    (-0.199, 0.747, 1.0),
    (0.852, 1.799, 2.11),
)
BAND_SCALE = 0.01
RECONSTRUCTION_WEIGHT = 0.5


class ReleasedFinetuning(ReleasedImageAutoencoder):
    """Predict one number of a window from what the encoder of the image form makes of it.

    Parameters
    ----------
    target_loss : {"squared", "absolute", "cross_entropy", "weighted"}, default="squared"
        Error of the number; "weighted" is squared, and summed over bands of labels.
    mean_pooling : bool, default=False
        Predict from the mean of all tokens, the CLS token included, instead of the CLS token.
    sigmoid : bool, default=False
        Squeeze the number between 0 and 1; the release does so before "cross_entropy" too.
    pos_weight : tensor, optional
        What positive labels count in "cross_entropy".
    hidden_dropout : float, default=0.0
        Dropout in the head and in the blocks.
    **parameters : dict
        Parameters of :class:`ReleasedImageAutoencoder`.

    Examples
    --------
    >>> sizes = dict(embed_dim=8, depth=1, n_heads=2, mlp_dim=16)
    >>> sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    >>> network = ReleasedFinetuning(image_size=12, patch_length=4, has_decoder=False, **sizes)
    >>> ids_keep, _ = network.draw_tokens(10, noise=torch.rand(2, 9))
    >>> network.forward_target(torch.zeros(2, 6, 10), ids_keep).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        *,
        target_loss="squared",
        mean_pooling=False,
        sigmoid=False,
        pos_weight=None,
        hidden_dropout=0.0,
        **parameters,
    ):
        check_choice("target_loss", target_loss, LOSSES)
        super().__init__(hidden_dropout=hidden_dropout, **parameters)
        self.target_loss = target_loss
        self.mean_pooling = mean_pooling
        self.sigmoid = sigmoid
        # It is in the released files, so it is one of the weights here too.
        self.register_buffer("pos_weight", pos_weight)
        embed_dim = self.patch_embedding.out_features
        self.head = nn.Sequential(
            nn.Linear(embed_dim, embed_dim // 2),
            nn.Dropout(hidden_dropout),
            nn.ReLU(),
            nn.Linear(embed_dim // 2, embed_dim // 2),
            nn.Dropout(hidden_dropout),
            nn.ReLU(),
            nn.Linear(embed_dim // 2, 1),
        )

    def forward_head(self, latent):
        """Predict from encoded tokens.

        Parameters
        ----------
        latent : tensor of shape (B, 1 + K, D)
            What the encoder returned.

        Returns
        -------
        raw : tensor of shape (B, 1)
            Predictions before the sigmoid.
        """
        return self.head(latent.mean(1) if self.mean_pooling else latent[:, 0])

    def forward_target(self, signals, ids_keep):
        """Predict a number of each window.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        ids_keep : int64 tensor of shape (B, K)
            Visible tokens.

        Returns
        -------
        outputs : tensor of shape (B, 1)
            Predictions, after the sigmoid if there is one.
        """
        raw = self.forward_head(self.forward_encoder(signals, ids_keep))
        return raw.sigmoid() if self.sigmoid else raw

    def forward_target_loss(self, outputs, labels):
        """Compare predictions with labels.

        Parameters
        ----------
        outputs : tensor of shape (B, 1)
            Predictions.
        labels : tensor of shape (B,)
            What they should be.

        Returns
        -------
        loss : tensor of shape ()
            The mean error, or for "weighted" the sum of weighted errors times 0.01.
        """
        outputs = outputs[:, 0]
        if self.target_loss == "cross_entropy":
            return F.binary_cross_entropy_with_logits(outputs, labels, pos_weight=self.pos_weight)
        error = outputs - labels
        if self.target_loss == "absolute":
            return error.abs().mean()
        if self.target_loss == "squared":
            return (error**2).mean()
        weight = torch.zeros_like(labels)
        for lowest, highest, importance in BANDS:
            weight = weight + importance * ((lowest <= labels) & (labels <= highest))
        return BAND_SCALE * (weight * error**2).sum()

    def forward_self_supervised_loss(self, signals, labels, ids_keep, ids_mask):
        """Compare predictions with labels, and masked patches with what they were.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        labels : tensor of shape (B,)
            What the predictions should be.
        ids_keep, ids_mask : int64 tensors of shape (B, K), (B, M)
            Visible and masked tokens.

        Returns
        -------
        loss : tensor of shape ()
            Loss of the predictions, plus half the loss of the reconstruction.
        """
        latent = self.forward_encoder(signals, ids_keep)
        raw = self.forward_head(latent)
        loss = self.forward_target_loss(raw.sigmoid() if self.sigmoid else raw, labels)
        predicted = self.forward_decoder(latent, ids_keep, ids_mask)
        reconstruction = self.forward_loss(signals, predicted, ids_mask)
        return loss + RECONSTRUCTION_WEIGHT * reconstruction
