"""Recordings scaled when they are read: the values of those scaled at once, and never all."""

import numpy as np
import pytest

from sklearn_brainlm import BrainLMTransformer, InvalidRecordingError, RecordingScaler, scaling
from sklearn_brainlm.pretraining.prior import cross_fit
from sklearn_brainlm.scaling import ScaledRecordings, scale_all


@pytest.fixture
def raw():
    rng = np.random.default_rng(0)
    return [rng.normal(100, 5, (n, 6)).astype(np.float32) for n in (80, 60, 90, 70)]


@pytest.fixture
def scaler(raw):
    return RecordingScaler(clip=4.0).fit(raw)


def test_values_are_those_of_the_scaler(raw, scaler):
    for made, expected in zip(ScaledRecordings(raw, scaler), scaler.transform(raw), strict=True):
        np.testing.assert_array_equal(made, expected)


def test_some_recordings_and_some_parcels(raw, scaler):
    part = ScaledRecordings(raw, scaler).take([3, 1]).keep_parcels(np.array([4, 0]))
    assert len(part) == 2
    np.testing.assert_array_equal(part[1], scaler.transform(raw)[1][:, [4, 0]])


def test_a_value_too_large_is_named_when_it_is_read(raw):
    scaler = RecordingScaler().fit(raw)
    raw[2] = raw[2].astype(np.float64)
    raw[2][5, 1] = 1e41
    scaled = ScaledRecordings(raw, scaler)
    assert np.isfinite(scaled[0]).all()
    with pytest.raises(InvalidRecordingError, match=r"recording 2 .*too large for dtype.*clip"):
        scaled[2]


def test_what_fits_in_memory_is_scaled_once(raw, scaler, monkeypatch):
    assert isinstance(scale_all(raw, scaler), list)
    monkeypatch.setattr(scaling, "_IN_MEMORY", 100)
    assert isinstance(scale_all(raw, scaler), ScaledRecordings)


@pytest.mark.parametrize("coords", [None, np.random.default_rng(1).uniform(-60, 60, (6, 3))])
def test_the_closed_form_is_the_same_to_the_last_digit(raw, scaler, coords):
    made = cross_fit(ScaledRecordings(raw, scaler), np.arange(4), [3], coords)
    expected = cross_fit(scaler.transform(raw), np.arange(4), [3], coords)
    for one, other in zip([made[0], *made[1]], [expected[0], *expected[1]], strict=True):
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values)
    np.testing.assert_array_equal(made[2], expected[2])


def test_of_very_many_recordings_some_are_used(raw, monkeypatch):
    monkeypatch.setattr("sklearn_brainlm.pretraining.prior._MOST_RECORDINGS", 2)
    scaled = RecordingScaler().fit_transform(raw)
    made, _, _ = cross_fit(scaled, np.zeros(4), [])
    expected, _, _ = cross_fit([scaled[0], scaled[2]], np.zeros(2), [])
    np.testing.assert_array_equal(made["covariance"], expected["covariance"])


def test_a_transformer_learns_the_same_from_what_it_reads_again(raw, monkeypatch):
    sizes = {"window_length": 40, "patch_length": 10, "embed_dim": 8, "max_epochs": 1}
    expected = BrainLMTransformer(**sizes, random_state=0).fit(raw).history_[0]["train_loss"]
    monkeypatch.setattr(scaling, "_IN_MEMORY", 100)
    made = BrainLMTransformer(**sizes, random_state=0).fit(raw).history_[0]["train_loss"]
    assert made == expected
