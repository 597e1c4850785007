"""What the training loop minimises: reconstruction of masked patches, or prediction of labels."""

from skorch.utils import to_tensor

from sklearn_brainlm.loop.memory import infer_in_parts
from sklearn_brainlm.modules.prediction import label_loss
from sklearn_brainlm.training import WindowNet

__all__ = ["PredictionNet", "ReconstructionNet"]


class ReconstructionNet(WindowNet):
    """Train a masked autoencoder to reconstruct masked patches.

    Its parameters are those of :class:`sklearn_brainlm.training.WindowNet`.

    Notes
    -----
    The module has the methods and the layout attributes of
    :class:`sklearn_brainlm.modules.MaskedAutoencoder`; its ``forward`` may take more inputs.
    Batches are those of :class:`sklearn_brainlm.batches.WindowBatches`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_brainlm.nets import ReconstructionNet
    >>> net = ReconstructionNet(torch.nn.Linear, module__in_features=2, module__out_features=1)
    >>> net.grad_clip
    1.0
    """

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Ask the module for its loss on the masked values that were observed."""
        observed = to_tensor(y_true["observed"], self.device)
        return self.module_.forward_loss(
            X["signals"], y_pred.float(), X["ids_mask"], observed=observed
        )

    def encode(self, signals, ids_keep, *, cls_only=False):
        """Embed the visible tokens of windows.

        Parameters
        ----------
        signals : float32 array of shape (B, P, T)
            Windows, parcel-major.
        ids_keep : int64 array of shape (B, K)
            Visible tokens.
        cls_only : bool, default=False
            Whether nothing but the CLS embedding is wanted, which costs less.

        Returns
        -------
        latent : float32 array of shape (B, 1 + K, D), or (B, 1, D)
            The CLS embedding, then one embedding a visible token.
        """

        def compute(inputs):
            tensors = self._tensors(inputs["signals"], inputs["ids_keep"])
            return self.module_.forward_encoder(*tensors, cls_only=cls_only)

        return infer_in_parts(self, compute, {"signals": signals, "ids_keep": ids_keep})

    def fill(self, inputs):
        """Predict the masked patches of windows and put them in their places.

        Parameters
        ----------
        inputs : dict of arrays
            Inputs of the module: ``signals`` (B, P, T), ``ids_keep``, ``ids_mask``, ...

        Returns
        -------
        filled : float32 array of shape (B, P, T)
            The signals, with predictions in the place of the masked tokens.
        """

        def compute(inputs):
            predicted = self.infer(inputs)  # (B, M, parcels_per_patch * L)
            signals, ids_mask = self._tensors(inputs["signals"], inputs["ids_mask"])
            tokens = self.module_.patchify(signals)  # (B, N, parcels_per_patch * L)
            tokens = tokens.scatter(1, ids_mask[..., None].expand_as(predicted), predicted)
            return self.module_.unpatchify(tokens, *signals.shape[1:])

        return infer_in_parts(self, compute, inputs)


class PredictionNet(WindowNet):
    """Train a network to predict labels of windows.

    Parameters
    ----------
    module : class
        Network whose ``forward`` returns outputs (B, n_outputs). It may have a method
        ``distances()``, which returns how many layers lie between a parameter and the output, by
        name.
    loss : {"squared", "cross_entropy"}, default="squared"
        Error of the outputs, see :func:`sklearn_brainlm.modules.label_loss`.
    layer_decay : float, default=1.0
        The learning rate of a parameter is multiplied by this to the power of its distance.
    **kwargs
        Parameters of :class:`sklearn_brainlm.training.WindowNet`.

    Notes
    -----
    Batches are those of :class:`sklearn_brainlm.labels.LabelledBatches`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_brainlm.nets import PredictionNet
    >>> PredictionNet(torch.nn.Identity, layer_decay=0.75).layer_decay
    0.75
    """

    def __init__(self, module, *, loss="squared", layer_decay=1.0, **kwargs):
        super().__init__(module, **kwargs)
        self.loss = loss
        self.layer_decay = layer_decay

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Leave out what is frozen, and slow down what is far from the output."""
        trained = [(name, weight) for name, weight in named_parameters if weight.requires_grad]
        args, kwargs = super().get_params_for_optimizer(prefix, trained)
        distances = getattr(self.module_, "distances", dict)()
        if self.layer_decay == 1.0 or not distances:
            return args, kwargs
        lr = kwargs["lr"]
        groups = {}
        for name, weight in trained:
            groups.setdefault(distances[name], []).append(weight)
        return [
            [
                {"params": weights, "lr": lr * self.layer_decay**distance}
                for distance, weights in sorted(groups.items())
            ]
        ], kwargs

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Compare outputs with labels; what is not labelled does not count."""
        labels, weight = (to_tensor(y_true[name], self.device) for name in ("labels", "weight"))
        return label_loss(y_pred.float(), labels, weight, self.loss)

    def predict_windows(self, inputs):
        """Compute the outputs of windows.

        Parameters
        ----------
        inputs : dict of arrays
            Inputs of the module.

        Returns
        -------
        outputs : float32 array of shape (B, n_outputs)
            Outputs.
        """
        return infer_in_parts(
            self, lambda inputs: self.infer(to_tensor(inputs, self.device)), inputs
        )
