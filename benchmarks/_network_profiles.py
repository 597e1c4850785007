"""What is known of each parcel of a window: one array (n_parcels, n_features) a recording.

Functions take recordings (n_timepoints, n_parcels). Nobody looks at networks here.
"""

import numpy as np
import torch
from sklearn.preprocessing import normalize, scale

from sklearn_brainlm.modules.prior import TABLE_SCALE
from sklearn_brainlm.modules.stationary import second_moment
from sklearn_brainlm.modules.visible import group_timepoints

N_LOADINGS = 40
N_COMPONENTS = 20
COORDS_WEIGHT = 0.8


def remove_global_signal(recording):
    """Take off the mean over parcels at each timepoint."""
    recording = np.asarray(recording, dtype=np.float32)
    return recording - recording.mean(axis=1, keepdims=True)


def correlate(recording):
    """Return the correlations of parcels, (n_parcels, n_parcels)."""
    return np.nan_to_num(np.corrcoef(np.asarray(recording, dtype=np.float64).T))


def unit_rows(profile, *, centred=False):
    """Bring profiles to unit length: distances between them are then cosine distances."""
    profile = np.asarray(profile, dtype=np.float64)
    return normalize(profile - profile.mean(axis=1, keepdims=True) if centred else profile)


def center_parcels(profile):
    """Take off what all parcels have in common."""
    return np.asarray(profile, dtype=np.float64) - np.mean(profile, axis=0, dtype=np.float64)


def loadings(recording, n_components=N_LOADINGS):
    """Return loadings on the first principal components, the global signal removed."""
    series = scale(remove_global_signal(recording).astype(np.float64))
    _, values, vectors = np.linalg.svd(series, full_matrices=False)
    return unit_rows((vectors * values[:, None])[:n_components].T)


def group_connectivity(recordings):
    """Return the correlations of parcels, averaged over people, without the diagonal."""
    mean = np.mean([correlate(recording) for recording in recordings], axis=0)
    np.fill_diagonal(mean, 0.0)
    return mean


def group_components(recordings, n_components=N_COMPONENTS):
    """Return loadings on the first components of the average connectivity of people."""
    mean = np.mean([correlate(remove_global_signal(x)) for x in recordings], axis=0)
    values, vectors = np.linalg.eigh(mean)
    leading = vectors[:, ::-1][:, :n_components]
    return unit_rows(leading * np.sqrt(np.maximum(values[::-1][:n_components], 0)))


def mirrored(coords):
    """Return distance from the midline, y and z."""
    return np.column_stack([np.abs(coords[:, 0]), coords[:, 1:]])


def with_coordinates(profile, coords, weight=COORDS_WEIGHT):
    """Put coordinates beside profiles: squared distances add up, on average one and `weight`."""
    return np.column_stack([_spread(profile), np.sqrt(weight) * _spread(mirrored(coords))])


def tokens(model, recording):
    """Return what the encoder makes of the patches of each parcel, side by side."""
    signals, ids = _one_window(model, recording)
    latent = model.net_.encode(signals.numpy(), ids.numpy())[0, 1:]
    return unit_rows(center_parcels(latent.reshape(signals.shape[1], -1)))


def attention(model, recording):
    """Return attention of each parcel to the others, and of the others to it.

    In the last block, the mean over heads and patch columns.
    """
    signals, ids = _one_window(model, recording)
    module = model.net_.module_.eval()
    found = []

    def look(layer, inputs, options, _):
        """Compute the weights that a layer keeps to itself."""
        found.append(layer.forward(*inputs, **options, return_attention=True)[1])

    block = module.encoder[-1]
    hook = block.parcel_attention.register_forward_hook(look, with_kwargs=True)
    try:
        with torch.no_grad():
            module.forward_encoder(signals, ids)
    finally:
        hook.remove()
    between = found[0].mean((0, 1))[1:, 1:].double().numpy()  # without the CLS token
    return unit_rows(np.column_stack([between, between.T]))


@torch.no_grad()
def adapt(model, recording):
    """Let the closed form of a model adapt to the person, with all that there is visible.

    Returns how components mix into parcels, (P, P), and the variance of what it takes for noise.
    """
    signals, _ = _one_window(model, recording)
    prior, window = model.net_.module_.prior.eval(), signals[0].T
    group, covariance, *_ = prior._group(-1, signals)
    seen = torch.ones(1, window.shape[1], dtype=torch.bool)
    patterns = group_timepoints(seen, torch.ones(len(window), dtype=torch.bool))
    powers, n_recorded = prior._powers(patterns.shown.mean()), patterns.n_recorded
    ridge = prior.ridge * torch.exp(TABLE_SCALE * powers @ prior.ridges)
    weight = n_recorded / (prior.prior_weight + n_recorded)
    for step in range(2):
        inverses = patterns.invert(covariance, ridge[step])
        completed = patterns.complete(covariance, inverses, window)
        moment = second_moment(*completed, n_recorded)
        mixing = prior._adapt(group, step, moment, weight, powers)
        covariance = mixing @ mixing.T
    return mixing.double().numpy(), float(ridge[2])


def components(model, n_components=N_COMPONENTS):
    """Return how the leading components of a model mix into parcels before it adapts."""
    return unit_rows(model.prior_["colouring"][:, :n_components])


def person_components(model, recording, n_components=N_COMPONENTS):
    """Return how the leading components of a model mix into parcels, adapted to the person."""
    return unit_rows(adapt(model, recording)[0][:, :n_components])


def reconstruction_weights(model, recording):
    """Return how much a model goes by each other parcel when it fills one in."""
    mixing, ridge = adapt(model, recording)
    covariance = mixing @ mixing.T
    return unit_rows(np.linalg.solve(covariance + ridge * np.eye(len(covariance)), covariance).T)


def _one_window(model, recording):
    """Return a recording as a window of whole patches, and all of its tokens, as tensors."""
    scaled = model.scaler_.transform([remove_global_signal(recording)])[0]
    scaled = scaled[: len(scaled) // model.patch_length * model.patch_length]
    signals = torch.as_tensor(np.ascontiguousarray(scaled.T))[None]
    n_tokens = signals.shape[1] * signals.shape[2] // model.patch_length
    return signals, torch.arange(n_tokens)[None]


def _spread(profile):
    """Scale profiles so that their mean squared distance is one."""
    profile = center_parcels(profile)
    return profile / np.sqrt(2 * np.mean(np.sum(profile**2, axis=1)))
