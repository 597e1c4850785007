"""Forecasts as fans: what was recorded, what was forecast, and the interval around it."""

import numpy as np

from sklearn_brainlm.plotting._frames import PREDICTED, REFERENCE, TRUE, new_axes, time_axis
from sklearn_brainlm.plotting._traces import choose_parcels, label_traces, stack_traces

__all__ = ["plot_forecast"]


def plot_forecast(
    context,
    forecast,
    *,
    true=None,
    lower=None,
    upper=None,
    coverage=None,
    t_r=None,
    parcels=None,
    labels=None,
    unit="scaled units",
    axes=None,
):
    """Draw traces of a recording up to now, and the forecast of what follows with its interval.

    Time 0 is the last timepoint of the context; the first step of the forecast is one later.

    Parameters
    ----------
    context : array of shape (context_length, n_parcels)
        What the forecast is made from. Give its last timepoints only to see the fan larger.
    forecast : array of shape (horizon, n_parcels)
        What was forecast.
    true : array of shape (horizon, n_parcels) or None, default=None
        What was recorded.
    lower, upper : array of shape (horizon, n_parcels) or None, default=None
        Bounds of the interval, both or neither.
    coverage : float or None, default=None
        Part of the values the interval is meant to hold, between 0 and 1, for the legend.
    t_r : float or None, default=None
        Seconds between timepoints; None counts timepoints.
    parcels : sequence of int or None, default=None
        Parcels to draw, top to bottom; None takes three, spread over all.
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
        If shapes do not fit each other, one bound is missing, or the coverage is no part of 1.

    See Also
    --------
    sklearn_brainlm.BrainLMForecaster : Forecasts, with intervals.
    plot_forecast_error : Draws scores against the time ahead.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_forecast
    >>> context = np.random.default_rng(0).standard_normal((30, 5))
    >>> forecast = context[-1] * 0.8 ** np.arange(1, 9)[:, None]
    >>> axes = plot_forecast(
    ...     context, forecast, lower=forecast - 1, upper=forecast + 1, coverage=0.9, t_r=2.0
    ... )
    >>> axes.get_xlabel()
    'Time from the last timepoint seen (s)'
    >>> plt.close(axes.figure)
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    context, forecast = np.asarray(context, dtype=float), np.asarray(forecast, dtype=float)
    if context.ndim != 2 or forecast.ndim != 2 or context.shape[1] != forecast.shape[1]:
        raise ValueError(
            f"context and forecast have shapes {context.shape} and {forecast.shape}; expected "
            "(context_length, n_parcels) and (horizon, n_parcels)."
        )
    given = {"forecast": forecast, "true": true, "lower": lower, "upper": upper}
    given = {name: np.asarray(a, dtype=float) for name, a in given.items() if a is not None}
    for name, array in given.items():
        if array.shape != forecast.shape:
            raise ValueError(
                f"{name} has shape {array.shape}; expected {forecast.shape}, that of the forecast."
            )
    if ("lower" in given) != ("upper" in given):
        raise ValueError("One of lower and upper is missing: give both or neither.")
    if coverage is not None and not 0 < coverage < 1:
        raise ValueError(f"coverage={coverage!r}; expected a number between 0 and 1.")
    n_parcels = context.shape[1]
    parcels = choose_parcels(parcels, np.arange(n_parcels), 3, n_parcels)
    step, xlabel = time_axis(t_r, "Time from the last timepoint seen")
    axes = new_axes((8.0, 1.2 + 1.2 * len(parcels))) if axes is None else axes

    past, ahead = (
        step * np.arange(1 - len(context), 1),
        step * np.arange(1, len(forecast) + 1),
    )
    # What was recorded is one line, seen by the model or not.
    recorded = np.concatenate([context, given["true"]]) if "true" in given else context
    time = np.concatenate([past, ahead])[: len(recorded)]
    every = np.concatenate([context, *given.values()])[:, parcels]
    gap, levels, middles = stack_traces(every)
    for parcel, level, middle in zip(parcels, levels, middles, strict=True):
        shift = level - middle
        if "lower" in given:
            bounds = (given[name][:, parcel] + shift for name in ("lower", "upper"))
            axes.fill_between(ahead, *bounds, color=PREDICTED, alpha=0.25, linewidth=0)
        axes.plot(time, recorded[:, parcel] + shift, color=TRUE, linewidth=1.0)
        axes.plot(ahead, forecast[:, parcel] + shift, color=PREDICTED, linewidth=2.0)
    axes.axvline(0, color=REFERENCE, linewidth=0.8, linestyle="--", zorder=0)
    right = ahead[-1] + 0.02 * (ahead[-1] - past[0])
    names = [str(parcel) if labels is None else str(labels[parcel]) for parcel in parcels]
    label_traces(axes, levels, names, right, gap, unit)
    axes.set(xlabel=xlabel, xlim=(past[0] - step / 2, right + step / 2))
    handles = [
        Line2D([], [], color=TRUE, label="recorded", linewidth=1.0),
        Line2D([], [], color=PREDICTED, label="forecast", linewidth=2.0),
    ]
    if "lower" in given:
        name = "interval" if coverage is None else f"{100 * coverage:g}% interval"
        handles.append(Patch(facecolor=PREDICTED, alpha=0.25, label=name))
    axes.legend(handles=handles, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return axes
