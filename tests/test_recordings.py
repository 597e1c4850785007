"""Windows: where they start, how they are cut and padded, and the batches of a training epoch."""

import pickle
import re

import numpy as np
import pytest

from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.recordings import (
    WindowSampler,
    check_lengths,
    cut_window,
    n_columns,
    pad_to_patches,
    window_starts,
)


@pytest.mark.parametrize(
    ("n_timepoints", "window_length", "stride", "cover", "expected"),
    [
        (400, 200, None, True, [0, 200]),
        (407, 200, None, True, [0, 200, 207]),
        (407, 200, None, False, [0, 200]),
        (500, 200, 100, True, [0, 100, 200, 300]),
        (520, 200, 150, True, [0, 150, 300, 320]),
        (700, 200, 300, True, [0, 300, 500]),
        (200, 200, None, True, [0]),
        (150, 200, None, True, [0]),
        (1, 200, 7, False, [0]),
    ],
)
def test_window_starts(n_timepoints, window_length, stride, cover, expected):
    starts = window_starts(n_timepoints, window_length, stride, cover=cover)
    assert starts.tolist() == expected
    assert starts.dtype == np.int64


@pytest.mark.parametrize("n_timepoints", range(1, 60, 7))
@pytest.mark.parametrize("stride", [1, 3, 10])
def test_covering_windows_hold_every_timepoint(n_timepoints, stride):
    seen = np.zeros(n_timepoints, dtype=bool)
    for start in window_starts(n_timepoints, 10, stride):
        assert start + min(10, n_timepoints) <= n_timepoints
        seen[start : start + 10] = True
    assert seen.all()


@pytest.mark.parametrize("numbers", [(0, 10, 1), (10, 0, 1), (10, 10, 0)])
def test_window_starts_refuses_what_is_below_one(numbers):
    with pytest.raises(InvalidRecordingError, match="at least 1"):
        window_starts(*numbers)


def test_n_columns():
    assert [n_columns(n, 20) for n in (1, 20, 21, 200)] == [1, 1, 2, 10]
    assert n_columns(np.array([40, 41]), 20).tolist() == [2, 3]


def test_cut_window_reads_only_the_window(tmp_path, recordings):
    np.save(tmp_path / "run.npy", recordings[0])
    mapped = np.load(tmp_path / "run.npy", mmap_mode="r")
    window = cut_window(mapped, 10, 20)
    assert np.shares_memory(window, mapped)
    np.testing.assert_array_equal(window, recordings[0][10:30])


def test_cut_window_casts_and_stops_at_the_end(recordings):
    big_endian = np.asfortranarray(recordings[0], dtype=">f8")
    window = cut_window(big_endian, 90, 20)
    assert window.dtype == np.float32 and window.flags.c_contiguous
    np.testing.assert_array_equal(window, recordings[0][90:])
    with pytest.raises(InvalidRecordingError, match="timepoint 100 of a recording of 100"):
        cut_window(big_endian, 100, 20)


@pytest.mark.parametrize("n_timepoints", [1, 19, 20, 21, 40])
def test_pad_to_patches(recordings, n_timepoints):
    window = recordings[0][:n_timepoints]
    padded, observed = pad_to_patches(window, 20)
    assert padded.shape == (20 * n_columns(n_timepoints, 20), 12)
    assert padded.dtype == np.float32 and not np.shares_memory(padded, window)
    np.testing.assert_array_equal(padded[observed], window)
    assert observed[:n_timepoints].all() and not observed[n_timepoints:].any()
    assert not padded[~observed].any()


def test_check_lengths():
    assert check_lengths([20, 150, 200], 200, 20).tolist() == [20, 150, 200]
    assert check_lengths([200, 201], 200, 20, short="raise").tolist() == [200, 201]
    with pytest.raises(InvalidRecordingError) as caught:
        check_lengths([300, 400, 150], 200, 20, short="raise")
    message = str(caught.value)
    assert "recording 2 has 150 timepoints; window_length=200 needs at least 200" in message
    assert "short='pad'" in message and "3-D images" in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


@pytest.mark.parametrize("short", ["pad", "raise"])
@pytest.mark.parametrize("n_timepoints", [0, 1, 19])
def test_shorter_than_a_patch_is_always_an_error(short, n_timepoints):
    words = f"recording 1 has {n_timepoints} timepoints (and 1 more recordings); at least 20 timepo"
    with pytest.raises(InvalidRecordingError, match=re.escape(words)):
        check_lengths([200, n_timepoints, 5], 200, 20, short=short)


LENGTHS = (100, 80, 35, 93, 60, 41, 21, 100)


def sampler(**changed):
    settings = {"window_length": 60, "patch_length": 10, "batch_size": 3, "seed": 5}
    return WindowSampler(LENGTHS, **(settings | changed))


def columns(batch):
    """Return the patch columns of each window of a batch."""
    return n_columns(np.minimum(np.array(LENGTHS)[batch[:, 0]], 60), 10)


@pytest.mark.parametrize("n_windows", [1, 3])
@pytest.mark.parametrize("kind", ["epoch", "fixed"])
def test_batches_hold_every_recording_and_one_number_of_columns(n_windows, kind):
    drawn = sampler(windows_per_recording=n_windows)
    batches = drawn.epoch(2) if kind == "epoch" else drawn.fixed()
    assert len(batches) == drawn.n_batches
    assert all(1 <= len(batch) <= 3 for batch in batches)
    assert all(len(set(columns(batch))) == 1 for batch in batches)
    recordings, starts = np.concatenate(batches).T
    assert np.bincount(recordings).tolist() == [n_windows] * len(LENGTHS)
    last = np.maximum(0, np.array(LENGTHS)[recordings] - 60)
    assert (starts >= 0).all() and (starts <= last).all()


def test_epochs_are_a_pure_function_of_seed_and_epoch():
    def drawn(epoch, **changed):
        return np.concatenate(sampler(**changed).epoch(epoch)).tolist()

    used = sampler()
    for epoch in range(3):
        used.epoch(epoch)
    assert np.concatenate(used.epoch(1)).tolist() == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1) != drawn(1, seed=6)


def test_epochs_reach_all_starts_evenly():
    drawn = WindowSampler([14], 10, 5, batch_size=500, windows_per_recording=500)
    counts = np.bincount(drawn.epoch(0)[0][:, 1], minlength=5)
    assert len(counts) == 5  # 14 - 10 + 1 starts
    assert (np.abs(counts - 100) < 45).all()  # five standard deviations of a fair draw


def test_fixed_windows_are_spread_over_the_recording():
    one = WindowSampler([100], 60, 10, batch_size=8).fixed()
    assert one[0].tolist() == [[0, 20]]
    two = WindowSampler([100, 60], 60, 10, batch_size=8, windows_per_recording=2).fixed()
    assert two[0].tolist() == [[0, 10], [0, 30], [1, 0], [1, 0]]


def test_the_global_random_state_is_not_moved():
    before = np.random.get_state()[1].tolist()
    sampler().epoch(0)
    assert np.random.get_state()[1].tolist() == before
