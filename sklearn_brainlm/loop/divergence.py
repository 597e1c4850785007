"""Steps whose loss or gradient is not finite: skipped, but not for ever."""

import math
import warnings

import torch

from sklearn_brainlm._exchanges import join_numbers
from sklearn_brainlm.exceptions import TrainingDivergedError

__all__ = ["MAX_SKIPPED", "StepWatch"]

MAX_SKIPPED = 3  # steps in a row


class StepWatch:
    """Count the steps that were taken, and those skipped since.

    Examples
    --------
    >>> watch = StepWatch()
    >>> watch.take()
    >>> watch.state_dict()
    {'n_taken': 1, 'n_skipped': 0, 'message': ''}
    """

    def __init__(self):
        self.n_taken = self.n_skipped = 0
        self.message = ""

    def take(self):
        """Count a step that was taken."""
        self.n_taken += 1
        self.n_skipped = 0

    def skip(self, net, batch, loss):
        """Count a step that is not taken, and warn of it.

        Parameters
        ----------
        net : WindowNet
            The net; its weights are those of the step before.
        batch : pair of dicts
            The batch of the step.
        loss : float
            Its loss.

        Raises
        ------
        TrainingDivergedError
            If this is one more than `MAX_SKIPPED` in a row.
        """
        self.n_skipped += 1
        self.message = _describe_step(net, batch, loss)
        if self.n_skipped > MAX_SKIPPED:
            raise self._diverged(f"{MAX_SKIPPED} steps before were skipped for the same reason")
        warnings.warn(
            f"{self.message} The step is skipped; after {MAX_SKIPPED} in a row training stops.",
            RuntimeWarning,
            stacklevel=2,
        )

    def close(self, history):
        """Look back on a training that ends.

        Parameters
        ----------
        history : skorch.history.History
            Epochs of the net.

        Raises
        ------
        TrainingDivergedError
            If no step of the last epoch was taken, or the held-out recordings have no finite loss:
            what was learned is of no use.
        """
        if self.n_skipped and not math.isfinite(history[-1].get("train_loss", math.nan)):
            raise self._diverged("no step of the last epoch could be taken")
        held_out = history[-1].get("valid_loss", 0.0)
        if self.n_taken and not math.isfinite(held_out):
            self.message = f"The loss on held-out recordings ended as {held_out}."
            raise self._diverged("weights are too large to compute with")

    def state_dict(self):
        """Return what a checkpoint keeps.

        Returns
        -------
        state : dict
            Numbers and text.
        """
        return dict(vars(self))

    def load_state_dict(self, state):
        """Take up the counts of a checkpoint.

        Parameters
        ----------
        state : dict
            As :meth:`state_dict` returns it.
        """
        vars(self).update(state)

    def _diverged(self, why):
        """Make the error that ends a training."""
        return TrainingDivergedError(
            f"{self.message} Training stops, as {why}. The weights are those of the last step that "
            "was taken. Lower lr or grad_clip, or look at these recordings for extreme values "
            "(clip)."
        )


def _describe_step(net, batch, loss):
    """Say what is not finite, when, and on which recordings."""
    with torch.no_grad():
        guilty = [which for part, which in net._losses(batch) if not torch.isfinite(part)]
    which = join_numbers(torch.cat(guilty).tolist() if guilty else [])
    which = which or join_numbers(batch[1]["recording"].tolist())
    shown = ", ".join(map(str, which[:10]))
    what = "gradient is not finite" if math.isfinite(loss) else f"loss became {loss}"
    return (
        f"The {what} at epoch "
        f"{len(net.history)}, step {len(net.history[-1]['batches'])} of the epoch (learning rate "
        f"{net.optimizer_.param_groups[0]['lr']:.3g}), on windows of recordings {shown}."
    )
