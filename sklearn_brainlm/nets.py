"""The training loop: skorch owns it, this file says what one step is.

A net meets arrays on one side and tensors on the other. A batch is a pair of dicts, as
:class:`sklearn_brainlm.batches.WindowBatches` builds it: the inputs of the module's ``forward``
(``signals``, ``ids_keep``, ``ids_mask`` and what the module asks for beside), and for the loss the
``observed`` timepoints, the ``n_values`` to predict in each window, and its ``recording``.
"""

import math

import torch
from skorch import NeuralNet
from skorch.callbacks import PrintLog
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from tqdm import tqdm

from sklearn_brainlm.callbacks import NoMoreProgress, Progress, Schedule, Stopping
from sklearn_brainlm.exceptions import TrainingDivergedError

__all__ = ["ReconstructionNet"]


class ReconstructionNet(NeuralNet):
    """Train a masked autoencoder to reconstruct masked patches.

    Parameters
    ----------
    module : class
        Network with the methods and the layout attributes of
        :class:`sklearn_brainlm.modules.MaskedAutoencoder`; its ``forward`` may take more inputs.
    micro_batch_size : int or None, default=None
        Windows on the device at a time. The gradients of the parts of a batch add up to that of
        the whole batch, so this changes memory, not what is learned. None takes whole batches.
    grad_clip : float or None, default=1.0
        Largest norm of the gradient of a step.
    warmup : float, default=0.05
        Part of the steps over which the learning rate rises.
    precision : {"fp32", "bf16"}, default="fp32"
        "bf16" trains the network under autocast. The loss, and what a trained network is asked
        for, are computed in float32: embeddings should not depend on the device.
    patience : int or None, default=None
        Epochs without a better validation loss after which training stops and the best weights
        are put back. None trains to the end and keeps the last weights.
    **kwargs
        Parameters of :class:`skorch.NeuralNet`.

    Notes
    -----
    ``fit(train, valid)`` takes batches rather than arrays: two objects with ``len`` and indexing,
    of which `train` has ``next_epoch()``. An interrupt by the user is passed on, as a training
    that was cut short must not look finished.

    Examples
    --------
    >>> from sklearn_brainlm.nets import ReconstructionNet
    >>> net = ReconstructionNet(torch.nn.Linear, module__in_features=2, module__out_features=1)
    >>> net.grad_clip
    1.0
    """

    def __init__(
        self,
        module,
        *,
        micro_batch_size=None,
        grad_clip=1.0,
        warmup=0.05,
        precision="fp32",
        patience=None,
        **kwargs,
    ):
        kwargs.setdefault("optimizer", torch.optim.AdamW)
        kwargs.setdefault("train_split", None)
        kwargs.setdefault("verbose", 0)
        kwargs.setdefault("batch_size", None)  # the batches come made
        # The module knows its loss. The criterion skorch asks for is not an nn.Module: one without
        # parameters cannot be wrapped for distributed training.
        kwargs.setdefault("criterion", object)
        super().__init__(module, **kwargs)
        self.micro_batch_size = micro_batch_size
        self.grad_clip = grad_clip
        self.warmup = warmup
        self.precision = precision
        self.patience = patience

    @property
    def _default_callbacks(self):
        """Add the schedule, the progress bar and early stopping to those of skorch."""
        callbacks = super()._default_callbacks[:-1]  # the last one prints past a progress bar
        callbacks += [("schedule", Schedule(self.warmup)), ("progress", Progress())]
        if self.verbose:
            callbacks.append(("print_log", PrintLog(sink=tqdm.write)))
        if self.patience is not None:
            callbacks.append(("stopping", Stopping(self.patience)))
        return callbacks

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Let AdamW update all weights by one kernel, several times faster than one by one."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        fusible = torch.device(self.device).type in ("cpu", "cuda")
        if self.optimizer is torch.optim.AdamW and fusible and "foreach" not in kwargs:
            kwargs.setdefault("fused", True)
        return args, kwargs

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train for `max_epochs` more epochs.

        Parameters
        ----------
        X : batches
            Training batches.
        y : batches, optional
            Validation batches.
        classes : None
            Ignored; part of scikit-learn's signature.
        **fit_params : dict
            Passed on to the module by skorch.

        Returns
        -------
        self : ReconstructionNet
            The trained net.
        """
        if not self.initialized_:
            self.initialize()
        fit_params.pop("_routing_method", None)
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except NoMoreProgress:
            pass
        finally:
            self.notify("on_train_end", X=X, y=y)
        return self

    def get_split_datasets(self, X, y=None, **fit_params):
        """Take the training and the validation batches as they were given."""
        return X, y

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Start an epoch: the training windows and masks are drawn anew."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        dataset_train.next_epoch()

    def train_step_single(self, batch, **fit_params):
        """Add up the gradients of a batch, part by part, and clip them."""
        self._set_training(True)
        loss = 0.0
        for part_loss, _ in self._losses(batch):
            part_loss.backward()
            loss = loss + part_loss.detach()
        limit = math.inf if self.grad_clip is None else self.grad_clip
        norm = torch.nn.utils.clip_grad_norm_(self.module_.parameters(), limit)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            self._raise_diverged(batch, loss.item())
        return {"loss": loss, "y_pred": None}

    def validation_step(self, batch, **fit_params):
        """Compute the loss of a batch, part by part, without learning from it."""
        self._set_training(False)
        with torch.inference_mode():
            loss = sum(part_loss for part_loss, _ in self._losses(batch))
        return {"loss": loss, "y_pred": None}

    def infer(self, x, **fit_params):
        """Run the module on one dict of inputs, while training in the precision asked for."""
        lower = self.precision == "bf16" and self.module_.training
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=lower):
            return super().infer(x, **fit_params)

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
        self._set_training(False)
        with torch.inference_mode():
            signals, ids_keep = self._tensors(signals, ids_keep)
            latent = self.module_.forward_encoder(signals, ids_keep, cls_only=cls_only)
        return latent.cpu().numpy()

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
        self._set_training(False)
        with torch.inference_mode():
            predicted = self.infer(inputs)  # (B, M, parcels_per_patch * L)
            signals, ids_mask = self._tensors(inputs["signals"], inputs["ids_mask"])
            module = self.module_
            tokens = module.patchify(signals)  # (B, N, parcels_per_patch * L)
            tokens = tokens.scatter(1, ids_mask[..., None].expand_as(predicted), predicted)
            filled = module.unpatchify(tokens, *signals.shape[1:])
        return filled.cpu().numpy()

    def get_weights(self):
        """Copy the weights out as NumPy arrays.

        Returns
        -------
        weights : dict of str to array
            The state of the module, by name.
        """
        state = self.module_.state_dict()
        return {name: value.cpu().numpy().copy() for name, value in state.items()}

    def set_weights(self, weights):
        """Put weights into the module; every name and shape must fit.

        Parameters
        ----------
        weights : dict of str to array
            As :meth:`get_weights` gives them.

        Returns
        -------
        self : ReconstructionNet
            The net, initialized.
        """
        if not self.initialized_:
            self.initialize()
        state = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
        self.module_.load_state_dict(state)
        return self

    def _losses(self, batch):
        """Yield the share of each part in the loss of the batch, and the part's recordings."""
        inputs, targets = unpack_data(batch)
        n_windows = len(targets["recording"])
        n_values = targets["n_values"].sum()
        size = self.micro_batch_size or n_windows
        for start in range(0, n_windows, size):
            part = slice(start, start + size)
            x = to_tensor({name: value[part] for name, value in inputs.items()}, self.device)
            y = {name: value[part] for name, value in targets.items()}
            loss = self.get_loss(self.infer(x), y, X=x, training=self.module_.training)
            yield loss * float(y["n_values"].sum() / n_values), y["recording"]

    def _raise_diverged(self, batch, loss):
        """Say when training diverged and on which recordings; the weights are as they were."""
        with torch.no_grad():
            guilty = [which for part, which in self._losses(batch) if not torch.isfinite(part)]
        which = torch.cat(guilty) if guilty else batch[1]["recording"]
        shown = ", ".join(map(str, which.unique().tolist()[:10]))
        batches = self.history[-1, "batches"]
        raise TrainingDivergedError(
            f"The {'gradient is not finite' if math.isfinite(loss) else f'loss became {loss}'} at "
            f"epoch {len(self.history)}, step {len(batches)} of the epoch (learning rate "
            f"{self.optimizer_.param_groups[0]['lr']:.3g}), on windows of recordings {shown}. "
            f"The weights are those of the step before. Lower lr or grad_clip, or look at these "
            f"recordings for extreme values (clip)."
        )

    def _tensors(self, *arrays):
        """Move arrays to the device."""
        return [to_tensor(array, device=self.device) for array in arrays]
