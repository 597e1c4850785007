"""A training that is stopped by its CPU time, and looked at on the way."""

import time

import pandas as pd
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_brainlm.callbacks import NoMoreProgress


class Clock(Callback):
    """Count the CPU-seconds of training, without those of looking at it."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Start."""
        self.seconds, self.n_steps, self.n_windows = 0.0, 0, 0
        self._began = time.process_time()

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Add a step."""
        if not training:
            return
        self.seconds += time.process_time() - self._began
        self.n_steps += 1
        self.n_windows += len(batch[1]["recording"])
        self.after_step(net)
        self._began = time.process_time()

    def after_step(self, net):
        """Do what is not training."""


class Trial(Clock):
    """Train for an epoch, to know what a step costs."""

    def after_step(self, net):
        """Note when the first step was over, which warms up."""
        if self.n_steps == 1:
            self.first = self.seconds

    @property
    def step_seconds(self):
        """CPU-seconds of a step."""
        return (self.seconds - self.first) / max(1, self.n_steps - 1)


class Milestones(Clock):
    """Score a network in training whenever its CPU-seconds pass a mark; stop at the last one.

    Parameters
    ----------
    look : callable
        ``look(net)`` returns the score.
    marks : sequence of float
        CPU-seconds, ascending.
    before : float, default=0.0
        CPU-seconds that were spent before the first step.
    """

    def __init__(self, look, marks, before=0.0):
        self.look = look
        self.marks = marks
        self.before = before

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Look at the network as it was drawn."""
        self.rows = []
        super().on_train_begin(net, X, y, **kwargs)
        self._note(net)
        self._began = time.process_time()

    def after_step(self, net):
        """Look where a mark was passed; stop where it was the last."""
        spent = self.before + self.seconds
        passed = [mark for mark in self.marks if mark <= spent]
        if len(passed) > self.n_passed:
            self.n_passed = len(passed)
            self._note(net)

    def on_epoch_end(self, net, **kwargs):
        """Stop behind the last mark; the history of an epoch must be whole."""
        if self.n_passed == len(self.marks):
            raise NoMoreProgress

    def on_train_end(self, net, **kwargs):
        """Look at what came out, where training ended before the last mark."""
        if self.rows and self.rows[-1]["n_steps"] < self.n_steps:
            self._note(net)

    def _note(self, net):
        """Add a row."""
        if not self.rows:
            self.n_passed = sum(mark <= self.before for mark in self.marks)
        row = {
            "train_cpu_seconds": self.before + self.seconds,
            "n_steps": self.n_steps,
            "n_windows_drawn": self.n_windows,
            "r2": self.look(net),
        }
        self.rows.append(row)


def train_by_the_clock(model, recordings, score, marks):
    """Train on a budget of CPU-seconds, whatever a step costs, and score on the way.

    Parameters
    ----------
    model : BrainLMTransformer
        What is trained, on clones. Its schedule is laid over the whole budget.
    recordings : list of arrays
        Training recordings.
    score : callable
        ``score(model)`` of the fitted model.
    marks : sequence of float
        CPU-seconds at which to score. The last one is the budget.

    Returns
    -------
    model : BrainLMTransformer
        The trained clone.
    rows : DataFrame
        One a mark: ``train_cpu_seconds``, ``n_steps``, ``n_windows_drawn``, ``r2``.
    """
    trial, began = Trial(), time.process_time()
    _fit(clone(model).set_params(max_epochs=1), recordings, trial)
    # What comes before the first step, such as fitting the closed form, is part of the cost.
    before = max(0.0, time.process_time() - began - trial.seconds)
    n_windows = len(recordings) * model.windows_per_recording
    steps_per_epoch = -(-n_windows // model.batch_size)
    left = max(marks[-1] - before, 10 * trial.step_seconds)
    n_epochs = max(1, round(left / (trial.step_seconds * steps_per_epoch)))
    trained = clone(model).set_params(max_epochs=n_epochs)

    def look(net):
        """Score the network in training."""
        trained.net_ = net
        return score(trained)

    milestones = Milestones(look, marks, before)
    _fit(trained, recordings, milestones)
    return trained, pd.DataFrame(milestones.rows)


def _fit(model, recordings, callback):
    """Fit with one more callback."""
    model.set_params(net_params={"callbacks": [("clock", callback)]})
    return model.fit(recordings)
