"""What learned embeddings of parcels do the same way: they train on masked windows, and embed."""

from functools import partial

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_consistent_length, column_or_1d
from skorch.utils import to_tensor

from sklearn_brainlm._base import BaseRecordingEstimator, draw_seed
from sklearn_brainlm._net_state import NetStateMixin
from sklearn_brainlm._parameters import COUNT, INPUT, LOOP, RUNNING, TRAINING
from sklearn_brainlm.baselines.forecasting import BaseForecaster
from sklearn_brainlm.batches import WindowBatches
from sklearn_brainlm.devices import forked_rng, resolve_device, windows_at_a_time
from sklearn_brainlm.loop.memory import infer_in_parts
from sklearn_brainlm.recordings import WindowSampler
from sklearn_brainlm.splits import split_people
from sklearn_brainlm.training import WindowNet, history_rows, loop_parameters
from sklearn_brainlm.windows import draw_windows, nothing

__all__ = ["MaskedNet", "MaskedParcelEmbedder"]

_MASKING = "random"  # as the article masks


class MaskedNet(WindowNet):
    """Train a network to predict masked patches.

    The parameters are those of :class:`sklearn_brainlm.training.WindowNet`; the module is a
    :class:`~sklearn_brainlm.baselines.masked_networks.MaskedParcelNetwork`, and batches are
    :class:`~sklearn_brainlm.batches.WindowBatches`.

    Examples
    --------
    >>> import torch
    >>> MaskedNet(torch.nn.Identity).grad_clip
    1.0
    """

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Ask the module for its loss."""
        observed = to_tensor(y_true["observed"], self.device)
        return self.module_.forward_loss(X["signals"], y_pred, X["ids_mask"], observed)

    def embed(self, signals):
        """Embed the parcels of windows of which nothing is masked.

        Parameters
        ----------
        signals : float32 array of shape (B, P, C * L)
            Windows.

        Returns
        -------
        embeddings : float32 array of shape (B, P, D)
            One embedding a parcel.
        """

        def compute(inputs):
            signals = to_tensor(inputs["signals"], self.device)
            return self.module_.embed(self.module_.fill_up(signals))

        return infer_in_parts(self, compute, {"signals": signals})


class MaskedParcelEmbedder(
    NetStateMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseRecordingEstimator
):
    """Estimator that learns embeddings of parcels by filling in masked patches.

    A subclass has the parameters of its legal values, and ``_build_module()``, which returns the
    class of its network and the parameters of it.

    Examples
    --------
    >>> from sklearn_brainlm.baselines.masked_gcn import MaskedGCN
    >>> from sklearn_brainlm.baselines.vae import MaskedVAE
    >>> issubclass(MaskedGCN, MaskedParcelEmbedder), issubclass(MaskedVAE, MaskedParcelEmbedder)
    (True, True)
    """

    _parameter_constraints = {
        **{name: INPUT[name] for name in ("n_parcels", "window_length", "patch_length")},
        "window_stride": INPUT["window_stride"],
        **{
            name: BaseForecaster._parameter_constraints[name]
            for name in ("scaler", "clip", "short")
        },
        "mask_ratio": TRAINING["mask_ratio"],
        **LOOP,
        **RUNNING,
        **dict.fromkeys(["hidden_dim", "depth"], [COUNT]),
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Learn to fill in masked patches of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.
        y : None
            Ignored.
        groups : array-like of shape (n_recordings,), optional
            Who each recording is of. Nobody is then both trained and validated on. Without them,
            each recording counts as somebody.

        Returns
        -------
        self : MaskedParcelEmbedder
            The fitted estimator.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        ValueError
            If there is patience and no recording to validate on.
        TrainingDivergedError
            If the loss is not finite in four steps in a row.
        """
        vars(self).pop("net_", None)
        self.device_ = resolve_device(self.device)
        recordings = self._check_X(X, reset=True)
        groups = np.arange(len(recordings)) if groups is None else column_or_1d(groups)
        check_consistent_length(recordings, groups)
        seed = draw_seed(self.random_state)
        train, valid = split_people(groups, self.validation_fraction, seed, self.patience)
        self._learn_input(recordings)
        with forked_rng(seed, self.device_):
            net = self._untrained_net().initialize()
            if self.max_epochs:
                net.partial_fit(
                    self._batches(recordings, train, seed, at_random=True),
                    self._batches(recordings, valid, seed, at_random=False),
                )
        self.validation_indices_ = valid
        self.history_ = history_rows(net.history)
        self.n_parameters_ = sum(weight.numel() for weight in net.module_.parameters())
        self.net_ = net
        return self

    def embed_parcels(self, X):
        """Embed the parcels of recordings, window by window.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.

        Returns
        -------
        profiles : list of float32 arrays of shape (n_parcels, n_windows * n_embedded)
            The embeddings of a parcel in all windows of a recording, side by side: what happens
            at the same time is compared. :func:`~sklearn_brainlm.probing.network_probe`
            takes them.
        """
        if len(getattr(X, "shape", ())) == 2:
            return self.embed_parcels([X])
        recordings = self._check_fitted_X(X)
        profiles = [[] for _ in recordings]
        for windows, embeddings in self._embed_windows(recordings):
            for recording, window in zip(windows[:, 0], embeddings, strict=True):
                profiles[recording].append(window)
        return [np.concatenate(windows, axis=1) for windows in profiles]

    def transform(self, X):
        """Embed recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.

        Returns
        -------
        embeddings : float32 array of shape (n_recordings, n_parcels * n_embedded)
            The embeddings of all parcels, averaged over windows, parcel by parcel.
        """
        if len(getattr(X, "shape", ())) == 2:
            # As a list, so that set_output does not look for one row a timepoint in a DataFrame.
            return self.transform([X])
        recordings = self._check_fitted_X(X)
        sums = np.zeros((len(recordings), self._n_features_out))
        n_windows = np.zeros(len(recordings))
        for windows, embeddings in self._embed_windows(recordings):
            np.add.at(sums, windows[:, 0], embeddings.reshape(len(windows), -1))
            np.add.at(n_windows, windows[:, 0], 1)
        return (sums / n_windows[:, None]).astype(np.float32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # and makes float64 float32
        return tags

    @property
    def _n_features_out(self):
        """Number of features of an embedding."""
        return self.n_parcels_ * self._n_embedded

    @property
    def _n_embedded(self):
        """Number of features of a parcel."""
        return self.hidden_dim

    def _embed_windows(self, recordings):
        """Yield windows (B, 2) at fixed strides, and the embeddings of their parcels."""
        reader = self._reader(recordings)
        for windows in self._place_windows(recordings, stride=self.window_stride):
            yield windows, self.net_.embed(reader.read(windows)[0])

    def _batches(self, recordings, which, seed, at_random):
        """Return batches of masked windows of some recordings, None of none."""
        if not len(which):
            return None
        sampler = WindowSampler(
            [len(recordings[i]) for i in which],
            self.window_length,
            self.patch_length,
            self.batch_size,
            windows_per_recording=self.windows_per_recording,
            seed=seed,
        )
        return WindowBatches(
            self._reader(recordings, nothing),
            partial(draw_windows, sampler, which, at_random),
            masking=_MASKING,
            mask_ratio=self.mask_ratio,
            decoded_fraction=1.0,
            seed=seed,
        )

    def _untrained_net(self):
        """Build the net around a network."""
        module, parameters = self._build_module()
        parameters |= {"n_timepoints": self.window_length, "patch_length": self.patch_length}
        given = {
            "module": module,
            **{f"module__{name}": value for name, value in parameters.items()},
            **loop_parameters(self),
        }
        return MaskedNet(**{**given, **(self.net_params or {})})

    def _resolve_micro_batch_size(self):
        """Return the number of windows on the device at a time."""
        n_tokens = self._grid.n_tokens(self.window_length)
        return windows_at_a_time(self.micro_batch_size, n_tokens, self.device_)
