"""All that decides how a training goes on: collected from a net, and put back into one."""

import time
from contextlib import suppress
from numbers import Integral

import torch
from skorch.callbacks import EarlyStopping, EpochTimer, PassthroughScoring

from sklearn_brainlm._generators import generator_states, restore_generators
from sklearn_brainlm._versions import package_versions
from sklearn_brainlm.checkpointing.files import PARTS, list_checkpoints, read_state
from sklearn_brainlm.checkpointing.trees import join_tree, split_tree
from sklearn_brainlm.distributed import n_processes
from sklearn_brainlm.exceptions import CheckpointError

__all__ = [
    "collect_state",
    "estimate_bytes",
    "join_state",
    "reopen_epoch",
    "restore_state",
    "resumed_seed",
    "surroundings",
]

# What callbacks of skorch remember from epoch to epoch. Others say so in state_dict.
_REMEMBERED = {
    PassthroughScoring: ["best_score_"],
    EarlyStopping: ["misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_"],
}


def collect_state(net, batches, *, n_before, step_of_epoch):
    """Collect the state of a training.

    Parameters
    ----------
    net : WindowNet
        The net, between two steps.
    batches : batches
        Its training batches.
    n_before : int
        Epochs in its history that are of former trainings.
    step_of_epoch : int or None
        Steps that were taken of an epoch, None between epochs.

    Returns
    -------
    parts : dict of str to dict of arrays
        The arrays of the state, in `PARTS`.
    state : dict
        The rest, which JSON holds.
    """
    rows, epoch = [dict(row) for row in net.history[n_before:]], None
    if step_of_epoch is not None:
        epoch = {
            "step": step_of_epoch,
            "batches": rows.pop()["batches"][:step_of_epoch],  # not those validated on
            "seconds": time.time() - _timer(net).epoch_start_time_,
        }
    for row in rows:
        row["batches"] = []  # their means are in the row
    state = {
        "n_epochs": net.n_epochs_done_,
        "is_finished": net.is_finished_,
        "start": net.start_,
        "micro_batch_size": net.micro_batch_size,
        "batches_epoch": batches.epoch,
        "epoch": epoch,
        "history": rows,
        "watch": net.watch_.state_dict(),
        "callbacks": {name: _state_of(callback) for name, callback in net.callbacks_},
        "generators": generator_states(net.device),
    }
    parts = {part: {} for part in PARTS}
    return parts, {
        "weights": split_tree(net.module_.state_dict(), parts["weights"]),
        "optimizer": split_tree(net.optimizer_.state_dict(), parts["optimizer"]),
        "training": split_tree(state, parts["training"]),
    }


def join_state(parts, state):
    """Put together what was collected.

    Parameters
    ----------
    parts : dict of str to dict of arrays
        The arrays.
    state : dict
        The rest.

    Returns
    -------
    state : dict
        "weights", "optimizer" and "training", with tensors for the arrays.
    """
    return {part: join_tree(state[part], parts[part]) for part in PARTS}


def restore_state(net, batches, state, *, n_before):
    """Put a state into a net that is about to train.

    Parameters
    ----------
    net : WindowNet
        The net; ``on_train_begin`` of its callbacks was called.
    batches : batches
        Its training batches.
    state : dict
        As :func:`join_state` returned it.
    n_before : int
        Epochs in its history that are of former trainings.

    Returns
    -------
    epoch : dict or None
        The epoch to go on with: its ``step``, ``batches`` and ``seconds`` until then.
    """
    training = state["training"]
    net.module_.load_state_dict(state["weights"])
    net.optimizer_.load_state_dict(state["optimizer"])
    del net.history[n_before:]
    net.history.extend(training["history"])
    net.n_epochs_done_ = training["n_epochs"]
    net.is_finished_ = training["is_finished"]
    net.micro_batch_size = training["micro_batch_size"]
    start = training.get("start")  # none in what was saved by former versions
    if start is not None:
        net.start_ = start | {"weights": {k: v.numpy() for k, v in start["weights"].items()}}
    net.watch_.load_state_dict(training["watch"])
    for name, callback in net.callbacks_:
        _restore_callback(callback, training["callbacks"].get(name, {}))
    # next_epoch() leads on to the next one, or back to the one that was begun.
    batches.epoch = training["batches_epoch"] - (training["epoch"] is not None)
    restore_generators(net.device, training["generators"])
    return training["epoch"]


def reopen_epoch(net, epoch):
    """Go on with an epoch that was begun.

    Parameters
    ----------
    net : WindowNet
        The net, whose epoch has just begun.
    epoch : dict
        As :func:`restore_state` returned it.
    """
    net.loader_.sampler.first_step = epoch["step"]
    net.history[-1]["batches"].extend(epoch["batches"])
    _timer(net).epoch_start_time_ -= epoch["seconds"]


def estimate_bytes(net):
    """Estimate the size of a checkpoint.

    Parameters
    ----------
    net : WindowNet
        The net.

    Returns
    -------
    n_bytes : int
        With two moments of each parameter, and the weights to go back to: the best ones where
        training may stop early, and those of the start where nothing may be better.
    """
    n_state = sum(value.nbytes for value in net.module_.state_dict().values())
    n_parameters = sum(value.nbytes for value in net.module_.parameters())
    stops = any(isinstance(callback, EarlyStopping) for _, callback in net.callbacks_)
    return (1 + stops + (net.start_ is not None)) * n_state + 2 * n_parameters + (1 << 20)


def surroundings(net):
    """Describe what the last digits of a training depend on.

    Parameters
    ----------
    net : WindowNet
        The net.

    Returns
    -------
    described : dict
        Versions of packages, kind of device, number of threads and of processes.
    """
    device = torch.device(net.device).type
    counts = {"threads": torch.get_num_threads(), "processes": n_processes()}
    return {**package_versions(), "device": device, **counts}


def resumed_seed(estimator, seed):
    """Return the seed of the training that an estimator resumes.

    Parameters
    ----------
    estimator : BaseRecordingEstimator
        With the parameters ``checkpoint_dir``, ``resume`` and ``random_state``.
    seed : int
        The seed it would have otherwise.

    Returns
    -------
    seed : int
        That of the last checkpoint, unless an integer was given, or there is none.
    """
    if not estimator.resume or isinstance(estimator.random_state, Integral):
        return seed
    for path in reversed(list_checkpoints(estimator.checkpoint_dir)):
        with suppress(CheckpointError):
            return (read_state(path)["configuration"] or {}).get("seed", seed)
    return seed


def _timer(net):
    """Return the callback that measures epochs."""
    return next(callback for _, callback in net.callbacks_ if isinstance(callback, EpochTimer))


def _state_of(callback):
    """Return what a callback remembers."""
    if hasattr(callback, "state_dict"):
        return callback.state_dict()
    return {name: vars(callback).get(name) for name in _names(callback)}


def _restore_callback(callback, state):
    """Let a callback remember."""
    if hasattr(callback, "load_state_dict"):
        callback.load_state_dict(state)
    else:
        vars(callback).update({name: state[name] for name in _names(callback) if name in state})


def _names(callback):
    """Name the attributes in which a callback of skorch remembers."""
    return [
        name for kind in _REMEMBERED if isinstance(callback, kind) for name in _REMEMBERED[kind]
    ]
