"""Forecasters that repeat one value of the context: the last, or the mean."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import StrOptions

from sklearn_brainlm.baselines.forecasting import BaseForecaster

__all__ = ["LastValueForecaster", "MeanForecaster"]


class LastValueForecaster(BaseForecaster):
    """Forecast that the last timepoint goes on.

    The forecast of a random walk, and no easy one to beat at the first step: activity changes
    slowly from one timepoint to the next. Nothing is learned but the scaling.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a context: they are taken as they are, or refused.
    context_length : int, default=180
        Timepoints that are forecast from; all but the last are ignored.
    horizon : int, default=20
        Timepoints that are forecast.

    Attributes
    ----------
    scaler_ : RecordingScaler
        Scaling learned in ``fit``, for scores.
    n_parcels_, n_features_in_ : int
        Number of parcels, twice.
    feature_names_in_ : ndarray of str
        Names of the parcels, when X had them.

    See Also
    --------
    MeanForecaster : The mean goes on instead.
    ARForecaster : Learns how far values are remembered.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import LastValueForecaster
    >>> recordings = np.arange(80.0).reshape(1, 40, 2)
    >>> LastValueForecaster(horizon=2).fit(recordings).predict(recordings)[0].tolist()
    [[78.0, 79.0], [78.0, 79.0]]
    """

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon

    def _learn(self, recordings):
        """Learn nothing."""

    def _forecast(self, contexts):
        """Repeat the last timepoint of contexts (B, T, P)."""
        return np.repeat(contexts[:, -1:], self.horizon, axis=1)


class MeanForecaster(BaseForecaster):
    """Forecast the mean of the context, or a multiple of it.

    The control for steps far ahead: after a high-pass filter a parcel that was above its centre
    will be below it, so that the gain of such recordings is negative. What ``gain="auto"`` scores
    is the filter's doing, not the brain's.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a context: their mean is that of the timepoints
        there are, or they are refused.
    context_length : int, default=180
        Timepoints that are forecast from.
    horizon : int, default=20
        Timepoints that are forecast.
    gain : float or "auto", default=1.0
        What the mean is multiplied by, in scaled units; "auto" learns it by least squares.

    Attributes
    ----------
    gain_ : float
        What the mean is multiplied by.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    n_parcels_, n_features_in_ : int
        Number of parcels, twice.
    feature_names_in_ : ndarray of str
        Names of the parcels, when X had them.

    See Also
    --------
    LastValueForecaster : The last timepoint goes on instead.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import MeanForecaster
    >>> recordings = np.arange(80.0).reshape(1, 40, 2)
    >>> model = MeanForecaster(context_length=3, horizon=1).fit(recordings)
    >>> model.predict(recordings)[0].round(3).tolist()
    [[76.0, 77.0]]
    """

    _parameter_constraints = {
        **BaseForecaster._parameter_constraints,
        "gain": [Real, StrOptions({"auto"})],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        gain=1.0,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.gain = gain

    def _learn(self, recordings):
        """Learn the gain from every window of the recordings."""
        self.gain_ = self.gain
        if self.gain == "auto":
            product = power = 0.0
            for recording in recordings:
                n_context = min(self.context_length, len(recording) - self.horizon)
                means = _moving_means(recording, n_context)[: -self.horizon]
                futures = _moving_means(recording[n_context:], self.horizon)
                product += np.vdot(means, futures)
                power += np.vdot(means, means)
            self.gain_ = float(product / power) if power > 0 else 0.0

    def _forecast(self, contexts):
        """Repeat the mean of contexts (B, T, P)."""
        return np.repeat(self.gain_ * contexts.mean(axis=1, keepdims=True), self.horizon, axis=1)


def _moving_means(recording, length):
    """Return the mean of every stretch of `length` timepoints."""
    sums = np.cumsum(np.pad(recording, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    return (sums[length:] - sums[:-length]) / length
