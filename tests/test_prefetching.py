"""Batches made ahead: all of them, in order, by another thread, errors included."""

import threading

import numpy as np
import pytest
import torch

from sklearn_brainlm.prefetching import prefetch


class Batches:
    """Batches that know which thread made them, and of which one cannot be made."""

    def __init__(self, n_batches, broken=None):
        self.n_batches, self.broken = n_batches, broken
        self.threads, self.made = set(), []

    def __len__(self):
        return self.n_batches

    def __getitem__(self, step):
        if step == self.broken:
            raise ValueError(f"batch {step} cannot be made")
        self.threads.add(threading.get_ident())
        self.made.append(step)
        return {"signals": np.full(2, step, dtype=np.float32)}, {"recording": np.array([step])}


@pytest.mark.parametrize("n_batches", [0, 1, 2, 3, 7])
def test_every_batch_comes_once_and_in_order(n_batches):
    batches = Batches(n_batches)
    made = list(prefetch(batches, range(n_batches), "cpu"))
    assert [int(inputs["signals"][0]) for inputs, _ in made] == list(range(n_batches))
    assert all(isinstance(targets["recording"], torch.Tensor) for _, targets in made)
    assert threading.get_ident() not in batches.threads


def test_batches_are_made_ahead_and_not_all_at_once():
    batches = Batches(10)
    loop = prefetch(batches, range(10), "cpu")
    next(loop)
    loop.close()
    assert 1 <= len(batches.made) <= 4


def test_an_error_is_raised_where_its_batch_is_taken():
    loop = prefetch(Batches(5, broken=2), range(5), "cpu")
    assert [int(next(loop)[0]["signals"][0]) for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="batch 2"):
        next(loop)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    for _ in prefetch(Batches(3), range(3), "cpu"):
        break
    assert threading.active_count() == before


def test_a_tensor_that_is_on_the_device_stays_there():
    signals = torch.zeros(2)
    [(inputs, _)] = prefetch([({"signals": signals}, {})], [0], "cpu")
    assert inputs["signals"] is signals


def test_training_takes_its_batches_from_the_thread(monkeypatch):
    """As it does for a CUDA device; on this one, the loader is told that it was one."""
    from sklearn_brainlm import BrainLMTransformer
    from sklearn_brainlm.loop import steps

    recordings = list(np.random.default_rng(0).standard_normal((4, 40, 3), dtype=np.float32))
    sizes = {"window_length": 20, "patch_length": 5, "embed_dim": 8, "max_epochs": 2}
    model = BrainLMTransformer(**sizes, prior=None, random_state=0)
    expected = [row["train_loss"] for row in model.fit(recordings).history_]
    taken = []

    def through_thread(loader):
        for batch in prefetch(loader.dataset, loader.sampler, "cpu"):
            taken.append(batch)
            yield batch

    monkeypatch.setattr(steps.StepLoader, "__iter__", through_thread)
    assert [row["train_loss"] for row in model.fit(recordings).history_] == expected
    assert taken
