"""Networks that predict labels of windows: in torch and nothing else, tensors in, tensors out.

Shapes are written with these letters: ``B`` windows, ``P`` parcels, ``T`` timepoints, ``D`` hidden
units.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["GraphNetwork", "LSTMNetwork", "build_lstm", "zeroed"]


class LSTMNetwork(nn.Module):
    """Predict labels of a window by an LSTM that reads it timepoint by timepoint.

    Parameters
    ----------
    n_parcels, n_outputs : int
        Parcels, and targets or classes.
    hidden_dim, depth : int
        Hidden units of a layer, and layers.
    dropout : float
        Dropout between layers and before the output.

    Examples
    --------
    >>> LSTMNetwork(3, 2, hidden_dim=8, depth=2, dropout=0.1)(torch.randn(4, 3, 10)).shape
    torch.Size([4, 2])
    """

    def __init__(self, n_parcels, n_outputs, *, hidden_dim, depth, dropout):
        super().__init__()
        self.lstm = build_lstm(n_parcels, hidden_dim, depth, dropout)
        self.head = nn.Sequential(nn.Dropout(dropout), zeroed(nn.Linear(hidden_dim, n_outputs)))

    def forward(self, signals, observed=None):
        """Predict labels of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows.
        observed : bool tensor of shape (B, T), optional
            Accepted so that a whole batch can be handed over.

        Returns
        -------
        outputs : tensor of shape (B, n_outputs)
            Outputs.
        """
        states, _ = self.lstm(signals.mT)  # (B, T, D)
        return self.head(states.mean(1))


class GraphNetwork(nn.Module):
    """Predict labels of a window by convolutions over a graph of parcels.

    Parameters
    ----------
    adjacency : array of shape (P, P)
        Normalised adjacency of the parcels, themselves included.
    n_timepoints, n_outputs : int
        Timepoints T of a window, and targets or classes.
    hidden_dim, depth : int
        Features of a parcel after a layer, and layers.
    dropout : float
        Dropout after each layer.

    Examples
    --------
    >>> network = GraphNetwork(torch.eye(3), 10, 2, hidden_dim=8, depth=2, dropout=0.1)
    >>> network(torch.randn(4, 3, 10)).shape
    torch.Size([4, 2])
    """

    def __init__(self, adjacency, n_timepoints, n_outputs, *, hidden_dim, depth, dropout):
        super().__init__()
        adjacency = torch.as_tensor(adjacency, dtype=torch.float32)
        # Not among the weights: the estimator holds it.
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.n_timepoints = n_timepoints
        widths = [n_timepoints] + [hidden_dim] * depth
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.head = zeroed(nn.Linear(len(adjacency) * hidden_dim, n_outputs))

    def forward(self, signals, observed=None):
        """Predict labels of windows.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows, of which short ones are filled up with zeros.
        observed : bool tensor of shape (B, T), optional
            Accepted so that a whole batch can be handed over.

        Returns
        -------
        outputs : tensor of shape (B, n_outputs)
            Outputs.
        """
        features = F.pad(signals, (0, self.n_timepoints - signals.shape[2]))  # (B, P, T)
        for layer in self.layers:
            features = self.dropout(F.relu(self.adjacency @ layer(features)))  # (B, P, D)
        return self.head(features.flatten(1))


def build_lstm(n_inputs, hidden_dim, depth, dropout):
    """Build an LSTM that takes batches first.

    Parameters
    ----------
    n_inputs, hidden_dim, depth : int
        Inputs of a timepoint, hidden units of a layer, and layers.
    dropout : float
        Dropout between layers. torch warns of it where there is one layer only.

    Returns
    -------
    lstm : torch.nn.LSTM
        The layers.
    """
    between = dropout if depth > 1 else 0.0
    return nn.LSTM(n_inputs, hidden_dim, depth, batch_first=True, dropout=between)


def zeroed(layer):
    """Let a last layer begin at zero: at the mean of targets, or the centre of parcels.

    Parameters
    ----------
    layer : torch.nn.Linear
        The layer. Whatever is drawn for it would have to be unlearned first.

    Returns
    -------
    layer : torch.nn.Linear
        The same, all weights and biases 0.
    """
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
