"""Which functional networks are taken for which."""

import numpy as np

from sklearn_brainlm.plotting._frames import new_axes

__all__ = ["plot_network_confusion"]


def plot_network_confusion(confusion, labels, *, normalise=True, axes=None):
    """Draw how often parcels of each network were taken for each network, numbers in the cells.

    Section 4.5 of the article gives one accuracy over all seven networks. This says which networks
    are told well, and which are taken for each other.

    Parameters
    ----------
    confusion : array of shape (n_networks, n_networks)
        Numbers of parcels: true network down, predicted across, as ``NetworkProbe.confusion``.
    labels : sequence of str of shape (n_networks,)
        Names of the networks.
    normalise : bool, default=True
        Whether cells are per cent of the parcels of the true network, so that large networks do
        not outshine small ones; else numbers of parcels.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on; a colour bar is axes of its own beside it.

    Raises
    ------
    ValueError
        If the counts are not square, not finite or below 0, or labels are more or fewer.

    See Also
    --------
    sklearn_brainlm.network_probe : Counts them.
    sklearn_brainlm.NetworkProbe : Holds the counts.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_network_confusion
    >>> axes = plot_network_confusion([[9, 1], [2, 6]], ["Vis", "Default"])
    >>> [text.get_text() for text in axes.texts]
    ['90', '10', '25', '75']
    >>> plt.close(axes.figure)
    """
    counts = np.asarray(confusion, dtype=float)
    labels = [str(label) for label in labels]
    if counts.ndim != 2 or counts.shape != (len(labels), len(labels)) or not labels:
        raise ValueError(
            f"confusion has shape {counts.shape}, there are {len(labels)} labels; expected "
            "(n_networks, n_networks) and n_networks labels."
        )
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("confusion holds values that are below 0 or not finite; expected counts.")
    totals = counts.sum(axis=1)
    shown, unit = counts, "Parcels (number)"
    if normalise:
        # A network without a parcel has no share: its row stays empty.
        shown = np.full_like(counts, np.nan)
        np.divide(100 * counts, totals[:, None], out=shown, where=totals[:, None] > 0)
        unit = "Parcels of the true network (%)"
    n = len(labels)
    axes = new_axes((2.4 + 0.62 * max(n, 4), 1.6 + 0.55 * max(n, 4))) if axes is None else axes
    top = 100 if normalise else max(counts.max(), 1)
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=top)
    for row, column in np.ndindex(n, n):
        value = shown[row, column]
        if np.isfinite(value):
            axes.text(
                column, row, f"{value:.0f}" if normalise else f"{value:g}", ha="center",
                va="center", color="white" if value > 0.55 * top else "black",
                fontweight="bold" if row == column else "normal",
            )  # fmt: skip
    rows = [f"{label} ({total:g})" for label, total in zip(labels, totals, strict=True)]
    axes.set_xticks(range(n), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), rows)
    axes.set(xlabel="Predicted network", ylabel="True network (number of parcels)")
    if counts.sum() > 0:
        share = 100 * np.trace(counts) / counts.sum()
        title = f"{share:.0f}% of {counts.sum():g} parcels right"
        axes.set_title(title, loc="left", fontsize="medium")
    axes.figure.colorbar(image, ax=axes, label=unit)
    return axes
