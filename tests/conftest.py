"""Small recordings every test can use, built in one place.

Nothing here imports the package, torch or scikit-learn, so that the tests of the import time
and of the pure NumPy modules stay light.
"""

import os
from pathlib import Path

import numpy as np
import pytest

N_PARCELS = 12
N_NETWORKS = 3
N_TIMEPOINTS = (100, 80, 60, 93, 71, 64)


def _autocorrelated(rng, n_timepoints, n_signals, memory=0.7):
    """Return unit-variance first-order autoregressive signals (n_timepoints, n_signals)."""
    signals = rng.standard_normal((n_timepoints, n_signals))
    for t in range(1, n_timepoints):
        signals[t] = memory * signals[t - 1] + np.sqrt(1 - memory**2) * signals[t]
    return signals


@pytest.fixture
def recordings():
    """Six seeded float32 recordings (60 to 100 timepoints, 12 parcels) of three networks.

    The parcels of a network share a signal, every signal is autocorrelated, and parcels differ
    in baseline and amplitude, as BOLD does. Fresh arrays for every test.
    """
    rng = np.random.default_rng(0)
    network = np.repeat(np.arange(N_NETWORKS), N_PARCELS // N_NETWORKS)
    baseline = rng.uniform(-5, 5, N_PARCELS)
    amplitude = rng.uniform(0.5, 3.0, N_PARCELS)
    made = []
    for n_timepoints in N_TIMEPOINTS:
        shared = _autocorrelated(rng, n_timepoints, N_NETWORKS)[:, network]  # (T, P)
        own = _autocorrelated(rng, n_timepoints, N_PARCELS)  # (T, P)
        signals = np.sqrt(0.6) * shared + np.sqrt(0.4) * own
        made.append((baseline + amplitude * signals).astype(np.float32))
    return made


@pytest.fixture
def parcel_coords():
    """Return MNI coordinates (12 parcels, 3) in mm; the parcels of a network lie together."""
    rng = np.random.default_rng(1)
    centres = np.array([[-40.0, -20.0, 50.0], [10.0, -85.0, 5.0], [45.0, 30.0, -5.0]])
    spread = rng.normal(scale=8.0, size=(N_PARCELS, 3))
    return np.repeat(centres, N_PARCELS // N_NETWORKS, axis=0) + spread


@pytest.fixture(scope="session")
def recordings_folder():
    """Return the folder of real datasets named by BRAINLM_RECORDINGS, or skip.

    Each dataset in it is a folder with participants.tsv, parcels.tsv and one .npy a recording.
    """
    named = os.environ.get("BRAINLM_RECORDINGS")
    if not named:
        pytest.skip("BRAINLM_RECORDINGS is not set: no real recordings to test on")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"BRAINLM_RECORDINGS names {folder}, which is not a folder")
    return folder
