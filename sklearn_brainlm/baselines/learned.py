"""What every learned comparator does the same way: it reads windows, and trains a network on them.

What predicts labels is a :class:`WindowPredictor`, what forecasts a :class:`NetworkForecaster`.
"""

from functools import partial

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_consistent_length, column_or_1d

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._net_state import NetStateMixin
from sklearn_brainlm._parameters import ARCHITECTURE, COUNT, INPUT, LOOP, RUNNING
from sklearn_brainlm.baselines.forecast_loop import ContextBatches, ForecastNet
from sklearn_brainlm.baselines.forecasting import BaseForecaster
from sklearn_brainlm.baselines.moments import principal_modes
from sklearn_brainlm.devices import forked_rng, resolve_device, windows_at_a_time
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.prediction import NetworkPredictor
from sklearn_brainlm.recordings import WindowSampler
from sklearn_brainlm.splits import split_people
from sklearn_brainlm.training import history_rows, loop_parameters
from sklearn_brainlm.windows import WindowReader, draw_windows, nothing

__all__ = ["NetworkForecaster", "WindowPredictor"]

# Legal values of what all learned comparators have.
_TRAINING = {
    **LOOP,
    **RUNNING,
    **dict.fromkeys(["hidden_dim", "depth"], [COUNT]),
}


class WindowPredictor(NetworkPredictor):
    """Estimator that predicts labels of recordings from windows without patches.

    A subclass has the parameters of its legal values, ``_build_module(n_outputs)``, and a mixin of
    :mod:`sklearn_brainlm.prediction`.

    Examples
    --------
    >>> from sklearn_brainlm.baselines import GCNRegressor, LSTMRegressor
    >>> issubclass(LSTMRegressor, WindowPredictor), issubclass(GCNRegressor, WindowPredictor)
    (True, True)
    """

    _parameter_constraints = {
        **{name: INPUT[name] for name in ("n_parcels", "window_length", "window_stride")},
        **{
            name: BaseForecaster._parameter_constraints[name]
            for name in ("scaler", "clip", "short")
        },
        **_TRAINING,
        "dropout": ARCHITECTURE["dropout"],
    }

    def _setting(self, name):
        """Return a parameter. There are no patches: a patch is a timepoint."""
        return 1 if name == "patch_length" else getattr(self, name)

    def _resolve_micro_batch_size(self):
        """Return the number of windows on the device at a time."""
        n_tokens = self.window_length  # a timepoint is a token here
        return windows_at_a_time(self.micro_batch_size, n_tokens, self.device_)


class NetworkForecaster(NetStateMixin, BaseForecaster):
    """Forecaster that trains a network.

    A subclass has the parameters of its legal values, and ``_build_module()``, which returns the
    class of its network, a :class:`~sklearn_brainlm.baselines.forecast_networks.ForecastNetwork`,
    and what that takes beside the parameters of its base.

    Examples
    --------
    >>> from sklearn_brainlm.baselines import LatentODEForecaster, LSTMForecaster
    >>> issubclass(LSTMForecaster, NetworkForecaster)
    True
    >>> issubclass(LatentODEForecaster, NetworkForecaster)
    True
    """

    _parameter_constraints = {
        **BaseForecaster._parameter_constraints,
        **_TRAINING,
        "n_components": [COUNT, None],
    }

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
            Who each recording is of. Nobody is then both trained and validated on. Without them,
            each recording counts as somebody.

        Returns
        -------
        self : NetworkForecaster
            The fitted forecaster.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        ValueError
            If there is patience and no recording to validate on.
        TrainingDivergedError
            If the loss is not finite.
        """
        vars(self).pop("net_", None)
        self.device_ = resolve_device(self.device)
        recordings = self._check_X(X, reset=True)
        self._check_timepoints(recordings, self.horizon)
        groups = np.arange(len(recordings)) if groups is None else column_or_1d(groups)
        check_consistent_length(recordings, groups)
        seed = draw_seed(self.random_state)
        train, valid = split_people(groups, self.validation_fraction, seed, self.patience)
        self._learn_input(recordings)
        scaled = self.scaler_.transform(recordings)
        self._learn_components([scaled[i] for i in train])
        with forked_rng(seed, self.device_):
            net = self._untrained_net().initialize()
            self.best_epoch_ = 0
            if self.max_epochs:
                net.train_from_best(
                    self._batches(scaled, train, seed, at_random=True),
                    self._batches(scaled, valid, seed, at_random=False),
                )
                self.best_epoch_ = net.best_epoch_
        self.validation_indices_ = valid
        self.history_ = history_rows(net.history)
        self.n_parameters_ = sum(weight.numel() for weight in net.module_.parameters())
        self.net_ = net
        return self

    def _learn_components(self, recordings):
        """Learn principal components of unit variance, and the way back; None without them."""
        self.components_ = self.patterns_ = None
        if self.n_components is None:
            return
        modes = principal_modes(recordings)[:, : self.n_components].astype(np.float32)
        power = sum(np.sum((x @ modes) ** 2, axis=0, dtype=np.float64) for x in recordings)
        sd = np.sqrt(power / sum(map(len, recordings)))
        inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 1e-6 * sd.max(initial=0))
        self.components_ = modes * inverse.astype(np.float32)
        self.patterns_ = modes * sd.astype(np.float32)

    def _forecast(self, contexts):
        """Forecast contexts (B, T, P), some at a time."""
        size = self._resolve_micro_batch_size()
        parts = range(0, len(contexts), size)
        return np.concatenate([self.net_.forecast(contexts[i : i + size]) for i in parts])

    def _batches(self, scaled, which, seed, at_random):
        """Return batches of windows of some recordings, None of none."""
        if not len(which):
            return None
        window_length = self.context_length + self.horizon
        sampler = WindowSampler(
            [len(scaled[i]) for i in which],
            window_length,
            1,
            self.batch_size,
            windows_per_recording=self.windows_per_recording,
            seed=seed,
        )
        # The windows stand for recordings that are scaled already.
        grid = TokenGrid(self.n_parcels_, 1)
        reader = WindowReader(scaled, np.asarray, grid, window_length, nothing)
        return ContextBatches(
            reader, partial(draw_windows, sampler, which, at_random), self.horizon
        )

    def _untrained_net(self):
        """Build the net around a network."""
        module, parameters = self._build_module()
        parameters |= {
            "n_parcels": self.n_parcels_,
            "horizon": self.horizon,
            "components": self.components_,
            "patterns": self.patterns_,
        }
        given = {
            "module": module,
            **{f"module__{name}": value for name, value in parameters.items()},
            **loop_parameters(self),
        }
        return ForecastNet(**{**given, **(self.net_params or {})})

    def _resolve_micro_batch_size(self):
        """Return the number of windows on the device at a time."""
        n_tokens = self.context_length + self.horizon  # a timepoint is a token here
        return windows_at_a_time(self.micro_batch_size, n_tokens, self.device_)
