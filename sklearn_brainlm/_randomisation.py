"""Whether a map depends on what a network learned: the same map after its weights are drawn."""

import copy

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.utils import Bunch

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._opened import OpenedEstimator
from sklearn_brainlm.devices import forked_rng

__all__ = ["randomisation_check", "randomise_weights"]


def randomise_weights(estimator, *, random_state=None):
    """Return a copy of a fitted estimator whose learned weights are shuffled.

    It is the control for maps and embeddings: how large the weights of each tensor are stays, so
    that what changes is what was learned, and not the scale of the network.

    Parameters
    ----------
    estimator : BrainLMTransformer, BrainLMRegressor, BrainLMClassifier or BrainLMForecaster
        Fitted; it stays as it is.
    random_state : int, RandomState or None, default=None
        Seed of the shuffle.

    Returns
    -------
    estimator of the same class
        Fitted, scaling and input contract as they were, every tensor of weights shuffled in itself.

    See Also
    --------
    randomisation_check : Compares maps with those of such networks.

    Notes
    -----
    A shuffle needs no rule by which weights were drawn once, which nobody published for the
    released ones. The closed form of a prior stays.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> randomised = randomise_weights(model, random_state=0)
    >>> bool(np.allclose(randomised.transform(recordings), model.transform(recordings)))
    False
    """
    randomised = copy.deepcopy(estimator)
    module = randomised.net_.module_
    with forked_rng(draw_seed(random_state), "cpu"), torch.no_grad():
        for name, weight in module.named_parameters():
            if name.startswith("prior.") or ".prior." in name:
                continue
            order = torch.randperm(weight.numel()).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    encoder = getattr(randomised, "encoder_", None)
    if encoder is not None and encoder.net_.module_ is not module.autoencoder:
        encoder.net_.module_.load_state_dict(module.autoencoder.state_dict())
    return randomised


def randomisation_check(method, estimator, X, *, n_draws=5, random_state=None, **parameters):
    """Compare a map with the same map of networks that learned nothing.

    The sanity check for saliency maps of Adebayo et al. (2018). Correlations near one say that the
    map shows the recordings, or the architecture, and not what was learned.

    Parameters
    ----------
    method : callable
        Such as :func:`parcel_attention`: ``method(estimator, X, **parameters)`` returns an array
        (n_recordings, n_parcels).
    estimator : BrainLMTransformer, BrainLMRegressor, BrainLMClassifier or BrainLMForecaster
        Fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    n_draws : int, default=5
        Networks with shuffled weights.
    random_state : int, RandomState or None, default=None
        Seed of the shuffles.
    **parameters : dict
        Parameters of the method.

    Returns
    -------
    Bunch
        ``correlations`` (n_draws,), the rank correlation over parcels of the mean map with that of
        each shuffled network; ``map`` (n_parcels,) and ``randomised_maps`` (n_draws, n_parcels),
        means over recordings.

    Raises
    ------
    TypeError
        If the estimator has no encoder with attention.

    See Also
    --------
    randomise_weights : Makes such a network.
    parcel_attention : A map to check.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> from sklearn_brainlm.attention import parcel_attention
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> randomisation_check(parcel_attention, model, recordings, n_draws=2).correlations.shape
    (2,)
    """
    OpenedEstimator(estimator, X)
    seeds = np.random.default_rng(draw_seed(random_state)).integers(2**31 - 1, size=n_draws)
    learned = method(estimator, X, **parameters).mean(axis=0)
    maps = np.stack(
        [
            method(randomise_weights(estimator, random_state=int(seed)), X, **parameters).mean(0)
            for seed in seeds
        ]
    )
    correlations = np.array([spearmanr(learned, drawn).statistic for drawn in maps])
    return Bunch(correlations=correlations, map=learned, randomised_maps=maps)
