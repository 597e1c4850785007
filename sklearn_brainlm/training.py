"""The training loop: skorch owns it, this file says what it is made of.

A net meets arrays on one side and tensors on the other. A batch is a pair of dicts, as
:mod:`sklearn_brainlm.batches` builds them: the inputs of the module's ``forward``, and for the loss
``recording``, the index of each window's recording, ``n_values``, what each window counts for, and
what the kind of net asks for beside.
"""

from numbers import Integral

import torch
from skorch import NeuralNet
from skorch.callbacks import PrintLog
from skorch.utils import to_tensor
from tqdm import tqdm

from sklearn_brainlm._exchanges import agree_on, check_same, take_weights_of_first
from sklearn_brainlm._shares import SharedBatches, describe_steps
from sklearn_brainlm.callbacks import Explosion, NoMoreProgress, Progress, Schedule, Stopping
from sklearn_brainlm.checkpoint import Checkpoint
from sklearn_brainlm.distributed import check_processes, n_processes, process_rank
from sklearn_brainlm.loop.divergence import StepWatch
from sklearn_brainlm.loop.interrupts import Interrupts
from sklearn_brainlm.loop.parameters import history_rows, loop_parameters
from sklearn_brainlm.loop.steps import StepLoader, WindowSteps

__all__ = ["WindowNet", "history_rows", "loop_parameters"]


class WindowNet(WindowSteps, NeuralNet):
    """Train a network on batches of windows; a subclass says what its loss is.

    Parameters
    ----------
    module : class
        Network.
    micro_batch_size : int or None, default=None
        Windows on the device at a time. The gradients of the parts of a batch add up to that of
        the whole batch, so this changes memory, not what is learned. None takes whole batches.
        It is halved, with a warning, when memory runs out.
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
    of which `train` has ``next_epoch()`` and, for checkpoints, ``epoch``. An interrupt by the user
    is passed on, as a training that was cut short must not look finished.

    A step whose loss or gradient is not finite is skipped, with a warning: weights and optimizer
    stay as they are. The fourth in a row ends the training, with TrainingDivergedError.

    Within :func:`sklearn_brainlm.distributed.process_group`, several processes train one network:
    each fits the same, on its share of every batch. Without dropout, the result is that of one
    process but for the order of sums; with dropout, each process drops other units.

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
        kwargs.setdefault("iterator_train", StepLoader)
        kwargs.setdefault("iterator_valid", StepLoader)
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
        """Add those of this package; checkpoints come last, as they save what the others know."""
        callbacks = super()._default_callbacks[:-1]  # the last one prints past a progress bar
        callbacks += [("schedule", Schedule(self.warmup)), ("progress", Progress())]
        callbacks.append(("explosion", Explosion()))
        if self.verbose and process_rank() == 0:
            callbacks.append(("print_log", PrintLog(sink=tqdm.write)))
        if self.patience is not None:
            callbacks.append(("stopping", Stopping(self.patience)))
        return [*callbacks, ("checkpoint", Checkpoint())]

    def keep_checkpoints(self, folder, *, resume=False, configuration=None):
        """Save checkpoints of the trainings to come.

        Parameters
        ----------
        folder : str, Path or None
            Folder of the checkpoints of one training; None saves nothing.
        resume : bool, default=False
            Whether to go on from the last checkpoint there.
        configuration : dict, optional
            What decides what is learned, see :class:`sklearn_brainlm.checkpoint.Checkpoint`.

        Returns
        -------
        self : WindowNet
            The net, which must be initialized.
        """
        checkpoint = dict(self.callbacks_)["checkpoint"]
        checkpoint.folder, checkpoint.resume = folder, resume
        checkpoint.configuration = configuration
        return self

    def initialized_instance(self, instance_or_cls, kwargs):
        """Build a part of the net; torch takes no size that is NumPy's integer, or a bool."""
        kwargs = {
            name: int(value) if isinstance(value, Integral) else value
            for name, value in kwargs.items()
        }
        return super().initialized_instance(instance_or_cls, kwargs)

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Let AdamW update all weights by one kernel, several times faster than one by one."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        fusible = torch.device(self.device).type in ("cpu", "cuda")
        if self.optimizer is torch.optim.AdamW and fusible and "foreach" not in kwargs:
            kwargs.setdefault("fused", True)
        return args, kwargs

    def torch_compile(self, module, name):
        """Compile the network where ``compile=True`` says so, and leave its names as they are."""
        if self.compile and name == "module":
            module.compile(**self.get_params_for("compile"))
        return module

    def initialize(self):
        """Build all parts of the net, for a first training.

        Returns
        -------
        self : WindowNet
            The net.
        """
        self.watch_, self.interrupts_, self.seed_ = StepWatch(), Interrupts(), 0
        self.start_ = self.windows_at_once_ = None
        return super().initialize()

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
        self.watch_, self.interrupts_ = StepWatch(), Interrupts()
        self.n_epochs_done_, self.is_finished_ = 0, False
        X, y = self._take_shares(X, y)
        self.notify("on_train_begin", X=X, y=y)  # may resume a training, or find it finished
        try:
            if not self.is_finished_:
                self.fit_loop(X, y, epochs=self.max_epochs - self.n_epochs_done_, **fit_params)
                self.watch_.close(self.history)
            self.is_finished_ = True
        except NoMoreProgress:
            self.is_finished_ = True
        except KeyboardInterrupt:
            for _, callback in self.callbacks_:
                if isinstance(callback, Checkpoint):
                    callback.on_interrupt(self)
            raise
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
        if valid is not None and self.patience is not None:
            loss = self._validate(self._take_shares(valid)[0])
            self.start_ = {"weights": self.get_weights(), "valid_loss": float(loss)}
        self.partial_fit(train, valid)  # a training that is resumed has the start it began from
        self.best_epoch_ = len(self.history)
        if self.start_ is not None:
            losses = self.history[:, "valid_loss"]
            self.best_epoch_ = 1 + min(range(len(losses)), key=losses.__getitem__)
            if min(losses) >= self.start_["valid_loss"]:
                self.set_weights(self.start_["weights"])
                self.best_epoch_ = 0
            self.start_ = None
        return self

    def _validate(self, batches):
        """Compute the loss of batches, each weighing as much as its windows."""
        total = n_windows = 0.0
        for step in range(len(batches)):
            found = self.validation_step(batches[step])
            total += found["n_windows"] * float(found["loss"])
            n_windows += found["n_windows"]
        return total / n_windows

    def _take_shares(self, *batches):
        """Join the processes that train together, and divide the batches among them."""
        check_processes()
        n, rank = n_processes(), process_rank()
        if n == 1:
            return batches
        self.seed_ = agree_on(torch.initial_seed() >> 1)  # of dropout; below 2**63
        made = [each for each in batches if each is not None]
        check_same("batches", *(number for each in made for number in describe_steps(each)))
        take_weights_of_first(self.module_.parameters())
        return [None if each is None else SharedBatches(each, rank, n) for each in batches]

    def get_split_datasets(self, X, y=None, **fit_params):
        """Take the training and the validation batches as they were given."""
        return X, y

    def get_iterator(self, dataset, training=False):
        """Load batches, ahead of their use where the device leaves time for it.

        An epoch may be resumed at another step than the first.

        Parameters
        ----------
        dataset : batches
            What to load.
        training : bool, default=False
            Whether it is to train on.

        Returns
        -------
        loader : StepLoader
            Goes through the steps of an epoch.
        """
        loader = super().get_iterator(dataset, training=training)
        loader.device = self.device
        if training:
            self.loader_ = loader
        return loader

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Start an epoch: the training windows and masks are drawn anew."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        dataset_train.next_epoch()

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Count the epochs that are done."""
        self.n_epochs_done_ += 1

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

    def _tensors(self, *arrays):
        """Move arrays to the device."""
        return [to_tensor(array, device=self.device) for array in arrays]
