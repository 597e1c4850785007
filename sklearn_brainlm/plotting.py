"""Figures: arrays in, axes out. Nothing here fits or fetches."""

import numpy as np

# Told apart by every common kind of colour vision (Okabe and Ito's palette).
_TRUE, _PREDICTED, _SECOND, _SHADE = "black", "#D55E00", "#0072B2", "#E6E6E6"


def plot_loss_curve(history, axes=None):
    """Draw training and validation loss against the epoch.

    Parameters
    ----------
    history : sequence of mappings
        One an epoch, with ``train_loss`` and, where there was validation, ``valid_loss``: a
        fitted estimator's history, or skorch's.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    axes : :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If there is no epoch.
    """
    if len(history) == 0:
        raise ValueError("history has no epoch to plot. Fit with max_epochs of at least 1.")
    axes = _new_axes((6.0, 3.6)) if axes is None else axes
    for name, label, colour in (
        ("train_loss", "training", _SECOND),
        ("valid_loss", "validation", _PREDICTED),
    ):
        losses = np.array([row.get(name, np.nan) for row in history], dtype=float)
        epochs = np.arange(1, len(losses) + 1)
        known = np.isfinite(losses)
        if known.any():
            # A point each, so that a single epoch is seen.
            axes.plot(epochs[known], losses[known], color=colour, label=label, marker="o", ms=3)
    axes.set(xlabel="Epoch", ylabel="Loss on masked patches\n(squared scaled units)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    _open_frame(axes)
    return axes


def plot_reconstruction(
    true, predicted, masked, *, t_r=None, parcels=None, labels=None, unit="scaled units", axes=None
):
    """Draw traces of a window and what was predicted where it was masked.

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
    axes : :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If the three arrays differ in shape, or are not windows.
    """
    true, predicted, masked = (np.asarray(array) for array in (true, predicted, masked))
    if true.ndim != 2 or not true.shape == predicted.shape == masked.shape:
        raise ValueError(
            f"true, predicted and masked have shapes {true.shape}, {predicted.shape} and "
            f"{masked.shape}; all must be the same (n_timepoints, n_parcels)."
        )
    masked = masked.astype(bool)
    if parcels is None:
        candidates = np.flatnonzero(masked.any(axis=0))
        if len(candidates) == 0:
            candidates = np.arange(true.shape[1])
        parcels = candidates[np.linspace(0, len(candidates) - 1, 5).round().astype(int)]
        parcels = np.unique(parcels)
    axes = _new_axes((8.0, 1.2 + 0.8 * len(parcels))) if axes is None else axes

    step = 1.0 if t_r is None else float(t_r)
    time = step * np.arange(len(true))
    gap = 1.1 * max(np.ptp(true[:, list(parcels)], axis=0).max(), np.finfo(float).tiny)
    names = [str(parcel) if labels is None else str(labels[parcel]) for parcel in parcels]
    levels = -gap * np.arange(len(parcels))
    for parcel, level in zip(parcels, levels, strict=True):
        middle = (true[:, parcel].max() + true[:, parcel].min()) / 2
        hidden = masked[:, parcel]
        for first, last in _runs(hidden):
            axes.fill_between(
                [time[first] - step / 2, time[last] + step / 2],
                level - gap / 2,
                level + gap / 2,
                color=_SHADE,
                linewidth=0,
                zorder=0,
            )
        axes.plot(time, true[:, parcel] - middle + level, color=_TRUE, linewidth=1.0)
        # Not a number where nothing was predicted: the line breaks there.
        shown = np.where(hidden, predicted[:, parcel] - middle, np.nan)
        axes.plot(time, shown + level, color=_PREDICTED, linewidth=1.6)
    _label_reconstruction(axes, levels, names, time, step, gap, t_r, unit)
    return axes


def plot_masked_r2_bars(r2, axes=None):
    """Draw masked R2 of several methods as bars, zero being the mean of what was masked.

    Parameters
    ----------
    r2 : mapping of str to sequence of float
        Method name to its scores: one a subject, a fold or a seed. The bar is their mean, the
        points are the scores.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    axes : :class:`matplotlib.axes.Axes`
        What was drawn on.
    """
    axes = _new_axes((6.0, 0.8 + 0.5 * len(r2))) if axes is None else axes
    for row, scores in enumerate(r2.values()):
        scores = np.atleast_1d(np.asarray(scores, dtype=float))
        axes.barh(row, scores.mean(), color=_SECOND, height=0.6, alpha=0.6)
        axes.plot(scores, np.full(len(scores), row), "o", color=_TRUE, ms=3)
    axes.axvline(0, color=_TRUE, linewidth=0.8)
    axes.set_yticks(range(len(r2)), list(r2))
    axes.invert_yaxis()  # the first method on top
    axes.set_xlabel("R2 on masked patches (0: their mean; 1: exact)")
    _open_frame(axes)
    return axes


def _label_reconstruction(axes, levels, names, time, step, gap, t_r, unit):
    """Names of the traces, units of both axes, a legend and a scale bar."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bar = _round_down(gap / 2)
    right = time[-1] + 2.5 * step
    axes.plot([right, right], [levels[0] - bar / 2, levels[0] + bar / 2], color=_TRUE, linewidth=2)
    axes.annotate(
        f"{bar:g} {unit}", (right, levels[0]), xytext=(4, 0), textcoords="offset points",
        rotation=90, va="center", fontsize="small", annotation_clip=False,
    )  # fmt: skip
    axes.set_yticks(levels, names)
    axes.set(
        xlabel="Time (timepoints)" if t_r is None else "Time (s)",
        ylabel="Parcel",
        xlim=(time[0] - step / 2, right + step),
    )
    axes.legend(
        handles=[
            Line2D([], [], color=_TRUE, label="recorded"),
            Line2D([], [], color=_PREDICTED, label="predicted"),
            Patch(color=_SHADE, label="masked"),
        ],
        ncols=3,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        frameon=False,
    )
    axes.spines[["left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _open_frame(axes)


def _runs(mask):
    """First and last index of every run of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))


def _round_down(value):
    """Largest 1, 2 or 5 times a power of ten that is not above the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9))


def _open_frame(axes):
    """Leave out the two sides of the frame that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)


def _new_axes(figsize):
    """Axes of a new figure."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib. Install it with: pip install 'sklearn-brainlm[plotting]'"
        ) from error
    return plt.subplots(figsize=figsize, layout="constrained")[1]
