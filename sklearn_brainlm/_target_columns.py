"""Columns of targets: as numbers, on the logarithm, with their center and spread."""

import warnings

import numpy as np
from sklearn.utils.validation import check_array

from sklearn_brainlm.exceptions import DataQualityWarning

__all__ = [
    "CHECKS",
    "as_column",
    "center_and_scale",
    "column_name",
    "logarithm",
    "refuse_infinite",
]

CHECKS = {"dtype": "numeric", "ensure_all_finite": "allow-nan"}  # NaN is a missing label


def as_column(values, input_name, allowed):
    """Return one-dimensional values as a column, anything else as it is; refuse strings.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, n_targets)
        Targets.
    input_name : str
        What they are called in a message.
    allowed : bool
        Whether one-dimensional values can be meant. Where not, scikit-learn refuses them next.

    Returns
    -------
    values : array-like
        What was given, or an array of shape (n_samples, 1).
    is_flat : bool
        Whether it was one-dimensional and is a column now.
    """
    objects = np.asarray(values, dtype=object)
    if any(isinstance(value, str | bytes) for value in objects.flat):
        # NumPy would read the objects "12" and "nan" as numbers.
        raise ValueError(
            f"Input {input_name} has strings: dtype='numeric' is not compatible with arrays of "
            "bytes/strings. Convert your data to numeric values explicitly instead."
        )
    if objects.ndim != 1 or not allowed:
        return values, False
    flat = check_array(values, ensure_2d=False, input_name=input_name, **CHECKS)
    return flat.reshape(-1, 1), True


def column_name(names, column):
    """Name a column in a message.

    Parameters
    ----------
    names : sequence of str or None
        Names of all columns, if they have some.
    column : int
        Position of the column.

    Returns
    -------
    text : str
        "column 1" or "column 'age'".
    """
    return f"column {column}" if names is None else f"column {names[column]!r}"


def center_and_scale(labels, spread, names):
    """Return what to subtract from each column and what to divide it by.

    Parameters
    ----------
    labels : ndarray of float64 of shape (n_samples, n_targets)
        Training labels, NaN where one is missing.
    spread : {"sd", "range"}
        "sd" centers on the mean and divides by the standard deviation, "range" centers on the
        least label and divides by the range.
    names : sequence of str or None
        Names of the columns, for messages.

    Returns
    -------
    center, scale : ndarray of float64 of shape (n_targets,)
        The scale of a constant column is 1. Both are NaN for a column without a label. Either
        case is warned about.
    """
    center_scale = np.full((2, labels.shape[1]), np.nan)
    for column, values in enumerate(labels.T):
        name = column_name(names, column)
        values = values[~np.isnan(values)]
        if not len(values):
            _warn(f"The target in {name} has no training label: it is NaN once scaled.")
            continue
        center, scale = _mean_and_sd(values) if spread == "sd" else _least_and_range(values)
        if not np.isfinite([center, scale]).all():
            raise ValueError(
                "Input X contains a value too large for dtype('float64'): the labels of "
                f"{name} have no finite spread."
            )
        if scale == 0:
            _warn(f"The target in {name} is constant in training: it is centred only.")
            scale = 1.0
        center_scale[:, column] = center, scale
    return center_scale


def logarithm(columns, names, predicted=False):
    """Return ``log(1 + columns)``.

    Parameters
    ----------
    columns : ndarray of float64 of shape (n_samples, n_targets)
        Labels, which are scores from 0 up, or predictions.
    names : sequence of str or None
        Names of the columns, for a message.
    predicted : bool, default=False
        Whether these are predictions. One below 0 is merely wrong, down to -1.

    Returns
    -------
    columns : ndarray of float64 of shape (n_samples, n_targets)
        A new array; NaN where it was NaN.
    """
    refused = columns <= -1 if predicted else columns < 0
    if refused.any():
        row, column = np.argwhere(refused)[0]
        where = f"{column_name(names, column)} has {columns[row, column]:g} in row {row}"
        if predicted:
            raise ValueError(
                f"In the predictions, {where}, and log(1 + y) needs values above -1. Train the "
                "model in TransformedTargetRegressor, or scale by 'minmax'."
            )
        raise ValueError(
            f"Negative values in data passed to TargetScaler: {where}, and 'log_minmax' takes "
            "scores from 0 up (log1p needs y > -1). If it is a code for a missing answer, make it "
            "NaN."
        )
    return np.log1p(columns)


def refuse_infinite(columns, names, done):
    """Raise an error where values left the range of float64.

    Parameters
    ----------
    columns : ndarray of float64 of shape (n_samples, n_targets)
        What was computed.
    names : sequence of str or None
        Names of the columns, for the message.
    done : str
        What was done to the values, for the message.
    """
    infinite = np.isinf(columns)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise ValueError(
            f"In row {row}, {column_name(names, column)} has a value too large for "
            f"dtype('float64') once {done}."
        )


def _mean_and_sd(values):
    """Return mean and standard deviation; of a constant, exactly itself and 0."""
    if values.min() == values.max():
        return values[0], 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # the caller asks whether they are finite
        return values.mean(), values.std()


def _least_and_range(values):
    """Return the least value and the range."""
    with np.errstate(over="ignore"):
        return values.min(), values.max() - values.min()


def _warn(message):
    """Warn, in the line that called `fit`."""
    warnings.warn(message, DataQualityWarning, stacklevel=4)
