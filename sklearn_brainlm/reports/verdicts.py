"""Verdicts: how an estimator stands beside simple methods, in a sentence."""

import numpy as np

from sklearn_brainlm._inference import interval
from sklearn_brainlm.reports.cells import show_interval, show_number

__all__ = ["weigh"]


def weigh(methods, values, resampled, what, n_simple):
    """Say in a sentence how an estimator stands beside the best of the simple methods.

    Parameters
    ----------
    methods : sequence of str
        The estimator first.
    values : array of shape (n_methods,)
        Scores, the more the better.
    resampled : array of shape (n_methods, n_resamples)
        Scores of resamples of the recordings.
    what : str
        Name of the score.
    n_simple : int
        How many methods were fitted on training recordings.

    Returns
    -------
    verdict : str
        Which is better, and whether by more than chance.

    Examples
    --------
    >>> print(weigh(["A", "B"], [0.2, 0.5], np.array([[0.1, 0.3], [0.4, 0.6]]), "R2", 1))
    A simple method wins: B, with R2 0.500 against 0.200 of A, a difference of 0.300 (95% interval
    0.300 to 0.300).
    """
    own = f"{what} {show_number(values[0])}"
    if not n_simple:
        return (
            f"{own}. No training recordings were given (X_train) to fit simple methods beside it."
        )
    best = 1 + int(np.argmax(values[1:]))
    difference = values[0] - values[best]
    low, high = interval(resampled[0] - resampled[best])
    beside = f"{show_number(abs(difference))}"
    if difference < 0:
        low, high = -high, -low
        both = f"{methods[best]}, with {what} {show_number(values[best])} against "
        both += f"{show_number(values[0])} of {methods[0]}"
        start = "A simple method wins" if low > 0 else "A simple method is at least as good"
        text = f"{start}: {both}, a difference of {beside}"
    else:
        clearly = "is better than" if low > 0 else "is not clearly better than"
        text = f"{own}: {methods[0]} {clearly} the best simple method, {methods[best]} "
        text += f"({show_number(values[best])}), a difference of {beside}"
    if np.isnan(low):
        return f"{text}; one recording gives no interval."
    return f"{text} (95% interval {show_interval(low, high)})."
