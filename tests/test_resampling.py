"""Resampling against true sinusoids."""

import numpy as np
import pytest

from sklearn_brainlm.exceptions import InvalidRecordingError, InvalidRecordingTypeError
from sklearn_brainlm.resampling import resample_recordings


def sinusoids(n_timepoints, t_r, frequencies, baseline=0.0):
    """Return sinusoids (n_timepoints, n_frequencies); frequencies in Hz, t_r in seconds."""
    t = t_r * np.arange(n_timepoints)[:, None]
    return baseline + np.sin(2 * np.pi * np.asarray(frequencies) * t + np.arange(len(frequencies)))


@pytest.mark.parametrize(
    ("t_r", "new_t_r"), [(0.72, 2.0), (0.735, 0.72), (2.5, 2.0), (1.65, 2.0), (3.0, 2.0), (2, 1)]
)
@pytest.mark.parametrize("baseline", [0.0, 10_000.0])
def test_slow_sinusoids_come_out_as_they_are(t_r, new_t_r, baseline):
    highest = 0.7 * 0.5 / max(t_r, new_t_r)  # below the Nyquist frequencies of both
    frequencies = np.array([0.1, 0.4, 1.0]) * highest
    (found,) = resample_recordings(sinusoids(400, t_r, frequencies, baseline), t_r, new_t_r)
    assert found.dtype == np.float32
    assert len(found) == round(400 * t_r / new_t_r)
    expected = sinusoids(len(found), new_t_r, frequencies, baseline)
    np.testing.assert_allclose(found[25:-25], expected[25:-25], atol=5e-3)


def test_what_is_above_the_new_nyquist_frequency_is_removed():
    frequencies = [0.05, 0.35, 0.6]  # in Hz; the Nyquist frequency of 2 s is 0.25
    recording = sinusoids(800, 0.72, frequencies)
    (found,) = resample_recordings(recording, 0.72, 2.0)
    spread = found[20:-20].std(axis=0)
    assert spread[0] == pytest.approx(np.sqrt(0.5), rel=0.02)
    assert (spread[1:] < 0.01).all()
    every_third = recording[::3]  # taking timepoints without a filter keeps them, folded
    assert (every_third.std(axis=0) > 0.5).all()


def test_a_line_stays_a_line_to_both_ends():
    line = np.linspace(100, 140, 200)[:, None] * np.array([1.0, -2.0])
    (found,) = resample_recordings(line, 2.0, 0.8)
    expected = np.interp(0.8 * np.arange(len(found)), 2.0 * np.arange(200), line[:, 0])
    inside = 0.8 * np.arange(len(found)) <= 2.0 * 199
    np.testing.assert_allclose(found[inside, 0], expected[inside], atol=0.05)


def test_one_t_r_a_recording(recordings):
    t_rs = [2.0, 2.5, 1.5, 2.0, 3.0, 1.0]
    together = resample_recordings(recordings, t_rs, 2.0)
    for found, recording, t_r in zip(together, recordings, t_rs, strict=True):
        (alone,) = resample_recordings([recording], t_r, 2.0)
        np.testing.assert_array_equal(found, alone)
        assert len(found) == round(len(recording) * t_r / 2.0)
    np.testing.assert_array_equal(together[0], recordings[0])
    assert not np.shares_memory(together[0], recordings[0])


@pytest.mark.parametrize(
    ("t_r", "new_t_r", "error", "words"),
    [
        ([2.0, 2.0], 1.0, InvalidRecordingError, "t_r has 2 values for 6 recordings"),
        (735, 1.0, InvalidRecordingError, "milliseconds"),
        ([2.0] * 5 + [-1.0], 1.0, InvalidRecordingError, "in seconds.*got -1"),
        (2.0, np.nan, InvalidRecordingError, "in seconds.*got nan"),
        (None, 2.0, InvalidRecordingError, "must be given"),
        (2.0, None, InvalidRecordingError, "must be given"),
        ("2 s", 2.0, InvalidRecordingTypeError, "one number of seconds, got str"),
        (0.001, 50.0, InvalidRecordingError, "recording 0 has 100 timepoints.*too short"),
    ],
)
def test_resample_refuses(recordings, t_r, new_t_r, error, words):
    with pytest.raises(error, match=words):
        resample_recordings(recordings, t_r, new_t_r)


def test_resample_refuses_one_timepoint(recordings):
    with pytest.raises(InvalidRecordingError, match="recording 0 has 1 timepoints.*too short"):
        resample_recordings(recordings[0][:1], 1.0, 0.5)
