"""How a masked autoencoder is trained to forecast, and how it forecasts."""

from functools import partial

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._net_state import NetStateMixin
from sklearn_brainlm.baselines.forecasting import BaseForecaster
from sklearn_brainlm.baselines.moments import autocovariance
from sklearn_brainlm.baselines.wiener import WienerForecaster
from sklearn_brainlm.devices import forked_rng, resolve_device
from sklearn_brainlm.finetuning.batches import ForecastBatches, future_tokens
from sklearn_brainlm.finetuning.encoder import EncoderMixin
from sklearn_brainlm.modules import ForecastingNetwork
from sklearn_brainlm.nets import ReconstructionNet
from sklearn_brainlm.recordings import WindowSampler
from sklearn_brainlm.splits import split_people
from sklearn_brainlm.training import history_rows, loop_parameters
from sklearn_brainlm.windows import WindowReader, draw_windows, nothing

__all__ = ["FutureMaskingForecaster"]


class FutureMaskingForecaster(EncoderMixin, NetStateMixin, BaseForecaster):
    """Forecaster that holds an autoencoder and masks the future.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMForecaster
    >>> issubclass(BrainLMForecaster, FutureMaskingForecaster)
    True
    """

    # The prior of the encoder is about the present: forecasts have one of their own.
    _encoder_extras = {"prior": None}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Learn to forecast from recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one. Each has more than
            `horizon` timepoints.
        y : None
            Ignored.
        groups : array-like of shape (n_recordings,), optional
            Who each recording is of. Nobody is then in two of training, validation and calibration.

        Returns
        -------
        self : BrainLMForecaster
            The fitted forecaster.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        TrainingDivergedError
            If the loss is not finite in four steps in a row.
        OutOfMemoryError
            If memory is too short for one window at a time.
        CheckpointError
            If `checkpoint_dir` cannot be written to, or holds another training.
        """
        for name in ("net_", "closed_form_", "residuals_", "history_"):
            vars(self).pop(name, None)
        self.device_ = resolve_device(self.device)
        recordings = self._check_X(X, reset=True)
        self._check_timepoints(recordings, self.horizon)
        groups = np.arange(len(recordings)) if groups is None else column_or_1d(groups)
        check_consistent_length(recordings, groups)
        seed = self._draw_seed()
        known, self.calibration_indices_ = split_people(groups, self.calibration_fraction, seed)
        train, valid = split_people(groups[known], self.validation_fraction, seed, self.patience)
        self.validation_indices_ = known[valid]
        calibration = [recordings[i] for i in self.calibration_indices_]
        recordings, groups = [recordings[i] for i in known], groups[known]
        self._learn_input(recordings)
        people = self._fit_closed_form(recordings, groups) if self.prior else None
        person = np.unique(groups, return_inverse=True)[1]
        with forked_rng(seed, self.device_):
            net = self._untrained_net().initialize()
            self._begin_run(
                net,
                seed=seed,
                recordings=recordings,
                people=person,
                training_recordings=train,
                held_out_recordings=valid,
                calibration_recordings=self.calibration_indices_,
            )
            batches = [
                self._batches(recordings, which, person, seed, part == 0)
                for part, which in enumerate((train, valid))
            ]
            if self.prior:
                net.module_.closed_form.leave_out(people)
            self.best_epoch_ = 0
            if self.max_epochs:
                self.best_epoch_ = net.train_from_best(*batches).best_epoch_
            if self.prior:
                net.module_.closed_form.leave_out(None)
        self.history_ = history_rows(net.history)
        self.n_parameters_ = net.module_.n_parameters
        self.net_ = net
        self._calibrate(calibration)
        return self

    @property
    def _encoder_window(self):
        """Timepoints of a window: context and horizon."""
        return self.context_length + self.horizon

    def _setting(self, name):
        """Return a parameter; weights may have settled the number of parcels."""
        if name == "n_parcels":
            return self.encoder_._setting(name)
        return super()._setting(name)

    def _fit_closed_form(self, recordings, groups):
        """Fit the closed form; return what each person adds to its autocovariance."""
        scaled = self.scaler_.transform(recordings)
        wiener = WienerForecaster(
            scaler=None,
            context_length=self.context_length,
            horizon=self.horizon,
            n_bins=self.n_bins,
            n_coupled=self.n_coupled,
        ).fit(scaled)
        modes, bins = wiener.modes_, wiener.bins_
        n_lags = self._encoder_window - 1
        n_all = sum(len(recording) for recording in scaled)
        people = []
        for person in np.unique(groups):
            theirs = [x for x, group in zip(scaled, groups, strict=True) if group == person]
            share = sum(len(x) for x in theirs) / n_all
            covariance = share * autocovariance((x @ modes for x in theirs), n_lags)
            people.append([covariance[:, bins == b].sum(axis=1) for b in range(bins[-1] + 1)])
        people = np.array(people)  # (n_people, n_bins, n_lags + 1)
        self.closed_form_ = {
            "modes": modes,
            "bins": bins,
            "autocovariance": people.sum(axis=0).astype(np.float32),
            "coupling": wiener.coupling_,
        }
        return people if len(people) > 1 else None

    def _untrained_net(self):
        """Build the net around the network."""
        closed_form = {**self.closed_form_, "horizon": self.horizon} if self.prior else None
        given = {
            "module": ForecastingNetwork,
            "module__autoencoder": self.encoder_.net_.module_,
            "module__closed_form": closed_form,
            **loop_parameters(self),
        }
        return ReconstructionNet(**{**given, **(self.net_params or {})})

    def _batches(self, recordings, which, person, seed, at_random):
        """Return the batches of some recordings, None of none."""
        if not len(which):
            return None
        sampler = WindowSampler(
            np.array([len(recordings[i]) for i in which]),
            self._encoder_window,
            1,  # windows of a batch have the same number of timepoints
            self.batch_size,
            windows_per_recording=self.windows_per_recording,
            seed=seed,
        )
        reader = WindowReader(
            recordings,
            self.scaler_.scale_window,
            self._grid,
            self._encoder_window,
            partial(_whose, person) if self.prior else nothing,
        )
        draw = partial(draw_windows, sampler, which, at_random)
        return ForecastBatches(reader, draw, self.horizon)

    def _forecast(self, contexts):
        """Forecast what follows scaled contexts (B, T, P)."""
        n_windows, n_before, n_parcels = contexts.shape
        n_timepoints = n_before + self.horizon
        windows = np.zeros((n_windows, n_timepoints, n_parcels), dtype=np.float32)
        windows[:, :n_before] = contexts
        reader = WindowReader(windows, np.asarray, self._grid, n_timepoints, nothing)
        ids = future_tokens(self._grid, n_timepoints, self.horizon)
        forecasts = np.empty((n_windows, self.horizon, n_parcels), dtype=np.float32)
        size = self._resolve_micro_batch_size()
        for start in range(0, n_windows, size):
            which = np.arange(start, min(start + size, n_windows))
            places = np.column_stack([which, np.zeros_like(which)])
            inputs, _ = reader.batch(places, *(np.tile(tokens, (len(which), 1)) for tokens in ids))
            filled = self.net_.fill(inputs)  # (B, P, T)
            forecasts[which] = filled[:, :, n_before:n_timepoints].transpose(0, 2, 1)
        return forecasts

    def predict(self, X, horizon=None):
        """Forecast what follows the end of each recording.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; their last `context_length` timepoints are used.
        horizon : int, optional
            Timepoints to forecast; beyond the `horizon` of training, from what was forecast before.

        Returns
        -------
        forecasts : float32 array of shape (n_recordings, horizon, n_parcels)
            The next timepoints, in the units of the recordings.
        """
        check_is_fitted(self)
        self.encoder_._refuse_resampling("predict")
        return super().predict(X, horizon)


def _whose(person, recordings):
    """Tell the closed form who each window is of."""
    return {"fold": person[recordings]}
