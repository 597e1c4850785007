"""What is measured on one recording, against NumPy or a case whose answer is known."""

import numpy as np
import pytest

from sklearn_brainlm._spectra import power_by_band
from sklearn_brainlm._values import count_broken, find_truncation
from sklearn_brainlm.diagnosis.parcel_order import closeness, connectivity, score_order
from sklearn_brainlm.diagnosis.symptoms import power_below
from sklearn_brainlm.diagnosis.vitals import looks_transposed, take_vitals


def test_location_and_spread_are_those_of_numpy(recordings):
    recording = recordings[0].astype(np.float16)
    vitals = take_vitals(recording, n_bands=8)
    values = recording.astype(np.float64)
    np.testing.assert_allclose(vitals.mean, values.mean(axis=0))
    np.testing.assert_allclose(vitals.sd, values.std(axis=0))
    np.testing.assert_allclose(vitals.median, np.median(values, axis=0))
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    np.testing.assert_allclose(vitals.iqr, high - low)
    np.testing.assert_array_equal(vitals.shares, power_by_band([values], 8))


def test_a_constant_that_is_rounded_is_dead():
    recording = np.random.default_rng(0).standard_normal((50, 3))
    recording[:, 1] = 9400 + 1e-6 * recording[:, 1]
    vitals = take_vitals(recording, n_bands=4)
    np.testing.assert_array_equal(vitals.dead, [False, True, False])
    assert vitals.shares.sum() == pytest.approx(1)


def test_the_start_knows_neither_scale_nor_offset_nor_what_follows(recordings):
    gains = np.linspace(0.1, 5, recordings[0].shape[1])
    one = take_vitals(recordings[0], 4).start
    assert one @ take_vitals((gains * recordings[0] + 7)[:50], 4).start == pytest.approx(1)
    assert abs(one @ take_vitals(recordings[1], 4).start) < 0.6
    assert not take_vitals(np.ones((50, 3)), 4).start.any()


def test_broken_values_are_counted():
    recording = np.zeros((300000, 2))
    recording[299999, 1] = np.nan
    recording[270000] = [-np.inf, 1e39]
    assert count_broken(recording) == (1, 2, (270000, 0))
    assert count_broken(recording[:1000].astype("i2")) == (0, 0, None)


def test_truncated_files(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100, 3)))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert find_truncation(mapped) is None
    assert find_truncation(np.zeros(3)) is None
    with open(tmp_path / "x.npy", "r+b") as file:
        file.truncate(1000)
    assert find_truncation(mapped) == (1000, 2528)
    assert find_truncation(np.asarray(mapped)[50:]) == (1000, 2528)  # a view, as stores give


@pytest.mark.parametrize("change", ["mean removed", "baselines", "smooth"])
def test_transposed_recordings(change):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((91, 90))
    recording = noise[1:] + noise[:-1] + rng.standard_normal((90, 1))
    if change == "mean removed":
        recording -= recording.mean(axis=0)
    if change == "baselines":
        recording += rng.uniform(100, 200, 90)
    assert not looks_transposed(recording)
    assert looks_transposed(recording.T)


def test_noise_is_not_called_transposed():
    noise = np.random.default_rng(0).standard_normal((60, 60))
    assert not looks_transposed(noise)
    assert not looks_transposed(noise.T)
    assert not looks_transposed(np.ones((5, 5)))


def test_power_below_is_linear_within_bands():
    power = power_below(np.array([0.5, 0.3, 0.2]), 0.3, np.array([0.0, 0.05, 0.1, 0.25, 0.3]))
    np.testing.assert_allclose(power, [0, 0.25, 0.5, 0.9, 1.0])


def test_connectivity_is_that_of_what_parcels_do_not_share(recordings):
    recording = recordings[0].astype(np.float64)
    z = (recording - recording.mean(axis=0)) / recording.std(axis=0)
    shared = z.mean(axis=1, keepdims=True)
    residual = z - shared @ np.linalg.lstsq(shared, z, rcond=None)[0]
    expected = np.corrcoef(residual.T)
    pairs = np.triu_indices(len(expected), 1)
    observed = connectivity(recording)
    assert np.corrcoef(observed[pairs], expected[pairs])[0, 1] == pytest.approx(1)
    np.testing.assert_allclose([observed.sum(), np.trace(observed)], 0, atol=1e-5)
    assert (observed**2).sum() == pytest.approx(1)
    assert np.isfinite(connectivity(np.ones((30, 4)))).all()


def test_score_is_a_correlation_over_pairs():
    rng = np.random.default_rng(0)
    near, other = closeness(rng.uniform(-70, 70, (30, 3))), closeness(rng.uniform(-70, 70, (30, 3)))
    pairs = np.triu_indices(30, 1)
    score = score_order(near, other)
    assert score.given == pytest.approx(np.corrcoef(near[pairs], other[pairs])[0, 1], abs=1e-5)
    assert not score.is_right
    right = score_order(near, near)
    assert right.is_right
    assert right.given == pytest.approx(1, abs=1e-5)
    # Shuffles of 435 pairs, of which those of a parcel move together.
    assert 0.03 < right.spread < 0.15


@pytest.mark.parametrize(
    ("order", "named"),
    [
        (np.roll(np.arange(30), 1), "put in front"),
        (np.roll(np.arange(30), -1), "first was lost"),
        (np.arange(30)[::-1], "reverse"),
        (np.arange(30).reshape(2, 15).T.ravel(), "columns alternate"),
        (np.r_[0:30:2, 1:30:2], "coordinates alternate"),
    ],
)
def test_simple_orders_are_named(order, named):
    near = closeness(np.random.default_rng(0).uniform(-70, 70, (30, 3)))
    score = score_order(near[np.ix_(order, order)], near)
    assert not score.is_right
    assert named in score.better
