"""What each of several processes does in test_distributed.py, started by torchrun.

    torchrun --nproc_per_node 2 tests/distributed_run.py TASK,TASK FOLDER

Nothing here is a test.
"""

import json
import math
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from skorch.callbacks import Callback
from training_run import Act, make_model, make_recordings

from sklearn_brainlm.distributed import process_group, process_rank
from sklearn_brainlm.loop.steps import WindowSteps

N_RECORDINGS = 9
EXACT = {"dropout": 0.0, "batch_size": 3, "patience": None}  # steps of 3 windows, over 2 processes
PATIENT = {"patience": 1, "lr": 0.1, "max_epochs": 12, "validation_fraction": 0.4}


def fit(folder=None, *, watch=None, **parameters):
    """Train, and return the model."""
    callbacks = {} if watch is None else {"callbacks": [watch]}
    saving = {"callbacks__checkpoint__every_steps": 2, **callbacks}
    model = make_model(folder, net_params=saving, **{**EXACT, **parameters})
    return model.fit(make_recordings(N_RECORDINGS))


def outcome(model):
    """Return weights, and the history without what time it took."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history_]
    return model.net_.get_weights(), rows


def save(folder, model):
    """Write what a process ended with."""
    weights, rows = outcome(model)
    np.savez(folder / f"weights-{process_rank()}.npz", **weights)
    (folder / f"history-{process_rank()}.json").write_text(json.dumps(rows))


class Seen(Callback):
    """Note the recordings of the windows that this process learns from, epoch by epoch."""

    def __init__(self):
        self.epochs = []

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append([])

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            self.epochs[-1] += batch[1]["recording"].tolist()


def fail():
    """End this process as an error would."""
    raise ValueError("this one fails")


@contextmanager
def faults(is_second):
    """Let the second process run out of memory in its third step, and lose itself in its fifth."""
    accumulate, calls = WindowSteps._accumulate, []

    def attempt(net, batch):
        calls.append(len(batch[1]["recording"]))
        if is_second and len(calls) == 3:
            raise MemoryError
        return accumulate(net, batch) * (math.nan if is_second and len(calls) == 6 else 1)

    WindowSteps._accumulate = attempt
    try:
        yield calls
    finally:
        WindowSteps._accumulate = accumulate


def train(task, folder):
    """Train as a task says."""
    saving = {"folder": folder / "checkpoints", "batch_size": 1, "dropout": 0.1, "resume": True}
    is_second = process_rank() == 1
    if task == "whole":
        seen = Seen()
        model = fit(watch=seen)
        save(folder, model)
        noted = {"epochs": seen.epochs, "held_out": model.validation_indices_.tolist()}
        (folder / f"seen-{process_rank()}.json").write_text(json.dumps(noted))
    elif task == "patient":
        save(folder, fit(**PATIENT))
    elif task == "faulty":
        with faults(is_second) as calls:
            model = fit()
        save(folder, model)
        net = model.net_
        # One halved its parts, and tried again; both left out the step that one could not take.
        assert len(calls) == 12 + is_second
        assert (net.micro_batch_size == 1) == is_second
        assert net.watch_.n_taken == 11
    elif task == "narrow":  # fewer windows than processes, units dropped, checkpoints
        save(folder, fit(**saving))
    elif task == "killed":
        act = Act(5, lambda: os.kill(os.getpid(), signal.SIGKILL))
        fit(**saving, watch=act if is_second else None)
    elif task == "terminated":
        act = Act(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        fit(**saving, watch=act if is_second else None)
    elif task == "failing":
        fit(watch=Act(5, fail) if is_second else None)


def main(tasks, folder):
    """Do tasks, each in a folder of its own, and note how they end."""
    for task in tasks.split(","):
        place = folder / task if "," in tasks else folder
        place.mkdir(exist_ok=True)
        try:
            train(task, place)
        except SystemExit as ending:
            (place / f"code-{process_rank()}").write_text(str(ending.code))
            raise


if __name__ == "__main__":
    with process_group():
        main(sys.argv[1], Path(sys.argv[2]))
