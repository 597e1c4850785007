"""What all figures share: axes, the palette, and how methods are told apart."""

import numpy as np

__all__ = [
    "CLASS_COLOURS",
    "MARKERS",
    "PREDICTED",
    "REFERENCE",
    "SECOND",
    "SHADE",
    "TRUE",
    "check_columns",
    "is_on_trial",
    "new_axes",
    "open_frame",
    "style_methods",
    "time_axis",
]

# Told apart by every common kind of colour vision (Okabe and Ito's palette); its yellow is left
# out, which white paper swallows. The first two differ most in lightness: a grey print shows it.
TRUE, PREDICTED, SECOND, SHADE = "black", "#D55E00", "#0072B2", "#E6E6E6"
REFERENCE = "#707070"  # lines that are there to compare with

# What is on trial is warm and drawn through, what it has to beat is cool and dashed. The palette
# has three warm colours; the fourth, a wine of Tol's, is darker than all of them.
_WARM = (PREDICTED, "#E69F00", "#CC79A7", "#882255")
_COOL = (TRUE, SECOND, "#56B4E9", "#009E73")
_DASHES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "D", "^", "s", "v", "P", "X", "<", ">")
CLASS_COLOURS = (SECOND, "#E69F00", TRUE, "#56B4E9", PREDICTED, "#CC79A7", "#009E73")


def style_methods(names):
    """Give every method a colour, a marker and a line, the same in every figure of these methods.

    Parameters
    ----------
    names : sequence of str
        Methods in the order of the figure.

    Returns
    -------
    styles : dict of str to dict
        Keywords of :meth:`matplotlib.axes.Axes.plot`. No two methods share colour and marker.
    """
    trials = [name for name in names if is_on_trial(name)]
    simple = [name for name in names if not is_on_trial(name)]
    # Where there is one kind only, it may have all colours.
    warm = _WARM if simple else _WARM + _COOL
    cool = _COOL if trials else _COOL + _WARM
    styles = {}
    for position, name in enumerate(trials):
        styles[name] = {
            "color": warm[position % len(warm)],
            "marker": ("D", "s", "^", "P", "X")[position % 5],
            "linestyle": "-",
            "linewidth": 2.0,
        }
    for position, name in enumerate(simple):
        styles[name] = {
            "color": cool[position % len(cool)],
            "marker": ("o", "v", "<", ">", "*", "p", "h", "d", "8")[position % 9],
            "linestyle": _DASHES[position % len(_DASHES)],
            "linewidth": 1.3,
        }
    return {name: {"markersize": 5, **styles[name]} for name in names}


def is_on_trial(name):
    """Whether a method is on trial, by the rule of ``sklearn_brainlm.compare``.

    Parameters
    ----------
    name : str
        Name of a method.

    Returns
    -------
    on_trial : bool
        True if it starts with "BrainLM".
    """
    return str(name).startswith("BrainLM")


def time_axis(t_r, name="Time"):
    """Return the length of a timepoint, and what to write below the axis.

    Parameters
    ----------
    t_r : float or None
        Seconds between timepoints; None counts timepoints.
    name : str, default="Time"
        What the axis shows.

    Returns
    -------
    step : float
        Seconds or 1.
    label : str
        The name with its unit.
    """
    if t_r is None:
        return 1.0, f"{name} (timepoints)"
    if not np.isfinite(t_r) or t_r <= 0:
        raise ValueError(f"t_r={t_r!r}; expected seconds between timepoints, above 0.")
    return float(t_r), f"{name} (s)"


def check_columns(table, columns, what):
    """Refuse what is not a table with these columns and a row.

    Parameters
    ----------
    table : DataFrame
        What was given.
    columns : sequence of str
        Columns that are needed.
    what : str
        What the table should be, for the message.

    Raises
    ------
    ValueError
        It names the columns found and expected.
    """
    if not hasattr(table, "columns"):
        raise ValueError(f"The table is a {type(table).__name__}; expected {what}, a DataFrame.")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"The table has columns {', '.join(map(str, table.columns))}; expected {what}, with "
            f"{', '.join(missing)} besides."
        )
    if len(table) == 0:
        raise ValueError(f"The table has 0 rows; expected {what}, with one at least.")


def open_frame(axes):
    """Leave out the two sides of the frame that say nothing.

    Parameters
    ----------
    axes : :class:`matplotlib.axes.Axes`
        Changed.
    """
    axes.spines[["top", "right"]].set_visible(False)


def new_axes(figsize):
    """Make a figure and return its axes.

    Parameters
    ----------
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    axes : :class:`matplotlib.axes.Axes`
        The only ones.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib. Install it with: pip install 'sklearn-brainlm[plotting]'"
        ) from error
    return plt.subplots(figsize=figsize, layout="constrained")[1]
