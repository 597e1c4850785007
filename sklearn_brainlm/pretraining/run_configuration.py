"""What decides what a training learns, in words that can be compared later."""

import hashlib
import json

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_brainlm._values import as_float32

__all__ = ["begin_run", "describe_run"]

# Parameters that change where, how fast, or how a training is watched, but not what it learns; what
# weights and random_state stand for is described by itself.
_WITHOUT_EFFECT = {
    "checkpoint_dir",
    "device",
    "gradient_checkpointing",
    "micro_batch_size",
    "net_params",
    "random_state",
    "resume",
    "verbose",
    "warm_start",
    "weights",
}
_NET_WITHOUT_EFFECT = ("callbacks", "iterator_", "device", "verbose")
_N_LOOKED_AT = 64  # recordings of which a row is looked at


def begin_run(estimator, net, run, *, has_learned=False, without_effect=()):
    """Let a net save checkpoints, if the estimator was given a folder for them.

    Parameters
    ----------
    estimator : BaseRecordingEstimator
        With the parameters ``checkpoint_dir`` and ``resume``.
    net : WindowNet
        Its net, about to be trained.
    run : dict
        ``seed`` and ``recordings``, see :func:`describe_run`, and what else it learns from.
    has_learned : bool, default=False
        Whether the net starts from weights, which are then part of the configuration.
    without_effect : tuple of str, default=()
        Parameters that change nothing, beside those that never do.

    Raises
    ------
    ValueError
        If the estimator is to resume from no folder.
    """
    if estimator.checkpoint_dir is None:
        if estimator.resume:
            raise ValueError("resume=True needs checkpoint_dir, the folder to resume from.")
        net.keep_checkpoints(None)
        return
    configuration = describe_run(estimator, **run, without_effect=without_effect)
    if has_learned:
        weights = net.module_.named_parameters()
        arrays = ((name, value.detach().cpu().numpy()) for name, value in weights)
        configuration["starting weights"] = {name: _plain(array) for name, array in arrays}
    net.keep_checkpoints(
        estimator.checkpoint_dir, resume=estimator.resume, configuration=configuration
    )


def describe_run(estimator, *, seed, recordings, without_effect=(), **learned_from):
    """Describe a training that is about to begin.

    Parameters
    ----------
    estimator : BaseEstimator
        The estimator.
    seed : int
        What everything random follows from.
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        Its recordings. One row of 64 of them is looked at, and the lengths of all.
    without_effect : tuple of str, default=()
        Parameters that change nothing, beside those that never do.
    **learned_from : arrays
        What else it learns from, by name; None is left out.

    Returns
    -------
    configuration : dict
        Descriptions by name, which JSON holds as they are.
    """
    skipped = _WITHOUT_EFFECT | set(without_effect)
    parameters = estimator.get_params(deep=False)
    described = {name: _plain(parameters[name]) for name in sorted(parameters.keys() - skipped)}
    for name, value in (parameters.get("net_params") or {}).items():
        if not name.startswith(_NET_WITHOUT_EFFECT):
            described[f"net_params {name}"] = _plain(value)
    described["seed"] = seed
    described["recordings"] = _fingerprint(recordings)
    described["epochs before"] = len(vars(estimator).get("history_", []))
    return described | {
        name: _plain(value) for name, value in learned_from.items() if value is not None
    }


def _fingerprint(recordings):
    """Describe recordings so that others are told apart from them."""
    lengths = np.array([len(recording) for recording in recordings], dtype=np.int64)
    sha = hashlib.sha256(lengths.tobytes())
    every = -(-len(recordings) // _N_LOOKED_AT)
    for recording in recordings[::every]:
        middle = len(recording) // 2
        sha.update(as_float32(recording[middle : middle + 1]).tobytes())
    return (
        f"{len(recordings)} of {lengths.min()} to {lengths.max()} timepoints, "
        f"{recordings[0].shape[1]} parcels ({sha.hexdigest()[:12]})"
    )


def _plain(value):
    """Turn a value into one that JSON gives back as it was."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)) and len(value) <= 16:
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, BaseEstimator):
        return f"{type(value).__name__}({json.dumps(_plain(value.get_params(deep=False)))})"
    if isinstance(value, type):
        return value.__qualname__
    if not hasattr(value, "__array__") and not isinstance(value, (list, tuple)):
        return type(value).__qualname__
    array = np.asarray(value)
    if array.dtype == object:
        array = array.astype(str)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {list(array.shape)} ({digest[:12]})"
