"""In-silico perturbation, against the closed form, where the answer is a regression."""

import numpy as np
import pytest

from sklearn_brainlm import BrainLMClassifier, BrainLMTransformer, GaussianReconstructor
from sklearn_brainlm.perturbation import perturb


@pytest.fixture
def gaussian(recordings):
    return GaussianReconstructor(window_length=30, temporal=False, adaptive=False).fit(recordings)


def scaled(model, recordings):
    """Scaled recordings, and the sd of their parcels."""
    made = model.scaler_.transform(recordings)
    return made, np.stack([recording.std(axis=0) for recording in made])


def test_adding_moves_others_by_their_regression_on_what_is_perturbed(gaussian, recordings):
    """One part: all others are hidden, so the answer is the regression on the perturbed ones."""
    parcels = [1, 6]
    made = perturb(gaussian, recordings, parcels, amount=1.5, n_folds=1)
    _, sd = scaled(gaussian, recordings)
    hidden = np.setdiff1d(np.arange(12), parcels)
    rng = np.random.default_rng(0)
    # What the closed form makes of 1 in each: by differences of its own reconstructions.
    window = rng.standard_normal((1, 30, 12)).astype(np.float32)
    masked = np.zeros(window.shape, bool)
    masked[:, :, hidden] = True
    base = gaussian.reconstruct_windows(window, masked)
    slopes = []
    for parcel in parcels:
        moved = window.copy()
        moved[:, :, parcel] += 1
        slopes.append((gaussian.reconstruct_windows(moved, masked) - base)[0, 0, hidden])
    expected = 1.5 * sd[:, parcels] @ np.array(slopes) / sd[:, hidden]
    np.testing.assert_allclose(made.response[:, hidden], expected, rtol=1e-3, atol=1e-4)
    covariance = np.cov(np.concatenate(scaled(gaussian, recordings)[0]).T)
    regression = np.linalg.solve(
        covariance[np.ix_(parcels, parcels)], covariance[np.ix_(parcels, hidden)]
    )
    assert np.corrcoef(np.ravel(slopes), regression.ravel())[0, 1] > 0.95
    np.testing.assert_allclose(made.effect, made.response.mean(axis=0))
    assert np.isnan(made.effect[parcels]).all()


def test_scaling_by_one_and_adding_nothing_change_nothing(gaussian, recordings):
    for change, amount in (("scale", 1.0), ("add", 0.0)):
        made = perturb(gaussian, recordings, [0], change=change, amount=amount)
        np.testing.assert_allclose(np.nan_to_num(made.response), 0, atol=1e-5)


def test_silence_is_scaling_by_zero_and_quietens_the_network(gaussian, recordings):
    network = [0, 1, 2]  # parcel 3 is the fourth of it
    silent = perturb(gaussian, recordings, network, change="silence", random_state=0)
    zero = perturb(gaussian, recordings, network, change="scale", amount=0.0, random_state=0)
    np.testing.assert_array_equal(silent.response, zero.response)
    loud = perturb(gaussian, recordings, network, change="scale", amount=2.0, random_state=0)
    assert silent.effect[3] < -0.3
    assert silent.effect[3] == np.nanmin(silent.effect)
    assert loud.effect[3] > 0.3


def test_null_finds_the_network_and_follows_the_seed(gaussian, recordings):
    how = {"n_null": 25, "n_folds": 2, "random_state": 0}
    made = perturb(gaussian, recordings[2:4], [0, 1, 2], **how)
    again = perturb(gaussian, recordings[2:4], [0, 1, 2], **how)
    np.testing.assert_array_equal(made.null, again.null)
    assert np.nanargmin(made.p_value) == 3
    sizes = np.abs(made.null[~np.isnan(made.null[:, 3]), 3])
    reached = (sizes >= abs(made.effect[3])).sum()
    assert made.p_value[3] == (reached + 1) / (len(sizes) + 1) < 0.2
    assert np.isnan(made.p_corrected[:3]).all()
    others = made.p_corrected[4:]
    assert (others > 0.1).all()
    assert (made.p_corrected[3:] >= 1 / 26).all()
    assert np.isnan(made.null).sum(axis=1).tolist() == [3] * 25


def test_network_and_patches_of_several_parcels(recordings):
    model = BrainLMTransformer(
        window_length=40,
        patch_length=10,
        parcels_per_patch=3,
        embed_dim=16,
        prior=None,
        max_epochs=1,
        random_state=0,
    ).fit(recordings)
    marks = np.arange(12) == 4
    made = perturb(model, recordings[:2], marks, n_folds=2)
    # The neighbours in its patch have to stay visible.
    assert np.flatnonzero(np.isnan(made.effect)).tolist() == [3, 4, 5]
    assert np.nanmax(np.abs(made.effect)) > 0
    assert np.isnan(made.p_value).all()


def test_recordings_are_left_as_they_were(gaussian, recordings):
    copies = [recording.copy() for recording in recordings]
    perturb(gaussian, recordings, [0], change="silence")
    for recording, copy in zip(recordings, copies, strict=True):
        np.testing.assert_array_equal(recording, copy)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"parcels": [12]}, "0 to 11"),
        ({"parcels": []}, "at least one"),
        ({"parcels": [True, False]}, "marks"),
        ({"parcels": list(range(12))}, "nothing is left"),
        ({"change": "invert"}, "'invert'"),
        ({"amount": np.nan}, "finite"),
        ({"n_folds": 0}, "n_folds"),
        ({"n_null": -1}, "n_null"),
    ],
)
def test_what_means_nothing_is_refused(parameters, message, gaussian, recordings):
    with pytest.raises(ValueError, match=message):
        perturb(gaussian, recordings, **{"parcels": [0], **parameters})


def test_estimators_that_do_not_reconstruct_are_refused(recordings):
    with pytest.raises(TypeError, match="encoder_"):
        perturb(BrainLMClassifier(), recordings, [0])
