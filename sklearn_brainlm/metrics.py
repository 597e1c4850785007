"""How well masked or future activity was predicted: R2, r and mean squared error, never clamped.

The sums of squares of every window are taken about the mean of that window's own values and then
pooled over the windows, so a model earns nothing for knowing a window's mean level and long
windows weigh more than short ones.
"""

import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

__all__ = [
    "masked_mse",
    "masked_r",
    "masked_r2",
    "masked_sums",
    "mse_per_timepoint",
    "r2_per_timepoint",
    "r_per_timepoint",
]


def masked_r2(true, predicted, masked):
    """Score the prediction of masked values against their mean.

    The score of section 4.1 of the article, which does not give its formula. A model earns nothing
    for knowing the level of a window.

    Parameters
    ----------
    true, predicted : array (T, P), array (n_windows, T, P) or list of arrays (T, P)
        Recorded and predicted windows.
    masked : bool array or list of bool arrays, shaped like `true`
        True for the values that are scored.

    Returns
    -------
    float
        ``1 - sum(SSE) / sum(SS)`` over the windows; 1 is perfect, 0 is what each window's own
        mean achieves, and there is no lower bound. NaN, with an UndefinedMetricWarning, when the
        masked values of every window are constant.

    See Also
    --------
    masked_sums : The sums that are pooled.
    r2_per_timepoint : The same for each timepoint of a forecast.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> round(masked_r2(true, true + 1, np.ones((2, 2), dtype=bool)), 3)
    0.2
    """
    sse, ss = masked_sums(true, predicted, masked)
    return _ratio(sse.sum(), ss.sum(), "masked_r2", lambda ratio: 1.0 - ratio)


def masked_r(true, predicted, masked):
    """Correlate masked values with their prediction.

    It says whether a prediction follows the ups and downs of what was masked, whatever their size:
    one that is half as large scores as well. Section 4.3 of the article gives it beside R2.

    Parameters
    ----------
    true, predicted : array (T, P), array (n_windows, T, P) or list of arrays (T, P)
        Recorded and predicted windows.
    masked : bool array or list of bool arrays, shaped like `true`
        True for the values that are scored.

    Returns
    -------
    float
        Pearson correlation, the products of each window taken about its own means and pooled.
        NaN, with an UndefinedMetricWarning, when either side is constant in every window.

    See Also
    --------
    masked_r2 : Errors of size count too.

    Examples
    --------
    >>> true = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> round(masked_r(true, 3 * true + 1, np.ones((2, 2), dtype=bool)), 3)
    1.0
    """
    products = np.zeros(3)
    for true_values, predicted_values in _masked_values(true, predicted, masked):
        a, b = _centred(true_values), _centred(predicted_values)
        products += a @ b, a @ a, b @ b
    return _ratio(products[0], np.sqrt(products[1] * products[2]), "masked_r")


def masked_mse(true, predicted, masked):
    """Average the squared error over all masked values of all windows.

    What networks minimise in training (section 3.2 of the article). It follows the scale of the
    recordings: only errors of one scaling can be compared.

    Parameters
    ----------
    true, predicted : array (T, P), array (n_windows, T, P) or list of arrays (T, P)
        Recorded and predicted windows.
    masked : bool array or list of bool arrays, shaped like `true`
        True for the values that are scored.

    Returns
    -------
    float
        Mean squared error, in squared units of `true`.

    See Also
    --------
    mse_per_timepoint : The same for each timepoint of a forecast.

    Examples
    --------
    >>> true = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> masked_mse(true, true + 2, np.ones((2, 2), dtype=bool))
    4.0
    """
    errors = [a - b for a, b in _masked_values(true, predicted, masked)]
    return float(sum(error @ error for error in errors) / sum(error.size for error in errors))


def masked_sums(true, predicted, masked):
    """Sum squares window by window, for pooling by subject or by site.

    The R2 of a group of people is made of the sums of their windows, it is not the mean of their
    scores. A bootstrap over people needs these sums and nothing else.

    Parameters
    ----------
    true, predicted : array (T, P), array (n_windows, T, P) or list of arrays (T, P)
        Recorded and predicted windows.
    masked : bool array or list of bool arrays, shaped like `true`
        True for the values that are scored.

    Returns
    -------
    sse : float64 array of shape (n_windows,)
        Sum of squared errors of each window.
    ss : float64 array of shape (n_windows,)
        Sum of squares of each window's masked values about their mean. R2 of any group of
        windows is ``1 - sse[group].sum() / ss[group].sum()``.

    Raises
    ------
    ValueError
        If shapes differ, a window has nothing masked, or a masked value is not finite.

    See Also
    --------
    masked_r2 : The score of all windows together.

    Examples
    --------
    >>> true = np.array([[[1.0], [3.0]], [[5.0], [9.0]]])
    >>> sse, ss = masked_sums(true, true + 1, np.ones((2, 2, 1), dtype=bool))
    >>> sse, ss
    (array([2., 2.]), array([2., 8.]))
    """
    pairs = _masked_values(true, predicted, masked)
    sse = np.array([np.sum((a - b) ** 2) for a, b in pairs])
    ss = np.array([np.sum(_centred(a) ** 2) for a, _ in pairs])
    return sse, ss


def r2_per_timepoint(true, predicted):
    """Score each timepoint of a forecast on its own.

    It shows how far ahead a forecast is worth something. Zero is what the mean over parcels of each
    window achieves at a timepoint, so a forecast has to tell parcels apart.

    Parameters
    ----------
    true, predicted : array of shape (n_windows, n_timepoints, n_parcels)
        Recorded and predicted activity; a 2-D array is one window.

    Returns
    -------
    float64 array of shape (n_timepoints,)
        :func:`masked_r2` over windows and parcels at each timepoint.

    See Also
    --------
    masked_r2 : One score of all masked values.

    Examples
    --------
    >>> true = np.arange(8.0).reshape(2, 2, 2)
    >>> r2_per_timepoint(true, true)
    array([1., 1.])
    """
    return _per_timepoint(masked_r2, true, predicted)


def r_per_timepoint(true, predicted):
    """Correlate each timepoint of a forecast on its own.

    Products are taken about the means over parcels of each window: it says whether the pattern over
    parcels is right at a timepoint, not its level.

    Parameters
    ----------
    true, predicted : array of shape (n_windows, n_timepoints, n_parcels)
        Recorded and predicted activity; a 2-D array is one window.

    Returns
    -------
    float64 array of shape (n_timepoints,)
        :func:`masked_r` over windows and parcels at each timepoint.

    See Also
    --------
    masked_r : One correlation of all masked values.

    Examples
    --------
    >>> true = np.arange(8.0).reshape(2, 2, 2)
    >>> r_per_timepoint(true, -true).round(3)
    array([-1., -1.])
    """
    return _per_timepoint(masked_r, true, predicted)


def mse_per_timepoint(true, predicted):
    """Average the squared error of each timepoint of a forecast on its own.

    Figure 6 of the article draws this error against the time ahead, for 20 timepoints. It is in
    squared units of `true`.

    Parameters
    ----------
    true, predicted : array of shape (n_windows, n_timepoints, n_parcels)
        Recorded and predicted activity; a 2-D array is one window.

    Returns
    -------
    float64 array of shape (n_timepoints,)
        :func:`masked_mse` over windows and parcels at each timepoint.

    See Also
    --------
    masked_mse : One error of all masked values.
    sklearn_brainlm.plotting.plot_forecast_error : Draws scores against the time ahead.

    Examples
    --------
    >>> true = np.arange(8.0).reshape(2, 2, 2)
    >>> mse_per_timepoint(true, true + 0.5)
    array([0.25, 0.25])
    """
    return _per_timepoint(masked_mse, true, predicted)


def _per_timepoint(score, true, predicted):
    """Apply a masked score to every timepoint with all its values counted."""
    true, predicted = _stacked(true, predicted)
    everything = np.ones((true.shape[0], 1, true.shape[2]), dtype=bool)
    timepoints = range(true.shape[1])
    return np.array([score(true[:, [t]], predicted[:, [t]], everything) for t in timepoints])


def _stacked(*arrays):
    """Return 3-D views, a 2-D array being one window; shapes must agree."""
    stacked = [np.asarray(a)[None] if np.ndim(a) == 2 else np.asarray(a) for a in arrays]
    if stacked[0].ndim != 3 or stacked[0].shape != stacked[1].shape:
        raise ValueError(
            "Expected two arrays of one shape (n_windows, n_timepoints, n_parcels), got "
            f"{np.shape(arrays[0])} and {np.shape(arrays[1])}."
        )
    return stacked


def _masked_values(true, predicted, masked):
    """Return one pair of float64 vectors (true, predicted) a window: its masked values."""
    windows = [_windows(side) for side in (true, predicted, masked)]
    if len({len(side) for side in windows}) != 1:
        raise ValueError(
            "true, predicted and masked have different numbers of windows: "
            f"{len(windows[0])}, {len(windows[1])} and {len(windows[2])}."
        )
    pairs = []
    for index, (a, b, where) in enumerate(zip(*windows, strict=True)):
        if not a.shape == b.shape == where.shape:
            raise ValueError(
                f"Window {index}: true, predicted and masked have shapes {a.shape}, {b.shape} "
                f"and {where.shape}; they must be the same."
            )
        if where.dtype != bool:
            raise ValueError(f"Window {index}: masked must be boolean, got {where.dtype}.")
        if not where.any():
            raise ValueError(f"Window {index}: no value is masked, there is nothing to score.")
        a, b = a[where].astype(np.float64), b[where].astype(np.float64)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise ValueError(f"Window {index}: a masked value or its prediction is not finite.")
        pairs.append((a, b))
    return pairs


def _centred(values):
    """Subtract the mean; constant values give exact zeros, whatever their size."""
    from_first = values - values[0]
    return from_first - from_first.mean()


def _windows(side):
    """Return a list of 2-D arrays from one window, a stack or a list of windows."""
    if isinstance(side, np.ndarray) and side.ndim == 2:
        return [side]
    windows = [np.asarray(window) for window in side]
    if not windows or any(window.ndim != 2 for window in windows):
        raise ValueError("Expected windows of shape (n_timepoints, n_parcels), one at least.")
    return windows


def _ratio(numerator, denominator, name, finish=float):
    """Divide, or warn and return NaN where the score has no meaning."""
    if denominator == 0:
        warnings.warn(
            f"{name} is undefined: the values are constant in every window.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return float("nan")
    return float(finish(numerator / denominator))
