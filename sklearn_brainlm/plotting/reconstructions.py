"""What was predicted where recordings were masked, and how well."""

import numpy as np

from sklearn_brainlm.plotting._frames import (
    PREDICTED,
    SECOND,
    SHADE,
    TRUE,
    new_axes,
    open_frame,
    time_axis,
)
from sklearn_brainlm.plotting._traces import choose_parcels, label_traces, stack_traces

__all__ = ["plot_masked_r2_bars", "plot_reconstruction"]


def plot_reconstruction(
    true, predicted, masked, *, t_r=None, parcels=None, labels=None, unit="scaled units", axes=None
):
    """Draw traces of a window and what was predicted where it was masked.

    As Figure 3 of the article: recorded activity, and over it what the model filled in. Look at it
    before you trust a score.

    Parameters
    ----------
    true : array of shape (n_timepoints, n_parcels)
        The window.
    predicted : array of shape (n_timepoints, n_parcels)
        The reconstruction; drawn where `masked` is True only.
    masked : bool array of shape (n_timepoints, n_parcels)
        What the model did not see.
    t_r : float or None, default=None
        Seconds between timepoints; None counts timepoints.
    parcels : sequence of int or None, default=None
        Parcels to draw, top to bottom; None takes five, spread over those with masked values.
    labels : sequence of str of shape (n_parcels,) or None, default=None
        Name of every parcel; None numbers them.
    unit : str, default="scaled units"
        Unit of the values, for the scale bar.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If the three arrays differ in shape, or are not windows.

    See Also
    --------
    plot_mask : Draws all that is masked.
    plot_masked_r2_bars : Draws the scores.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_reconstruction
    >>> true = np.random.default_rng(0).standard_normal((40, 8))
    >>> masked = np.zeros((40, 8), dtype=bool)
    >>> masked[10:20, 3] = True
    >>> axes = plot_reconstruction(true, 0.8 * true, masked, t_r=0.72)
    >>> axes.get_xlabel(), axes.get_yticklabels()[0].get_text()
    ('Time (s)', '3')
    >>> plt.close(axes.figure)
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    true, predicted, masked = (np.asarray(array) for array in (true, predicted, masked))
    if true.ndim != 2 or not true.shape == predicted.shape == masked.shape:
        raise ValueError(
            f"true, predicted and masked have shapes {true.shape}, {predicted.shape} and "
            f"{masked.shape}; all must be the same (n_timepoints, n_parcels)."
        )
    masked = masked.astype(bool)
    candidates = np.flatnonzero(masked.any(axis=0))
    if len(candidates) == 0:
        candidates = np.arange(true.shape[1])
    parcels = choose_parcels(parcels, candidates, 5, true.shape[1])
    step, xlabel = time_axis(t_r)
    axes = new_axes((8.0, 1.2 + 0.8 * len(parcels))) if axes is None else axes

    time = step * np.arange(len(true))
    gap, levels, middles = stack_traces(true[:, parcels])
    for parcel, level, middle in zip(parcels, levels, middles, strict=True):
        hidden = masked[:, parcel]
        for first, last in _runs(hidden):
            axes.fill_between(
                [time[first] - step / 2, time[last] + step / 2],
                level - gap / 2,
                level + gap / 2,
                color=SHADE,
                linewidth=0,
                zorder=0,
            )
        axes.plot(time, true[:, parcel] - middle + level, color=TRUE, linewidth=1.0)
        # Not a number where nothing was predicted: the line breaks there.
        shown = np.where(hidden, predicted[:, parcel] - middle, np.nan)
        axes.plot(time, shown + level, color=PREDICTED, linewidth=1.6)
    right = time[-1] + 2.5 * step
    names = [str(parcel) if labels is None else str(labels[parcel]) for parcel in parcels]
    label_traces(axes, levels, names, right, gap, unit)
    axes.set(xlabel=xlabel, xlim=(time[0] - step / 2, right + step))
    axes.legend(
        handles=[
            Line2D([], [], color=TRUE, label="recorded"),
            Line2D([], [], color=PREDICTED, label="predicted", linewidth=1.6),
            Patch(color=SHADE, label="masked"),
        ],
        ncols=3,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        frameon=False,
    )
    return axes


def plot_masked_r2_bars(r2, axes=None):
    """Draw masked R2 of several methods as bars, zero being the mean of what was masked.

    Points are the single scores: whether one method is better shows in how they spread, not in the
    bars alone. R2 has no lower bound, and bars may go below zero.

    Parameters
    ----------
    r2 : mapping of str to sequence of float
        Method name to its scores: one a subject, a fold or a seed. The bar is their mean, the
        points are the scores.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on.

    See Also
    --------
    sklearn_brainlm.metrics.masked_r2 : The score.
    plot_reconstruction : Draws what is scored.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_masked_r2_bars
    >>> axes = plot_masked_r2_bars({"Gaussian": [0.40, 0.44], "BrainLM": [0.41, 0.47]})
    >>> [round(float(bar.get_width()), 2) for bar in axes.patches]
    [0.42, 0.44]
    >>> plt.close(axes.figure)
    """
    axes = new_axes((6.0, 0.8 + 0.5 * len(r2))) if axes is None else axes
    for row, scores in enumerate(r2.values()):
        scores = np.atleast_1d(np.asarray(scores, dtype=float))
        axes.barh(row, scores.mean(), color=SECOND, height=0.6, alpha=0.6)
        axes.plot(scores, np.full(len(scores), row), "o", color=TRUE, ms=3)
    axes.axvline(0, color=TRUE, linewidth=0.8)
    axes.set_yticks(range(len(r2)), list(r2))
    axes.invert_yaxis()  # the first method on top
    axes.set_xlabel("R2 on masked patches (0: their mean; 1: exact)")
    open_frame(axes)
    return axes


def _runs(mask):
    """First and last index of every run of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))
