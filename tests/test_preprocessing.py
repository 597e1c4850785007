"""Scaling against scikit-learn's scalers.

What every estimator that takes recordings does is in test_common.py.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils import get_tags

from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    DataQualityWarning,
    InvalidRecordingError,
)
from sklearn_brainlm.preprocessing import RecordingScaler, standardize_recordings

TRUSTED = {"robust": RobustScaler, "standard": StandardScaler}


def center_of(trusted):
    return trusted.center_ if isinstance(trusted, RobustScaler) else trusted.mean_


# --- RecordingScaler -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", TRUSTED)
@pytest.mark.parametrize("baseline", [0, 10_000])
def test_scaler_is_scikit_learns_on_all_timepoints(recordings, method, baseline):
    recordings = [recording.astype(np.float64) + baseline for recording in recordings]
    trusted = TRUSTED[method]().fit(np.concatenate(recordings))
    scaler = RecordingScaler(method).fit(recordings)
    np.testing.assert_allclose(scaler.center_, center_of(trusted), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, trusted.scale_, rtol=1e-9)
    for found, recording in zip(scaler.transform(recordings), recordings, strict=True):
        assert found.dtype == np.float32 and found.flags.c_contiguous and found.flags.writeable
        np.testing.assert_allclose(found, trusted.transform(recording), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", TRUSTED)
def test_statistics_do_not_depend_on_blocks(monkeypatch, recordings, method):
    whole = RecordingScaler(method).fit(recordings)
    monkeypatch.setattr("sklearn_brainlm.quantiles.blocks._BLOCK_BYTES", 2000)
    monkeypatch.setattr("sklearn_brainlm._values._BLOCK_VALUES", 50)
    blocks = RecordingScaler(method).fit(recordings)
    np.testing.assert_allclose(blocks.center_, whole.center_, rtol=1e-12)
    np.testing.assert_allclose(blocks.scale_, whole.scale_, rtol=1e-12)
    for a, b in zip(blocks.transform(recordings), whole.transform(recordings), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["robust", "legacy"])
def test_one_pass_is_as_good_as_two(recordings, method):
    exact = RecordingScaler(method).fit(recordings)
    quick = RecordingScaler(method, algorithm="histogram", n_jobs=1).fit(recordings)
    iqr = RecordingScaler().fit(recordings).scale_
    unit = iqr if method == "robust" else 1 + np.abs(exact.center_)
    assert (np.abs(quick.center_ - exact.center_) <= 4e-4 * unit).all()
    np.testing.assert_allclose(quick.scale_, exact.scale_, rtol=4e-4)
    assert not np.array_equal(quick.center_, exact.center_)


@pytest.mark.parametrize("algorithm", ["exact", "histogram"])
def test_dead_parcels_are_found_by_either_algorithm(recordings, algorithm):
    for recording in recordings:
        recording[:, 3] = 4000.1
        recording[20:, 7] = 0  # no spread between the quartiles
    with pytest.warns(DataQualityWarning, match=r"2 parcels have no spread.*\(3, 7\)"):
        RecordingScaler(algorithm=algorithm).fit(recordings)


def test_memory_maps_are_scaled_as_arrays_are(recordings, tmp_path):
    for index, recording in enumerate(recordings):
        np.save(tmp_path / f"{index}.npy", recording.astype(np.float16))
    mapped = [np.load(tmp_path / f"{index}.npy", mmap_mode="r") for index in range(6)]
    scaler = RecordingScaler().fit(mapped)
    trusted = RobustScaler().fit(np.concatenate(mapped).astype(np.float64))
    np.testing.assert_allclose(scaler.center_, trusted.center_, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, trusted.scale_, rtol=1e-12)


@pytest.mark.parametrize("method", ["robust", "standard", None])
def test_inverse_transform_brings_recordings_back(recordings, method):
    scaler = RecordingScaler(method).fit(recordings)
    back = scaler.inverse_transform(scaler.transform(recordings))
    for found, recording in zip(back, recordings, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, recording, rtol=1e-5, atol=1e-5)


def test_legacy_subtracts_the_quotient_of_median_and_iqr(recordings):
    recordings = [recording + 3 for recording in recordings]
    low, median, high = np.percentile(np.concatenate(recordings), [25, 50, 75], axis=0)
    scaled = RecordingScaler("legacy", divisor=5.6430855).fit_transform(recordings)
    expected = (recordings[1] - median / (high - low)) / 5.6430855
    np.testing.assert_allclose(scaled[1], expected, rtol=1e-5, atol=1e-6)


def test_divisor_divides_what_is_scaled(recordings):
    plain, divided = (RecordingScaler(divisor=d).fit_transform(recordings) for d in (1.0, 4.0))
    np.testing.assert_allclose(divided[0] * 4, plain[0], rtol=1e-6)
    scaler = RecordingScaler(divisor=4.0).fit(recordings)
    back = scaler.inverse_transform(scaler.transform(recordings))
    np.testing.assert_allclose(back[0], recordings[0], atol=1e-5)


def test_none_leaves_values_as_they_are(recordings):
    scaled = RecordingScaler(None).fit_transform(recordings)
    for found, recording in zip(scaled, recordings, strict=True):
        np.testing.assert_array_equal(found, recording)
        assert not np.shares_memory(found, recording)


@pytest.mark.parametrize("method", TRUSTED)
def test_dead_parcels_are_scaled_to_zero(recordings, method):
    for recording in recordings:
        recording[:, 3] = 0
        recording[:, 7] = 4000.1
    with pytest.warns(DataQualityWarning, match=r"2 parcels have no spread.*\(3, 7\)") as caught:
        scaler = RecordingScaler(method).fit(recordings)
    assert caught[0].filename == __file__
    assert np.flatnonzero(scaler.dead_parcels_).tolist() == [3, 7]
    assert scaler.scale_[[3, 7]].tolist() == [1, 1]
    alive = recordings[0].copy()
    alive[:, 3] = np.arange(len(alive))
    scaled = scaler.transform([alive])
    assert not scaled[0][:, [3, 7]].any()
    for values in (scaled[0], np.full_like(scaled[0], 5)):
        back = scaler.inverse_transform(values)
        np.testing.assert_allclose(back[0][:, [3, 7]], [[0, 4000.1]] * len(alive), rtol=1e-6)


def almost_flat(level):
    """Return a recording whose standard deviations are half and twice what is taken for one."""
    spread = 10 * np.finfo(np.float32).eps * level * np.array([0.5, 2.0])
    return level + np.where(np.arange(40)[:, None] % 2, spread, -spread)


@pytest.mark.parametrize("level", [10.0, 1000.0])
def test_a_spread_that_is_rounding_is_none(level):
    recording = almost_flat(level)
    with pytest.warns(DataQualityWarning, match=r"1 parcels have no spread .* \(0\)"):
        scaler = RecordingScaler("standard").fit(recording)
    assert scaler.dead_parcels_.tolist() == [True, False]
    (standardized,) = standardize_recordings(recording)
    np.testing.assert_allclose(np.abs(standardized), [[0, 1]] * 40, rtol=1e-6)


def test_spikes_in_a_flat_parcel_do_not_explode(recordings):
    for recording in recordings:
        recording[:, 0] = 0
    recordings[0][5, 0] = 1e6  # scikit-learn's RobustScaler returns 1e6 here
    with pytest.warns(DataQualityWarning, match="no spread"):
        scaled = RecordingScaler().fit_transform(recordings)
    assert np.abs(scaled[0]).max() < 10


@pytest.mark.parametrize("method", ["robust", "standard", None])
def test_clip(recordings, method):
    free = RecordingScaler(method).fit_transform(recordings)
    with pytest.warns(DataQualityWarning, match=r"clipped at 0.5 in 6 of 6 recordings \(0, 1, 2"):
        clipped = RecordingScaler(method, clip=0.5).fit_transform(recordings)
    for a, b in zip(clipped, free, strict=True):
        np.testing.assert_array_equal(a, b.clip(-0.5, 0.5))


def test_clip_is_silent_where_little_is_clipped(recordings):
    recordings[2][10, 4] = 1e3
    scaled = RecordingScaler(clip=5.0).fit_transform(recordings)
    assert scaled[2][10, 4] == 5


def test_a_spike_is_never_clipped_in_silence(recordings):
    recordings[2][10, 4] = 1e30
    words = r"1 values were clipped at 5.0 in 1 of 6 recordings \(2; most in recording 2, 1 of 720"
    with pytest.warns(DataQualityWarning, match=words):
        scaled = RecordingScaler(clip=5.0).fit_transform(recordings)
    assert scaled[2][10, 4] == 5


@pytest.mark.parametrize("sign", [1, -1])
def test_a_spike_is_a_hundred_times_the_clip(sign):
    flat = np.tile(np.linspace(-1, 1, 100)[:, None], 5)
    scaler = RecordingScaler(None, clip=2.0).fit(flat)
    flat[40, 3] = 200 * sign
    scaler.transform([flat])
    flat[40, 3] = 200.5 * sign
    with pytest.warns(DataQualityWarning, match="1 values were clipped") as caught:
        scaler.transform([flat])
    assert caught[0].filename == __file__


def test_neither_dead_parcels_nor_a_baseline_are_a_spike(recordings):
    recordings = [recording + 1e4 for recording in recordings]
    for recording in recordings:
        recording[:, 3] = 0
    with pytest.warns(DataQualityWarning, match="no spread"):
        scaler = RecordingScaler("standard", clip=9.0).fit(recordings)
    for recording, value in zip(recordings, (1e6, -1e6), strict=False):
        recording[10, 3] = value
        recording[10, 4] += 50  # beyond the clip
    assert scaler.transform(recordings[:2])[1][10, 3] == 0


def test_one_value_in_a_hundred_may_be_clipped():
    flat = np.tile(np.linspace(-1, 1, 100)[:, None], 5)  # 500 values
    scaler = RecordingScaler(None, clip=2.0).fit(flat)
    flat[10:15, 3] = 3.0
    scaler.transform([flat])
    flat[15, 3] = 3.0
    with pytest.warns(DataQualityWarning, match="6 values were clipped at 2.0 in 1 of 1"):
        scaler.transform([flat])


def test_most_is_clipped_where_it_is_the_largest_part(recordings):
    scaler = RecordingScaler(None, clip=20.0).fit(recordings)
    # 20 of 60 values, 1,000 of 6,000, 300 of 600, none.
    made = [np.ones((n, 12)) for n in (5, 500, 50, 50)]
    for recording, n in zip(made, (20, 1000, 300, 0), strict=True):
        recording.ravel()[:n] = 30
    words = r"1320 values .* in 3 of 4 recordings \(0, 1, 2; most in recording 2, 300 of 600 values"
    with pytest.warns(DataQualityWarning, match=words):
        scaler.transform(made)


def test_a_value_beyond_float32_after_scaling_is_named(recordings):
    scaler = RecordingScaler().fit([recording * 1e-6 for recording in recordings])
    recordings[2][10, 4] = 1e38
    with pytest.raises(InvalidRecordingError, match="recording 2 has a value too large.*set clip"):
        scaler.transform(recordings)
    with pytest.warns(DataQualityWarning, match="clipped"):
        RecordingScaler(clip=5).fit([recordings[0] * 1e-6]).transform(recordings)


def test_scale_window_is_a_part_of_transform(recordings):
    scaler = RecordingScaler(clip=3.0).fit(recordings)
    window = scaler.scale_window(recordings[0][20:50])
    np.testing.assert_array_equal(window, scaler.transform(recordings)[0][20:50])


def test_one_recording_in_a_list_of_one_out(recordings):
    scaled = RecordingScaler().fit_transform(recordings[0])
    assert type(scaled) is list and len(scaled) == 1
    assert scaled[0].shape == recordings[0].shape


def test_parcel_names_are_kept_and_compared(recordings):
    names = [f"parcel {i}" for i in range(12)]
    frames = [pd.DataFrame(recording, columns=names) for recording in recordings]
    scaler = RecordingScaler().fit(frames)
    assert scaler.get_feature_names_out().tolist() == names
    np.testing.assert_array_equal(scaler.transform(frames)[0], scaler.transform(recordings)[0])
    with pytest.raises(AtlasMismatchError, match="the parcel order differs"):
        scaler.transform([frame[names[::-1]] for frame in frames])
    scaler.fit(recordings)
    assert not hasattr(scaler, "feature_names_in_")
    assert scaler.get_feature_names_out().tolist() == [f"x{i}" for i in range(12)]


def test_it_says_that_it_takes_recordings_and_arrays_of_them():
    tags = get_tags(RecordingScaler())
    assert tags.input_tags.two_d_array and tags.input_tags.three_d_array
    assert tags.transformer_tags.preserves_dtype == []


def test_set_output_leaves_recordings_a_list(recordings):
    pipe = make_pipeline(RecordingScaler(), RecordingScaler("standard"))
    pipe.set_output(transform="pandas")
    assert all(type(scaled) is np.ndarray for scaled in pipe.fit_transform(recordings))


@pytest.mark.parametrize(
    "parameters",
    [{"method": "minmax"}, {"clip": 0}, {"clip": -1.0}, {"divisor": 0}, {"algorithm": "sketch"}],
)
def test_scaler_parameters_are_checked_in_fit(recordings, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter of RecordingScaler must be"):
        RecordingScaler(**parameters).fit(recordings)


# --- standardize_recordings ----------------------------------------------------------------------


def test_standardize_is_scikit_learns_by_recording(recordings):
    for found, recording in zip(standardize_recordings(recordings), recordings, strict=True):
        assert found.dtype == np.float32
        trusted = StandardScaler().fit_transform(recording.astype(np.float64))
        np.testing.assert_allclose(found, trusted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0, 0.1])
def test_standardize_sets_dead_parcels_to_zero(recordings, value):
    recordings[1][:, 5] = value
    with pytest.warns(DataQualityWarning, match="recording 1: 5"):
        standardized = standardize_recordings(recordings)
    assert not standardized[1][:, 5].any()
    assert standardized[0][:, 5].any()
