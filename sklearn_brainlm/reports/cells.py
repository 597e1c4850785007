"""Numbers and values as the text of a cell."""

import reprlib

import numpy as np
import pandas as pd

__all__ = [
    "name_metric",
    "shorten",
    "show_count",
    "show_interval",
    "show_number",
    "show_seconds",
    "show_value",
]

_METRICS = {
    "r2": "R2",
    "r": "Pearson r",
    "mse": "mean squared error",
    "mean_absolute_error": "mean absolute error",
    "scaled_mse": "mean squared error on the paper's scale",
    "roc_auc": "area under the ROC curve",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, mean over classes",
}
_MISSING = "–"
_LONGEST = 160  # characters of a value

_repr = reprlib.Repr()
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 8
_repr.maxstring = 120
_repr.maxother = _LONGEST


def name_metric(metric):
    """Write the name of a metric out.

    Parameters
    ----------
    metric : str
        As comparisons call it.

    Returns
    -------
    text : str
        In words; one that is not known stays as it is.
    """
    return _METRICS.get(metric, metric)


def show_number(value, form=".3f"):
    """Write a number.

    Parameters
    ----------
    value : float or None
        NaN and None are missing.
    form : str, default=".3f"
        Format.

    Returns
    -------
    text : str
        A dash where it is missing.

    Examples
    --------
    >>> show_number(0.12345), show_number(float("nan"))
    ('0.123', '–')
    """
    if value is None or pd.isna(value):
        return _MISSING
    text = format(float(value), form)
    # Minus nothing is nothing.
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def show_interval(low, high, form=".3f"):
    """Write an interval.

    Parameters
    ----------
    low, high : float
        Bounds; NaN when there is none.
    form : str, default=".3f"
        Format.

    Returns
    -------
    text : str
        Such as "0.1 to 0.2".

    Examples
    --------
    >>> show_interval(0.1, 0.25, ".2f")
    '0.10 to 0.25'
    """
    if pd.isna(low) or pd.isna(high):
        return _MISSING
    return f"{show_number(low, form)} to {show_number(high, form)}"


def show_count(number, noun):
    """Write how many there are of something.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        What, in the singular.

    Returns
    -------
    text : str
        Such as "1,200 parcels".

    Examples
    --------
    >>> show_count(1, "parcel"), show_count(1200, "parcel")
    ('1 parcel', '1,200 parcels')
    """
    return f"{int(number):,} {noun}{'s' * (number != 1)}"


def show_seconds(seconds):
    """Write a duration.

    Parameters
    ----------
    seconds : float
        How long.

    Returns
    -------
    text : str
        In seconds, or minutes where they are many.

    Examples
    --------
    >>> show_seconds(7.24), show_seconds(600)
    ('7.2 s', '10 min')
    """
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.3g} min" if minutes < 120 else f"{minutes / 60:.3g} h"


def show_value(value):
    """Write a value as Python would, arrays by their shape, and nothing at length.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    text : str
        On one line.

    Examples
    --------
    >>> show_value("robust"), show_value(np.zeros((424, 3)))
    ("'robust'", 'array of shape (424, 3), float64')
    """
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array of shape {value.shape}, {value.dtype}"
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return f"{type(value).__name__} of shape {value.shape}"
    if isinstance(value, np.generic):
        value = value.item()
    return shorten(_repr.repr(value), _LONGEST)


def shorten(text, n_characters):
    """Put a text on one line, and leave its end out where it is long.

    Parameters
    ----------
    text : str
        The text.
    n_characters : int
        The most there may be.

    Returns
    -------
    text : str
        With an ellipsis in place of what was left out.

    Examples
    --------
    >>> shorten("a long name", 6)
    'a lon…'
    """
    text = " ".join(str(text).split())
    return text if len(text) <= n_characters else text[: n_characters - 1] + "…"
