"""How what an encoder computes depends on each parcel: gradient x input, and occlusion."""

import numpy as np
import torch

from sklearn_brainlm._opened import OpenedEstimator
from sklearn_brainlm.modules.attended import encode_all

__all__ = ["gradient_times_input", "occlusion"]


def gradient_times_input(estimator, X, *, output=None):
    """Multiply each value by the gradient of what is computed from it, and sum over time.

    It says which parcels a prediction or an embedding rests on, in one backward pass (Shrikumar et
    al., 2017). Values are those the network sees: scaled, zero being the centre of a parcel.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor or BrainLMClassifier
        Fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    output : int, or array of shape (embed_dim,), optional
        What is computed: an output of an estimator that predicts, its first one by default (raw:
        targets in standard deviations, classes before the softmax); or, of a transformer, the CLS
        embedding along this direction. Without one, the direction is that from the CLS embedding
        of a window in which nothing happens to that of the window.

    Returns
    -------
    float64 array of shape (n_recordings, n_parcels)
        Mean over windows, in units of the output. For an output that is linear in the window it
        sums to the output minus that of nothing.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.

    See Also
    --------
    occlusion : The same question, without the assumption that changes are small.
    parcel_attention : What the CLS token attends to, as in the article.

    Notes
    -----
    Gradients of networks are noisy; compare with :func:`occlusion`.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> gradient_times_input(model, recordings).shape
    (3, 4)
    """
    opened = OpenedEstimator(estimator, X)

    def maps():
        """Yield the attribution of each window."""
        for recording, signals, _ in opened.windows():
            compute = _computation(opened, signals, output)
            with torch.enable_grad():
                signals = signals.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(compute(signals).sum(), signals)
            yield recording, (gradient * signals).sum(2).detach()

    return opened.average(maps())


def occlusion(estimator, X, *, labels=None, output=None):
    """Set parcels to their centre, one after the other, and see what changes.

    It says which parcels, or networks of them, a prediction or an embedding needs (Zeiler and
    Fergus, 2014). It takes as many passes as there are parcels or labels.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor or BrainLMClassifier
        Fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    labels : array of shape (n_parcels,), optional
        Parcels of one label, such as a network, are set to their centre together.
    output : int, or array of shape (embed_dim,), optional
        As in :func:`gradient_times_input`.

    Returns
    -------
    float64 array of shape (n_recordings, n_parcels)
        What is computed from the windows, minus what is computed without the parcel; mean over
        windows, in units of the output. With `labels`, (n_recordings, n_labels) in the order of
        ``numpy.unique(labels)``.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.
    ValueError
        If `labels` is not one label a parcel.

    See Also
    --------
    gradient_times_input : The same question in one pass.
    perturb : What changes elsewhere when parcels are changed.

    Notes
    -----
    What other parcels share with the one that is occluded stays visible.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> occlusion(model, recordings).shape
    (3, 4)
    """
    opened = OpenedEstimator(estimator, X)
    n_parcels = opened.grid.n_parcels
    labels = np.arange(n_parcels) if labels is None else np.asarray(labels)
    if labels.shape != (n_parcels,):
        raise ValueError(f"labels has shape {labels.shape}; expected ({n_parcels},).")
    names, member = np.unique(labels, return_inverse=True)

    def maps():
        """Yield what changes in each window."""
        for recording, signals, _ in opened.windows():
            compute = _computation(opened, signals, output)
            with torch.inference_mode():
                whole = compute(signals)
                changes = []
                for name in range(len(names)):
                    occluded = signals.clone()
                    occluded[:, np.flatnonzero(member == name)] = 0.0
                    changes.append(whole - compute(occluded))
            yield recording, torch.stack(changes, dim=1)

    return opened.average(maps())


def _computation(opened, signals, output):
    """Return what computes one number of each window (B,)."""
    network, autoencoder = opened.network, opened.autoencoder
    if hasattr(network, "forward_features") and (output is None or np.ndim(output) == 0):
        return lambda windows: network(windows)[:, output or 0]
    if output is not None and np.ndim(output) == 0:
        raise ValueError(
            f"output={output!r}: a transformer has no outputs, give a direction of embeddings."
        )
    with torch.inference_mode():
        if output is None:
            latent = encode_all(autoencoder, signals)[:, 0]
            direction = latent - encode_all(autoencoder, torch.zeros_like(signals))[:, 0]
            direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12)
        else:
            direction = torch.as_tensor(np.asarray(output, np.float32), device=signals.device)
            if direction.shape != autoencoder.cls_token.shape[-1:]:
                raise ValueError(
                    f"output has shape {tuple(direction.shape)}; expected "
                    f"({autoencoder.cls_token.shape[-1]},), a direction of CLS embeddings."
                )
    direction = direction.clone()
    return lambda windows: (encode_all(autoencoder, windows)[:, 0] * direction).sum(-1)
