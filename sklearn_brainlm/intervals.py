"""Intervals of forecasts, by how wrong forecasts of other recordings were."""

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

__all__ = ["ConformalMixin", "conformal_quantile"]


def conformal_quantile(scores, coverage):
    """Return the size of error that covers a new one this often.

    Parameters
    ----------
    scores : array of shape (n_scores, ...)
        Sizes of errors that a model made on what it was not fitted on.
    coverage : float
        From 0 to 1, both excluded.

    Returns
    -------
    size : array of shape (...)
        The score of rank ``ceil((n_scores + 1) * coverage)``, infinite where there are too few.

    Examples
    --------
    >>> [float(conformal_quantile(np.arange(1, 10.0), coverage)) for coverage in (0.9, 0.95)]
    [9.0, inf]
    """
    rank = int(np.ceil((len(scores) + 1) * coverage))
    if rank > len(scores):
        return np.full(np.shape(scores)[1:], np.inf)[()]
    return np.partition(scores, rank - 1, axis=0)[rank - 1]


class ConformalMixin:
    """Intervals for forecasters, by split-conformal calibration.

    A subclass calls ``_calibrate(recordings)`` in ``fit``, with recordings that nothing was learned
    from.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMForecaster
    >>> issubclass(BrainLMForecaster, ConformalMixin)
    True
    """

    def predict_interval(self, X, coverage=0.9):
        """Forecast between which values the timepoints after each recording lie.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings.
        coverage : float, default=0.9
            Part of the true values that intervals shall hold.

        Returns
        -------
        lower, upper : float32 arrays of shape (n_recordings, horizon, n_parcels)
            In the units of the recordings.

        Raises
        ------
        ValueError
            If nothing was held out to calibrate with.

        Notes
        -----
        The width differs between steps and parcels: it is the conformal quantile of the absolute
        errors of the same step and parcel in the windows of the held-out recordings. The promise
        holds on average over new recordings that are exchangeable with those held out; windows of
        one recording resemble each other, so few recordings make it a rough one.
        """
        check_is_fitted(self)
        check_scalar(
            coverage, "coverage", float, min_val=0, max_val=1, include_boundaries="neither"
        )
        if not len(self.residuals_):
            raise ValueError(
                "predict_interval needs recordings that nothing was learned from: set "
                "calibration_fraction, such as 0.2, and fit again."
            )
        width = conformal_quantile(self.residuals_, coverage)  # (horizon, n_parcels)
        forecasts = self.predict(X)
        width = (width * self.scaler_.scale_).astype(np.float32)
        return forecasts - width, forecasts + width

    def _calibrate(self, recordings):
        """Note the sizes of errors, in scaled units, on recordings unknown so far."""
        self.residuals_ = np.empty((0, self.horizon, self.n_parcels_), dtype=np.float32)
        if recordings:
            # Windows that do not overlap: neighbours would say the same twice.
            windows = self.backtest(recordings, stride=self.context_length + self.horizon)
            self.residuals_ = np.abs(windows.true - windows.predicted)
