"""How an estimator holds an encoder: a BrainLMTransformer of its own, to train further."""

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._parameters import ARCHITECTURE, CHECKPOINTS, INPUT, RUNNING
from sklearn_brainlm.checkpointing.state import resumed_seed
from sklearn_brainlm.devices import windows_at_a_time
from sklearn_brainlm.pretraining.run_configuration import begin_run
from sklearn_brainlm.transformer import BrainLMTransformer

__all__ = ["ENCODER", "EncoderMixin"]

# What the estimator and the encoder in it both have, under the same name.
_INPUT = "weights n_parcels parcel_coords t_r scaler clip short patch_length".split()
_ARCHITECTURE = "embed_dim depth n_heads mlp_dim attention norm".split()

ENCODER = {
    **{name: INPUT[name] for name in _INPUT},
    **{name: ARCHITECTURE[name] for name in _ARCHITECTURE},
    **RUNNING,
    **CHECKPOINTS,
    "pretrained": ["boolean"],
}


class EncoderMixin:
    """Hold an encoder, which weights settle, or the parameters that were given.

    ``encoder_`` is a :class:`BrainLMTransformer`, fitted without training. Its network is a copy of
    that of the weights, so that it can be trained. A subclass has the parameters in `ENCODER`,
    ``_encoder_window``, the timepoints of a window that the weights do not settle, and may give
    the encoder more parameters in ``_encoder_extras``.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMRegressor
    >>> issubclass(BrainLMRegressor, EncoderMixin)
    True
    """

    _encoder_extras = {}

    def _check_X(self, X, *, reset, **how):
        """Check X; `reset` takes over what weights settle first."""
        if reset:
            names = (*_INPUT, *_ARCHITECTURE, "device", "precision", "random_state")
            given = {name: getattr(self, name) for name in names} | self._encoder_extras
            encoder = BrainLMTransformer(**given, window_length=self._encoder_window, max_epochs=0)
            encoder._adopt()
            self.encoder_ = encoder
        recordings = super()._check_X(X, reset=reset, **how)
        if reset:
            encoder.n_features_in_ = self.n_features_in_
            if hasattr(self, "feature_names_in_"):
                encoder.feature_names_in_ = self.feature_names_in_
        return recordings

    def _expected_t_r(self):
        """Return the repetition time given, or else that of the weights."""
        return self.encoder_._expected_t_r()

    def _at_weights_t_r(self, recordings):
        """Bring recordings to the repetition time that the weights expect."""
        return self.encoder_._at_weights_t_r(recordings)

    def _learn_input(self, recordings):
        """Learn what the weights leave open."""
        self.encoder_._initialise(recordings, pretrained=self.pretrained)
        self.n_parcels_ = self.n_features_in_
        self.scaler_ = self.encoder_.scaler_

    @property
    def _grid(self):
        """Layout of the tokens."""
        return self.encoder_._grid

    def _draw_seed(self):
        """Draw the seed of a training, or take up that of the one that is resumed."""
        return resumed_seed(self, draw_seed(self.random_state))

    def _begin_run(self, net, **learned_from):
        """Let the net save checkpoints, if there is a folder for them; weights are described."""
        has_learned = self.weights is not None and self.pretrained
        begin_run(self, net, learned_from, has_learned=has_learned)

    def _resolve_micro_batch_size(self):
        """Return the number of windows on the device at a time."""
        n_tokens = self._grid.n_tokens(self._encoder_window)
        return windows_at_a_time(self.micro_batch_size, n_tokens, self.device_)

    def _net_state(self):
        """Return the weights of the net; those of the encoder are in `encoder_`."""
        weights = self.net_.get_weights()
        return {name: w for name, w in weights.items() if not name.startswith("autoencoder.")}

    def _restore_net(self, weights):
        """Put weights beside those of the encoder."""
        net = self._untrained_net().initialize()
        encoder = {name: w for name, w in net.get_weights().items() if name not in weights}
        self.net_ = net.set_weights({**encoder, **weights})
