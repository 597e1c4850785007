"""Masks as index arrays. How the network uses them is tested in test_modules.py."""

import pickle

import numpy as np
import pytest

from sklearn_brainlm import GaussianReconstructor
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.masking import (
    block_mask,
    draw_mask,
    future_mask,
    mask_to_bool,
    n_masked_tokens,
    parcel_mask,
    random_mask,
    raster_order,
)

KINDS = ["random", "future", "block", "parcel"]


@pytest.mark.parametrize("masking", KINDS)
@pytest.mark.parametrize("mask_ratio", [0.0, 0.2, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("grid", [(2, 2), (7, 5), (3, 10)])
def test_a_mask_partitions_the_tokens(masking, mask_ratio, grid):
    ids_keep, ids_mask = draw_mask(
        masking, *grid, mask_ratio, n_windows=4, rng=np.random.default_rng(0)
    )
    assert ids_keep.dtype == ids_mask.dtype == np.int64
    assert ids_keep.shape[1] >= 1 and ids_mask.shape[1] >= 1
    both = np.concatenate([ids_keep, ids_mask], axis=1)
    every_id = np.arange(grid[0] * grid[1])
    np.testing.assert_array_equal(raster_order(both), np.tile(every_id, (4, 1)))


@pytest.mark.parametrize(
    ("mask_ratio", "n_visible"), [(0.2, 3392), (0.75, 1060), (0.9, 423), (0.0, 4239), (1.0, 1)]
)
def test_visible_tokens_are_counted_as_released(mask_ratio, n_visible):
    assert 4240 - n_masked_tokens(4240, mask_ratio) == n_visible


@pytest.mark.parametrize("mask_ratio", [-0.1, 1.1, float("nan")])
def test_a_mask_ratio_out_of_range_is_refused(mask_ratio):
    with pytest.raises(ValueError, match="mask_ratio"):
        n_masked_tokens(10, mask_ratio)
    with pytest.raises(ValueError, match="mask_ratio"):
        draw_mask("block", 2, 5, mask_ratio, n_windows=1)


def test_nothing_to_mask_is_an_error_that_can_be_pickled():
    with pytest.raises(InvalidRecordingError, match="one token") as caught:
        n_masked_tokens(1, 0.5)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is InvalidRecordingError and str(again) == str(caught.value)
    with pytest.raises(InvalidRecordingError, match="one patch column"):
        block_mask(5, 1, 0.5, n_windows=1)
    with pytest.raises(InvalidRecordingError, match="one parcel row"):
        parcel_mask(1, 5, 0.5, n_windows=1)


def test_visible_tokens_come_in_the_order_of_their_noise():
    noise = np.random.default_rng(1).random((3, 12))
    ids_keep, ids_mask = random_mask(4, 3, 0.5, n_windows=3, noise=noise)
    ordered = np.take_along_axis(noise, np.concatenate([ids_keep, ids_mask], axis=1), axis=1)
    np.testing.assert_array_equal(ordered, np.sort(noise, axis=1))


def test_random_masks_differ_between_windows_and_hit_every_token():
    _, ids_mask = random_mask(5, 4, 0.5, n_windows=400, rng=np.random.default_rng(2))
    how_often = mask_to_bool(ids_mask, 20).mean(axis=0)
    # Five standard errors of a fair coin thrown 400 times.
    np.testing.assert_allclose(how_often, 0.5, atol=5 * np.sqrt(0.25 / 400))


def test_the_same_generator_gives_the_same_mask_and_the_global_state_stays():
    before = np.random.get_state()[1].copy()
    for masking in KINDS:
        draws = [
            draw_mask(masking, 4, 6, 0.5, n_windows=2, rng=np.random.default_rng(3))
            for _ in range(2)
        ]
        for first, second in zip(*draws, strict=True):
            np.testing.assert_array_equal(first, second)
        draw_mask(masking, 4, 6, 0.5, n_windows=2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_future_mask_hides_the_last_columns_of_all_rows():
    _, ids_mask = future_mask(3, 5, 2, n_windows=2)
    masked = mask_to_bool(ids_mask, 15).reshape(2, 3, 5)
    assert masked[:, :, 3:].all() and not masked[:, :, :3].any()
    for n_last_columns in (0, 5):
        with pytest.raises(ValueError, match="1 to 4"):
            future_mask(3, 5, n_last_columns, n_windows=1)


@pytest.mark.parametrize(("mask_ratio", "n_columns"), [(0.01, 1), (0.3, 3), (0.99, 9)])
def test_mask_ratio_of_the_future_is_rounded_to_columns(mask_ratio, n_columns):
    _, ids_mask = draw_mask("future", 2, 10, mask_ratio, n_windows=1)
    assert ids_mask.shape == (1, 2 * n_columns)


def test_block_mask_is_one_stretch_that_starts_anywhere():
    _, ids_mask = block_mask(3, 10, 0.4, n_windows=200, rng=np.random.default_rng(4))
    masked = mask_to_bool(ids_mask, 30).reshape(200, 3, 10)
    np.testing.assert_array_equal(masked, np.repeat(masked[:, :1], 3, axis=1))
    starts = masked[:, 0].argmax(axis=1)
    for start, columns in zip(starts, masked[:, 0], strict=True):
        np.testing.assert_array_equal(np.flatnonzero(columns), np.arange(start, start + 4))
    assert set(starts) == set(range(7))


def test_noise_decides_block_and_parcel_masks():
    noise = np.array([[0.5, 0.4, 0.1, 0.0]])  # two of four: the last column cannot be a start
    _, ids_mask = block_mask(1, 4, 0.5, n_windows=1, noise=noise)
    np.testing.assert_array_equal(ids_mask, [[2, 3]])
    _, ids_mask = parcel_mask(4, 2, 0.5, n_windows=1, noise=noise)
    np.testing.assert_array_equal(ids_mask, [[0, 1, 2, 3]])


def test_parcel_mask_hides_whole_rows():
    _, ids_mask = parcel_mask(10, 4, 0.3, n_windows=50, rng=np.random.default_rng(5))
    masked = mask_to_bool(ids_mask, 40).reshape(50, 10, 4)
    np.testing.assert_array_equal(masked.all(axis=2), masked.any(axis=2))
    assert (masked.all(axis=2).sum(axis=1) == 3).all()


def test_wrong_noise_and_unknown_masking_are_named():
    with pytest.raises(ValueError, match=r"\(1, 5\), expected \(1, 6\)"):
        random_mask(2, 3, 0.5, n_windows=1, noise=np.zeros((1, 5)))
    with pytest.raises(ValueError, match="masking='spiral'"):
        draw_mask("spiral", 2, 3, 0.5, n_windows=1)


@pytest.mark.parametrize("ratios", [(), [], np.empty(0)])
def test_no_mask_ratio_is_refused(ratios):
    recordings = [np.random.default_rng(i).standard_normal((24, 4)) for i in range(3)]
    model = GaussianReconstructor(window_length=12, patch_length=4, mask_ratio=ratios)
    with pytest.raises(ValueError, match="holds no ratio"):
        model.fit(recordings).score(recordings)
