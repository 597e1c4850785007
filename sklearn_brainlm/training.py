"""The training loop: skorch owns it, this file says what one step is.

A net meets arrays on one side and tensors on the other. A batch is a pair of dicts, as
:mod:`sklearn_brainlm.batches` builds them: the inputs of the module's ``forward``, and for the loss
``recording``, the index of each window's recording, ``n_values``, what each window counts for, and
what the kind of net asks for beside.
"""

import math

import torch
from skorch import NeuralNet
from skorch.callbacks import PrintLog
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from tqdm import tqdm

from sklearn_brainlm.callbacks import NoMoreProgress, Progress, Schedule, Stopping
from sklearn_brainlm.devices import resolve_precision
from sklearn_brainlm.exceptions import TrainingDivergedError

__all__ = ["WindowNet", "history_rows", "loop_parameters"]


class WindowNet(NeuralNet):
    """Train a network on batches of windows; a subclass says what its loss is.

    Parameters
    ----------
    module : class
        Network.
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
    >>> from sklearn_brainlm.training import WindowNet
    >>> net = WindowNet(torch.nn.Linear, module__in_features=2, module__out_features=1)
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

    def train_from_best(self, train, valid=None):
        """Train, unless nothing that comes of it is better than what the net started from.

        Parameters
        ----------
        train : batches
            Training batches.
        valid : batches, optional
            Validation batches; without them, or without patience, the last weights are kept.

        Returns
        -------
        self : WindowNet
            The net. ``best_epoch_`` is the epoch whose weights it has, 0 for those before training.
        """
        judged = valid is not None and self.patience is not None
        if judged:
            weights, loss = self.get_weights(), self._validate(valid)
        self.partial_fit(train, valid)
        self.best_epoch_ = len(self.history)
        if judged:
            losses = self.history[:, "valid_loss"]
            self.best_epoch_ = 1 + min(range(len(losses)), key=losses.__getitem__)
            if min(losses) >= loss:
                self.set_weights(weights)
                self.best_epoch_ = 0
        return self

    def _validate(self, batches):
        """Compute the loss of batches, each weighing as much as its windows."""
        total = n_windows = 0.0
        for step in range(len(batches)):
            batch = batches[step]
            n = len(batch[1]["recording"])
            total += n * float(self.validation_step(batch)["loss"])
            n_windows += n
        return total / n_windows

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


def history_rows(history, n_before=0):
    """Turn the history of a net into plain rows.

    Parameters
    ----------
    history : skorch.history.History
        Epochs of a training.
    n_before : int, default=0
        Epochs that came before.

    Returns
    -------
    rows : list of dict
        One an epoch: ``epoch``, ``train_loss``, ``valid_loss`` (or None), ``lr``, ``seconds``.
    """
    return [
        {
            "epoch": n_before + number,
            "train_loss": float(row["train_loss"]),
            "valid_loss": float(row["valid_loss"]) if "valid_loss" in row else None,
            "lr": float(row["lr"]),
            "seconds": float(row["dur"]),
        }
        for number, row in enumerate(history, start=1)
    ]


def loop_parameters(estimator):
    """Return the parameters of a net that are about its training.

    Parameters
    ----------
    estimator : BaseRecordingEstimator
        With the parameters of ``_parameters.TRAINING`` and ``RUNNING``, and ``device_``.

    Returns
    -------
    parameters : dict
        Parameters of :class:`WindowNet`.
    """
    return {
        "optimizer__weight_decay": estimator.weight_decay,
        "lr": estimator.lr,
        "warmup": estimator.warmup,
        "grad_clip": estimator.grad_clip,
        "patience": estimator.patience,
        "max_epochs": estimator.max_epochs,
        "micro_batch_size": estimator._resolve_micro_batch_size(),
        "precision": resolve_precision(estimator.precision, estimator.device_),
        "device": estimator.device_,
        "verbose": estimator.verbose,
    }
