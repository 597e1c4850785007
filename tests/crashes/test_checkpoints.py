"""Checkpoints written one after another by a process that is killed: what is in them is known.

Not here: what a training puts into them, and takes out (test_training.py).
"""

import shutil

import numpy as np
import pytest

from crashes import killing
from sklearn_brainlm.checkpointing.files import (
    PARTS,
    list_checkpoints,
    name_checkpoint,
    read_last,
    remove_leftovers,
    write_checkpoint,
)
from sklearn_brainlm.storage.lock import StoreLock, StoreLockedError

KEEP = 3
NAME = "checkpoints"


def content(step):
    """Return what the checkpoint of a step holds."""
    rng = np.random.default_rng(step)
    parts = {part: {"a": rng.random((step % 7 + 1, 900)), "b": np.array(step)} for part in PARTS}
    return parts, {"step": step}, {"step": step, "valid_loss": None}


def write_next(say, folder):
    """Write the checkpoint after the last one, and remove old ones, as a training does."""
    paths = list_checkpoints(folder)
    step = int(paths[-1].name.split("-")[1]) + 1 if paths else 1
    path = name_checkpoint(folder, step)
    say("begun", step)
    write_checkpoint(path, *content(step))
    say("ended")
    say("saved", step)
    for old in list_checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def write_on(say, folder):
    """Write checkpoints for ever."""
    killing.say_calls(say)
    with StoreLock(folder):
        remove_leftovers(folder)
        while True:
            write_next(say, folder)


def take_turns(say, folder, n_checkpoints):
    """Write so many checkpoints, two whenever the folder is free."""
    n_saved = 0
    while n_saved < n_checkpoints:
        try:
            with StoreLock(folder):
                remove_leftovers(folder)
                for _ in range(2):
                    write_next(say, folder)
                    n_saved += 1
        except StoreLockedError:
            say("refused")


def check_folder(folder):
    """Check the last checkpoints, to the last value; return their steps."""
    paths, steps = list_checkpoints(folder)[-KEEP:], []
    for path in paths:
        manifest, state, parts = read_last([path])  # a damaged one is a warning, and that an error
        expected_parts, expected_state, notes = content(manifest["step"])
        assert state == expected_state and name_checkpoint(folder, state["step"]) == path
        assert {name: manifest[name] for name in notes} == notes
        for part, arrays in expected_parts.items():
            assert parts[part].keys() == arrays.keys()
            assert all(np.array_equal(parts[part][name], arrays[name]) for name in arrays)
        steps.append(state["step"])
    return steps


def test_killed(tmp_path, start):
    saved = []

    def check(worker):
        saved.extend(worker.values("saved"))
        steps = check_folder(tmp_path)
        assert steps == list(range(steps[0], steps[-1] + 1)) if steps else not saved
        assert not saved or saved[-1] in steps

    def begin(die_at):
        return start(write_on, tmp_path, die_at=die_at)

    counts = killing.kill_often(NAME, begin, check, max_events=100)
    assert counts["inside a write"] > killing.N_KILLS / 2
    assert saved == sorted(set(saved))  # none was lost and written again
    with StoreLock(tmp_path):
        remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp-")] == []


def test_nearly_full(disk):
    def say(event, value=None):
        pass

    for _ in range(KEEP):
        write_next(say, disk)
    size = sum(path.stat().st_size for path in list_checkpoints(disk)[-1].iterdir())
    n_refused, rooms = 0, np.linspace(0, 2 * size + 65536, 24).astype(int)
    for room in rooms:
        before = check_folder(disk)
        filler = killing.fill(disk, int(room))
        try:
            write_next(say, disk)
        except OSError as error:
            assert "space" in str(error)
            assert check_folder(disk) == before
            n_refused += 1
        else:
            assert check_folder(disk) == [*before[1:], before[-1] + 1]
        filler.unlink(missing_ok=True)
        assert not list(disk.glob(".tmp-*"))
    assert 0 < n_refused < len(rooms)
    killing.tally[NAME]["refused for lack of room"] += n_refused


def test_turns_read_only(open_folder, start):
    rng, saved = np.random.default_rng(0), []
    for _ in range(8):
        worker = start(write_on, open_folder, is_nobody=True)
        worker.listen(int(rng.integers(20, 120)))
        killing.close_folder(open_folder)
        assert worker.wait() == 0
        (failed,) = worker.values("failed")
        assert failed[1] and "ermission" in failed[2], failed
        saved += worker.values("saved")
        assert saved[-1] in check_folder(open_folder)
        killing.open_again(open_folder)
        killing.tally[NAME]["folders closed"] += 1
    assert saved == sorted(set(saved))


def test_two_writers(tmp_path, start):
    workers = [start(take_turns, tmp_path, 60) for _ in range(2)]
    for worker in workers:
        assert worker.wait() == 0
        assert not worker.values("failed"), worker.values("failed")
    saved = [step for worker in workers for step in worker.values("saved")]
    assert sorted(saved) == list(range(1, 121))  # each by one of them, none over another
    assert check_folder(tmp_path) == [118, 119, 120]
    n_refused = sum(len(worker.values("refused")) for worker in workers)
    assert n_refused or pytest.skip("the two were never there at once")
    killing.tally[NAME]["second writers refused"] += n_refused
