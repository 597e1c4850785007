"""The graph of parcels, and what predicts labels on it."""

import numpy as np

from sklearn_brainlm._parameters import COUNT
from sklearn_brainlm.baselines.learned import WindowPredictor
from sklearn_brainlm.baselines.networks import GraphNetwork

__all__ = ["GraphPredictor", "correlation_graph"]


def correlation_graph(recordings, n_neighbors):
    """Join each parcel to those that it is most correlated with.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    n_neighbors : int
        Parcels that each parcel chooses, by the size of the correlation averaged over recordings.

    Returns
    -------
    adjacency : float32 array of shape (n_parcels, n_parcels)
        Of the parcels, with themselves and with those that chose them or that they chose, divided
        by the square root of the number of neighbours of either.

    Examples
    --------
    >>> x = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 1.0], [3.0, 3.0, 0.0], [4.0, 5.0, 1.0]])
    >>> correlation_graph([x], 1).round(2)  # the third chooses the second
    array([[0.5 , 0.41, 0.  ],
           [0.41, 0.33, 0.41],
           [0.  , 0.41, 0.5 ]], dtype=float32)
    """
    total = 0.0
    for recording in recordings:
        x = np.asarray(recording, dtype=np.float64)
        x = x - x.mean(axis=0)
        length = np.linalg.norm(x, axis=0)
        x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
        total = total + x.T @ x
    n_parcels = len(total)
    strength = np.abs(total)
    np.fill_diagonal(strength, -1.0)  # nobody chooses itself
    chosen = np.argsort(-strength, axis=1, kind="stable")[:, : min(n_neighbors, n_parcels - 1)]
    joined = np.eye(n_parcels, dtype=bool)
    np.put_along_axis(joined, chosen, True, axis=1)
    joined |= joined.T
    root = np.sqrt(joined.sum(axis=1))
    return (joined / root / root[:, None]).astype(np.float32)


class GraphPredictor(WindowPredictor):
    """Estimator that predicts labels of recordings on a graph of parcels.

    Examples
    --------
    >>> from sklearn_brainlm.baselines import GCNClassifier, GCNRegressor
    >>> issubclass(GCNRegressor, GraphPredictor), issubclass(GCNClassifier, GraphPredictor)
    (True, True)
    """

    _parameter_constraints = {
        **WindowPredictor._parameter_constraints,
        "n_neighbors": [COUNT],
    }

    def _learn_input(self, recordings):
        """Learn the scaling and the graph."""
        super()._learn_input(recordings)
        self.adjacency_ = correlation_graph(recordings, self.n_neighbors)

    def _build_module(self, n_outputs):
        """Return the class of the network and its parameters."""
        return GraphNetwork, {
            "adjacency": self.adjacency_,
            "n_timepoints": self.window_length,
            "n_outputs": n_outputs,
            "hidden_dim": self.hidden_dim,
            "depth": self.depth,
            "dropout": self.dropout,
        }
