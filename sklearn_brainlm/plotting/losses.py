"""Loss against the epoch."""

import numpy as np

from sklearn_brainlm.plotting._frames import PREDICTED, SECOND, new_axes, open_frame

__all__ = ["plot_loss_curve"]


def plot_loss_curve(history, axes=None):
    """Draw training and validation loss against the epoch.

    It tells a training that still learns from one that learns its recordings by heart: then the
    validation loss rises while the training loss falls.

    Parameters
    ----------
    history : sequence of mappings
        One an epoch, with ``train_loss`` and, where there was validation, ``valid_loss``, both in
        squared scaled units: a fitted estimator's history, or skorch's.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If there is no epoch.

    See Also
    --------
    sklearn_brainlm.BrainLMTransformer : Keeps its losses in `history_`.
    plot_reconstruction : Shows what such a loss looks like.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_loss_curve
    >>> history = [{"train_loss": 1.0, "valid_loss": 1.1}, {"train_loss": 0.6, "valid_loss": 0.8}]
    >>> axes = plot_loss_curve(history)
    >>> axes.get_xlabel()
    'Epoch'
    >>> plt.close(axes.figure)
    """
    if len(history) == 0:
        raise ValueError("history has no epoch to plot. Fit with max_epochs of at least 1.")
    axes = new_axes((6.0, 3.6)) if axes is None else axes
    for name, label, colour, line in (
        ("train_loss", "training", SECOND, "-"),
        ("valid_loss", "validation", PREDICTED, "--"),
    ):
        losses = np.array([row.get(name, np.nan) for row in history], dtype=float)
        epochs = np.arange(1, len(losses) + 1)
        known = np.isfinite(losses)
        if known.any():
            # A point each, so that a single epoch is seen; dashes for those who see no colour.
            axes.plot(
                epochs[known], losses[known], color=colour, label=label, marker="o", ms=3, ls=line
            )
    axes.set(xlabel="Epoch", ylabel="Loss on masked patches\n(squared scaled units)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    open_frame(axes)
    return axes
