"""A training that is killed twenty times ends in the same bits as one that never was.

Not here: single faults, one at a time (test_checkpoint.py).
"""

import json
import multiprocessing
import os
import signal
import time
from multiprocessing import shared_memory

import numpy as np
import pytest
from skorch.callbacks import Callback
from training_run import train

from sklearn_brainlm.checkpointing import files

N_EPOCHS, EPOCH = 130, 4  # epochs, and steps of one
N_KILLS = 20
PHASES = ["begun", "weights", "optimizer", "training", "state", "manifest", "renamed", "written"]


class Report(Callback):
    """Write the steps that this process has taken, and the step of the epoch, where all see it."""

    def __init__(self, place=None):
        self.place = place

    def on_train_begin(self, net, **kwargs):
        self.seen = shared_memory.SharedMemory(self.place)
        self.counts = np.ndarray(2, np.int64, self.seen.buf)

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            self.counts += [1, 0]
            self.counts[1] = len(net.history[-1]["batches"])


def attempt(folder, place, kill_at, sink):
    """Train; kill this process at a phase of one of its checkpoints, if told to."""
    n_left = 0

    def mark(name):
        nonlocal n_left
        phase, n = kill_at
        n_left += name == phase
        if name == phase and n_left == n:
            os.kill(os.getpid(), signal.SIGKILL)

    if kill_at is not None:
        files.phase = mark
    saving = {"callbacks__checkpoint__every_steps": 7, "callbacks": [Report(place)]}
    found = train(folder, max_epochs=N_EPOCHS, net_params=saving)
    sink.write_text(json.dumps(found))


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a process, all of them forked from one that has imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_checkpoint_kill"])
    with pytest.MonkeyPatch.context() as patch:
        here = os.path.dirname(__file__)
        patch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")

        def begin(*args):
            process = context.Process(target=attempt, args=args)
            process.start()
            return process

        yield begin


@pytest.mark.slow
def test_killed_twenty_times(tmp_path, start):
    block = shared_memory.SharedMemory(create=True, size=16)
    counts = np.ndarray(2, np.int64, block.buf)
    rng = np.random.default_rng(0)
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    try:
        counts[:] = 0
        process = start(tmp_path / "whole", block.name, None, whole)
        process.join()
        assert process.exitcode == 0
        n_steps = counts[0]
        assert n_steps == N_EPOCHS * EPOCH >= 500
        inside = rng.permutation([True] * 10 + [False] * 10)
        n_inside = n_within_epoch = n_resumed = 0
        for in_write in inside:
            counts[:] = 0
            kill_at = (str(rng.choice(PHASES)), int(rng.integers(1, 4))) if in_write else None
            process = start(tmp_path / "killed", block.name, kill_at, killed)
            if not in_write:  # after some steps, wherever it then is
                target = rng.integers(1, n_steps // 25)
                while counts[0] < target and process.is_alive():
                    time.sleep(0.001)
                time.sleep(rng.uniform(0, 0.02))
                process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            n_inside += in_write
            n_within_epoch += counts[1] % EPOCH != 0
            n_resumed += 1
        process = start(tmp_path / "killed", block.name, None, killed)
        process.join()
        assert process.exitcode == 0
    finally:
        block.close()
        block.unlink()
    assert n_resumed == N_KILLS
    assert n_inside >= 5
    assert n_within_epoch > N_KILLS / 2
    assert json.loads(killed.read_text()) == json.loads(whole.read_text())
    left = [path.name for path in files.list_checkpoints(tmp_path / "killed")]
    assert left == [path.name for path in files.list_checkpoints(tmp_path / "whole")]
    assert not list((tmp_path / "killed").glob(".tmp-*"))
