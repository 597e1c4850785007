"""The steps of an epoch in order, and what one step is."""

import math
import signal
import threading

import numpy as np
import torch
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch.utils.data import DataLoader, Sampler, default_convert

from sklearn_brainlm._exchanges import seed_step, sum_weighted
from sklearn_brainlm.distributed import n_processes
from sklearn_brainlm.loop.memory import compute_in_parts
from sklearn_brainlm.prefetching import prefetch

__all__ = ["StepLoader", "StepSampler", "WindowSteps"]

_DIED = "DataLoader worker (pid"  # how torch begins to say so


class StepSampler(Sampler):
    """Go through the steps of an epoch; the next epoch from another step than the first.

    Parameters
    ----------
    batches : batches
        Has a length.

    Examples
    --------
    >>> sampler = StepSampler("abcd")
    >>> sampler.first_step = 2
    >>> list(sampler), list(sampler)
    ([2, 3], [0, 1, 2, 3])
    """

    def __init__(self, batches):
        self.batches = batches
        self.first_step = 0

    def __iter__(self):
        first, self.first_step = self.first_step, 0
        return iter(range(first, len(self.batches)))

    def __len__(self):
        return len(self.batches)


class StepLoader(DataLoader):
    """Load batches that come made, drawing nothing from the generator that training draws from.

    Parameters
    ----------
    batches : batches
        Has a length and is indexed by the step.
    **parameters : dict
        Parameters of :class:`torch.utils.data.DataLoader`.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> [int(batch) for batch in StepLoader([3, 5], batch_size=None)]
    [3, 5]
    >>> bool((torch.get_rng_state() == before).all())
    True
    """

    device = "cpu"  # the net says when it is another

    def __init__(self, batches, **parameters):
        parameters.setdefault("collate_fn", _as_tensors)
        self.parameters = parameters
        super().__init__(
            batches, sampler=StepSampler(batches), generator=torch.Generator(), **parameters
        )

    def __iter__(self):
        if torch.device(self.device).type == "cuda":  # which works while the next ones are made
            return prefetch(self.dataset, self.sampler, self.device)
        if self.num_workers:
            return self._made_by_workers()
        return super().__iter__()

    def _made_by_workers(self):
        """Yield the batches that workers make; those of a worker that died are made once more."""
        steps, n_made, died_at = list(self.sampler), 0, None
        while n_made < len(steps):
            try:
                for batch in self._start_workers(steps[n_made:]):
                    yield batch
                    n_made += 1
            except (ConnectionError, EOFError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and _DIED not in str(error):
                    raise
                if n_made == died_at:
                    named = ", ".join(map(str, self.dataset.steps[steps[n_made]][:10, 0]))
                    raise RuntimeError(
                        f"A process that reads recordings died twice at step {steps[n_made]}, or "
                        f"at one soon after it; that step reads recordings {named}. Look for a "
                        "file that is damaged, or give the processes more memory: "
                        "iterator_train__num_workers=0 reads in this process."
                    ) from error
                died_at = n_made

    def _start_workers(self, steps):
        """Return an iterator over the batches of some steps."""
        before = signal.getsignal(signal.SIGCHLD)
        loader = DataLoader(
            self.dataset, sampler=steps, generator=torch.Generator(), **self.parameters
        )
        batches = iter(loader)
        # torch would raise what becomes of a worker in the midst of a training step. It asks after
        # its workers in any case while it waits for a batch, where it can be done about.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
        return batches


class WindowSteps:
    """Steps of a net: the loss of a batch of windows, part by part, and its gradient.

    A net has the parameters ``micro_batch_size``, ``grad_clip`` and ``precision``, ``watch_``,
    ``interrupts_``, ``seed_`` and ``get_loss``. Where several processes train together, each works
    on its share of the batch, and all see the loss of the whole and step by its gradient.

    Examples
    --------
    >>> from sklearn_brainlm.training import WindowNet
    >>> issubclass(WindowNet, WindowSteps)
    True
    """

    def train_step_single(self, batch, **fit_params):
        """Add up the gradients of a batch, part by part, and clip them."""
        self._set_training(True)
        if n_processes() > 1:
            seed_step(self.seed_, len(self.history), len(self.history[-1]["batches"]))
        loss = compute_in_parts(self, self._accumulate, batch)
        loss, n_windows = self._join(loss, batch, self.module_.parameters())
        limit = math.inf if self.grad_clip is None else self.grad_clip
        norm = torch.nn.utils.clip_grad_norm_(self.module_.parameters(), limit)
        loss, norm = torch.stack([loss, norm]).tolist()  # the one time a step waits for the device
        if math.isfinite(loss) and math.isfinite(norm):
            self.watch_.take()
        else:
            self._zero_grad_optimizer()  # without gradients, the optimizer changes nothing
            self.watch_.skip(self, batch, loss)
        return {"loss": torch.tensor(loss), "y_pred": None, "n_windows": n_windows}

    def validation_step(self, batch, **fit_params):
        """Compute the loss of a batch, part by part, without learning from it."""
        self._set_training(False)
        with torch.inference_mode():
            loss = compute_in_parts(self, self._add_up, batch)
        loss, n_windows = self._join(loss, batch)
        return {"loss": loss, "y_pred": None, "n_windows": n_windows}

    def infer(self, x, **fit_params):
        """Run the module on one dict of inputs, while training in the precision asked for."""
        lower = self.precision == "bf16" and self.module_.training
        kind = torch.device(self.device).type
        ready = all(
            isinstance(value, torch.Tensor) and value.device.type == kind for value in x.values()
        )
        if ready and not lower and not torch.is_autocast_enabled(kind):  # nothing to convert
            return self.module_(**x, **fit_params)
        with torch.autocast(kind, torch.bfloat16, enabled=lower):
            return super().infer(x, **fit_params)

    def on_batch_end(self, net, batch=None, training=False, n_windows=None, **kwargs):
        """Leave steps that were skipped out of the mean loss of the epoch."""
        row = self.history[-1]["batches"][-1]
        if n_processes() > 1:  # skorch has noted how many windows this process had
            row["train_batch_size" if training else "valid_batch_size"] = n_windows
        if training and self.watch_.n_skipped:
            row.clear()

    def _join(self, loss, batch, parameters=()):
        """Return the loss and number of windows of all processes; join gradients likewise."""
        targets = batch[1]
        n_windows = len(targets["recording"])
        if n_processes() == 1:
            return loss, n_windows
        counts = [n_windows, self.interrupts_.heard is not None]
        loss, (n_windows, n_heard) = sum_weighted(
            parameters, loss, float(targets["n_values"].sum()), counts, self.device
        )
        self.interrupts_.agree(n_heard > 0)
        return loss, int(n_windows)

    def _accumulate(self, batch):
        """Add up the gradients and the losses of the parts of a batch."""
        loss = 0.0
        for part_loss, _ in self._losses(batch):
            part_loss.backward()
            loss = loss + part_loss.detach()
        return loss

    def _add_up(self, batch):
        """Add up the losses of the parts of a batch."""
        return sum(part_loss for part_loss, _ in self._losses(batch))

    def _losses(self, batch):
        """Yield the share of each part in the loss of the batch, and the part's recordings."""
        inputs, targets = unpack_data(batch)
        n_windows = len(targets["recording"])
        size = self.micro_batch_size or n_windows
        if n_processes() > 1 and not targets["n_values"].sum():
            return  # the others have all there is to learn from
        if size >= n_windows:
            x = to_tensor(inputs, self.device)
            loss = self.get_loss(self.infer(x), targets, X=x, training=self.module_.training)
            yield loss, targets["recording"]
            return
        n_values = targets["n_values"].sum()
        for start in range(0, n_windows, size):
            part = slice(start, start + size)
            x = to_tensor({name: value[part] for name, value in inputs.items()}, self.device)
            y = {name: value[part] for name, value in targets.items()}
            loss = self.get_loss(self.infer(x), y, X=x, training=self.module_.training)
            yield loss * float(y["n_values"].sum() / n_values), y["recording"]


def _as_tensors(batch):
    """Turn the arrays of a batch into tensors, without the search that torch makes for them."""
    if not isinstance(batch, tuple):
        return default_convert(batch)
    return tuple({name: _as_tensor(values) for name, values in half.items()} for half in batch)


def _as_tensor(values):
    """Turn an array into a tensor."""
    return torch.from_numpy(values) if isinstance(values, np.ndarray) else default_convert(values)
