"""What a stationary Gaussian model says of hidden values, given the visible ones.

Hidden values are filled in with their conditional mean. A ridge on the visible values stands for
what no model of the group (:mod:`sklearn_brainlm.stationary`) knows of a person.
"""

import numpy as np
from scipy import fft, linalg

__all__ = ["adapt_mixing", "complete_in_time", "complete_timepoints", "visible_patterns"]


def visible_patterns(visible):
    """Group the timepoints of a window by the parcels that are visible at them.

    Parameters
    ----------
    visible : bool array of shape (T, P)
        True where a value may be used.

    Returns
    -------
    patterns : list of (timepoints, shown, hidden)
        Index arrays: the timepoints, and the parcels visible and hidden at all of them.
    """
    packed = np.packbits(visible, axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    return [
        (np.flatnonzero(which == k), np.flatnonzero(visible[t]), np.flatnonzero(~visible[t]))
        for k, t in enumerate(first)
    ]


def complete_timepoints(covariance, window, patterns, ridge, *, with_moment=False):
    """Fill hidden values from the visible parcels of the same timepoint.

    Parameters
    ----------
    covariance : float32 array of shape (P, P)
        Covariance of the parcels.
    window : float32 array of shape (T, P)
        Scaled window; hidden values are not looked at.
    patterns : list
        From :func:`visible_patterns`.
    ridge : float
        Added to the variances of the visible parcels.
    with_moment : bool, default=False
        Also return the expected second moments of the completed window.

    Returns
    -------
    filled : float32 array of shape (T, P)
        The window with the conditional mean in the place of hidden values.
    moment : float32 array of shape (P, P)
        ``E[x x.T | visible]`` averaged over timepoints, only when asked for.
    """
    filled = window.copy()
    spread = np.zeros_like(covariance) if with_moment else None
    for timepoints, shown, hidden in patterns:
        if not len(hidden):
            continue
        known = covariance[np.ix_(shown, hidden)]
        lower = _factor(covariance, shown, ridge)
        if len(shown):
            half = linalg.solve_triangular(lower, known, lower=True, check_finite=False)
            seen = window[np.ix_(timepoints, shown)].T
            seen = linalg.solve_triangular(lower, seen, lower=True, check_finite=False)
            filled[np.ix_(timepoints, hidden)] = seen.T @ half
        else:
            half = known
            filled[np.ix_(timepoints, hidden)] = 0.0
        if with_moment:
            left = covariance[np.ix_(hidden, hidden)] - half.T @ half
            spread[np.ix_(hidden, hidden)] += len(timepoints) * left
    if not with_moment:
        return filled
    return filled, (filled.T @ filled + spread) / len(window)


def adapt_mixing(statistics, window, patterns, ridge, *, prior_weight=800, n_steps=2):
    """Move the mixing of components toward the person, as the visible values have it.

    Parameters
    ----------
    statistics : GaussianStatistics
        What is known of the group.
    window : float32 array of shape (T, P)
        Scaled window.
    patterns : list
        From :func:`visible_patterns`.
    ridge : float
        As in :func:`complete_timepoints`.
    prior_weight : float, default=800
        Timepoints that the group counts for, against the T of the window.
    n_steps : int, default=2
        Steps of expectation maximisation.

    Returns
    -------
    mixing : float32 array of shape (P, P)
        ``mixing @ mixing.T`` is the covariance of the person.

    Notes
    -----
    In whitened coordinates the covariance of the person is the identity plus a small symmetric
    ``X``; ``(I + X / 2)`` is its root to first order and keeps it positive whatever ``X`` is.
    """
    weight = len(window) / (prior_weight + len(window))
    identity = np.eye(len(statistics.covariance), dtype=np.float32)
    covariance, mixing = statistics.covariance, statistics.colouring
    for _ in range(n_steps):
        _, moment = complete_timepoints(covariance, window, patterns, ridge, with_moment=True)
        seen = statistics.whitening.T @ moment @ statistics.whitening - identity
        mixing = statistics.colouring @ (identity + np.float32(weight / 2) * seen)
        covariance = mixing @ mixing.T
    return mixing


def complete_in_time(
    statistics, mixing, window, visible, patterns, ridge, *, cross_gain=0.7, n_iterations=25
):
    """Fill hidden values from the visible parcels of all timepoints.

    Parameters
    ----------
    statistics : GaussianStatistics
        Correlations of the components over time.
    mixing : float32 array of shape (P, P)
        How components mix into parcels: `statistics.colouring`, or adapted to the person.
    window : float32 array of shape (T, P)
        Scaled window; hidden values are not looked at.
    visible : bool array of shape (T, P)
        True where a value may be used.
    patterns : list
        From :func:`visible_patterns` of `visible`.
    ridge : float
        Variance of noise on the visible values.
    cross_gain : float, default=0.7
        Part of the cross-spectra that is used; 0 leaves them out.
    n_iterations : int, default=25
        Steps of conjugate gradients.

    Returns
    -------
    filled : float32 array of shape (T, P)
        The window with the conditional mean in the place of hidden values.

    Notes
    -----
    Conjugate gradients, preconditioned by the exact inverse for timepoints without memory.
    """
    n_timepoints = len(window)
    n_fft = statistics.n_fft(n_timepoints)
    spectrum = statistics.spectrum(n_fft)
    cross = None
    if cross_gain:
        cross = np.float32(cross_gain) * statistics.cross_spectrum(n_fft)
    covariance = mixing @ mixing.T
    inverses = [
        (np.ix_(shown, timepoints), _inverse(covariance, shown, ridge))
        for timepoints, shown, _ in patterns
        if len(shown)
    ]
    shown = np.ascontiguousarray(visible.T, dtype=np.float32)  # (P, T)

    def correlate(field):  # multiplies by the covariance of all parcels at all timepoints
        components = fft.rfft(mixing.T @ field, n_fft, axis=1)
        filtered = components * spectrum
        if cross is not None:
            leading = components[: cross.shape[1]].T[:, :, None]
            filtered[: cross.shape[1]] += (cross @ leading)[:, :, 0].T
        return mixing @ fft.irfft(filtered, n_fft, axis=1)[:, :n_timepoints]

    def precondition(residual):  # solves each pattern of timepoints as if there were no memory
        solved = np.zeros_like(residual)
        for where, inverse in inverses:
            solved[where] = inverse @ residual[where]
        return solved

    residual = np.where(visible, window, 0).T.astype(np.float32)
    weights = np.zeros_like(residual)
    direction = solved = precondition(residual)
    power = np.vdot(residual, solved)
    for _ in range(n_iterations):
        if not power > 1e-12:  # nothing visible, or solved to the last digit
            break
        image = shown * correlate(direction) + np.float32(ridge) * direction
        step = power / np.vdot(direction, image)
        weights += step * direction
        residual = residual - step * image
        solved = precondition(residual)
        power, before = np.vdot(residual, solved), power
        direction = solved + (power / before) * direction
    return np.where(visible, window, correlate(weights).T).astype(np.float32)


def _factor(covariance, shown, ridge):
    """Return the lower Cholesky factor of the covariance of the visible parcels plus a ridge."""
    block = covariance[np.ix_(shown, shown)]
    block[np.diag_indices_from(block)] += ridge
    try:
        return linalg.cholesky(block, lower=True, check_finite=False)
    except linalg.LinAlgError:
        # A window far out of scale: its covariance in single precision drowns the ridge.
        block[np.diag_indices_from(block)] += 4 * np.finfo(block.dtype).eps * np.trace(block)
        return linalg.cholesky(block, lower=True, check_finite=False, overwrite_a=True)


def _inverse(covariance, shown, ridge):
    """Invert the covariance of the visible parcels plus a ridge."""
    lower = _factor(covariance, shown, ridge)
    identity = np.eye(len(shown), dtype=np.float32)
    return linalg.cho_solve((lower, True), identity, check_finite=False, overwrite_b=True)
