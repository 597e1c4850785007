"""How well each step of a forecast is met, by several methods."""

import numpy as np

from sklearn_brainlm.plotting._frames import (
    REFERENCE,
    check_columns,
    new_axes,
    open_frame,
    style_methods,
    time_axis,
)

__all__ = ["plot_forecast_error"]

_NAMES = {
    "r2": "R2 (1: exact; 0: as forecasting the mean)",
    "r": "Pearson r (no unit)",
    "mse": "Mean squared error (squared scaled units)",
}
_COLUMNS = ("method", "metric", "setting", "value", "ci_low", "ci_high", "stars")


def plot_forecast_error(
    errors, *, lower=None, upper=None, significant=None, t_r=None, metric="R2", axes=None
):
    """Draw a score of forecasts against the time ahead, a line a method, with stars.

    Methods whose name begins with "BrainLM" are warm in colour and drawn through, all others cool
    and dashed; each has its own marker. Stars stand at the top, a row a method, in its colour and
    after its marker.

    Parameters
    ----------
    errors : DataFrame, or mapping of str to array of shape (n_steps,)
        What ``sklearn_brainlm.compare_forecasters`` returned, or the score of each method at each
        step ahead.
    lower, upper : mapping of str to array of shape (n_steps,), or None, default=None
        Bounds of the interval of each method, both or neither; a table brings its own.
    significant : mapping of str to array of shape (n_steps,), or None, default=None
        Of each method, True where a star is due, or the number of stars; a table brings its own.
    t_r : float or None, default=None
        Seconds between timepoints; None counts timepoints.
    metric : str, default="R2"
        "R2", "r" or "mse" (squared scaled units) of a table; of a mapping, what stands at the
        axis, with its unit.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If arrays differ in length, a method is unknown, a bound is missing, or the table has no
        single steps of the metric.

    See Also
    --------
    sklearn_brainlm.compare_forecasters : Makes the table.
    plot_forecast : Draws a forecast itself.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_forecast_error
    >>> axes = plot_forecast_error(
    ...     {"AR": [0.5, 0.3, 0.1], "BrainLM": [0.6, 0.4, 0.1]},
    ...     significant={"BrainLM": [True, True, False]},
    ...     t_r=2.0,
    ... )
    >>> axes.get_xlabel(), [text.get_text() for text in axes.texts]
    ('Time ahead (s)', ['*', '*'])
    >>> plt.close(axes.figure)
    """
    if hasattr(errors, "columns"):
        if not lower is upper is significant is None:
            raise ValueError("A table has its own lower, upper and significant: give it alone.")
        errors, lower, upper, significant = _read_table(errors, metric)
        meaning = "Stars: better than the best simple method, corrected p < .05, .01, .001"
    else:
        meaning = "Stars: significant"
    errors = {name: np.asarray(values, dtype=float) for name, values in errors.items()}
    if not errors:
        raise ValueError("errors has 0 methods; expected one at least.")
    shape = next(iter(errors.values())).shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(f"errors have shape {shape}; expected (n_steps,) for each method.")
    if (lower is None) != (upper is None):
        raise ValueError("One of lower and upper is missing: give both or neither.")
    _check("errors", errors, errors, shape)
    lower = _check("lower", lower, errors, shape)
    upper = _check("upper", upper, errors, shape)
    stars = _check("significant", significant, errors, shape)
    step, xlabel = time_axis(t_r, "Time ahead")
    axes = new_axes((7.0, 4.0)) if axes is None else axes

    ahead = step * np.arange(1, shape[0] + 1)
    styles = style_methods(list(errors))
    for name, values in errors.items():
        if name in lower and name in upper:
            axes.fill_between(
                ahead, lower[name], upper[name], color=styles[name]["color"], alpha=0.15, lw=0
            )
        axes.plot(ahead, values, label=name, **styles[name])
    if metric.lower() in ("r2", "r"):
        axes.axhline(0, color=REFERENCE, linewidth=0.8, zorder=0)
    starred = [name for name in errors if name in stars and stars[name].any()]
    _draw_stars(axes, ahead, {name: stars[name].astype(int) for name in starred}, styles)
    axes.set(xlabel=xlabel, ylabel=_NAMES.get(metric.lower(), metric))
    if t_r is None:
        axes.xaxis.get_major_locator().set_params(integer=True)
    # Beside the lines it would lie over them, as it does not know where they go.
    axes.legend(
        ncols=2, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, handlelength=3.5,
        fontsize="small", title=meaning if starred else None, title_fontsize="small",
        alignment="left",
    )  # fmt: skip
    open_frame(axes)
    return axes


def _draw_stars(axes, ahead, stars, styles):
    """Make room at the top, and draw a row of stars a method there."""
    bottom, top = axes.get_ylim()
    heights = [(0.03 + 0.04 * numbers.max()) * (top - bottom) for numbers in stars.values()]
    axes.set_ylim(bottom, top + sum(heights))
    start = ahead[0] - 0.05 * (ahead[-1] - ahead[0] or 1)
    for row, (name, numbers) in enumerate(stars.items()):
        level = top + sum(heights[row + 1 :]) + heights[row] / 2
        style = {**styles[name], "linestyle": ""}
        axes.plot([start], [level], **style)  # says whose row it is, in grey too
        for x, number in zip(ahead, numbers, strict=True):
            if number:  # upright, as neighbours would run into each other
                axes.text(
                    x, level, "*" * number, rotation=90, rotation_mode="anchor", ha="center",
                    va="center_baseline", color=style["color"], fontweight="bold",
                )  # fmt: skip


def _check(what, arrays, methods, shape):
    """Return arrays of known methods, all of the same shape."""
    if arrays is None:
        return {}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if name not in methods:
            raise ValueError(f"{what} has {name!r}; the methods are {', '.join(methods)}.")
        if array.shape != shape:
            raise ValueError(f"{what} of {name!r} has shape {array.shape}; expected {shape}.")
    return arrays


def _read_table(table, metric):
    """Return values, bounds and numbers of stars at each step, by method."""
    check_columns(table, _COLUMNS, "what compare_forecasters returns")
    step = table["setting"].astype(str).str.extract(r"^step (\d+)$")[0].astype(float)
    own = table.assign(step=step)[step.notna() & (table["metric"] == metric.lower())]
    if own.empty:
        raise ValueError(
            f"The table has no steps ahead of {metric!r}: its metrics are "
            f"{', '.join(table['metric'].astype(str).unique())}, its settings "
            f"{', '.join(table['setting'].astype(str).unique()[:4])} and so on. Expected what "
            "compare_forecasters returns."
        )
    horizon = np.arange(1, int(own["step"].max()) + 1)
    found = ({}, {}, {}, {})
    for name, rows in own.groupby("method", sort=False):
        if rows["step"].duplicated().any():
            raise ValueError(f"The table has several rows of {name!r} for one step.")
        rows = rows.set_index("step").reindex(horizon)
        for kept, column in zip(found, ("value", "ci_low", "ci_high"), strict=False):
            kept[name] = rows[column].to_numpy(dtype=float)
        # A table that was read from a file has NaN where there was no star.
        found[3][name] = np.array([str(stars).count("*") for stars in rows["stars"]])
    return found
