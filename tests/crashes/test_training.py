"""One training, killed again and again: it ends in the same bits as one that never was.

Not here: single phases of a write and single faults (faults/test_training.py).
"""

import json
import warnings

import numpy as np
import pytest
from skorch.callbacks import Callback
from training_run import Act, train

from crashes import killing
from sklearn_brainlm import CheckpointError, checkpoint
from sklearn_brainlm.checkpointing.files import list_checkpoints, read_last

MAX_EVENTS = 150  # of a training before it is killed: some twelve steps, six times saved
N_EPOCHS = 20 + 2 * killing.N_KILLS  # of four steps: the last kill comes before the end
NAME = "training"


class Steps(Callback):
    """Say every step."""

    def __init__(self, say=None):
        self.say = say

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            self.say("step")


def train_on(say, folder, sink, n_epochs, every_steps=2):
    """Train, or go on, saving every second step, and write what it ended in."""
    write = checkpoint.write_checkpoint

    def told(path, *args):
        say("begun", path.name)
        write(path, *args)
        say("ended")
        say("saved", path.name)

    checkpoint.write_checkpoint = told
    killing.say_calls(say)
    saving = {"callbacks__checkpoint__every_steps": every_steps, "callbacks": [Steps(say)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that one save failed
        found = train(folder, max_epochs=n_epochs, net_params=saving)
    if sink is not None:
        sink.write_text(json.dumps(found))
    say("found", found)


def check_folder(folder, saved=None):
    """Check that the last checkpoints are whole, and that what was saved last is there."""
    paths = list_checkpoints(folder)
    for path in paths[-3:]:  # one before them may be about to be removed
        read_last([path])  # a damaged one is a warning, and that an error
    assert saved is None or saved in [path.name for path in paths]


@pytest.fixture
def whole(tmp_path, start):
    """Return a function that trains without an interruption, and returns what that ends in."""

    def end(n_epochs):
        worker = start(train_on, tmp_path / "whole", None, n_epochs)
        assert worker.wait() == 0
        assert not worker.values("failed"), worker.values("failed")
        return worker.values("found")[0]

    return end


def test_killed(tmp_path, start, whole):
    folder, saved = tmp_path / "killed", None

    def check(worker):
        nonlocal saved
        assert not worker.values("found"), "it came to its end: more epochs are needed"
        saved = (worker.values("saved") or [saved])[-1]
        check_folder(folder, saved)

    def begin(die_at):
        return start(train_on, folder, None, N_EPOCHS, die_at=die_at)

    counts = killing.kill_often(NAME, begin, check, max_events=MAX_EVENTS)
    counts["steps until the last kill"] = int(saved.split("-")[1])
    assert counts["inside a write"] > killing.N_KILLS / 4
    worker = start(train_on, folder, None, N_EPOCHS)
    assert worker.wait() == 0
    assert worker.values("found") == [whole(N_EPOCHS)]
    names = [path.name for path in list_checkpoints(folder)]
    assert names == [path.name for path in list_checkpoints(tmp_path / "whole")]
    assert not list(folder.glob(".tmp-*"))


def test_nearly_full(disk, tmp_path, start, whole):
    expected, n_refused = whole(6), 0
    size = sum(path.stat().st_size for path in list_checkpoints(tmp_path / "whole")[-1].iterdir())
    for number, room in enumerate(np.linspace(0, 4 * size, 8).astype(int)):
        folder = disk / str(number)
        act = Act(5, lambda room=int(room): killing.fill(disk, room))
        saving = {"callbacks__checkpoint__every_steps": 2, "callbacks": [act]}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # that one save failed
                train(folder, max_epochs=6, net_params=saving)
        except CheckpointError as error:
            assert "Make room" in str(error)
            n_refused += 1
        check_folder(folder, "step-000000004" if room == 0 else None)
        (disk / "filler").unlink()
        again = {"callbacks__checkpoint__every_steps": 2}
        assert train(folder, max_epochs=6, net_params=again) == expected
        assert not list(folder.glob(".tmp-*"))
    assert n_refused
    killing.tally[NAME]["refused for lack of room"] += n_refused


def test_turns_read_only(open_folder, start, whole):
    rng, expected = np.random.default_rng(0), whole(6)
    for number in range(5):
        folder = open_folder / str(number)
        worker = start(train_on, folder, None, 6, is_nobody=True)
        worker.listen(int(rng.integers(20, 120)))
        killing.close_folder(open_folder)
        assert worker.wait() == 0
        (failed,) = worker.values("failed")
        assert failed[1] and "ermission" in failed[2], failed
        assert failed[0].startswith("Checkpoint"), failed
        killing.open_again(open_folder)
        check_folder(folder, (worker.values("saved") or [None])[-1])
        again = start(train_on, folder, None, 6)
        assert again.wait() == 0
        assert again.values("found") == [expected]
        killing.tally[NAME]["folders closed"] += 1


def test_two_writers(tmp_path, start, whole):
    expected, n_refused = whole(25), 0
    for number in range(4):
        folder = tmp_path / str(number)
        workers = [start(train_on, folder, None, 25) for _ in range(2)]
        for worker in workers:
            assert worker.wait() == 0
        for kind, is_os_error, said in [f for w in workers for f in w.values("failed")]:
            assert kind == "CheckpointError" and is_os_error
            assert "Another training has its checkpoints there" in said
            n_refused += 1
        found = [value for worker in workers for value in worker.values("found")]
        assert found and all(value == expected for value in found)
        check_folder(folder)
    assert n_refused
    killing.tally[NAME]["second writers refused"] += n_refused
