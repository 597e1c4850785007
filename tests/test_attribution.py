"""What depends on each parcel, against numerical derivatives, and on what was learned.

Maps of attention are in test_attention.py.
"""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from test_attention import train

from sklearn_brainlm import BrainLMRegressor
from sklearn_brainlm.attention import (
    gradient_times_input,
    occlusion,
    parcel_attention,
    randomisation_check,
    randomise_weights,
)


@pytest.fixture
def plain(recordings):
    return train(recordings, attention="full")


def test_gradient_times_input_is_the_derivative_along_the_input(plain, recordings):
    direction = np.linspace(-1, 1, 16)
    window = recordings[0][:40]
    found = gradient_times_input(plain, [window], output=direction)
    scaled = torch.tensor(plain.scaler_.scale_window(window).T.copy()).double()[None]
    module = plain.net_.module_.double()
    step = 1e-5
    for parcel in (0, 7):
        moved = []
        for sign in (1, -1):
            changed = scaled.clone()
            changed[:, parcel] *= 1 + sign * step
            latent = module.forward_encoder(changed, torch.arange(48)[None])
            moved.append(float(latent[0, 0].detach() @ torch.tensor(direction)))
        slope = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(found[0, parcel], slope, rtol=1e-3, atol=1e-5)
    module.float()


def test_occlusion_is_the_difference_to_a_window_without_the_parcel(plain, recordings):
    direction = np.ones(16)
    direction[::2] = -1
    window = recordings[0][:40]
    silent = window.copy()
    silent[:, [2, 5]] = plain.scaler_.center_[[2, 5]]
    silent[::2, [2, 5]] *= 1 + 1e-6  # parcels that do not vary at all are refused
    labels = np.zeros(12, dtype=int)
    labels[[2, 5]] = 1
    found = occlusion(plain, [window], labels=labels, output=direction)
    expected = (plain.transform([window]) - plain.transform([silent])) @ direction
    np.testing.assert_allclose(found[0, 1], expected[0], rtol=1e-4)
    assert occlusion(plain, [window]).shape == (1, 12)


def test_shuffled_weights_leave_the_model_alone(plain, recordings):
    before = parcel_attention(plain, recordings)
    drawn = randomise_weights(plain, random_state=1)
    np.testing.assert_array_equal(parcel_attention(plain, recordings), before)
    again = randomise_weights(plain, random_state=1)
    other = parcel_attention(drawn, recordings)
    np.testing.assert_array_equal(other, parcel_attention(again, recordings))
    assert not np.allclose(other, before)
    for old, new in zip(
        plain.net_.module_.parameters(), drawn.net_.module_.parameters(), strict=True
    ):
        np.testing.assert_allclose(
            old.detach().flatten().sort()[0], new.detach().flatten().sort()[0]
        )


def test_check_tells_a_map_of_the_recordings_from_one_of_the_weights(plain, recordings):
    def variances(estimator, X):
        return np.stack([recording.var(axis=0) for recording in X])

    check = randomisation_check(variances, plain, recordings, n_draws=2, random_state=0)
    np.testing.assert_allclose(check.correlations, 1)
    check = randomisation_check(parcel_attention, plain, recordings, n_draws=3, random_state=0)
    assert (np.abs(check.correlations) < 0.99).all()
    assert check.randomised_maps.shape == (3, 12)


def test_a_linear_predictor_is_taken_apart_completely(plain, recordings):
    """Of one whose network is linear in the window, attributions sum to what it predicts."""
    predictor = fit_regressor(plain, recordings)
    network = predictor.net_.module_
    network.forward_features = lambda signals: signals.flatten(1)[:, :16]
    window = recordings[0][:40]
    scaled = torch.tensor(predictor.scaler_.scale_window(window).T.copy())[None]
    with torch.no_grad():
        expected = network(scaled) - network(torch.zeros_like(scaled))
    expected = float(expected[0, 0])
    for attribute in (gradient_times_input, occlusion):
        found = attribute(predictor, [window])
        np.testing.assert_allclose(found.sum(), expected, rtol=1e-3, atol=1e-5)
        assert not found[0, 1:].any()


def test_outputs_of_predictors(plain, recordings):
    predictor = fit_regressor(plain, recordings)
    for attribute in (gradient_times_input, occlusion):
        first, second = (attribute(predictor, recordings[:2], output=i) for i in (0, 1))
        np.testing.assert_array_equal(attribute(predictor, recordings[:2]), first)
        assert np.abs(first - second).max() > 0


def fit_regressor(plain, recordings):
    """Fit one of two targets."""
    y = np.random.default_rng(0).standard_normal((6, 2))
    weights = FrozenEstimator(plain)
    regressor = BrainLMRegressor(weights=weights, pooling="cls", max_epochs=1, random_state=0)
    return regressor.fit(recordings, y)


def test_what_does_not_fit_is_refused(plain, recordings):
    with pytest.raises(ValueError, match=r"expected \(16,\)"):
        gradient_times_input(plain, recordings, output=np.ones(3))
    with pytest.raises(ValueError, match="no outputs"):
        occlusion(plain, recordings, output=1)
    with pytest.raises(ValueError, match="labels has shape"):
        occlusion(plain, recordings, labels=[1, 2])
