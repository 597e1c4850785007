"""How an encoder is fine-tuned to predict labels of recordings."""

from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_brainlm._parameters import COUNT, INPUT, LOOP
from sklearn_brainlm.finetuning.encoder import ENCODER, EncoderMixin
from sklearn_brainlm.finetuning.linear_start import solve_classes, solve_targets
from sklearn_brainlm.loop.memory import infer_in_parts
from sklearn_brainlm.modules import PredictionNetwork
from sklearn_brainlm.prediction import NetworkPredictor

__all__ = ["FinetuningPredictor"]

_WINDOW = 200  # timepoints, where neither the estimator nor weights say


class FinetuningPredictor(EncoderMixin, NetworkPredictor):
    """Estimator that predicts labels by a BrainLM encoder and a head on top of it.

    ``encoder_`` is a fitted :class:`BrainLMTransformer`, a copy of the weights that is trained as
    far as `trainable` says. ``net_`` is the encoder's network with the head.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMClassifier
    >>> issubclass(BrainLMClassifier, FinetuningPredictor)
    True
    """

    _parameter_constraints = {
        **ENCODER,
        **LOOP,
        "window_stride": INPUT["window_stride"],
        "window_length": [COUNT, None],
        "pooling": [StrOptions({"cls", "mean", "attentive", "covariance"})],
        "head": [StrOptions({"mlp", "linear"})],
        "hidden_dims": ["array-like"],
        "trainable": [StrOptions({"all", "head"}), Interval(Integral, 0, None, closed="left")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    @property
    def _encoder_window(self):
        """Timepoints of a window."""
        return self.window_length or _WINDOW

    def _setting(self, name):
        """Return a parameter that shapes the model; the encoder has them all."""
        if name == "window_length" and self.window_length is not None:
            return self.window_length
        return self.encoder_._setting(name)

    def _build_module(self, n_outputs):
        """Return the class of the network and its parameters."""
        return PredictionNetwork, {
            "autoencoder": self.encoder_.net_.module_,
            "n_outputs": n_outputs,
            "pooling": self.pooling,
            "hidden_dims": () if self.head == "linear" else tuple(self.hidden_dims),
            "trainable": self.trainable,
            "dropout": self.dropout,
        }

    def _start(self, net, recordings, train, labels):
        """Standardise what the head sees, and let a linear one start from its solution."""
        features, recording = self._features(net, [recordings[i] for i in train])
        mean = features.mean(axis=0, dtype=np.float64)
        sd = features.std(axis=0, dtype=np.float64)
        net.module_.calibrate(mean, sd)
        if self.head == "linear":
            network = net.module_
            features = (features - network.center.cpu().numpy()) / network.scale.cpu().numpy()
            n_windows = np.bincount(recording)
            pooled = np.zeros((len(n_windows), features.shape[1]))
            np.add.at(pooled, recording, features)
            pooled /= n_windows[:, None]
            values, weight = labels.values[train], labels.weight[train]
            if self._loss == "squared":
                network.start_from(*solve_targets(pooled, values, weight))
            else:
                index = values[:, 0].astype(int)
                network.start_from(*solve_classes(pooled, index, labels.n_outputs, weight))

    def _features(self, net, recordings):
        """Return what the head would see of windows, (n_windows, F), and their recordings."""
        network = net.module_

        def compute(inputs):
            return network.forward_features(torch.as_tensor(inputs["signals"], device=net.device))

        found = self._run(partial(infer_in_parts, net, compute), recordings)
        windows, features = zip(*found, strict=True)
        return np.concatenate(features), np.concatenate(windows)[:, 0]
