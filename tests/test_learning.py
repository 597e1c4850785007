"""Learning, from recordings that have something to learn.

Not here: the loss of a single step (test_nets.py), what the prior learns by itself (test_prior.py),
real recordings (benchmarks/).
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
        prior=None,
        attention="full",
        embed_dim=32,
        mlp_dim=64,
        decoder_embed_dim=32,
        decoder_mlp_dim=64,
        mask_ratio=0.5,
        max_epochs=80,
        lr=5e-3,
        random_state=0,
    ).fit(cohort(24, seed=0))
    for loss in ("train_loss", "valid_loss"):
        losses = [row[loss] for row in model.history_]
        assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert model.score(cohort(8, seed=1)) > 0.3


def test_training_improves_on_the_closed_form_for_people_who_differ():
    """Each person mixes the three signals into parcels in a way that is half their own."""
    common = np.random.default_rng(7).standard_normal((12, 3))

    def people(n_people, seed):
        rng = np.random.default_rng(seed)
        return [
            x[:, ::4] @ (common + rng.standard_normal((12, 3))).T + 0.5 * rng.normal(size=(60, 12))
            for x in cohort(n_people, seed)
        ]

    model = BrainLMTransformer(
        window_length=40, patch_length=5, mask_ratio=0.5, max_epochs=4, random_state=0
    ).fit(people(24, seed=0))
    learned = model.score(people(8, seed=1))
    model.net_.module_.close()
    assert learned > model.score(people(8, seed=1)) + 0.1
