"""Learning, from recordings that have something to learn.

Not here: the loss of a single step (test_nets.py), real recordings (benchmarks/).
"""

import numpy as np

from sklearn_brainlm import BrainLMTransformer

CENTRES = np.array([[-40.0, -20.0, 50.0], [10.0, -85.0, 5.0], [45.0, 30.0, -5.0]])  # MNI mm


def cohort(n_recordings, seed):
    """Recordings of three networks of four parcels that share an autocorrelated signal."""
    rng = np.random.default_rng(seed)
    recordings = []
    for _ in range(n_recordings):
        shared = rng.standard_normal((60, 3))
        for t in range(1, 60):
            shared[t] = 0.7 * shared[t - 1] + np.sqrt(1 - 0.7**2) * shared[t]
        recordings.append(np.repeat(shared, 4, axis=1) + 0.3 * rng.standard_normal((60, 12)))
    return recordings


def test_masked_patches_of_other_people_are_predicted_better_than_by_their_mean():
    """What is masked in a parcel can be read off the parcels of its network."""
    model = BrainLMTransformer(
        parcel_coords=np.repeat(CENTRES, 4, axis=0)
        + np.random.default_rng(5).normal(scale=8.0, size=(12, 3)),
        window_length=40,
        patch_length=5,
        mask_ratio=0.5,
        max_epochs=60,
        windows_per_recording=2,
        batch_size=8,
        lr=3e-3,
        random_state=0,
    ).fit(cohort(24, seed=0))
    for loss in ("train_loss", "valid_loss"):
        losses = [row[loss] for row in model.history_]
        assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert model.score(cohort(8, seed=1)) > 0.3
