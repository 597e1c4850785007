"""Scores against what was spent: training recordings, or parameters."""

import numpy as np

from sklearn_brainlm.plotting._frames import check_columns, new_axes, open_frame, style_methods

__all__ = ["plot_scaling_curve"]

_NAMES = {
    "n_recordings": ("Training recordings (number, log scale)", "{:,.0f} recordings"),
    "n_parameters": ("Parameters of the network (number, log scale)", "{} parameters"),
}
_COLUMNS = ("method", "n_recordings", "n_parameters", "r2", "ci_low", "ci_high")
_MAX_TICKS = 10


def plot_scaling_curve(table, *, x="n_recordings", axes=None):
    """Draw R2 against the number of training recordings or of parameters, a line a method.

    A method that has no place on the axis, as one without parameters, is a level line.

    Parameters
    ----------
    table : DataFrame
        One row a point, with the columns ``method``, ``n_recordings``, ``n_parameters``, ``r2``,
        ``ci_low`` and ``ci_high``. Bounds may be missing (NaN). Where a method has several points
        at one place of the axis, there is a line for each value of the other number.
    x : {"n_recordings", "n_parameters"}, default="n_recordings"
        What the axis shows, on a logarithmic scale.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If a column is missing, `x` is something else, or no point has a place on the axis.

    See Also
    --------
    sklearn_brainlm.scaling_curve : Makes the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_scaling_curve
    >>> table = pd.DataFrame({
    ...     "method": "BrainLM", "n_recordings": [10, 100, 1000], "n_parameters": 13e6,
    ...     "r2": [0.21, 0.32, 0.38], "ci_low": [0.18, 0.30, 0.37], "ci_high": [0.24, 0.34, 0.39],
    ... })
    >>> axes = plot_scaling_curve(table)
    >>> axes.get_xscale(), [tick.get_text() for tick in axes.get_xticklabels()]
    ('log', ['10', '100', '1,000'])
    >>> plt.close(axes.figure)
    """
    check_columns(table, _COLUMNS, "a row for each point of a scaling curve")
    if x not in _NAMES:
        raise ValueError(f"x={x!r}; expected one of {', '.join(_NAMES)}.")
    other = next(name for name in _NAMES if name != x)
    lines = _split_lines(table, x, other)
    places = np.unique(np.concatenate([points[x].to_numpy(dtype=float) for points in
                                       lines.values()]))  # fmt: skip
    places = places[places > 0]
    if len(places) == 0:
        raise ValueError(f"No row has {x} above 0: nothing has a place on the axis.")
    axes = new_axes((6.5, 4.0)) if axes is None else axes
    axes.set_xscale("log")
    for (name, points), style in zip(lines.items(), style_methods(list(lines)).values(),
                                     strict=True):  # fmt: skip
        columns = (x, "r2", "ci_low", "ci_high")
        at, r2, low, high = (points[column].to_numpy(dtype=float) for column in columns)
        if not (at > 0).any():
            # From edge to edge: it holds for every number.
            axes.axhline(r2[0], label=name, **{**style, "marker": ""})
            axes.axhspan(low[0], high[0], color=style["color"], alpha=0.15, linewidth=0)
            continue
        axes.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot(at, r2, label=name, **style)
    _mark_places(axes, places, x)
    axes.set(xlabel=_NAMES[x][0], ylabel="R2 on held-out recordings\n(1: exact; 0: as the mean)")
    axes.legend(
        ncols=2, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, handlelength=3.5,
        fontsize="small",
    )  # fmt: skip
    open_frame(axes)
    return axes


def _split_lines(table, x, other):
    """Return the points of each line, left to right, by its name."""
    lines = {}
    for method, rows in table.groupby("method", sort=False):
        if not rows[x].duplicated().any():
            lines[str(method)] = rows.sort_values(x)
            continue
        for value, own in rows.groupby(other, dropna=False):
            shown = _shorten(value) if other == "n_parameters" else value
            name = f"{method}, {_NAMES[other][1].format(shown)}"
            if own[x].duplicated().any():
                raise ValueError(
                    f"The table has several rows of {name!r} for one {x}; expected one a point: "
                    "average them, or give them names of their own."
                )
            lines[name] = own.sort_values(x)
    return lines


def _mark_places(axes, places, x):
    """Put ticks at the points themselves, as far as they have room."""
    from matplotlib.ticker import NullLocator

    log = np.log(places)
    room = (log[-1] - log[0]) / _MAX_TICKS
    shown = [places[0]]
    for place in places[1:]:
        if np.log(place / shown[-1]) >= room:
            shown.append(place)
    write = _shorten if x == "n_parameters" else "{:,.0f}".format
    axes.set_xticks(shown, [write(place) for place in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    if len(places) == 1:
        axes.set_xlim(places[0] / 2, places[0] * 2)


def _shorten(number):
    """Write a number of parameters as people say it."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
