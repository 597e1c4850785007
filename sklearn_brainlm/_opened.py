"""A fitted estimator, opened to look inside: its encoder, and the windows it sees."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

__all__ = ["OpenedEstimator"]


class OpenedEstimator:
    """The encoder of a fitted estimator, and windows of recordings as ``transform`` places them.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor, BrainLMClassifier or BrainLMForecaster
        Fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.

    Attributes
    ----------
    network, autoencoder : torch.nn.Module
        The network and, in it, the autoencoder whose encoder is looked at.
    grid : TokenGrid
        Layout of the tokens.
    n_recordings : int
        Recordings of X.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.

    Examples
    --------
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> OpenedEstimator(GaussianReconstructor().fit(recordings), recordings)
    Traceback (most recent call last):
    ...
    TypeError: GaussianReconstructor has no attention: give a fitted BrainLMTransformer, ...
    """

    def __init__(self, estimator, X):
        if not hasattr(type(estimator), "fit"):
            raise TypeError(
                f"{type(estimator).__name__} is no estimator: give a fitted BrainLMTransformer."
            )
        check_is_fitted(estimator)
        net = getattr(estimator, "net_", None)
        self.network = getattr(net, "module_", None)
        self.autoencoder = getattr(self.network, "autoencoder", self.network)
        if not hasattr(self.autoencoder, "cls_token"):
            raise TypeError(
                f"{type(estimator).__name__} has no attention: give a fitted BrainLMTransformer, "
                "or an estimator that predicts by one."
            )
        net._set_training(False)
        self.device = net.device
        # A forecaster sees windows with a future; what its encoder sees of recordings is the same.
        if not hasattr(estimator, "window_stride"):
            estimator = estimator.encoder_
        recordings = estimator._check_fitted_X(X)
        self.n_recordings = len(recordings)
        self.grid = estimator._grid
        self._window_length = estimator._setting("window_length")
        self._lengths = [len(recording) for recording in recordings]
        self._reader = estimator._reader(recordings)
        self._batches = estimator._place_windows(recordings, stride=estimator.window_stride)

    def windows(self):
        """Read windows.

        Yields
        ------
        recording : int64 array of shape (B,)
            Recording of each window.
        signals : tensor of shape (B, P, T)
            Windows, scaled and filled up to whole patch columns.
        columns : int64 array of shape (C,)
            Patch columns that hold timepoints of the windows.
        """
        for places in self._batches:
            signals, observed = self._reader.read(places)
            columns = np.unique(self.grid._column_of_timepoint(observed.shape[1]))
            yield places[:, 0], torch.as_tensor(signals, device=self.device), columns

    def average(self, maps):
        """Average maps of windows over the windows of each recording.

        Parameters
        ----------
        maps : iterable of pair
            Recording of each window (B,), and the maps (B, ...) as an array or tensor.

        Returns
        -------
        averages : float64 array of shape (n_recordings, ...)
            One map a recording.
        """
        total, n_windows = None, np.zeros(self.n_recordings)
        for recording, values in maps:
            if isinstance(values, torch.Tensor):
                values = values.double().cpu().numpy()
            if total is None:
                total = np.zeros((self.n_recordings, *values.shape[1:]))
            np.add.at(total, recording, values)
            np.add.at(n_windows, recording, 1)
        return total / n_windows.reshape(-1, *[1] * (total.ndim - 1))

    def share_rows(self, rows):
        """Give every parcel an equal part of what its row of tokens has.

        Parameters
        ----------
        rows : array of shape (..., R)
            Something of rows.

        Returns
        -------
        parcels : array of shape (..., P)
            The same of parcels, in the order of the recordings; margins are left out.
        """
        row = self.grid._row_of_parcel()
        n_sharing = np.bincount(row, minlength=self.grid.n_rows)[row]
        return rows[..., row] / n_sharing
