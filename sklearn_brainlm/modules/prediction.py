"""From encoded tokens to what is predicted of a person: pooling, head and loss."""

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_brainlm.modules.choices import check_choice

POOLINGS = ("cls", "mean", "attentive", "covariance")


def label_loss(outputs, labels, weight, loss="squared"):
    """Average the error of outputs over the labels there are.

    Parameters
    ----------
    outputs : tensor of shape (B, K)
        Outputs: K targets, or the logits of K classes.
    labels : tensor of shape (B, K), or (B, 1) for "cross_entropy"
        Targets, NaN where one is missing; or the index of the class.
    weight : tensor of shape (B,)
        What each window counts for.
    loss : {"squared", "cross_entropy"}, default="squared"
        Kind of error.

    Returns
    -------
    mean : tensor of shape ()
        Weighted mean error.

    Examples
    --------
    >>> outputs, labels = torch.zeros(2, 1), torch.tensor([[3.0], [float("nan")]])
    >>> label_loss(outputs, labels, torch.ones(2)).item()
    9.0
    """
    if loss == "cross_entropy":
        error = F.cross_entropy(outputs, labels[:, 0].long(), reduction="none")
        return (weight * error).sum() / weight.sum()
    known = labels.isfinite()
    error = torch.where(known, outputs - labels, 0.0) ** 2  # no gradient passes a missing label
    counted = weight[:, None] * known
    return (counted * error).sum() / counted.sum()


class PredictionNetwork(nn.Module):
    """Predict labels of a window from the tokens of an encoder (article, section 4.2).

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Its encoder is used, and trained as far as `trainable` says.
    n_outputs : int
        Targets, or classes.
    pooling : {"cls", "mean", "attentive", "covariance"}, default="cls"
        What the head sees: the CLS token, the mean of all other tokens, their mean weighted by
        learned attention, or the row-by-row covariance of tokens over patch columns, of which the
        correlations and the logarithms of the standard deviations are taken.
    hidden_dims : sequence of int, default=()
        Hidden units of the head; none make it linear.
    trainable : {"all", "head"} or int, default="all"
        What is trained beside the head: the encoder, nothing, or its last blocks.
    dropout : float, default=0.1
        Dropout in the head and of the embedded tokens.

    Examples
    --------
    >>> from sklearn_brainlm.modules import MaskedAutoencoder
    >>> sizes = dict(embed_dim=8, depth=1, n_heads=2, mlp_dim=16)
    >>> sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    >>> encoder = MaskedAutoencoder(
    ...     n_parcels=3, patch_length=5, parcel_embedding="learned", **sizes
    ... )
    >>> network = PredictionNetwork(encoder, n_outputs=2, pooling="covariance")
    >>> network(torch.randn(4, 3, 10)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        autoencoder,
        n_outputs,
        *,
        pooling="cls",
        hidden_dims=(),
        trainable="all",
        dropout=0.1,
    ):
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        self.autoencoder = autoencoder
        self.autoencoder.dropout.p = dropout
        self.pooling = pooling
        self.trainable = trainable
        embed_dim = autoencoder.cls_token.shape[-1]
        n_rows = autoencoder.n_rows
        n_features = n_rows * (n_rows + 1) // 2 if pooling == "covariance" else embed_dim
        if pooling == "attentive":
            self.query = nn.Parameter(torch.zeros(embed_dim))
        # Features of people differ by little: the head sees them standardised, see `calibrate`.
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        layers = []
        for n_hidden in hidden_dims:
            layers += [nn.Linear(n_features, n_hidden), nn.ReLU(), nn.Dropout(dropout)]
            n_features = n_hidden
        self.head = nn.Sequential(*layers, nn.Linear(n_features, n_outputs))
        self._freeze()

    @property
    def n_parameters(self):
        """Number of parameters, frozen ones included."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, signals, observed=None):
        """Predict labels of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows of whole patch columns.
        observed : bool tensor of shape (B, T), optional
            Accepted so that a whole batch can be handed over.

        Returns
        -------
        outputs : tensor of shape (B, n_outputs)
            Outputs of the head.
        """
        return self.forward_head(self.forward_features(signals))

    def forward_features(self, signals):
        """Pool the tokens of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows of whole patch columns.

        Returns
        -------
        features : tensor of shape (B, n_features)
            As the encoder gives them: not standardised.
        """
        cls_only = self.pooling == "cls"
        n_tokens = self.autoencoder.patchify(signals).shape[1]
        ids_keep = torch.arange(n_tokens, device=signals.device).expand(len(signals), -1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trainable != "head"):
            latent = self.autoencoder.forward_encoder(signals, ids_keep, cls_only=cls_only)
        return self._pool(latent)

    def forward_head(self, features):
        """Predict from pooled tokens.

        Parameters
        ----------
        features : tensor of shape (B, n_features)
            Pooled tokens.

        Returns
        -------
        outputs : tensor of shape (B, n_outputs)
            Outputs.
        """
        return self.head((features - self.center) / self.scale)

    @torch.no_grad()
    def calibrate(self, center, scale):
        """Learn how features are standardised before the head.

        Parameters
        ----------
        center, scale : arrays of shape (n_features,)
            Mean and standard deviation over training windows; what does not vary stays as it is.
        """
        self.center.copy_(torch.as_tensor(center))
        scale = torch.as_tensor(scale)
        self.scale.copy_(torch.where(scale > 1e-6, scale, 1.0))

    @torch.no_grad()
    def start_from(self, weight, bias):
        """Let a linear head start from the solution of a linear model.

        Parameters
        ----------
        weight : array of shape (n_outputs, n_features)
            Weights of standardised features.
        bias : array of shape (n_outputs,)
            Intercepts.
        """
        self.head[-1].weight.copy_(torch.as_tensor(weight))
        self.head[-1].bias.copy_(torch.as_tensor(bias))

    def train(self, mode=True):
        """Choose training or use; an encoder that is not trained has no dropout in either.

        Parameters
        ----------
        mode : bool, default=True
            Whether to train.

        Returns
        -------
        self : PredictionNetwork
            The network.
        """
        super().train(mode)
        if self.trainable == "head":
            self.autoencoder.eval()
        return self

    def distances(self):
        """Count the layers between each parameter and the output.

        Returns
        -------
        distances : dict of str to int
            0 for the head, 1 for the last block, one more for each block before, and one more than
            the first block for what embeds tokens.
        """
        depth = len(self.autoencoder.encoder)
        found = {}
        for name, _ in self.named_parameters():
            place = name.split(".")
            if place[0] != "autoencoder":
                found[name] = 0
            elif place[1] == "encoder" and place[2].isdigit():
                found[name] = depth - int(place[2])
            elif place[1] == "encoder_norm":
                found[name] = 1
            else:
                found[name] = depth + 1
        return found

    def _freeze(self):
        """Train what `trainable` says; the decoder has no part in predictions."""
        depth = len(self.autoencoder.encoder)
        n_trained = {"all": depth + 1, "head": 0}.get(self.trainable, self.trainable)
        used = (
            "autoencoder.encoder",
            "autoencoder.patch_emb",
            "autoencoder.cls",
            "autoencoder.pos",
        )
        distances = self.distances()
        for name, weight in self.named_parameters():
            reaches = not name.startswith("autoencoder.") or name.startswith(used)
            weight.requires_grad_(reaches and distances[name] <= n_trained)

    def _pool(self, latent):
        """Make features of tokens, CLS first (B, 1 + N, D)."""
        if self.pooling == "cls":
            return latent[:, 0]
        tokens = latent[:, 1:]
        if self.pooling == "mean":
            return tokens.mean(1)
        if self.pooling == "attentive":
            share = (tokens @ self.query / tokens.shape[-1] ** 0.5).softmax(1)  # (B, N)
            return (share[:, None] @ tokens)[:, 0]
        rows = tokens.unflatten(1, (self.autoencoder.n_rows, -1))  # (B, R, C, D)
        rows = (rows - rows.mean(2, keepdim=True)).flatten(2)
        covariance = rows @ rows.mT / rows.shape[2]
        sd = covariance.diagonal(dim1=1, dim2=2).clamp_min(1e-8).sqrt()
        correlation = covariance / sd[:, :, None] / sd[:, None]
        correlation = correlation + torch.diag_embed(sd.log() - 1)  # the diagonal was 1
        upper = torch.triu_indices(*correlation.shape[1:], device=correlation.device)
        return correlation[:, upper[0], upper[1]]
