"""The loop that trains a network to forecast: what a batch is, and what one step minimises."""

import numpy as np
from skorch.utils import to_tensor

from sklearn_brainlm.batches import DrawnBatches
from sklearn_brainlm.loop.memory import infer_in_parts
from sklearn_brainlm.training import WindowNet

__all__ = ["ContextBatches", "ForecastNet"]


class ContextBatches(DrawnBatches):
    """Batches of contexts, with the timepoints that follow them.

    Parameters
    ----------
    reader : WindowReader
        Reads windows of a context and its future.
    draw_windows : callable
        ``draw_windows(epoch)`` returns the windows (B, 2) of each step of an epoch.
    horizon : int
        Timepoints of a future.

    Examples
    --------
    >>> from sklearn_brainlm.windows import WindowReader
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> reader = WindowReader([np.ones((8, 2))], np.float32, TokenGrid(2, 1), 8, lambda *_: {})
    >>> inputs, targets = ContextBatches(reader, lambda epoch: [np.array([[0, 0]])], 3)[0]
    >>> inputs["contexts"].shape, targets["futures"].shape, targets["n_values"]
    ((1, 5, 2), (1, 3, 2), array([6.], dtype=float32))
    """

    def __init__(self, reader, draw_windows, horizon):
        super().__init__(reader, draw_windows)
        self.horizon = horizon

    def __getitem__(self, step):
        windows = self.steps[step]
        signals = self.reader.read(windows)[0].transpose(0, 2, 1)  # (B, T, P)
        futures = np.ascontiguousarray(signals[:, -self.horizon :])
        targets = {
            "futures": futures,
            "n_values": np.full(len(windows), futures[0].size, dtype=np.float32),
            "recording": windows[:, 0],
        }
        return {"contexts": np.ascontiguousarray(signals[:, : -self.horizon])}, targets


class ForecastNet(WindowNet):
    """Train a network to forecast windows.

    The parameters are those of :class:`sklearn_brainlm.training.WindowNet`; the module is a
    :class:`~sklearn_brainlm.baselines.forecast_networks.ForecastNetwork`, and batches are
    :class:`ContextBatches`.

    Examples
    --------
    >>> import torch
    >>> ForecastNet(torch.nn.Identity).grad_clip
    1.0
    """

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Ask the module for its loss."""
        futures = to_tensor(y_true["futures"], self.device)
        return self.module_.forward_loss(y_pred, X["contexts"], futures)

    def forecast(self, contexts):
        """Forecast windows.

        Parameters
        ----------
        contexts : float32 array of shape (B, T, P)
            Scaled contexts.

        Returns
        -------
        forecasts : float32 array of shape (B, horizon, P)
            What follows.
        """
        return infer_in_parts(
            self, lambda inputs: self.infer(to_tensor(inputs, self.device)), {"contexts": contexts}
        )
