"""A training step for which memory is too short: the same step, in smaller parts.

Not here: micro-batches that were asked for (test_nets.py).
"""

import re
import warnings

import numpy as np
import pytest
import torch
from training_run import make_model, make_recordings

from sklearn_brainlm import OutOfMemoryError
from sklearn_brainlm.loop.memory import is_out_of_memory
from sklearn_brainlm.nets import ReconstructionNet

CPU_SAYS = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError(CPU_SAYS),
    "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 B"),
    "python": MemoryError(),
}


def model(**parameters):
    """A model whose steps are of eight windows."""
    given = {"batch_size": 8, "max_epochs": 2, "net_params": None, **parameters}
    return make_model(**given)


@pytest.fixture
def limit_memory(monkeypatch):
    """Return a function that lets a loss fail for more windows than some number."""
    computed = ReconstructionNet.get_loss

    def limit(n_windows, error=ERRORS["cuda"], *, training=True):
        def get_loss(self, y_pred, y_true, **kwargs):
            if len(y_pred) > n_windows and self.module_.training == training:
                raise error
            return computed(self, y_pred, y_true, **kwargs)

        monkeypatch.setattr(ReconstructionNet, "get_loss", get_loss)

    return limit


@pytest.mark.parametrize("kind", ERRORS)
def test_step_is_taken_in_smaller_parts(limit_memory, kind):
    expected = model(micro_batch_size=2).fit(make_recordings())
    limit_memory(2, ERRORS[kind])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model(micro_batch_size=8).fit(make_recordings())
    said = [str(w.message) for w in caught if w.category is RuntimeWarning]
    assert [re.search(r"micro_batch_size=\d", text)[0][-1] for text in said] == ["4", "2"]
    assert found.net_.micro_batch_size == 2
    # Also with dropout: its draws begin where they began before the attempt that failed.
    weights = expected.net_.get_weights()
    for name, value in found.net_.get_weights().items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


def test_effective_batch_stays(limit_memory):
    """Without dropout, whose draws depend on the parts, the result is that of whole batches."""
    expected = model(micro_batch_size=8, dropout=0.0).fit(make_recordings())
    limit_memory(4)
    with pytest.warns(RuntimeWarning, match="micro_batch_size=4"):
        found = model(micro_batch_size=8, dropout=0.0).fit(make_recordings())
    for row, same in zip(found.history_, expected.history_, strict=True):
        np.testing.assert_allclose(row["train_loss"], same["train_loss"], rtol=1e-5)
        np.testing.assert_allclose(row["valid_loss"], same["valid_loss"], rtol=1e-5)
    weights = expected.net_.get_weights()
    for name, value in found.net_.get_weights().items():
        np.testing.assert_allclose(value, weights[name], atol=1e-4, err_msg=name)


def test_validation_too(limit_memory):
    given = {"validation_fraction": 0.5, "micro_batch_size": 4}
    expected = model(**given).fit(make_recordings())
    limit_memory(2, training=False)
    with pytest.warns(RuntimeWarning, match="with 4 windows.*micro_batch_size=2"):
        found = model(**given).fit(make_recordings())
    losses = [[row["valid_loss"] for row in fitted.history_] for fitted in (expected, found)]
    np.testing.assert_allclose(losses[1][0], losses[0][0], rtol=1e-5)  # before parts differ


def test_one_window_is_too_much(limit_memory):
    limit_memory(0)
    with (
        pytest.warns(RuntimeWarning, match="micro_batch_size=1"),
        pytest.raises(OutOfMemoryError, match="One window.*'cpu'.*gradient_checkpointing") as error,
    ):
        model(micro_batch_size=2).fit(make_recordings())
    assert isinstance(error.value.__cause__, torch.OutOfMemoryError)


def test_other_errors_are_passed_on(limit_memory):
    limit_memory(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        model().fit(make_recordings())


def test_allocator_of_the_cpu_is_understood():
    """What torch raises here and now for more memory than any machine has."""
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(error.value)
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.gpu
def test_cuda_that_is_full():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    sizes = {"embed_dim": 256, "mlp_dim": 1024, "attention": "full", "decoder": "full"}
    given = {**sizes, "batch_size": 512, "window_length": 40, "patch_length": 1, "device": "cuda"}
    recordings = [recording for recording in make_recordings() for _ in range(60)]
    torch.cuda.empty_cache()
    # What the device holds less than one step of 512 windows of 160 tokens needs.
    share = (1 << 30) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        with pytest.warns(RuntimeWarning, match="Memory ran out with 512 windows"):
            fitted = model(**given, micro_batch_size=512, max_epochs=1, prior=None).fit(recordings)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert fitted.net_.micro_batch_size < 512
