"""Methods side by side: a dot and an interval each."""

import numpy as np

from sklearn_brainlm.plotting._frames import (
    PREDICTED,
    REFERENCE,
    TRUE,
    check_columns,
    is_on_trial,
    new_axes,
    open_frame,
)

__all__ = ["plot_comparison"]

_NAMES = {
    "r2": "R2 (1: exact; 0: as predicting the mean)",
    "r": "Pearson r (no unit)",
    "mse": "Mean squared error (squared unit of the labels)",
    "mean_absolute_error": "Mean absolute error (unit of the labels)",
    "scaled_mse": "Mean squared error (squared scaled units)",
    "roc_auc": "Area under the ROC curve (0.5: chance; 1: exact)",
    "balanced_accuracy": "Balanced accuracy (part of 1)",
    "f1_macro": "F1, mean over classes (part of 1)",
}
_COLUMNS = ("method", "metric", "setting", "value", "ci_low", "ci_high", "compared_with", "stars")
_DUMMY = "Dummy"  # how the name of the row of no knowledge begins


def plot_comparison(table, *, metric=None, axes=None):
    """Draw the table of a comparison: a dot and its 95% interval for each method.

    Simple methods are black circles, BrainLM's orange diamonds; the best simple one has a ring,
    and a dotted line down from it. Dummy is a dashed line.

    Parameters
    ----------
    table : DataFrame
        What ``sklearn_brainlm.compare`` returned.
    metric : str or None, default=None
        One of its metrics; None takes the primary one. Stars belong to that one only.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on.

    Raises
    ------
    ValueError
        If the table is not one of ``compare``, or has no such metric.

    See Also
    --------
    sklearn_brainlm.compare : Makes the table.
    sklearn_brainlm.format_comparison : The table as text.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib import pyplot as plt
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn_brainlm import compare
    >>> from sklearn_brainlm.plotting import plot_comparison
    >>> motion = np.arange(20.0)
    >>> table = compare(
    ...     {"Motion + ridge": (Ridge(), motion)}, None, 50 + motion,
    ...     groups="each recording is a subject", n_bootstrap=50, random_state=0,
    ... )
    >>> axes = plot_comparison(table)
    >>> [tick.get_text() for tick in axes.get_yticklabels()]
    ['Motion + ridge']
    >>> plt.close(axes.figure)
    """
    from matplotlib.lines import Line2D

    rows, metric = _choose_rows(table, metric)
    is_dummy = rows["method"].astype(str).str.startswith(_DUMMY).to_numpy()
    dummy, rows = rows[is_dummy], rows[~is_dummy]
    best = next((name for name in rows["compared_with"].dropna() if name), None)
    axes = new_axes((7.5, 1.5 + 0.36 * len(rows))) if axes is None else axes

    handles = []
    kinds = (
        (False, {"color": TRUE, "marker": "o", "markersize": 6}, "simple method"),
        (True, {"color": PREDICTED, "marker": "D", "markersize": 7}, "BrainLM"),
    )
    trials = np.array([is_on_trial(name) for name in rows["method"]], dtype=bool)
    for on_trial, style, name in kinds:
        own = np.flatnonzero(trials == on_trial)
        if len(own) == 0:
            continue
        low, high = rows["ci_low"].to_numpy(dtype=float), rows["ci_high"].to_numpy(dtype=float)
        axes.hlines(
            own, low[own], high[own], color=style["color"], linewidth=2 if on_trial else 1.3
        )
        axes.plot(rows["value"].to_numpy(dtype=float)[own], own, linestyle="", **style)
        handles.append(Line2D([], [], **style, linewidth=1.3, label=f"{name}, 95% interval"))
    values = dict(zip(rows["method"], rows["value"], strict=True))
    if best in values:
        ring = {"marker": "o", "markersize": 12, "fillstyle": "none", "markeredgewidth": 1.3}
        axes.plot([values[best]], [list(values).index(best)], color=TRUE, linestyle="", **ring)
        axes.axvline(values[best], color=TRUE, linewidth=0.9, linestyle=":", zorder=0)
        label = "best simple method"
        handles.append(Line2D([], [], color=TRUE, linestyle=":", **ring, label=label))
    for name, value in zip(dummy["method"], dummy["value"], strict=True):
        axes.axvline(value, color=REFERENCE, linestyle="--", linewidth=1.2, zorder=0)
        handles.append(Line2D([], [], color=REFERENCE, linestyle="--", label=str(name)))
    if _write_stars(axes, rows):
        meaning = "* p < .05, ** < .01, *** < .001, corrected"
        handles.append(Line2D([], [], linestyle="", label=meaning))
    axes.set_yticks(range(len(rows)), rows["method"])
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first method on top
    axes.set_xlabel(f"{_NAMES.get(metric, metric)}\n{_say_direction(metric)}")
    for tick, on_trial in zip(axes.get_yticklabels(), trials, strict=True):
        tick.set_fontweight("bold" if on_trial else "normal")
    axes.legend(
        handles=handles, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), frameon=False,
        fontsize="small", handlelength=3,
    )  # fmt: skip
    open_frame(axes)
    return axes


def _choose_rows(table, metric):
    """Return the rows over all folds of a metric, and its name."""
    check_columns(table, _COLUMNS, "what compare returns")
    overall = table[table["setting"] == "all"]
    if overall.empty:
        raise ValueError(
            f"The table has settings {', '.join(table['setting'].astype(str).unique()[:3])} and so "
            "on; expected 'all', as in what compare returns. plot_forecast_error draws what "
            "compare_forecasters returns."
        )
    metrics = list(dict.fromkeys(overall["metric"]))
    if metric is None:
        # Attributes do not survive a file; the primary metric comes first there too.
        metric = table.attrs.get("primary", metrics[0])
    if metric not in metrics:
        raise ValueError(f"The table has metrics {', '.join(metrics)}; expected {metric!r}.")
    return overall[overall["metric"] == metric], metric


def _write_stars(axes, rows):
    """Write stars to the right of intervals; return whether there were any."""
    found = False
    columns = ("value", "ci_high", "stars")
    for row, (value, high, stars) in enumerate(zip(*(rows[c] for c in columns), strict=True)):
        if isinstance(stars, str) and stars:  # NaN in a table that was read from a file
            found = True
            axes.annotate(
                stars, (np.nanmax([value, high]), row), xytext=(6, 0), va="center_baseline",
                textcoords="offset points", fontsize="large", annotation_clip=False,
            )  # fmt: skip
    return found


def _say_direction(metric):
    """Say which way is better, which no axis shows."""
    less = "error" in metric or "mse" in metric
    return "\N{LEFTWARDS ARROW} better" if less else "better \N{RIGHTWARDS ARROW}"
