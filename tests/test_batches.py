"""Batches against plain loops over recordings; pooling against numpy.cov.

Not here: drawing windows (test_recordings.py) and masks (test_masking.py), grids (test_grids.py).
"""

import numpy as np
import pytest

from sklearn_brainlm.batches import WindowBatches
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.pooling import TokenPool, n_pooled
from sklearn_brainlm.windows import WindowReader, place_windows


def no_extras(*_):
    return {}


def test_place_windows_covers_every_timepoint_once_or_flush_with_the_end():
    lengths, window_length = [50, 23, 20, 7], 20
    batches = place_windows(lengths, window_length, 5, 2)
    seen = [np.zeros(n, int) for n in lengths]
    for batch in batches:
        assert len(batch) <= 2
        assert len({-(-min(lengths[i], window_length) // 5) for i, _ in batch}) == 1
        for i, start in batch:
            seen[i][start : start + window_length] += 1
    assert [list(np.unique(counts)) for counts in seen] == [[1, 2], [1, 2], [1], [1]]


def test_reader_scales_pads_and_turns_windows():
    recording = np.arange(60, dtype=np.int16).reshape(20, 3)
    reader = WindowReader([recording], lambda w: w / 2, TokenGrid(3, 4), 10, no_extras)
    signals, observed = reader.read(np.array([[0, 5]]))
    assert signals.dtype == np.float32
    np.testing.assert_array_equal(signals[0, :, :10], recording[5:15].T / 2)
    assert (signals[0, :, 10:] == 0).all()
    assert observed.sum() == 10


def test_reader_refuses_values_that_scaling_made_infinite():
    recording = np.ones((8, 2))
    recording[5, 1] = 1e30
    with np.errstate(over="ignore"):
        reader = WindowReader(
            [np.ones((8, 2)), recording],
            lambda w: np.float32(w) * np.float32(1e10),
            TokenGrid(2, 4),
            4,
            no_extras,
        )
        with pytest.raises(InvalidRecordingError, match="recording 1 .* timepoint 4"):
            reader.read(np.array([[0, 0], [1, 4]]))


def make_batches(**parameters):
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((n, 5)).astype(np.float32) for n in (30, 18)]
    seen = []

    def extras(which):
        seen.append(which.copy())
        return {"fold": 7 * which}

    reader = WindowReader(recordings, np.asarray, TokenGrid(5, 4), 18, extras)
    defaults = {"masking": "random", "mask_ratio": 0.5, "decoded_fraction": 1.0, "seed": 3}

    def draw(epoch):
        return [np.array([[0, epoch + 1], [1, 0]])]

    return WindowBatches(reader, draw, **{**defaults, **parameters}), seen


def test_batches_are_a_function_of_seed_epoch_and_step():
    first, _ = make_batches()
    first.next_epoch()
    first.next_epoch()
    later, _ = make_batches(first_epoch=1)
    later.next_epoch()
    for one, other in zip(first[0], later[0], strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    later.next_epoch()
    assert (first[0][0]["ids_mask"] != later[0][0]["ids_mask"]).any()


def test_extras_are_asked_for_the_recordings_of_a_batch():
    batches, seen = make_batches(decoded_fraction=0.3)
    inputs, targets = batches[0]
    np.testing.assert_array_equal(seen[0], [0, 1])
    np.testing.assert_array_equal(inputs["fold"], [0, 7])
    np.testing.assert_array_equal(inputs["observed"], targets["observed"])
    assert inputs["ids_mask"].shape == (2, round(0.3 * 13))
    assert not set(inputs["ids_mask"][0]) & set(inputs["ids_keep"][0])


def test_several_mask_ratios_are_all_drawn():
    batches, _ = make_batches(mask_ratio=(0.2, 0.8))
    counts = set()
    for _ in range(12):
        batches.next_epoch()
        counts.add(batches[0][0]["ids_mask"].shape[1])
    assert counts == {25 - 20, 25 - 4}


@pytest.mark.parametrize("pooling", ["cls", "mean", "parcel", "covariance"])
def test_pooling_agrees_with_numpy(pooling):
    """Two windows of different length in one recording."""
    rng = np.random.default_rng(0)
    n_rows, embed_dim = 3, 4
    latents = [
        rng.standard_normal((1 + n_rows * n, embed_dim)).astype(np.float32) + 5 for n in (6, 2)
    ]
    pool = TokenPool(pooling, 1, n_rows)
    for latent in latents:
        pool.add(0, latent)
    tokens = [latent[1:].reshape(n_rows, -1, embed_dim) for latent in latents]
    together = np.concatenate(tokens, axis=1, dtype=np.float64)
    expected = {
        "cls": np.mean([latent[0] for latent in latents], axis=0),
        "mean": np.mean([latent[1:].mean(axis=0) for latent in latents], axis=0),
        "parcel": np.mean([t.mean(axis=1) for t in tokens], axis=0).ravel(),
        "covariance": np.mean([np.cov(together[..., d], ddof=0) for d in range(embed_dim)], axis=0)[
            np.triu_indices(n_rows)
        ],
    }[pooling]
    found = pool.features()
    assert found.dtype == np.float32
    assert found.shape == (1, n_pooled(pooling, n_rows, embed_dim))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
