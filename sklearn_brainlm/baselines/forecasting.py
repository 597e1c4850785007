"""What every forecaster does: read contexts off recordings, forecast them, score the forecasts."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch, check_scalar
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._base import BaseRecordingEstimator
from sklearn_brainlm._parameters import COUNT, POSITIVE
from sklearn_brainlm._validation import as_float32, describe
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.recordings import window_starts

__all__ = ["BaseForecaster"]


class BaseForecaster(BaseRecordingEstimator):
    """Estimator that forecasts recordings from their end.

    A subclass has the parameters ``context_length``, ``horizon``, ``n_parcels``, ``scaler``,
    ``clip`` and ``short``, and two methods: ``_learn(recordings)`` takes scaled recordings
    (n_timepoints, P), and ``_forecast(contexts)`` turns scaled contexts (B, T, P) of at most
    ``context_length`` timepoints into forecasts (B, horizon, P).

    Examples
    --------
    >>> from sklearn_brainlm.baselines import ARForecaster, WienerForecaster
    >>> isinstance(ARForecaster(), BaseForecaster), isinstance(WienerForecaster(), BaseForecaster)
    (True, True)
    """

    _parameter_constraints = {
        "context_length": [COUNT],
        "horizon": [COUNT],
        "n_parcels": [COUNT, None],
        "scaler": [StrOptions({"robust", "standard", "legacy"}), None],
        "clip": [POSITIVE, None],
        "short": [StrOptions({"pad", "raise"})],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn to forecast from recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one. Each has more than
            `horizon` timepoints.
        y : None
            Ignored.

        Returns
        -------
        self : BaseForecaster
            The fitted forecaster.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        """
        recordings = self._check_X(X, reset=True)
        self._check_timepoints(recordings, self.horizon)
        self._learn_input(recordings)
        self._learn(self.scaler_.transform(recordings))
        return self

    def predict(self, X, horizon=None):
        """Forecast what follows the end of each recording.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; their last `context_length` timepoints are used.
        horizon : int, optional
            Timepoints to forecast. Beyond the parameter `horizon`, forecasts become part of the
            context of the next ones (roll-out).

        Returns
        -------
        forecasts : float32 array of shape (n_recordings, horizon, n_parcels)
            The next timepoints, in the units of the recordings.
        """
        recordings = self._check_fitted_X(X)
        self._check_timepoints(recordings, 0)
        horizon = (
            self.horizon
            if horizon is None
            else check_scalar(horizon, "horizon", Integral, min_val=1)
        )
        forecasts = [
            self._roll_out(self._scale(index, recording[-self.context_length :])[None], horizon)
            for index, recording in enumerate(recordings)
        ]
        forecasts = np.concatenate(forecasts)
        return as_float32(forecasts * self.scaler_.scale_ + self.scaler_.center_)

    def forecast_windows(self, contexts):
        """Forecast what follows scaled windows.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_parcels)
            Windows in scaled units. The last `context_length` timepoints of each are used;
            fewer are treated as recordings that are too short.

        Returns
        -------
        forecasts : float32 array of shape (n_windows, horizon, n_parcels)
            The next timepoints, in scaled units.

        Raises
        ------
        InvalidRecordingError
            If the shape does not fit, or a value is not finite.
        """
        check_is_fitted(self)
        contexts = np.asarray(contexts)
        if contexts.ndim != 3 or contexts.shape[2] != self.n_parcels_ or not contexts.size:
            raise InvalidRecordingError(
                f"contexts has shape {contexts.shape}; expected (n_windows, n_timepoints, "
                f"{self.n_parcels_}), at least one of each."
            )
        if self.short == "raise" and contexts.shape[1] < self.context_length:
            raise InvalidRecordingError(
                f"contexts have {contexts.shape[1]} timepoints; context_length="
                f"{self.context_length} needs at least {self.context_length}."
            )
        contexts = np.ascontiguousarray(contexts[:, -self.context_length :], dtype=np.float32)
        if not np.isfinite(contexts).all():
            which, timepoint, parcel = np.argwhere(~np.isfinite(contexts))[0]
            raise InvalidRecordingError(
                f"context {which} is not finite at timepoint {timepoint}, parcel {parcel}."
            )
        return self._forecast(contexts)

    def backtest(self, X, *, stride=None):
        """Forecast parts of recordings that are known, from what precedes them.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings, each of more than `horizon` timepoints.
        stride : int, optional
            Timepoints between neighbouring windows, the first of which starts with the recording;
            `horizon` when None: futures then follow each other without a gap.

        Returns
        -------
        windows : :class:`sklearn.utils.Bunch`
            ``true`` and ``predicted``, float32 arrays (n_windows, horizon, n_parcels) in scaled
            units; ``recording``, the index of each window's recording, and ``start``, the first
            timepoint of its future, int64 arrays (n_windows,).
        """
        windows = list(self._backtest(X, stride))
        names = ("recording", "start", "true", "predicted")
        columns = zip(*windows, strict=True)
        return Bunch(**{name: np.concatenate(c) for name, c in zip(names, columns, strict=True)})

    def score(self, X, y=None):
        """Return R2 of forecasts within recordings, pooled over windows, steps and parcels.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings, each of more than `horizon` timepoints; windows are those of `backtest`.
        y : None
            Ignored.

        Returns
        -------
        r2 : float
            ``1 - sum(SSE) / sum(SS)`` in scaled units, SS about 0, the centre of each parcel in
            the training recordings. At most 1, and never clamped below.

        Notes
        -----
        A forecast of 0 scores 0. The mean of a future, which :func:`masked_r2` takes as its
        reference, is not known beforehand. Recordings far from the centre score high for their
        level alone: centre each before, or look at what `MeanForecaster` scores.
        """
        return float(self.score_by_step(X, [(1, self.horizon)])[0])

    def score_by_step(self, X, steps=None):
        """Return R2 for steps ahead apart.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings, each of more than `horizon` timepoints; windows are those of `backtest`.
        steps : list of pairs of int, optional
            First and last step of each group, counted from 1, both included, such as
            ``[(1, 8), (9, 20)]``; every step on its own when None.

        Returns
        -------
        r2 : float64 array of shape (n_groups,)
            R2 of `score`, over the steps of each group. NaN, with an UndefinedMetricWarning, where
            all values are 0.
        """
        steps = [(s, s) for s in range(1, self.horizon + 1)] if steps is None else steps
        for first, last in steps:
            if not 1 <= first <= last <= self.horizon:
                raise ValueError(
                    f"steps {first} to {last}: steps are counted from 1 to horizon={self.horizon}."
                )
        sse, ss = np.zeros((2, self.horizon))
        for _, _, true, predicted in self._backtest(X, None):
            true = true.astype(np.float64)
            sse += np.sum((true - predicted) ** 2, axis=(0, 2))
            ss += np.sum(true**2, axis=(0, 2))
        pooled = np.array([[part[a - 1 : b].sum() for a, b in steps] for part in (sse, ss)])
        if (pooled[1] == 0).any():
            warnings.warn(
                "R2 is undefined where all values are 0.", UndefinedMetricWarning, stacklevel=2
            )
        return 1 - np.divide(
            pooled[0], pooled[1], out=np.full(len(steps), np.nan), where=pooled[1] > 0
        )

    def _roll_out(self, contexts, horizon):
        """Forecast any number of timepoints, from forecasts where need be."""
        forecasts = self._forecast(contexts)
        while forecasts.shape[1] < horizon:
            known = np.concatenate([contexts, forecasts], axis=1)[:, -self.context_length :]
            forecasts = np.concatenate([forecasts, self._forecast(known)], axis=1)
        return forecasts[:, :horizon]

    def _backtest(self, X, stride):
        """Yield the windows of each recording: index, start of the future, true, predicted."""
        recordings = self._check_fitted_X(X)
        self._check_timepoints(recordings, self.horizon)
        stride = self.horizon if stride is None else stride
        for index, recording in enumerate(recordings):
            scaled = self._scale(index, recording)
            length = min(self.context_length + self.horizon, len(scaled))
            starts = window_starts(len(scaled), length, stride, cover=False)
            windows = np.stack([scaled[start : start + length] for start in starts])
            true = windows[:, -self.horizon :]
            predicted = self._forecast(windows[:, : -self.horizon])
            yield np.full(len(starts), index), starts + length - self.horizon, true, predicted

    def _scale(self, index, recording):
        """Scale a recording or its end, and refuse what float32 cannot hold then."""
        scaled = self.scaler_.scale_window(recording)
        if not np.isfinite(scaled).all():
            raise InvalidRecordingError(
                f"{describe(index, recording)} has a value too large for dtype('float32') once "
                "scaled. Look for a spike in it, or set clip."
            )
        return scaled

    def _check_timepoints(self, recordings, n_ahead):
        """Check that recordings hold a context, and `n_ahead` timepoints after it."""
        for index, recording in enumerate(recordings):
            found = f"{describe(index, recording)} has {len(recording)} timepoints"
            if len(recording) <= n_ahead:
                raise InvalidRecordingError(
                    f"{found}; at least {n_ahead + 1} timepoints are needed, horizon={self.horizon}"
                    " and one to forecast from. Leave it out, or lower horizon."
                )
            needed = self.context_length + n_ahead
            if self.short == "raise" and len(recording) < needed:
                ahead = f" and horizon={self.horizon}" if n_ahead else ""
                raise InvalidRecordingError(
                    f"{found}; context_length={self.context_length}{ahead} need at least {needed}. "
                    "Leave it out, lower context_length, or take short recordings with "
                    "short='pad'."
                )

    def _check_order(self):
        """Check that a context holds what is used of it, `order` timepoints."""
        if self.order > self.context_length:
            raise ValueError(
                f"order={self.order} is more than context_length={self.context_length}."
            )

    def _setting(self, name):
        """Return a parameter. Contexts have no patches, and `short` is about contexts."""
        return 1 if name in ("window_length", "patch_length") else getattr(self, name)
