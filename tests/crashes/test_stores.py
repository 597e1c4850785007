"""Stores whose building is killed: it goes on, keeps what it had, and ends in the same bytes."""

import shutil
import tempfile
import warnings

import numpy as np
import pytest
import store_killing

from crashes import killing
from sklearn_brainlm.exceptions import DataQualityWarning, StoreCorruptionError
from sklearn_brainlm.storage import writer
from sklearn_brainlm.storage.files import JOURNAL
from sklearn_brainlm.storage.journal import Journal
from sklearn_brainlm.storage.lock import LOCK
from sklearn_brainlm.store import RecordingStore

N = 16
NAME = "stores"
LEFT = {LOCK, JOURNAL}


def build_in(folder):
    """Build, or go on, as the script of builds that are killed does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)  # of what is in quarantine
        return store_killing.build(folder, N)


def build_on(say, folder):
    """Build, saying which recordings are read, and how many have reached the disk."""
    commit, make = writer.StoreWriter.commit, store_killing.make_recording

    def told(self):
        n_entries = len(self.entries)
        say("begun", n_entries)
        commit(self)
        say("ended")
        say("saved", n_entries)

    def read(index, seconds):
        say("read", index)
        return make(index)

    writer.StoreWriter.commit = told
    store_killing.make_recording = read
    killing.say_calls(say)
    store = build_in(folder)
    say("built", len(store))


def check_folder(folder, n_saved, expected):
    """Check that a store is whole or said not to be, and that nothing that was saved is lost."""
    try:
        store = RecordingStore(folder)
    except FileNotFoundError:  # not even the folder
        assert not n_saved
    except StoreCorruptionError as error:
        said = str(error)
        assert "not finished" in said or ("manifest.json is missing" in said and not n_saved)
        assert not n_saved or read_journal(folder) >= n_saved
    else:
        # Everything is as it was written; the next call tidies up what is left of the building.
        assert {finding.file for finding in store.verify()} <= LEFT
        found = store_killing.read_files(folder)
        assert {name: found[name] for name in expected} == expected
        assert set(found) <= {*expected, *LEFT}


def read_journal(folder):
    """Count the recordings that the journal of a store knows."""
    with tempfile.TemporaryDirectory() as other:
        path = shutil.copy(folder / JOURNAL, other)
        with Journal(path) as journal:  # which cuts off what is not whole
            return len(journal.entries) - 1


@pytest.fixture
def expected(tmp_path):
    """The files of the store that is built without an interruption, by name."""
    build_in(tmp_path / "whole")
    return store_killing.read_files(tmp_path / "whole")


def test_killed(tmp_path, start, expected):
    number = n_saved = n_built = 0

    def check(worker):
        nonlocal number, n_saved, n_built
        folder = tmp_path / str(number)
        read = worker.values("read")
        assert not read or read[0] >= n_saved  # what was saved is not built again
        n_saved = max([n_saved, *worker.values("saved")])
        check_folder(folder, n_saved, expected)
        if worker.values("built"):
            RecordingStore(folder)
            number, n_saved, n_built = number + 1, 0, n_built + 1

    def begin(die_at):
        return start(build_on, tmp_path / str(number), die_at=die_at)

    counts = killing.kill_often(NAME, begin, check, max_events=120)
    assert counts["inside a write"] > killing.N_KILLS / 8
    build_in(tmp_path / str(number))
    assert store_killing.read_files(tmp_path / str(number)) == expected
    assert n_built > 1
    counts["built, after kills"] += n_built + 1


def test_killed_while_it_ends(tmp_path, start, expected):
    """Killed at each of the last events: tables, manifest, and what is tidied up."""
    worker = start(build_on, tmp_path / "counted")
    assert worker.wait() == 0
    n_events = len(worker.said)
    for die_at in range(n_events - 30, n_events):
        folder = tmp_path / str(die_at)
        worker = start(build_on, folder, die_at=die_at)
        worker.wait()
        check_folder(folder, max(worker.values("saved")), expected)
        build_in(folder)
        assert store_killing.read_files(folder) == expected
    killing.tally[NAME]["killed at each of the last calls"] += 30


def test_nearly_full(disk, expected):
    size = sum(len(content) for content in expected.values())
    n_refused, rooms = 0, np.linspace(4096, 30 * 4096 + size, 24).astype(int)
    for number, room in enumerate(rooms):
        filler = killing.fill(disk, int(room))
        folder = disk / str(number)
        try:
            build_in(folder)
        except OSError as error:
            assert "space" in str(error)
            n_refused += 1
            check_folder(folder, 0, expected)
        filler.unlink(missing_ok=True)
        build_in(folder)
        assert store_killing.read_files(folder) == expected
    assert 0 < n_refused < len(rooms)
    killing.tally[NAME]["refused for lack of room"] += n_refused


def test_turns_read_only(open_folder, start, expected):
    rng = np.random.default_rng(0)
    for number in range(8):
        folder = open_folder / str(number)
        worker = start(build_on, folder, is_nobody=True)
        worker.listen(int(rng.integers(5, 100)))
        killing.close_folder(open_folder)
        assert worker.wait() == 0
        for failed in worker.values("failed"):
            assert failed[1] and "ermission" in failed[2], failed
        assert worker.values("failed") or worker.values("built")
        check_folder(folder, max(worker.values("saved"), default=0), expected)
        killing.open_again(open_folder)
        build_in(folder)
        assert store_killing.read_files(folder) == expected
        killing.tally[NAME]["folders closed"] += bool(worker.values("failed"))


def test_two_writers(tmp_path, start, expected):
    n_refused = 0
    for number in range(15):
        folder = tmp_path / str(number)
        workers = [start(build_on, folder) for _ in range(2)]
        for worker in workers:
            assert worker.wait() == 0
        failed = [value for worker in workers for value in worker.values("failed")]
        assert all(kind == "StoreLockedError" for kind, *_ in failed), failed
        n_refused += len(failed)
        assert any(worker.values("built") for worker in workers)
        assert store_killing.read_files(folder) == expected
    assert n_refused
    killing.tally[NAME]["second writers refused"] += n_refused


def test_killed_beside_another_writer(tmp_path, start, expected):
    """A second writer is refused while the first lives, and goes on when it has been killed."""
    rng = np.random.default_rng(1)
    for number in range(8):
        folder = tmp_path / str(number)
        first = start(build_on, folder)
        first.listen(int(rng.integers(10, 60)))
        second = start(build_on, folder)
        first.kill()
        second.wait()
        check_folder(folder, max(first.values("saved"), default=0), expected)
        build_in(folder)
        assert store_killing.read_files(folder) == expected
