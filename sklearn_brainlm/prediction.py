"""What every estimator that predicts labels of recordings by a network does the same way."""

from functools import partial

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight

from sklearn_brainlm._base import BaseRecordingEstimator, draw_seed
from sklearn_brainlm._net_state import NetStateMixin
from sklearn_brainlm.devices import forked_rng, resolve_device
from sklearn_brainlm.labels import ClassLabels, LabelledBatches, TargetLabels
from sklearn_brainlm.nets import PredictionNet
from sklearn_brainlm.recordings import WindowSampler
from sklearn_brainlm.splits import split_people
from sklearn_brainlm.training import history_rows, loop_parameters
from sklearn_brainlm.windows import draw_windows

__all__ = ["ClassifyingMixin", "NetworkPredictor", "RegressingMixin"]


class NetworkPredictor(NetStateMixin, BaseRecordingEstimator):
    """Estimator that trains a network to predict labels of windows.

    The prediction of a recording is the mean of those of its windows. A subclass has the parameters
    in ``_parameters.INPUT`` that are about windows, those of ``TRAINING`` and ``RUNNING`` that are
    not about masks, ``_build_module(n_outputs)``, which returns the class of its network and its
    parameters, and one of the mixins below. One that has checkpoints says so in ``_draw_seed()``
    and ``_begin_run()``.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMRegressor
    >>> issubclass(BrainLMRegressor, NetworkPredictor)
    True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Learn to predict labels of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.
        y : array-like of shape (n_recordings,) or (n_recordings, n_targets)
            Labels. Targets of a regressor may be NaN where they are missing.
        sample_weight : array-like of shape (n_recordings,), optional
            What each recording counts for.
        groups : array-like of shape (n_recordings,), optional
            Who each recording is of. Nobody is then both trained and validated on.

        Returns
        -------
        self : NetworkPredictor
            The fitted estimator.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        ValueError
            If y cannot be used, or does not fit X.
        TrainingDivergedError
            If the loss is not finite in four steps in a row.
        OutOfMemoryError
            If memory is too short for one window at a time.
        CheckpointError
            If there is a `checkpoint_dir`, and it cannot be written to, or holds another training.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        for name in ("net_", "history_"):
            vars(self).pop(name, None)
        self.device_ = resolve_device(self.device)
        recordings = self._check_X(X, reset=True)
        check_consistent_length(recordings, y)
        groups = np.arange(len(recordings)) if groups is None else column_or_1d(groups)
        check_consistent_length(recordings, groups)
        weight = _check_sample_weight(sample_weight, np.empty((len(recordings), 1)))
        if not weight.any():  # scikit-learn 1.9 says it itself
            raise ValueError("Sample weights must contain at least one non-zero number.")
        seed = self._draw_seed()
        train, valid = split_people(groups, self.validation_fraction, seed, self.patience)
        labels = self._encode(y, train[weight[train] > 0])
        labels.weight = labels.weight * weight
        train, valid = (which[labels.weight[which] > 0] for which in (train, valid))
        self._learn_input(recordings)
        self.validation_indices_ = valid
        self.n_outputs_ = labels.n_outputs
        with forked_rng(seed, self.device_):
            net = self._untrained_net().initialize()
            self._begin_run(
                net,
                seed=seed,
                recordings=recordings,
                y=np.asarray(y),
                sample_weight=weight,
                training_recordings=train,
                held_out_recordings=valid,
            )
            self._start(net, recordings, train, labels)
            batches = [self._batches(recordings, part, labels, seed) for part in (train, valid)]
            self.best_epoch_ = 0
            if self.max_epochs:
                self.best_epoch_ = net.train_from_best(*batches).best_epoch_
        self.history_ = history_rows(net.history)
        self.n_parameters_ = sum(weight.numel() for weight in net.module_.parameters())
        self.net_ = net
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _draw_seed(self):
        """Draw the seed of a training."""
        return draw_seed(self.random_state)

    def _begin_run(self, net, **learned_from):
        """Let a net save checkpoints, where there are parameters that say where."""

    def _start(self, net, recordings, train, labels):
        """Prepare a network that was just drawn for training."""

    def _outputs(self, X):
        """Return the outputs of the network, averaged over the windows of each recording."""
        recordings = self._check_fitted_X(X)
        sums = np.zeros((len(recordings), self.n_outputs_))
        n_windows = np.zeros(len(recordings), dtype=int)
        for windows, made in self._run(self.net_.predict_windows, recordings):
            np.add.at(sums, windows[:, 0], self._soften(made.astype(np.float64)))
            np.add.at(n_windows, windows[:, 0], 1)
        return sums / n_windows[:, None]

    def _run(self, compute, recordings):
        """Yield the windows of recordings at fixed strides, and what is computed of them."""
        reader = self._reader(recordings)
        for windows in self._place_windows(recordings, stride=self.window_stride):
            yield windows, compute(reader.whole(windows))

    def _soften(self, outputs):
        """Turn outputs of windows into what is averaged over windows."""
        return outputs

    def _batches(self, recordings, which, labels, seed):
        """Return the batches of some recordings, None of none."""
        if not len(which):
            return None
        lengths = np.array([len(recordings[i]) for i in which])
        sampler = WindowSampler(
            lengths,
            self._setting("window_length"),
            self._setting("patch_length"),
            self.batch_size,
            windows_per_recording=self.windows_per_recording,
            seed=seed,
        )
        is_valid = np.isin(which, self.validation_indices_).all()
        draw = partial(draw_windows, sampler, which, not is_valid)
        reader = self._reader(recordings)
        return LabelledBatches(reader, draw, labels.values, labels.weight)

    def _untrained_net(self):
        """Build the net around a network."""
        module, parameters = self._build_module(self.n_outputs_)
        given = {
            "module": module,
            **{f"module__{name}": value for name, value in parameters.items()},
            "loss": self._loss,
            "layer_decay": getattr(self, "layer_decay", 1.0),
            **loop_parameters(self),
        }
        return PredictionNet(**{**given, **(self.net_params or {})})


class RegressingMixin(RegressorMixin):
    """Predict numbers.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMRegressor
    >>> issubclass(BrainLMRegressor, RegressingMixin)
    True
    """

    _loss = "squared"

    def predict(self, X):
        """Predict the targets of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.

        Returns
        -------
        y : float64 array of shape (n_recordings,) or (n_recordings, n_targets)
            Predictions in the units of y, shaped like it.
        """
        outputs = self._outputs(X)
        predicted = outputs * self.y_scale_ + self.y_center_
        return predicted[:, 0] if self.y_is_flat_ else predicted

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True  # of rows of numbers that are no recordings
        return tags

    def _encode(self, y, train):
        """Scale targets."""
        labels = TargetLabels(y, train)
        self.y_center_, self.y_scale_ = labels.center, labels.scale
        self.y_is_flat_ = labels.is_flat
        return labels


class ClassifyingMixin(ClassifierMixin):
    """Predict classes.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMClassifier
    >>> issubclass(BrainLMClassifier, ClassifyingMixin)
    True
    """

    _loss = "cross_entropy"

    def predict_proba(self, X):
        """Predict how probable each class is.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.

        Returns
        -------
        probabilities : float64 array of shape (n_recordings, n_classes)
            In the order of ``classes_``; the mean over the windows of a recording.
        """
        return self._outputs(X)

    def predict(self, X):
        """Predict the classes of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.

        Returns
        -------
        y : ndarray of shape (n_recordings,)
            The most probable class of each.
        """
        most_probable = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most_probable]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # of rows of numbers that are no recordings
        return tags

    def _soften(self, outputs):
        """Turn logits into probabilities."""
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def _encode(self, y, train):
        """Turn classes into numbers."""
        labels = ClassLabels(column_or_1d(y, warn=True), train, self.class_weight)
        self.classes_ = labels.classes
        return labels
