"""Traces of parcels one below the other, with a bar for their scale."""

import numpy as np

from sklearn_brainlm.plotting._frames import TRUE, open_frame

__all__ = ["choose_parcels", "label_traces", "round_down", "stack_traces"]


def choose_parcels(parcels, candidates, n_shown, n_parcels):
    """Return the parcels to draw, spread over the candidates where none are named.

    Parameters
    ----------
    parcels : sequence of int or None
        What was asked for.
    candidates : int array
        What may be drawn.
    n_shown : int
        How many at most, where none are named.
    n_parcels : int
        How many there are.

    Returns
    -------
    parcels : list of int
        Top to bottom.

    Raises
    ------
    ValueError
        If there is no such parcel.
    """
    if parcels is None:
        spread = np.linspace(0, len(candidates) - 1, n_shown).round().astype(int)
        return np.unique(np.asarray(candidates)[spread]).tolist()
    parcels = list(parcels)
    if not parcels or not all(-n_parcels <= parcel < n_parcels for parcel in parcels):
        raise ValueError(
            f"parcels={parcels}; expected one at least, each from 0 to {n_parcels - 1}."
        )
    return parcels


def stack_traces(values):
    """Return how far apart traces lie, where each lies, and what is taken off it first.

    Parameters
    ----------
    values : array of shape (n_values, n_shown)
        All values drawn of each parcel; NaN counts for nothing.

    Returns
    -------
    gap : float
        Distance of neighbouring traces, in the unit of the values.
    levels : array of shape (n_shown,)
        Height of each.
    middles : array of shape (n_shown,)
        Middle of each one's range.
    """
    high, low = np.nanmax(values, axis=0), np.nanmin(values, axis=0)
    gap = 1.1 * max((high - low).max(), np.finfo(float).tiny)
    return gap, -gap * np.arange(values.shape[1]), (high + low) / 2


def label_traces(axes, levels, names, right, gap, unit):
    """Draw a scale bar, and write the names of the traces.

    Parameters
    ----------
    axes : :class:`matplotlib.axes.Axes`
        Changed.
    levels : array of shape (n_shown,)
        Height of each trace.
    names : sequence of str
        Their names.
    right : float
        Where the scale bar stands, in units of the time axis.
    gap : float
        Distance of neighbouring traces.
    unit : str
        Unit of the values.
    """
    bar = round_down(gap / 2)
    axes.plot([right, right], [levels[0] - bar / 2, levels[0] + bar / 2], color=TRUE, linewidth=2)
    axes.annotate(
        f"{bar:g} {unit}", (right, levels[0]), xytext=(4, 0), textcoords="offset points",
        rotation=90, va="center", fontsize="small", annotation_clip=False,
    )  # fmt: skip
    axes.set_yticks(levels, names)
    axes.set_ylabel("Parcel")
    axes.spines[["left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    open_frame(axes)


def round_down(value):
    """Return the largest 1, 2 or 5 times a power of ten that is not above the value.

    Parameters
    ----------
    value : float
        Above 0.

    Returns
    -------
    rounded : float
        A round number.
    """
    power = 10.0 ** np.floor(np.log10(value))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9))
