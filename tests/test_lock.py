"""The lock of a folder that is written to: who has it, who is alive, and who takes it over.

Not here: builds that are killed (test_store_building.py), and trainings
(test_checkpoint_faults.py).
"""

import json
import os
import socket
import threading
import time

import numpy as np
import pytest
from training_run import Act, train

from sklearn_brainlm import CheckpointError
from sklearn_brainlm.storage import lock
from sklearn_brainlm.storage.files import JOURNAL
from sklearn_brainlm.storage.lock import LOCK, StoreLock, StoreLockedError
from sklearn_brainlm.store_building import build_store
from sklearn_brainlm.store_repair import repair_store

OTHER = {"host": "elsewhere", "pid": 7, "started": "2024-01-01T00:00:00+00:00"}


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Let owners count often, and take them for dead soon."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(lock, "SILENT_SECONDS", 0.3)


def write(folder, beats=3, **owner):
    """Write the lock of a process on another host."""
    record = json.dumps({**OTHER, **owner, "beats": f"{beats:012d}"})
    (folder / LOCK).write_text(record.ljust(511) + "\n")


def read(folder):
    """Read a lock."""
    return json.loads((folder / LOCK).read_text())


def await_beat(folder):
    """Wait until an owner counts on, and return its lock."""
    record, end = read(folder), time.monotonic() + 20
    while read(folder) == record and time.monotonic() < end:
        time.sleep(0.001)
    return read(folder)


def test_owner_counts(tmp_path):
    with StoreLock(tmp_path):
        first = read(tmp_path)
        assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
        later = await_beat(tmp_path)
        assert int(later.pop("beats")) > int(first.pop("beats"))
        assert later == first
        assert (tmp_path / LOCK).stat().st_size == 512
    assert not (tmp_path / LOCK).exists()
    assert "store-lock" not in [thread.name for thread in threading.enumerate()]


def test_lock_of_a_silent_owner_is_taken_over(tmp_path):
    write(tmp_path)
    begin = time.monotonic()
    named = "taken over from process 7 on elsewhere, .* since 2024.* no sign of life for 0.3 sec"
    with pytest.warns(RuntimeWarning, match=named), StoreLock(tmp_path):
        assert time.monotonic() - begin > 0.3
        assert read(tmp_path)["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_lock_of_a_living_owner_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "SILENT_SECONDS", 20.0)  # it ends with the first sign of life
    write(tmp_path, beats=0)
    is_done = threading.Event()

    def live():
        beats = 0
        while not is_done.wait(0.05):
            write(tmp_path, beats := beats + 1)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(StoreLockedError, match="process 7 on elsewhere.*It is alive"):
            StoreLock(tmp_path).__enter__()
    finally:
        is_done.set()
        thread.join()
    assert read(tmp_path)["pid"] == 7


def test_owner_that_lets_go_while_it_is_looked_at(tmp_path):
    write(tmp_path)
    timer = threading.Timer(0.1, (tmp_path / LOCK).unlink)
    timer.start()
    with StoreLock(tmp_path):
        assert read(tmp_path)["pid"] == os.getpid()
    timer.join()


def test_lock_without_a_counter_is_left_alone(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps(OTHER))
    with pytest.raises(StoreLockedError, match="If that process is gone, remove"):
        StoreLock(tmp_path).__enter__()
    (tmp_path / LOCK).write_text("")  # its owner was killed before it could say who it is
    with StoreLock(tmp_path):
        pass


def test_who_was_taken_for_dead_notices(tmp_path):
    """It neither counts on in the lock of the other, nor removes it."""
    held = StoreLock(tmp_path)
    with pytest.raises(StoreLockedError, match="process 7 on elsewhere.*from this process"), held:
        held.check()
        await_beat(tmp_path)  # the next is not before 0.02 seconds
        write(tmp_path)
        time.sleep(0.1)
        assert read(tmp_path) == {**OTHER, "beats": "000000000003"}
        with pytest.raises(StoreLockedError, match="process 7"):
            held.check()
    assert read(tmp_path)["pid"] == 7


def test_of_two_that_take_over_the_last_to_write_has_it(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.5)  # which is waited for a fifth of
    claim = StoreLock._claim

    def overtaken(self, former):
        write(tmp_path, pid=8)
        claim(self, former)

    monkeypatch.setattr(StoreLock, "_claim", overtaken)
    with pytest.raises(StoreLockedError, match="process 8 on elsewhere"):
        StoreLock(tmp_path).__enter__()
    assert read(tmp_path)["pid"] == 8


def test_removed_by_hand(tmp_path):
    with StoreLock(tmp_path) as held:
        (tmp_path / LOCK).unlink()
        held.check()


def test_build_stops_when_another_has_its_folder(tmp_path, monkeypatch):
    """Between two recordings: it writes no row, no entry of the journal and no table after that."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 60.0)  # it looks between recordings, too
    rng = np.random.default_rng(0)
    kept, lost, never = rng.normal(size=(3, 60, 4)).astype(np.float32)
    journal = tmp_path / JOURNAL
    seen = []

    def overtaken():
        seen.append(journal.read_bytes())
        write(tmp_path)
        return lost

    with pytest.raises(StoreLockedError, match="process 7 on elsewhere.*from this process"):
        build_store(tmp_path, [kept, overtaken, lambda: seen.append("read on") or never])
    assert journal.read_bytes() == seen[0]
    assert len(seen) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL, LOCK, "shards"]
    assert read(tmp_path)["pid"] == 7
    (tmp_path / LOCK).unlink()
    assert len(build_store(tmp_path, [kept, lost, never])) == 3  # whoever comes next goes on


def test_repair_stops_when_another_has_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 60.0)
    recording = np.random.default_rng(0).normal(size=(60, 4))
    build_store(tmp_path, [recording])
    damaged = tmp_path / "shards" / "00000.npy"
    damaged.write_bytes(b"damaged")

    def overtaken():
        write(tmp_path)
        return recording

    with pytest.raises(StoreLockedError, match="process 7 on elsewhere.*from this process"):
        repair_store(tmp_path, {"recording-000000": overtaken})
    assert damaged.read_bytes() == b"damaged"


def test_training_stops_when_another_has_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 60.0)  # it looks before it saves, too
    with pytest.raises(CheckpointError, match="process 7 on elsewhere.*from this process"):
        train(tmp_path, net_params={"callbacks": [Act(5, lambda: write(tmp_path))]})
    assert read(tmp_path)["pid"] == 7


def test_training_takes_over_the_folder_of_a_dead_one(tmp_path):
    expected = train(tmp_path / "whole")
    (tmp_path / "run").mkdir()
    write(tmp_path / "run")
    with pytest.warns(RuntimeWarning, match="taken over from process 7 on elsewhere"):
        assert train(tmp_path / "run") == expected
