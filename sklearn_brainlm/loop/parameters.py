"""What estimators tell a training loop, and what they keep of its history."""

import math

from sklearn_brainlm.devices import resolve_precision

__all__ = ["history_rows", "loop_parameters"]


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
            "train_loss": float(row.get("train_loss", math.nan)),  # every step may be skipped
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
