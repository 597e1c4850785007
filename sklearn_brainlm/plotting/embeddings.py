"""Embeddings of recordings as points of a plane."""

import numpy as np

from sklearn_brainlm.plotting._frames import CLASS_COLOURS, MARKERS, REFERENCE, new_axes

__all__ = ["plot_embedding"]

_SIZE = 26  # square points


def plot_embedding(points, covariate=None, *, covariate_name=None, purity=None, axes=None):
    """Draw embeddings as points of a plane, coloured by what is known of the recordings.

    As Figure 5 of the article, whose points are coloured by sex and by age. A plane shows what its
    method keeps: the title can give the purity of neighbourhoods in all dimensions.

    Parameters
    ----------
    points : array of shape (n_recordings, 2)
        What ``sklearn_brainlm.project_embeddings`` returned; they have no unit.
    covariate : array-like of shape (n_recordings,) or None, default=None
        Numbers, shown by a colour bar, or classes (text or truth values), each with a colour and a
        marker of its own. Recordings whose covariate is missing (NaN, None) are small crosses.
    covariate_name : str or None, default=None
        Its name and unit, such as "Age (years)".
    purity : float, NeighborPurity or None, default=None
        What ``sklearn_brainlm.neighbor_purity`` returned, or its purity alone, for the title.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on; a colour bar is axes of its own beside it.

    Raises
    ------
    ValueError
        If the points are not two numbers each, or the covariate is not one value a recording.

    See Also
    --------
    sklearn_brainlm.project_embeddings : Makes points of embeddings.
    sklearn_brainlm.neighbor_purity : Tests what the colours suggest.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_embedding
    >>> points = np.random.default_rng(0).standard_normal((20, 2))
    >>> axes = plot_embedding(points, ["f", "m"] * 10, covariate_name="Sex", purity=0.5)
    >>> [text.get_text() for text in axes.get_legend().texts], axes.get_title(loc="left")
    (['f (10)', 'm (10)'], 'Neighbour purity 0.50')
    >>> plt.close(axes.figure)
    """
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"points have shape {points.shape}; expected (n_recordings, 2).")
    values = None if covariate is None else np.asarray(covariate)
    if values is not None and values.shape != (len(points),):
        raise ValueError(
            f"covariate has shape {values.shape}; expected ({len(points)},), a value a recording."
        )
    axes = new_axes((6.2, 4.6)) if axes is None else axes
    if values is None:
        axes.scatter(*points.T, s=_SIZE, color=CLASS_COLOURS[0], alpha=0.8, linewidth=0)
    elif values.dtype.kind in "iuf":
        _draw_numbers(axes, points, values, covariate_name)
    else:
        _draw_classes(axes, points, values, covariate_name)
    axes.set(xlabel="First axis of the embedding (no unit)", xticks=[], yticks=[])
    axes.set_ylabel("Second axis of the embedding (no unit)")
    axes.set_aspect("equal", adjustable="datalim")
    if purity is not None:
        axes.set_title(_say_purity(purity), loc="left", fontsize="medium")
    return axes


def _draw_numbers(axes, points, values, name):
    """Colour by a number; lightness rises with it."""
    known = np.isfinite(values)
    _draw_missing(axes, points[~known])
    drawn = axes.scatter(
        *points[known].T, c=values[known], cmap="cividis", s=_SIZE, edgecolor=REFERENCE, lw=0.3
    )
    axes.figure.colorbar(drawn, ax=axes, label=name or "Covariate")
    if not known.all():
        axes.legend(frameon=False, fontsize="small")


def _draw_classes(axes, points, values, name):
    """Give every class a colour and a marker."""
    missing = np.array([value is None or value != value for value in values])  # NaN is not itself
    names = values.astype(str)
    _draw_missing(axes, points[missing])
    for position, label in enumerate(np.unique(names[~missing])):
        own = ~missing & (names == label)
        axes.scatter(
            *points[own].T,
            s=_SIZE,
            color=CLASS_COLOURS[position % len(CLASS_COLOURS)],
            marker=MARKERS[position % len(MARKERS)],
            label=f"{label} ({own.sum()})",
            alpha=0.8,
            linewidth=0,
        )
    axes.legend(
        title=f"{name or 'Class'} (recordings)", frameon=False, fontsize="small",
        loc="upper left", bbox_to_anchor=(1, 1),
    )  # fmt: skip


def _draw_missing(axes, points):
    """Draw recordings nothing is known of."""
    if len(points):
        label = f"not known ({len(points)})"
        axes.scatter(*points.T, s=12, color=REFERENCE, marker="x", linewidth=0.8, label=label)


def _say_purity(purity):
    """Write a purity, what chance gives, and its p-value, as far as they are known."""
    text = f"Neighbour purity {float(getattr(purity, 'purity', purity)):.2f}"
    if hasattr(purity, "null"):
        text += f", by chance {np.mean(purity.null):.2f}"
    if hasattr(purity, "p_value"):
        text += f" (p = {purity.p_value:.2g})"
    return text
