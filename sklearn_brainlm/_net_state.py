"""What an estimator that holds a net leaves in a pickle, and how it comes back."""

from sklearn_brainlm.devices import forked_rng, resolve_device

__all__ = ["NetStateMixin"]


class NetStateMixin:
    """Pickle the weights of ``net_`` as NumPy arrays, and build the net anew around them.

    A subclass has the parameter ``device`` and ``_untrained_net()``, which returns the net as it
    was drawn.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> issubclass(BrainLMTransformer, NetStateMixin)
    True
    """

    def __sklearn_is_fitted__(self):
        """Say whether there is a trained network."""
        return hasattr(self, "net_")

    def __getstate__(self):
        """Return plain parameters and NumPy arrays: no tensor, no optimizer, no recording."""
        state = dict(super().__getstate__())
        if "net_" in state:
            state["net_"] = self._net_state()
        return state

    def __setstate__(self, state):
        """Rebuild the network around its weights; the device may be another than in fit."""
        super().__setstate__(state)
        if "net_" in state:
            self.device_ = resolve_device(self.device)
            with forked_rng(0, self.device_):  # initial weights are drawn, and then replaced
                self._restore_net(state["net_"])

    def _net_state(self):
        """Return what the network is rebuilt from."""
        return self.net_.get_weights()

    def _restore_net(self, weights):
        """Build the network and put weights into it."""
        self.net_ = self._untrained_net().set_weights(weights)
