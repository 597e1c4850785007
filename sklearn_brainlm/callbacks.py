"""What happens around a training step: learning rate, early stopping, a watch, a progress bar."""

import math
import sys
import warnings

from skorch.callbacks import Callback, EarlyStopping
from tqdm import tqdm

from sklearn_brainlm.distributed import process_rank

__all__ = ["Explosion", "NoMoreProgress", "Progress", "Schedule", "Stopping", "warmup_cosine"]


def warmup_cosine(step, n_steps, warmup):
    """Return the part of the learning rate to use at a step, as a pure function of the step.

    Parameters
    ----------
    step : int
        Optimizer step, from 0 to ``n_steps - 1``.
    n_steps : int
        Optimizer steps of the whole training.
    warmup : float
        Part of the steps over which the rate rises linearly, from 0 to 1.

    Returns
    -------
    factor : float
        Above 0 and at most 1. After the rise it falls along half a cosine.

    Examples
    --------
    >>> [round(warmup_cosine(step, 6, warmup=1 / 3), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    n_rising = round(warmup * n_steps)
    if step < n_rising:
        return (step + 1) / n_rising
    return 0.5 * (1 + math.cos(math.pi * (step - n_rising) / (n_steps - n_rising)))


class NoMoreProgress(Exception):
    """Raised by :class:`Stopping` and caught by the net."""


class Stopping(EarlyStopping):
    """Stop when the validation loss has not improved for some epochs; put the best weights back.

    Parameters
    ----------
    patience : int, default=5
        Epochs without a better validation loss.

    Examples
    --------
    >>> Stopping(patience=3).monitor
    'valid_loss'
    """

    def __init__(self, patience=5):
        super().__init__(monitor="valid_loss", patience=patience, threshold=0.0, load_best=True)

    def on_epoch_end(self, net, **kwargs):
        """Compare the validation loss with the best one so far."""
        if self.monitor not in net.history[-1]:
            raise ValueError(
                f"patience={self.patience} needs labels to validate on, and no recording that was "
                "held out has one. Give more labels, another random_state, or patience=None."
            )
        try:
            super().on_epoch_end(net, **kwargs)
        except KeyboardInterrupt:  # what skorch raises here is also what Ctrl-C raises
            raise NoMoreProgress from None


class Schedule(Callback):
    """Set the learning rate of every step in closed form and note it in the history.

    Parameters
    ----------
    warmup : float
        Part of the steps over which the rate rises.

    Examples
    --------
    >>> Schedule(warmup=0.1).warmup
    0.1
    """

    def __init__(self, warmup):
        self.warmup = warmup

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Count the steps ahead; each call of fit or partial_fit has a schedule of its own."""
        self.n_steps_ = len(X) * net.max_epochs
        self.step_ = 0

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Set the rate of the step."""
        if not training:
            return
        factor = warmup_cosine(self.step_, self.n_steps_, self.warmup)
        for group in net.optimizer_.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        self.step_ += 1

    def on_epoch_end(self, net, **kwargs):
        """Note the rate of the last step."""
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])

    def state_dict(self):
        """Return what a checkpoint keeps.

        Returns
        -------
        state : dict
            Numbers.
        """
        return {"step": self.step_}

    def load_state_dict(self, state):
        """Go on from a checkpoint.

        Parameters
        ----------
        state : dict
            As :meth:`state_dict` returned it.
        """
        self.step_ = state["step"]


class Explosion(Callback):
    """Warn, once in a training, when the loss grows far beyond what it had been.

    Parameters
    ----------
    factor : float, default=10.0
        How many times the training loss of the best epoch the running loss must exceed. It must
        exceed the loss of the first epoch too, as a loss near 0 is soon multiplied.
    memory : float, default=0.9
        What the running loss keeps of itself in each step: 0.9 is a mean of some 10 steps.

    Examples
    --------
    >>> Explosion().factor
    10.0
    """

    def __init__(self, factor=10.0, memory=0.9):
        self.factor = factor
        self.memory = memory

    def on_train_begin(self, net, **kwargs):
        """Know of no loss."""
        self.running_ = self.first_ = self.best_ = None
        self.has_warned_ = False

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        """Follow the loss of the steps that are taken."""
        if not training or loss is None or self.has_warned_:
            return
        loss = float(loss)
        if not math.isfinite(loss):
            return
        before = loss if self.running_ is None else self.running_
        self.running_ = self.memory * before + (1 - self.memory) * loss
        if self.best_ is None or self.running_ <= max(self.factor * self.best_, self.first_):
            return
        self.has_warned_ = True
        warnings.warn(
            f"The training loss has exploded: {self.running_:.3g} over the last steps of epoch "
            f"{len(net.history)}, after {self.best_:.3g} in the best epoch. Training goes on, but "
            "what it learns from here may be of no use: lower lr or grad_clip.",
            RuntimeWarning,
            stacklevel=2,
        )

    def on_epoch_end(self, net, **kwargs):
        """Remember the loss of the first epoch, and of the best."""
        loss = net.history[-1].get("train_loss", math.nan)
        if math.isfinite(loss):
            self.first_ = loss if self.first_ is None else self.first_
            self.best_ = loss if self.best_ is None else min(self.best_, loss)

    def state_dict(self):
        """Return what a checkpoint keeps.

        Returns
        -------
        state : dict
            Numbers.
        """
        return {name: vars(self)[name] for name in ("running_", "first_", "best_", "has_warned_")}

    def load_state_dict(self, state):
        """Go on from a checkpoint.

        Parameters
        ----------
        state : dict
            As :meth:`state_dict` returned it.
        """
        vars(self).update(state)


class Progress(Callback):
    """Show a progress bar with the time left, when a terminal is there to show it.

    Examples
    --------
    >>> isinstance(Progress(), Callback)
    True
    """

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Open the bar."""
        hidden = not (net.verbose and sys.stderr.isatty() and process_rank() == 0)
        self.bar_ = tqdm(total=len(X) * net.max_epochs, unit="step", disable=hidden, leave=False)

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Advance the bar."""
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **kwargs):
        """Show the losses."""
        losses = {name: net.history[-1].get(name) for name in ("train_loss", "valid_loss")}
        self.bar_.set_postfix({name: f"{v:.4g}" for name, v in losses.items() if v is not None})

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.bar_.close()

    def state_dict(self):
        """Return what a checkpoint keeps.

        Returns
        -------
        state : dict
            Numbers.
        """
        return {"step": self.bar_.n}

    def load_state_dict(self, state):
        """Go on from a checkpoint.

        Parameters
        ----------
        state : dict
            As :meth:`state_dict` returned it.
        """
        self.bar_.update(state["step"])
