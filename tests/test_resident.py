"""Recordings on the device: the same windows as from the host, in 16 bits."""

import numpy as np
import pytest
import torch

from sklearn_brainlm import BrainLMTransformer, InvalidRecordingError, RecordingScaler
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.resident import ResidentReader, fits
from sklearn_brainlm.windows import WindowReader, nothing

ROUNDING = 2.0**-11  # of float16


@pytest.fixture
def recordings():
    rng = np.random.default_rng(0)
    lengths = (50, 31, 23, 40)
    return [rng.normal(100, 5, (n, 4)).astype(np.float32) for n in lengths]


@pytest.fixture
def reader(recordings):
    scaler = RecordingScaler().fit(recordings)
    return WindowReader(recordings, scaler.scale_window, TokenGrid(4, 8), 30, nothing)


@pytest.mark.parametrize(
    "windows", [[[0, 0], [0, 20], [1, 1]], [[2, 0]], [[3, 10]]], ids=["whole", "short", "last"]
)
def test_windows_are_those_of_the_host(reader, windows):
    windows = np.array(windows)
    signals, observed = ResidentReader(reader, "cpu").read(windows)
    expected, expected_observed = reader.read(windows)
    np.testing.assert_array_equal(observed, expected_observed)
    np.testing.assert_allclose(signals.numpy(), expected, rtol=ROUNDING, atol=1e-6)
    assert signals.is_contiguous()


def test_what_fills_a_window_up_is_zero_whatever_follows_in_the_corpus(reader):
    signals, observed = ResidentReader(reader, "cpu").read(np.array([[2, 0]]))
    assert not observed[0, 23:].any()
    assert not signals[:, :, 23:].any()


def test_a_batch_has_the_masks_and_counts_of_the_host(reader):
    windows, ids = np.array([[0, 3], [1, 0]]), np.arange(16).reshape(1, 16).repeat(2, axis=0)
    inputs, targets = ResidentReader(reader, "cpu").batch(windows, ids[:, :6], ids[:, 6:])
    expected, expected_targets = reader.batch(windows, ids[:, :6], ids[:, 6:])
    for name, values in expected_targets.items():
        np.testing.assert_array_equal(targets[name], values)
    np.testing.assert_array_equal(inputs["ids_mask"], expected["ids_mask"])


def test_values_too_large_for_16_bits_are_refused_by_name(recordings):
    recordings[1][3, 2] = 1e7
    reader = WindowReader(recordings, np.float32, TokenGrid(4, 8), 30, nothing)
    with pytest.raises(InvalidRecordingError, match=r"recording 1 .*16 bits.*clip"):
        ResidentReader(reader, "cpu")


def test_the_host_needs_no_copy(recordings):
    assert not fits(recordings, "cpu")


def test_training_from_the_corpus_learns_what_training_from_the_host_does(recordings, monkeypatch):
    """On the CPU, where both can be had."""
    sizes = {"window_length": 30, "patch_length": 8, "embed_dim": 16, "max_epochs": 2}
    model = BrainLMTransformer(**sizes, prior=None, random_state=0)
    expected = model.fit(recordings).history_
    monkeypatch.setattr("sklearn_brainlm.pretraining.autoencoder.fits", lambda *_: True)
    made = model.fit(recordings).history_
    assert isinstance(made[0]["train_loss"], float)
    for row, other in zip(made, expected, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=2e-3)
        assert row["train_loss"] != other["train_loss"]  # it was rounded: the corpus was used


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_windows_are_cut_on_a_gpu_that_has_room(recordings, reader):
    assert fits(recordings, "cuda")
    windows = np.array([[0, 0], [1, 1]])
    signals, _ = ResidentReader(reader, "cuda").read(windows)
    assert signals.device.type == "cuda"
    np.testing.assert_allclose(
        signals.cpu().numpy(), reader.read(windows)[0], rtol=ROUNDING, atol=1e-6
    )
