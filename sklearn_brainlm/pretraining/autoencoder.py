"""How a masked autoencoder is built and pretrained on recordings."""

from functools import partial

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_consistent_length, column_or_1d

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._exchanges import agree_on
from sklearn_brainlm.batches import WindowBatches
from sklearn_brainlm.bursts import BURSTS
from sklearn_brainlm.checkpointing.state import resumed_seed
from sklearn_brainlm.coordinates import fit_coordinate_statistics
from sklearn_brainlm.devices import forked_rng, resolve_device
from sklearn_brainlm.pretraining.prior import cross_fit
from sklearn_brainlm.pretraining.released import ReleasedEstimator
from sklearn_brainlm.pretraining.run_configuration import begin_run
from sklearn_brainlm.recordings import WindowSampler
from sklearn_brainlm.resident import ResidentReader, fits
from sklearn_brainlm.scaling import scale_all
from sklearn_brainlm.splits import split_people
from sklearn_brainlm.training import history_rows
from sklearn_brainlm.windows import draw_windows

__all__ = ["MaskedAutoencoderEstimator"]

_ABOUT_EMBEDDING = ("pooling", "embed_mask_ratio", "window_stride")  # not about what is learned


class MaskedAutoencoderEstimator(ReleasedEstimator):
    """Estimator that pretrains a network to reconstruct masked patches of recordings.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, max_epochs=2)
    >>> model.fit(recordings).partial_fit(recordings)
    BrainLMTransformer(max_epochs=2, patch_length=5, window_length=20)
    >>> [row["epoch"] for row in model.history_]
    [1, 2, 3, 4]
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Pretrain on recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.
        y : None
            Ignored.
        groups : array-like of shape (n_recordings,), optional
            Who each recording is of. Nobody is then both trained and validated on, and the prior
            is cross-fitted over people. Without them, each recording counts as somebody.

        Returns
        -------
        self : BrainLMTransformer
            The fitted transformer.

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
        return self._pretrain(X, groups, going_on=self.warm_start)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, groups=None):
        """Train for `max_epochs` more epochs, with the scaling and the prior learned first.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings, the same or others of the same parcels.
        y : None
            Ignored.
        groups : array-like of shape (n_recordings,), optional
            As in :meth:`fit`.

        Returns
        -------
        self : BrainLMTransformer
            The transformer; ``history_`` goes on.

        Notes
        -----
        The learning rate rises and falls once in each call. An unpickled transformer goes on with
        fresh optimizer state.
        """
        return self._pretrain(X, groups, going_on=True)

    def _pretrain(self, X, groups, *, going_on):
        """Train from the start, or go on from where the last training ended."""
        going_on = going_on and hasattr(self, "net_")
        donor = None
        if not going_on:
            self._forget()
            donor = self._adopt()
        if self.max_epochs == 0 and donor is None and not going_on:
            raise ValueError(
                "max_epochs=0 trains nothing, so there must be weights to use: give weights=..., "
                "or train for at least one epoch."
            )
        recordings = self._check_X(X, reset=not going_on)
        subjects = [] if groups is None or self.max_epochs == 0 else map(str, column_or_1d(groups))
        groups = np.arange(len(recordings)) if groups is None else column_or_1d(groups)
        check_consistent_length(recordings, groups)
        seed = resumed_seed(self, draw_seed(self.random_state))
        if self.max_epochs > 0:  # what is only loaded, any process may load for itself
            seed = agree_on(seed)
        train, valid = split_people(groups, self.validation_fraction, seed, self.patience)
        if not going_on:
            self.device_ = resolve_device(self.device)
            self._learn_input(recordings, donor)
            self._start_from(donor)
        if self.max_epochs == 0:
            net, train, valid = self._untrained_net(donor), train[:0], valid[:0]
        else:
            fold_statistics, fold_of = self._fit_prior(recordings, valid, groups, donor, going_on)
            batches = self._masked_batches(recordings, train, valid, fold_of, seed, going_on)
            run = {
                "seed": seed,
                "recordings": recordings,
                "training recordings": train,
                "held-out recordings": valid,
                "folds of the prior": fold_of,
            }
            net = self._train(batches, fold_statistics, run, donor, going_on)
        self._note_training([recordings[i] for i in train], subjects)
        self.validation_indices_ = valid
        self.n_parameters_ = net.module_.n_parameters
        self.net_ = net
        return self

    def _note_training(self, recordings, subjects):
        """Add to the record of what the weights were trained on, and on whom."""
        known = self.trained_on_
        self.trained_on_ = {
            "n_recordings": known["n_recordings"] + len(recordings),
            "n_timepoints": known["n_timepoints"] + sum(map(len, recordings)),
            "subjects": sorted({*known["subjects"], *subjects}),
        }

    def _initialise(self, recordings, *, pretrained=True):
        """Hold a network that is about to be trained by somebody else, and nobody else uses.

        Parameters
        ----------
        recordings : list of arrays of shape (n_timepoints, n_parcels)
            Checked recordings, at the repetition time of the weights if there are any.
        pretrained : bool, default=True
            Whether the network has the parameters of the weights, or new ones.
        """
        donor = self._donor()
        self.device_ = resolve_device(self.device)
        self._learn_input(recordings, donor)
        self._start_from(donor)
        self._fit_prior(recordings, [], np.arange(len(recordings)), donor, going_on=False)
        with forked_rng(draw_seed(self.random_state), self.device_):
            self.net_ = self._build_net().initialize()
        if donor is not None and pretrained:
            self.net_.set_weights(donor.net_.get_weights())
        self.validation_indices_ = np.empty(0, dtype=np.int64)
        self.n_parameters_ = self.net_.module_.n_parameters
        self.carries_weights_ = True

    def _start_from(self, donor):
        """Begin the record of the training where that of the weights ended."""
        self.history_ = []
        self.trained_on_ = {"n_recordings": 0, "n_timepoints": 0, "subjects": []}
        if donor is not None:
            self.history_ = list(donor.history_)
            self.trained_on_ |= donor.trained_on_  # weights of former versions lack the subjects

    def _training_reader(self, recordings, extras):
        """Return a reader of windows, from the memory of a GPU where they all fit."""
        reader = self._reader(recordings, extras)
        if fits(recordings, self.device_):
            return ResidentReader(reader, self.device_)
        return reader

    def _masked_batches(self, recordings, train, valid, fold_of, seed, going_on):
        """Return the batches to train on and those to validate on, or None."""
        if self.masking == BURSTS and self._setting("prior") is None:
            raise ValueError(
                "masking='burst' hides a part of nearly every patch, and a network sees whole ones "
                "only: keep a prior, which goes by the rest, or use masking='block'."
            )
        lengths = np.array([len(recording) for recording in recordings])
        made = []
        for which in (train, valid):
            if not len(which):
                made.append(None)
                continue
            is_train = which is train
            sampler = WindowSampler(
                lengths[which],
                self._setting("window_length"),
                self._setting("patch_length"),
                self.batch_size,
                windows_per_recording=self.windows_per_recording,
                seed=seed,
            )
            extras = partial(self._batch_extras, fold_of=fold_of)
            made.append(
                WindowBatches(
                    self._training_reader(recordings, extras),
                    partial(draw_windows, sampler, which, is_train),
                    masking=self.masking,
                    mask_ratio=self.mask_ratio,
                    decoded_fraction=self.decoded_fraction,
                    seed=seed,
                    first_epoch=len(self.history_) if going_on and is_train else 0,
                )
            )
        return made

    def _train(self, batches, fold_statistics, run, donor, going_on):
        """Train a new net, that of the weights or the one there is, and note the history."""
        with forked_rng(run["seed"] + len(self.history_), self.device_):
            if going_on:
                net = self._own_net()
            else:
                net = self._build_net().initialize()
                if donor is not None:
                    net.set_weights(donor.net_.get_weights())
            has_learned = going_on or donor is not None
            begin_run(self, net, run, has_learned=has_learned, without_effect=_ABOUT_EMBEDDING)
            net.max_epochs = self.max_epochs
            n_noted = len(net.history)
            if not fold_statistics:
                net.partial_fit(*batches)
            else:
                with net.module_.prior.cross_fitted(fold_statistics):
                    net.partial_fit(*batches)
        rows = history_rows(net.history[n_noted:], n_before=len(self.history_))
        self.history_ = [*self.history_, *rows]
        return net

    def _batch_extras(self, recordings, fold_of=None):
        """Return what the network takes beside signals and masks.

        In training and validation, a window is reconstructed by a prior that has not seen its
        recording, so that the network learns what the prior leaves on recordings it does not know.
        """
        if self._setting("prior") is None:
            return {}
        fold = np.full(len(recordings), -1) if fold_of is None else fold_of[recordings]
        return {"fold": fold}

    def _fit_prior(self, recordings, valid, groups, donor, going_on):
        """Fit the prior on all recordings; return its folds and which each recording is in.

        Nothing is lost by holding recordings out: the loss on them is of a prior without them. The
        prior of weights was fitted on others, and stays. Of several processes, each fits it: the
        others would only wait, and what they get is the same, being drawn from nothing.
        """
        if self._setting("prior") is None or donor is not None or "settings_" in vars(self):
            return [], None
        scaled = scale_all(recordings, self.scaler_)  # names a recording with values too large
        by_coords = self.prior == "coordinates"
        coords = self.parcel_coords_ if by_coords else None
        statistics, fold_statistics, fold_of = cross_fit(scaled, groups, valid, coords)
        if not going_on:
            self.prior_ = statistics
            if by_coords:
                carried = fit_coordinate_statistics(scaled, coords, t_r=self.t_r_)
                self.coordinate_prior_ = vars(carried)
        return fold_statistics, fold_of
