"""Bursts of censored timepoints: how they are drawn, learned from, scored and refused."""

import itertools

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor
from sklearn_brainlm.batches import WindowBatches
from sklearn_brainlm.bursts import draw_bursts
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.windows import WindowReader

SMALL = {"window_length": 40, "patch_length": 5, "embed_dim": 8, "decoder_embed_dim": 8}


@pytest.fixture
def recordings():
    """Return slow recordings of 6 parcels that go together, so that there is much to fill in."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 98, 2))
    waves = sum(noise[:, lag : lag + 90] for lag in range(8))
    return list(waves @ rng.standard_normal((2, 6)) + rng.standard_normal((5, 90, 6)))


@pytest.mark.parametrize("part", [0.01, 0.2, 0.4])
def test_bursts_have_one_to_ten_timepoints_and_stand_apart(part):
    lengths = []
    for seed in range(50):
        censored = draw_bursts(200, part, np.random.default_rng(seed))
        assert censored.sum() == round(200 * part)
        lengths += [len(list(run)) for gone, run in itertools.groupby(censored) if gone]
    wanted = set(range(1, 11)) if part > 0.1 else {1, 2}
    assert set(lengths) == wanted


def test_inside_a_window_all_places_are_as_probable():
    """At its ends, bursts that would reach beyond are not drawn."""
    rng = np.random.default_rng(0)
    counts = sum(draw_bursts(60, 0.3, rng) for _ in range(2000)) / 2000
    assert abs(counts[10:-10] - 0.32).max() < 0.06
    assert (counts > 0.05).all()


@pytest.mark.parametrize("part", [0.0, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("n_timepoints", [2, 3, 11])
def test_one_timepoint_is_hidden_and_one_seen(n_timepoints, part):
    for seed in range(20):
        censored = draw_bursts(n_timepoints, part, np.random.default_rng(seed))
        assert censored.sum() == np.clip(round(part * n_timepoints), 1, n_timepoints - 1)


def test_one_timepoint_cannot_be_censored():
    with pytest.raises(InvalidRecordingError, match="one timepoint"):
        draw_bursts(1, 0.5, np.random.default_rng(0))


def test_a_batch_asks_for_censored_timepoints_of_the_tokens_they_touch():
    recording = np.random.default_rng(0).standard_normal((38, 3)).astype(np.float32)
    reader = WindowReader([recording], np.asarray, TokenGrid(3, 5), 38, lambda which: {})
    draw = {"masking": "burst", "mask_ratio": 0.2, "decoded_fraction": 1.0, "seed": 0}
    batches = WindowBatches(reader, lambda epoch: [np.array([[0, 0], [0, 0]])], **draw)
    for _ in range(5):
        batches.next_epoch()
        inputs, targets = batches[0]
        censored = targets["observed"]  # (B, 40), the last two timepoints fill a patch up
        assert censored.sum(axis=1).tolist() == [8, 8]
        assert not censored[:, 38:].any()
        np.testing.assert_array_equal(inputs["seen"], ~np.repeat(censored[:, None], 3, axis=1))
        assert inputs["observed"].sum(axis=1).tolist() == [38, 38]
        touched = np.flatnonzero(censored[0].reshape(8, 5).any(axis=1))
        assert set(inputs["ids_mask"][0] % 8) == set(touched)
        assert set(inputs["ids_keep"][0] % 8) == set(range(8)) - set(touched)
        assert targets["n_values"].tolist() == [24, 24]
        half, _ = batches.read_part(0, slice(1, 2))
        np.testing.assert_array_equal(half["seen"], inputs["seen"][1:])


def test_learning_from_bursts_fills_bursts_better(recordings):
    model = BrainLMTransformer(
        **SMALL, masking="burst", mask_ratio=(0.2, 0.4), max_epochs=20, lr=3e-3, random_state=0,
        validation_fraction=0.0,
    )  # fmt: skip
    untrained = clone(model).set_params(max_epochs=1, lr=1e-9).fit(recordings)
    trained = model.fit(recordings)
    assert trained.score(recordings) > untrained.score(recordings) + 0.02


def test_reconstructions_hide_bursts_of_all_parcels(recordings):
    model = GaussianReconstructor(window_length=40, patch_length=5, masking="burst")
    for made in model.fit(recordings).reconstruct(recordings, mask_ratio=0.2):
        hidden = made.masked.any(axis=1)
        np.testing.assert_array_equal(hidden, made.masked.all(axis=1))
        assert 0.15 < hidden.mean() < 0.25
        np.testing.assert_array_equal(made.predicted != made.true, made.masked)
    assert model.score(recordings) > 0.3


def test_without_a_prior_bursts_are_refused(recordings):
    model = BrainLMTransformer(**SMALL, masking="burst", prior=None, max_epochs=1)
    with pytest.raises(ValueError, match="keep a prior, which goes by the rest"):
        model.fit(recordings)


def test_parts_of_a_step_learn_what_the_whole_does(recordings):
    model = BrainLMTransformer(
        **SMALL, masking="burst", mask_ratio=0.3, max_epochs=2, dropout=0.0, random_state=0,
        precision="fp32",
    )  # fmt: skip
    whole = clone(model).set_params(micro_batch_size=4).fit(recordings)
    parts = clone(model).set_params(micro_batch_size=1).fit(recordings)
    for one, other in zip(whole.history_, parts.history_, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
