"""What leading eigenmodes say about each other's future, beyond what each says about its own."""

import numpy as np

__all__ = ["CouplingMoments"]

# Penalties to choose from for each step, in units of the mean variance of what is seen.
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_N_FOLDS = 5


class CouplingMoments:
    """Gather the moments of a ridge regression of residuals on the last timepoints of all modes.

    Parameters
    ----------
    n_modes : int
        Leading modes K.
    order : int
        Last timepoints of a context that are looked at.
    horizon : int
        Steps H.

    Notes
    -----
    The penalty of each step is chosen by leaving out one of five parts of the recordings. It may be
    infinite: far steps are not coupled where that does not help.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> moments = CouplingMoments(n_modes=2, order=1, horizon=1)
    >>> for part in range(5):
    ...     last = rng.standard_normal((50, 1, 2))
    ...     moments.add(part, last, last[:, :, ::-1])  # each follows the other
    >>> moments.solve().round(1)[0, :, 0] + 0.0
    array([[0. , 0.9],
           [0.9, 0. ]])
    """

    def __init__(self, n_modes, order, horizon):
        self.shape = (order, n_modes, horizon, n_modes)
        size = order * n_modes
        self.among = np.zeros((_N_FOLDS, size, size))
        self.with_residual = np.zeros((_N_FOLDS, size, horizon, n_modes))
        self.of_residual = np.zeros((_N_FOLDS, horizon))

    def add(self, recording, last, residual):
        """Add the windows of a recording.

        Parameters
        ----------
        recording : int
            Its number; neighbours, such as sessions of one person, are left out together.
        last : array of shape (n_windows, order, n_modes)
            Last timepoints of contexts.
        residual : array of shape (n_windows, horizon, n_modes)
            What forecasts of each mode from its own past leave.
        """
        fold = recording // 2 % _N_FOLDS
        seen = last.reshape(len(last), -1).astype(np.float64)
        left = residual.astype(np.float64)
        self.among[fold] += seen.T @ seen
        self.with_residual[fold] += np.einsum("ni,nhk->ihk", seen, left)
        self.of_residual[fold] += np.sum(left**2, axis=(0, 2))

    def solve(self):
        """Solve for weights.

        Returns
        -------
        weights : float64 array of shape (order, n_modes, horizon, n_modes)
            What a mode at one of the last timepoints adds to the forecast of another at a step.
        """
        size, horizon = len(self.among[0]), self.shape[2]
        used = [fold for fold, among in enumerate(self.among) if among.any()]
        among, with_residual = self.among.sum(axis=0), self.with_residual.sum(axis=0)
        weights = np.zeros((size, horizon, self.shape[3]))
        if len(used) < 2 or not np.trace(among) > 0:
            return weights.reshape(self.shape)  # nothing to choose a penalty by
        unit = np.trace(among) / size
        best = self.of_residual.sum(axis=0)  # of the infinite penalty
        for penalty in _PENALTIES:
            error = np.zeros(horizon)
            for fold in used:
                others = [among - self.among[fold], with_residual - self.with_residual[fold]]
                fitted = _solve(*others, penalty * unit)
                error += (
                    self.of_residual[fold]
                    - 2 * np.sum(fitted * self.with_residual[fold], axis=(0, 2))
                    + np.einsum("ihk,ij,jhk->h", fitted, self.among[fold], fitted, optimize=True)
                )
            better = error < best
            weights[:, better] = _solve(among, with_residual, penalty * unit)[:, better]
            best = np.minimum(best, error)
        return weights.reshape(self.shape)


def _solve(among, with_residual, penalty):
    """Solve a ridge regression for all steps and modes at once."""
    flat = with_residual.reshape(len(among), -1)
    return np.linalg.solve(among + penalty * np.eye(len(among)), flat).reshape(with_residual.shape)
