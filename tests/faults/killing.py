"""A training in a process of its own, which ends in the middle; nothing here is a test."""

import hashlib
import json
import os
import signal

from skorch.callbacks import Callback
from training_run import Act, make_model, make_recordings, outcome

from sklearn_brainlm.checkpointing import files


class Tell(Callback):
    """Do something when a training step begins."""

    def __init__(self, step, act):
        self.step = step
        self.act = act
        self.n_steps = 0

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.n_steps += training
        if training and self.n_steps == self.step:
            self.act()


def digest(values):
    """Return the SHA-256 of nested values of a training."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if hasattr(values, "tobytes"):
        return hashlib.sha256(values.tobytes()).hexdigest()
    if isinstance(values, dict):
        return {str(key): digest(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [digest(value) for value in values]
    return values


def attempt(folder, sink, n_epochs, kill_step=None, kill_phase=None, ending=None):
    """Train, or go on, and write what it ended in.

    It is killed after a step, at the nth time of a phase of a checkpoint, or sends itself a signal
    in a step.
    """
    n_left = 0

    def mark(name):
        nonlocal n_left
        n_left += name == kill_phase[0]
        if (name, n_left) == kill_phase:
            os.kill(os.getpid(), signal.SIGKILL)

    if kill_phase is not None:
        files.phase = mark
    callbacks = []
    if kill_step is not None:
        callbacks = [Act(kill_step, lambda: os.kill(os.getpid(), signal.SIGKILL))]
    if ending is not None:
        callbacks = [Tell(ending[1], lambda: signal.raise_signal(ending[0]))]
    saving = {"callbacks__checkpoint__every_steps": 2 if kill_step else 3, "callbacks": callbacks}
    if kill_step is None and n_epochs > 4:
        saving["callbacks__checkpoint__every_steps"] = 2
    model = make_model(folder, resume=True, max_epochs=n_epochs, net_params=saving)
    found = outcome(model.fit(make_recordings()))
    state = json.loads((_last(folder) / "state.json").read_text())
    found |= {
        "optimizer": digest(model.net_.optimizer_.state_dict()),
        "scaler": digest([model.scaler_.center_, model.scaler_.scale_]),
        "generators": json.dumps(state["training"], sort_keys=True).count("generator"),
    }
    sink.write_text(json.dumps(found))


def _last(folder):
    """Return the last checkpoint of a folder."""
    return files.list_checkpoints(folder)[-1]
