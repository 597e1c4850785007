"""Networks that fill in masked patches of a window, and embed its parcels on the way.

In torch and nothing else, tensors in, tensors out. Shapes are written with these letters: ``B``
windows, ``P`` parcels, ``C`` patch columns, ``T`` timepoints of a whole window, ``D`` features of
an embedding.
"""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["GraphAutoencoder", "MaskedParcelNetwork", "VariationalAutoencoder"]


class MaskedParcelNetwork(nn.Module, ABC):
    """Network that sees zeros in the place of masked patches, and predicts whole windows.

    A subclass has ``embed(signals)``, which returns the embeddings of parcels, and
    ``predict(signals)``, which returns predicted windows and what is added to the loss.

    Parameters
    ----------
    n_timepoints, patch_length : int
        Timepoints T of a window, which is filled up to whole patches, and of a patch.

    Examples
    --------
    >>> network = GraphAutoencoder(torch.eye(3), 10, 5, hidden_dim=8, depth=2, dropout=0.0)
    >>> ids_keep, ids_mask = torch.tensor([[0, 3, 4]]), torch.tensor([[1, 2, 5]])
    >>> predicted, penalty = network(torch.randn(1, 3, 10), ids_keep, ids_mask)
    >>> predicted.shape, float(penalty)
    (torch.Size([1, 3, 5]), 0.0)
    """

    def __init__(self, n_timepoints, patch_length):
        super().__init__()
        self.n_timepoints = -(-n_timepoints // patch_length) * patch_length
        self.patch_length = patch_length

    @abstractmethod
    def embed(self, signals):
        """Embed the parcels of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, zero where masked.

        Returns
        -------
        embeddings : tensor of shape (B, P, D)
            One embedding a parcel.
        """

    @abstractmethod
    def predict(self, signals):
        """Predict windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, zero where masked.

        Returns
        -------
        predicted : tensor of shape (B, P, T)
            Windows.
        penalty : tensor of shape ()
            What is added to the error.
        """

    def forward(self, signals, ids_keep, ids_mask, observed=None):
        """Predict the masked patches of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, C * L)
            Windows of whole patch columns.
        ids_keep, ids_mask : int64 tensors of shape (B, K), (B, M)
            Visible tokens, and tokens to predict.
        observed : bool tensor of shape (B, C * L), optional
            Accepted so that a whole batch can be handed over; only the loss uses it.

        Returns
        -------
        predicted : tensor of shape (B, M, L)
            Predicted patches in the order of `ids_mask`.
        penalty : tensor of shape ()
            What is added to the error.
        """
        tokens = self.patchify(signals)  # (B, N, L)
        visible = ids_keep.new_zeros(tokens.shape[:2], dtype=torch.bool).scatter(1, ids_keep, True)
        shown = (tokens * visible[..., None]).reshape(signals.shape)
        predicted, penalty = self.predict(self.fill_up(shown))
        return self._take(predicted[..., : signals.shape[2]], ids_mask), penalty

    def forward_loss(self, signals, outputs, ids_mask, observed):
        """Average the squared error over the masked values that were recorded.

        Parameters
        ----------
        signals : tensor of shape (B, P, C * L)
            Windows.
        outputs : tuple of tensors
            What ``forward`` returned.
        ids_mask : int64 tensor of shape (B, M)
            The tokens predicted.
        observed : bool tensor of shape (B, C * L)
            False for timepoints that only fill a short window up.

        Returns
        -------
        loss : tensor of shape ()
            The error that BrainLM minimises, plus the penalty.
        """
        predicted, penalty = outputs
        counted = observed[:, None].expand_as(signals).to(signals.dtype)
        counted = self._take(counted, ids_mask)
        error = (predicted - self._take(signals, ids_mask)) ** 2
        return (error * counted).sum() / counted.sum() + penalty

    def patchify(self, signals):
        """Cut windows into patches.

        Parameters
        ----------
        signals : tensor of shape (B, P, C * L)
            Windows.

        Returns
        -------
        patches : tensor of shape (B, P * C, L)
            One a token, those of a parcel side by side.
        """
        return signals.reshape(len(signals), -1, self.patch_length)

    def unpatchify(self, patches, n_parcels, n_timepoints):
        """Join the patches of windows.

        Parameters
        ----------
        patches : tensor of shape (B, P * C, L)
            One a token.
        n_parcels, n_timepoints : int
            Size of the windows.

        Returns
        -------
        signals : tensor of shape (B, P, C * L)
            Windows.
        """
        return patches.reshape(len(patches), n_parcels, n_timepoints)

    def fill_up(self, signals):
        """Fill short windows up with zeros, the mean of scaled signals.

        Parameters
        ----------
        signals : tensor of shape (B, P, C * L)
            Windows.

        Returns
        -------
        signals : tensor of shape (B, P, T)
            Windows as long as the network takes them.
        """
        return F.pad(signals, (0, self.n_timepoints - signals.shape[2]))

    def _take(self, signals, ids):
        """Return some of the patches of windows, (B, M, L)."""
        ids = ids[..., None].expand(-1, -1, self.patch_length)
        return self.patchify(signals).gather(1, ids)


class VariationalAutoencoder(MaskedParcelNetwork):
    """Embed the series of each parcel by three layers, and predict it by three more.

    All parcels go through the same layers, one by one.

    Parameters
    ----------
    n_timepoints, patch_length : int
        Timepoints of a window and of a patch.
    hidden_dim, embed_dim : int
        Units of the hidden layers, and features D of an embedding.
    depth : int
        Layers of the encoder, and of the decoder.
    kl_weight : float
        Weight of the divergence of embeddings from the standard normal distribution, averaged over
        parcels and divided by T, so that both parts of the loss count for a timepoint.

    Examples
    --------
    >>> network = VariationalAutoencoder(
    ...     10, 5, hidden_dim=8, embed_dim=4, depth=3, kl_weight=1.0
    ... )
    >>> network.embed(torch.randn(2, 3, 10)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, n_timepoints, patch_length, *, hidden_dim, embed_dim, depth, kl_weight):
        super().__init__(n_timepoints, patch_length)
        self.kl_weight = kl_weight
        hidden = [hidden_dim] * (depth - 1)
        self.encoder = _perceptron([self.n_timepoints, *hidden, 2 * embed_dim])
        self.decoder = _perceptron([embed_dim, *hidden, self.n_timepoints])

    def embed(self, signals):
        """Embed the parcels of windows, nothing drawn.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, zero where masked.

        Returns
        -------
        embeddings : tensor of shape (B, P, D)
            Means of the distributions of the encoder.
        """
        return self.encoder(signals).chunk(2, dim=2)[0]

    def predict(self, signals):
        """Predict windows from embeddings, which are drawn while training.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, zero where masked.

        Returns
        -------
        predicted : tensor of shape (B, P, T)
            Windows.
        penalty : tensor of shape ()
            The divergence, weighted.
        """
        mean, log_variance = self.encoder(signals).chunk(2, dim=2)
        log_variance = log_variance.clamp(-10, 10)
        embeddings = mean
        if self.training:
            embeddings = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(2).mean()
        return self.decoder(embeddings), self.kl_weight / self.n_timepoints * divergence


class GraphAutoencoder(MaskedParcelNetwork):
    """Embed parcels by convolutions over a graph of them, and predict their series linearly.

    Parameters
    ----------
    adjacency : array of shape (P, P)
        Normalised adjacency of the parcels, themselves included.
    n_timepoints, patch_length : int
        Timepoints of a window and of a patch.
    hidden_dim, depth : int
        Features D of a parcel after a layer, and layers.
    dropout : float
        Dropout after each layer.

    Examples
    --------
    >>> network = GraphAutoencoder(torch.eye(3), 10, 5, hidden_dim=8, depth=4, dropout=0.0)
    >>> network.embed(torch.randn(2, 3, 10)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, adjacency, n_timepoints, patch_length, *, hidden_dim, depth, dropout):
        super().__init__(n_timepoints, patch_length)
        adjacency = torch.as_tensor(adjacency, dtype=torch.float32)
        # Not among the weights: the estimator holds it.
        self.register_buffer("adjacency", adjacency, persistent=False)
        widths = [self.n_timepoints] + [int(hidden_dim)] * depth
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_dim, self.n_timepoints)

    def embed(self, signals):
        """Embed the parcels of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, zero where masked.

        Returns
        -------
        embeddings : tensor of shape (B, P, D)
            Features after the last layer.
        """
        features = signals
        for layer in self.layers:
            features = self.dropout(F.relu(self.adjacency @ layer(features)))
        return features

    def predict(self, signals):
        """Predict windows from the features of parcels.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, zero where masked.

        Returns
        -------
        predicted : tensor of shape (B, P, T)
            Windows.
        penalty : tensor of shape ()
            Zero.
        """
        return self.head(self.embed(signals)), signals.new_zeros(())


def _perceptron(widths):
    """Stack linear layers with rectifiers between them."""
    layers = [nn.Linear(*pair) for pair in pairwise(widths)]
    between = [module for layer in layers[:-1] for module in (layer, nn.ReLU())]
    return nn.Sequential(*between, layers[-1])
