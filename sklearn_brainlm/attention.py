"""What an encoder attends to: maps over parcels.

These maps show where a network looks. They do not show that what is there matters to it, which
:func:`occlusion` and :func:`gradient_times_input` ask, nor that what it learned matters to the map,
which :func:`randomisation_check` asks.
"""

from numbers import Integral

import torch

from sklearn_brainlm._attribution import gradient_times_input, occlusion
from sklearn_brainlm._opened import OpenedEstimator
from sklearn_brainlm._randomisation import randomisation_check, randomise_weights
from sklearn_brainlm.modules.attended import cls_attention, rollout, row_attention

__all__ = [
    "attention_matrix",
    "attention_rollout",
    "gradient_times_input",
    "occlusion",
    "parcel_attention",
    "randomisation_check",
    "randomise_weights",
]


def parcel_attention(estimator, X, *, layer=-1, head=None, relative=False):
    """Compute how much the CLS token attends to each parcel.

    Section 4.4 of the article maps what the model looks at in this way, and contrasts task with
    rest, and degrees of depression.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor, BrainLMClassifier or BrainLMForecaster
        Fitted. Of an estimator that predicts, its encoder is looked at.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    layer : int or "all", default=-1
        Block of the encoder, the last one by default.
    head : int, "all" or None, default=None
        Head; None is the mean over heads.
    relative : bool, default=False
        Give the logarithm of the weight over that of the CLS token itself, see Notes.

    Returns
    -------
    float64 array of shape (n_recordings, n_parcels)
        Mean attention weight over the patches of a parcel, without unit. With "all" there is an
        axis of layers, then one of heads, in front of that of the parcels.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.
    ValueError
        If there is no such layer or head.

    See Also
    --------
    attention_contrast : Between groups or conditions, with a null.
    attention_rollout : Through all blocks.
    randomisation_check : Whether a map shows what was learned.

    Notes
    -----
    Nothing is masked, tokens are in raster order, and windows are those that ``transform`` averages
    over. Only the row of the CLS token is computed in each block.

    Weights over all tokens sum to one, so that what one parcel gains others lose. Multiplied by the
    number of patches of a parcel, maps sum to one minus the weight of the CLS token itself, and
    minus that of the margins in the released image models. Before maps are contrasted, `relative`
    undoes it: the weight of a parcel over that of the CLS token does not depend on what the other
    parcels are given (the additive log-ratio of Aitchison, 1982). In a first block, that of a
    parcel depends on that parcel alone. Heads may follow a parcel with opposite signs, which their
    mean hides: ``head="all"`` keeps them apart.

    With factorised attention, the CLS token attends to the parcels of each patch column apart; the
    weight of a token is that within its column, divided by the number of columns, as the CLS
    embedding is the mean over columns. A patch of several parcels, as those of the image models,
    has one weight, of which each of its parcels is given an equal part (all of it with `relative`):
    such a map has the resolution of patches.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, depth=2, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> attention = parcel_attention(model, recordings)
    >>> attention.shape
    (3, 4)
    >>> parcel_attention(model, recordings, layer="all", head="all").shape
    (3, 2, 4, 4)
    """
    opened = OpenedEstimator(estimator, X)
    chosen = _choose(opened.autoencoder, layer, head)

    def maps():
        """Yield what each window attends to."""
        for recording, signals, columns in opened.windows():
            with torch.inference_mode():
                weights = cls_attention(opened.autoencoder, signals)  # (B, n_blocks, h, 1 + N)
            rows = _rows(weights, opened, columns)
            yield recording, chosen(_relate(rows, weights[..., :1]) if relative else rows)

    found = opened.average(maps())
    return found[..., opened.grid._row_of_parcel()] if relative else opened.share_rows(found)


def attention_rollout(estimator, X):
    """Follow the attention of the CLS token through all blocks down to the parcels.

    The last block attends to tokens in which former blocks have mixed parcels. Rollout (Abnar and
    Zuidema, 2020) goes back through the mixing, by multiplying the attention of all blocks.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor, BrainLMClassifier or BrainLMForecaster
        Fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.

    Returns
    -------
    float64 array of shape (n_recordings, n_parcels)
        Mean over the patches of a parcel, as in :func:`parcel_attention`.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.

    See Also
    --------
    parcel_attention : The attention of one block.
    randomisation_check : Whether a map shows what was learned.

    Notes
    -----
    The product of the blocks' mean attention over heads, each averaged with the identity for the
    residual connection. One row is followed from the last block down; no matrix over all tokens is
    kept. With one block it is half of :func:`parcel_attention`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, depth=2, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> attention_rollout(model, recordings).shape
    (3, 4)
    """
    opened = OpenedEstimator(estimator, X)

    def maps():
        """Yield what each window attends to."""
        for recording, signals, columns in opened.windows():
            with torch.inference_mode():
                weights = rollout(opened.autoencoder, signals)
            yield recording, _rows(weights, opened, columns)

    return opened.share_rows(opened.average(maps()))


def attention_matrix(estimator, X, *, layer=-1, head=None):
    """Compute how much parcels attend to one another.

    By the row of a parcel, its attention to all others, section 4.5 of the article tells which
    functional network the parcel belongs to.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor, BrainLMClassifier or BrainLMForecaster
        Fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    layer : int, default=-1
        Block of the encoder.
    head : int, "all" or None, default=None
        Head; None is the mean over heads.

    Returns
    -------
    float64 array of shape (n_recordings, n_parcels, n_parcels)
        From the parcel of the row to that of the column: mean over the patches of both. "all" heads
        have an axis after that of the recordings.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.
    ValueError
        If there is no such layer or head.

    See Also
    --------
    network_probe : Tells networks by such rows.
    parcel_attention : The attention of the CLS token.

    Notes
    -----
    All pairs of tokens are gone through, some at a time, and added up to pairs of parcels. Parcels
    of one patch attend alike, and get equal parts of what the patch is attended to.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> attention_matrix(model, recordings).shape
    (3, 4, 4)
    """
    opened = OpenedEstimator(estimator, X)
    if layer == "all":
        raise ValueError("layer='all' would be many matrices: ask for one layer at a time.")
    _choose(opened.autoencoder, layer, head)

    def maps():
        """Yield what the rows of each window attend to."""
        for recording, signals, columns in opened.windows():
            columns = torch.as_tensor(columns, device=signals.device)
            with torch.inference_mode():
                weights = row_attention(opened.autoencoder, signals, columns, layer)
            if head != "all":
                weights = weights.mean(1) if head is None else weights[:, head]
            yield recording, weights

    found = opened.share_rows(opened.average(maps()))
    return found[..., opened.grid._row_of_parcel(), :]


def _rows(weights, opened, columns):
    """Average weights (..., 1 + N) over the patches of each row that hold timepoints, (..., R)."""
    return weights[..., 1:].unflatten(-1, (opened.grid.n_rows, -1))[..., columns].mean(-1)


def _relate(rows, cls):
    """Return the logarithm of weights over that of the CLS token; none is below a float's least."""
    least = torch.finfo(rows.dtype).tiny
    return rows.clamp_min(least).log() - cls.clamp_min(least).log()


def _choose(autoencoder, layer, head):
    """Check layer and head, and return what takes them out of (B, n_blocks, h, ...)."""
    block = autoencoder.encoder[0]
    n_heads = getattr(block, "attention", getattr(block, "parcel_attention", None)).n_heads
    for name, value, n_there in (
        ("layer", layer, len(autoencoder.encoder)),
        ("head", head, n_heads),
    ):
        if isinstance(value, str) and value == "all":
            continue
        if name == "head" and value is None:
            continue
        is_index = isinstance(value, Integral) and not isinstance(value, bool)
        if not is_index or not -n_there <= value < n_there:
            raise ValueError(
                f"{name}={value!r}: this encoder has {n_there} of them; give a number from "
                f"{-n_there} to {n_there - 1}, or 'all'."
            )

    def choose(rows):
        """Take layers and heads."""
        if head is None:
            rows = rows.mean(2)
        elif head != "all":
            rows = rows[:, :, head]
        return rows if layer == "all" else rows[:, layer]

    return choose
