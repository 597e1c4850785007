"""Recordings, an estimator of each kind small enough to fit in tests, and what faults do."""

import numpy as np

from sklearn_brainlm import BrainLMRegressor, BrainLMTransformer, GaussianReconstructor

N_PARCELS = 24
LENGTHS = (80, 64, 71, 60, 93, 76)
WINDOWS = {"window_length": 40, "patch_length": 20}
TINY = {"embed_dim": 8, "depth": 1, "n_heads": 2, "max_epochs": 1, "random_state": 0}


def make_recordings(lengths=LENGTHS, n_parcels=N_PARCELS, seed=0):
    """Return float32 recordings (T, P) that are smooth in time, about 100 as BOLD may be."""
    rng = np.random.default_rng(seed)
    made = []
    for n_timepoints in lengths:
        noise = rng.standard_normal((n_timepoints + 4, n_parcels + 1))
        smooth = sum(noise[i : n_timepoints + i] for i in range(5))
        made.append((100 + smooth[:, 1:] + smooth[:, :1]).astype(np.float32))
    return made


def with_value(recording, value, timepoint=7, parcel=3, dtype=np.float32):
    """Return a copy of a recording with one value replaced."""
    changed = recording.astype(dtype)
    changed[timepoint, parcel] = value
    return changed


def gaussian(**parameters):
    """Return an estimator without a network."""
    return GaussianReconstructor(**{**WINDOWS, **parameters})


def transformer(**parameters):
    """Return a small BrainLMTransformer."""
    decoder = {"decoder_embed_dim": 8, "decoder_depth": 1, "decoder_n_heads": 2}
    return BrainLMTransformer(**{**WINDOWS, **TINY, **decoder, **parameters})


def regressor(**parameters):
    """Return a small BrainLMRegressor."""
    return BrainLMRegressor(**{**WINDOWS, **TINY, **parameters})


def target(recordings):
    """Return a number for each recording."""
    return np.linspace(20, 60, len(recordings))
