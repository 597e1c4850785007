"""The callback alone, called as a net calls it: when it saves, what it keeps, whom it lets in.

No network is trained, and the clock stands still until it is moved. What a checkpoint holds, and
how a training goes on from one, is test_checkpoint.py.
"""

import math
import os
from types import SimpleNamespace

import pytest
from training_run import names

from sklearn_brainlm import CheckpointError
from sklearn_brainlm import checkpoint as module
from sklearn_brainlm.checkpoint import Checkpoint
from sklearn_brainlm.checkpointing import files
from sklearn_brainlm.storage.lock import LOCK, StoreLock


class Heard:
    """Stands for the signals of a training: none, until `pending` is set."""

    pending = None
    n_listened = n_closed = n_followed = n_agreed = 0

    def listen(self):
        self.n_listened += 1

    def close(self):
        self.n_closed += 1

    def agree(self):
        self.n_agreed += 1

    def follow(self):
        self.n_followed += 1


@pytest.fixture
def clock(monkeypatch):
    """Return the clock that the callback reads; `now` moves it."""
    clock = SimpleNamespace(now=3.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def net(monkeypatch):
    """Return what the callback sees of a net, whose state is empty; one epoch is of before."""
    empty = {part: {} for part in files.PARTS}
    net = SimpleNamespace(history=[{}], interrupts_=Heard(), is_finished_=True, begun=None, seen=[])

    def collect(net, batches, *, n_before, step_of_epoch):
        net.seen.append((batches, n_before, step_of_epoch))
        return empty, {}

    monkeypatch.setattr(module, "collect_state", collect)
    monkeypatch.setattr(module, "estimate_bytes", lambda net: 1 << 20)
    monkeypatch.setattr(module, "surroundings", lambda net: {"threads": 1})
    monkeypatch.setattr(module, "join_state", lambda parts, state: state)
    monkeypatch.setattr(module, "restore_state", lambda net, X, state, *, n_before: net.begun)
    monkeypatch.setattr(module, "reopen_epoch", lambda net, epoch: net.seen.append(epoch))
    return net


@pytest.fixture
def begin(tmp_path, net, clock):
    """Return a function that begins a training with a callback."""
    begun = []

    def begin(**parameters):
        callback = Checkpoint(tmp_path, **parameters)
        callback.on_train_begin(net, "batches")
        begun.append(callback)
        return callback

    yield begin
    for callback in begun:
        lock = getattr(callback, "lock_", None)
        if lock is not None and not lock._is_done.is_set():
            lock.release()


def step(callback, net, n=1, *, training=True):
    """Take steps of a training, or of a validation."""
    for _ in range(n):
        callback.on_batch_begin(net, training=training)
        callback.on_batch_end(net, training=training)


def end_epoch(callback, net, loss):
    """End an epoch with a validation loss."""
    net.history.append({} if loss is None else {"valid_loss": loss})
    callback.on_epoch_end(net)


# --- when ----------------------------------------------------------------------------------------


def test_every_so_many_steps(tmp_path, begin, net):
    callback = begin(every_steps=3, every_seconds=None, keep=9)
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    step(callback, net, 4, training=False)
    callback.on_batch_begin(net)
    callback.on_batch_end(net)
    assert names(tmp_path) == []
    step(callback, net, 5)
    assert names(tmp_path) == ["step-3", "step-6"]
    net.history.append({})
    callback.on_epoch_end(net)
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    assert names(tmp_path) == ["step-3", "step-6", "step-9"]
    assert net.seen == [("batches", 1, 3), ("batches", 1, 6), ("batches", 1, 2)]


def test_every_so_many_seconds(tmp_path, begin, net, clock):
    callback = begin(every_seconds=10)
    callback.on_epoch_begin(net)
    for now, saved in ((9.9, 0), (10, 1), (19.9, 1), (20, 2), (35, 3), (44, 3), (45, 4)):
        clock.now = 3 + now
        step(callback, net)
        assert len(list(tmp_path.glob("step-*"))) == min(saved, 3)
    assert names(tmp_path) == ["step-4", "step-5", "step-7"]


def test_neither_steps_nor_seconds_save_nothing(tmp_path, begin, net, clock):
    callback = begin(every_seconds=None)
    callback.on_epoch_begin(net)
    clock.now = 1e9
    step(callback, net, 3)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("every_seconds", "wait"), [(100, 10), (25, 2.5), (None, 0)])
def test_the_best_epoch_when_a_tenth_has_passed(tmp_path, begin, net, clock, every_seconds, wait):
    callback = begin(every_seconds=every_seconds, keep=9)

    def epoch(loss, elapsed):
        clock.now += elapsed
        callback.on_epoch_begin(net)
        callback.step_ += 1
        end_epoch(callback, net, loss)

    if wait:
        epoch(0.5, 0.99 * wait)
        assert names(tmp_path) == []
        clock.now = 3.0
    for loss in (0.5, 0.6, 0.5, None, 0.4):
        epoch(loss, wait)
    first = 2 if wait else 1
    assert names(tmp_path) == [f"step-{first}-epoch", f"step-{first + 4}-epoch"]
    found = [files.read_manifest(p) for p in sorted(tmp_path.glob("step-*"))]
    assert [manifest["valid_loss"] for manifest in found] == [0.5, 0.4]
    assert net.seen == [("batches", 1, None)] * 2  # between epochs


def test_the_loss_of_a_step_is_not_known(tmp_path, begin, net):
    callback = begin(every_steps=1, every_seconds=None)
    callback.on_epoch_begin(net)
    net.history.append({"valid_loss": 0.5})  # of the epoch before
    step(callback, net)
    manifest = files.read_manifest(tmp_path / "step-000000001")
    assert manifest["valid_loss"] is None and manifest["step"] == 1


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_the_best_of_nothing(tmp_path, begin, net, clock, loss):
    callback = begin(every_seconds=1)
    callback.on_epoch_begin(net)
    callback.step_, clock.now = 4, 4.0
    end_epoch(callback, net, loss)
    callback.on_train_end(net)
    manifest = files.read_manifest(tmp_path / "step-000000004-end")
    assert manifest["valid_loss"] is None
    assert callback.losses_ == {}


def test_the_end_of_a_training_that_finished(tmp_path, begin, net):
    callback = begin()
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    net.history.append({"valid_loss": 0.25})
    callback.on_train_end(net)
    assert names(tmp_path) == ["step-2-end"]
    assert net.seen == [("batches", 1, None)]
    assert not (tmp_path / LOCK).exists()
    heard = net.interrupts_
    assert (heard.n_listened, heard.n_closed, heard.n_agreed, heard.n_followed) == (1, 1, 1, 0)


def test_nothing_at_the_end_of_one_that_did_not(tmp_path, begin, net):
    net.is_finished_ = False
    callback = begin()
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    callback.on_train_end(net)
    assert names(tmp_path) == []
    assert not (tmp_path / LOCK).exists()
    assert (net.interrupts_.n_closed, net.interrupts_.n_agreed) == (1, 0)


def test_a_signal_that_arrives_at_the_end_is_followed(begin, net):
    callback = begin()
    callback.on_epoch_begin(net)
    step(callback, net)
    net.history.append({})
    net.interrupts_.pending = 15
    callback.on_train_end(net)
    assert net.interrupts_.n_followed == 1


@pytest.mark.parametrize("training", [True, False])
def test_a_signal_is_followed_after_the_step(tmp_path, begin, net, training):
    callback = begin()
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    net.interrupts_.pending = 15
    step(callback, net, training=training)
    assert names(tmp_path) == ["step-3" if training else "step-2"]
    assert net.interrupts_.n_followed == 1


def test_a_signal_is_followed_at_the_end_of_an_epoch(tmp_path, begin, net):
    callback = begin(every_seconds=None)
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    net.interrupts_.pending = 15
    end_epoch(callback, net, None)
    assert names(tmp_path) == ["step-2-epoch"]
    assert net.interrupts_.n_followed == 1


def test_an_interrupt_within_a_step_saves_nothing(tmp_path, begin, net):
    """The weights are half changed; while an epoch is validated they are whole."""
    callback = begin()
    callback.on_interrupt(net)
    assert names(tmp_path) == ["step-"]
    callback.on_epoch_begin(net)
    step(callback, net)
    callback.on_batch_begin(net, training=True)
    callback.on_interrupt(net)
    assert names(tmp_path) == ["step-"]
    callback.on_batch_begin(net)  # of validation
    callback.on_interrupt(net)
    assert names(tmp_path) == ["step-", "step-1"]


def test_without_a_folder_nothing_is_done(net):
    callback = Checkpoint()
    callback.on_train_begin(net)
    callback.on_epoch_begin(net)
    step(callback, net)
    end_epoch(callback, net, 0.1)
    callback.on_interrupt(net)
    callback.on_train_end(net)
    assert net.seen == [] and net.interrupts_.n_listened == 0


# --- what is kept, and what fails ----------------------------------------------------------------


def test_the_last_ones_and_the_best_are_kept(tmp_path, begin, net, clock):
    callback = begin(every_steps=1, every_seconds=1, keep=2)
    for loss in (0.5, 0.3, 0.4):
        clock.now += 1
        callback.on_epoch_begin(net)
        step(callback, net)
        clock.now += 1
        end_epoch(callback, net, loss)
    assert names(tmp_path) == ["step-2-epoch", "step-3"]
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    assert names(tmp_path) == ["step-2-epoch", "step-4", "step-5"]
    assert [path.name for path in callback.losses_] == ["step-000000002-epoch"]


def test_what_cannot_be_removed_stays(tmp_path, begin, net, monkeypatch):
    callback = begin(every_steps=1, keep=1)
    callback.on_epoch_begin(net)

    def refuse(*given, **named):
        raise PermissionError

    monkeypatch.setattr(os, "rmdir", refuse)
    step(callback, net, 2)
    monkeypatch.undo()
    assert names(tmp_path) == ["step-1", "step-2"]


def test_nothing_is_written_twice(tmp_path, begin, net):
    callback = begin(every_steps=1)
    callback.on_epoch_begin(net)
    step(callback, net)
    manifest = tmp_path / "step-000000001" / "manifest.json"
    manifest.write_text("mine")
    callback.on_interrupt(net)
    assert manifest.read_text() == "mine" and len(net.seen) == 1


def test_the_second_failure_in_a_row_is_an_error(tmp_path, begin, net, monkeypatch, clock):
    callback = begin(every_steps=1, every_seconds=50)
    callback.on_epoch_begin(net)
    write, is_full = module.write_checkpoint, True

    def fail(*given):
        if is_full:
            raise OSError("No space left")
        write(*given)

    monkeypatch.setattr(module, "write_checkpoint", fail)
    clock.now += 40
    with pytest.warns(RuntimeWarning, match="step 1 could not be saved: No space left") as caught:
        step(callback, net)
    assert caught[0].filename == module.__file__
    assert callback.saved_at_ == clock.now  # the next one is not tried at once
    is_full = False
    step(callback, net)
    is_full = True
    with pytest.warns(RuntimeWarning, match="step 3 could not be saved"):
        step(callback, net)
    with pytest.raises(CheckpointError, match="step 4 could not be .* Nor could the one before"):
        step(callback, net)
    with pytest.warns(RuntimeWarning, match="step 5 could not be saved"):
        callback.step_ += 1
        callback.on_interrupt(net)  # of a training that ends anyway, a warning is enough
    assert names(tmp_path) == ["step-2"]


def test_two_failures_are_enough(begin, net, monkeypatch):
    callback = begin(every_steps=1)
    callback.on_epoch_begin(net)

    def fail(*given):
        raise OSError("No space left")

    monkeypatch.setattr(module, "write_checkpoint", fail)
    with pytest.warns(RuntimeWarning, match="step 1 could not be saved"):
        step(callback, net)
    with pytest.raises(CheckpointError, match="step 2 could not be saved"):
        step(callback, net)


@pytest.mark.parametrize("end", ["training", "signal"])
def test_at_the_end_a_second_failure_is_a_warning(tmp_path, begin, net, monkeypatch, end):
    callback = begin(every_steps=2, every_seconds=None)
    callback.on_epoch_begin(net)

    def fail(*given):
        raise OSError("No space left")

    monkeypatch.setattr(module, "write_checkpoint", fail)
    with pytest.warns(RuntimeWarning, match="step 2 could not be saved"):
        step(callback, net, 2)
    with pytest.warns(RuntimeWarning, match="step 3 could not be saved"):
        net.interrupts_.pending = 15 if end == "signal" else None
        step(callback, net)
        if end == "training":
            callback.on_train_end(net)
    assert net.interrupts_.n_followed == (end == "signal")


def test_an_error_that_is_not_of_the_disk_is_not_a_warning(begin, net, monkeypatch):
    callback = begin(every_steps=1)
    callback.on_epoch_begin(net)

    def fail(*given):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "write_checkpoint", fail)
    with pytest.raises(ZeroDivisionError):
        step(callback, net)


# --- whose folder it is --------------------------------------------------------------------------


def test_a_folder_that_was_taken_over_is_not_written_to(tmp_path, begin, net):
    callback = begin(every_steps=1)
    callback.on_epoch_begin(net)
    record = (tmp_path / LOCK).read_text()
    other = record.replace('"host": "', '"host": "x')[: len(record)]
    (tmp_path / LOCK).write_text(other)
    with pytest.raises(CheckpointError, match="Another training has its checkpoints there"):
        step(callback, net)
    assert names(tmp_path) == []


def test_a_folder_that_is_taken_is_refused(tmp_path, begin):
    with StoreLock(tmp_path), pytest.raises(CheckpointError, match="Another training has its"):
        begin()


def test_the_folder_is_let_go_of_where_the_training_is_refused(tmp_path, begin, net):
    callback = begin(configuration={"lr": 1}, every_steps=1)
    callback.on_epoch_begin(net)
    step(callback, net)
    callback.on_train_end(net)
    for parameters, words in (
        ({"configuration": {"lr": 1}}, "the last one step-000000001-end. Give resume=True"),
        ({"configuration": {"lr": 2}, "resume": True}, "another training.*lr: 1 -> 2"),
    ):
        with pytest.raises(CheckpointError, match=words):
            begin(**parameters)
        assert not (tmp_path / LOCK).exists()


def test_only_the_first_process_writes_and_all_read(tmp_path, begin, net, monkeypatch):
    begin().on_train_end(net)
    first = begin(resume=True, every_steps=1)
    first.on_epoch_begin(net)
    step(first, net)
    first.lock_.release()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(module, "process_rank", lambda: 1)
    monkeypatch.setattr(module, "in_first", lambda act: None)
    callback = begin(resume=True, every_steps=1)
    assert callback.step_ == 1
    callback.on_epoch_begin(net)
    step(callback, net, 2)
    callback.on_train_end(net)
    assert sorted(tmp_path.iterdir()) == before


# --- going on ------------------------------------------------------------------------------------


def test_it_goes_on_with_steps_losses_and_the_epoch(tmp_path, begin, net, clock):
    first = begin(every_steps=2, every_seconds=1, keep=9)
    first.on_epoch_begin(net)
    step(first, net, 2)
    clock.now += 1
    end_epoch(first, net, 0.5)
    first.on_epoch_begin(net)
    step(first, net, 2)
    first.lock_.release()
    manifest = tmp_path / "step-000000002" / "manifest.json"
    manifest.write_text("{")  # one that is damaged, and not the last, has no loss

    net.begun = {"step": 2}
    second = begin(every_steps=2, every_seconds=1, resume=True, keep=9)
    assert second.n_before_ == len(net.history) == 2
    assert (second.step_, list(second.losses_.values())) == (4, [0.5])
    net.seen.clear()
    second.on_epoch_begin(net)
    assert net.seen == [{"step": 2}] and second.step_of_epoch_ == 2
    step(second, net, 2)
    assert net.seen[1:] == [("batches", 2, 4)]
    clock.now += 1
    end_epoch(second, net, 0.6)  # worse than before
    second.on_epoch_begin(net)
    assert len(net.seen) == 2 and second.step_of_epoch_ == 0  # the next epoch begins anew
    assert names(tmp_path) == ["step-2", "step-2-epoch", "step-4", "step-6"]


def test_an_empty_folder_begins(begin, net, monkeypatch):
    told = []
    monkeypatch.setattr(module, "check_same", lambda what, step: told.append((what, step)))
    callback = begin(resume=True)
    callback.on_epoch_begin(net)
    assert (callback.step_, callback.step_of_epoch_, net.seen) == (0, 0, [])
    ((what, told_step),) = told
    assert what == "checkpoint" and told_step < 0  # no step, of those that found one


def test_going_on_elsewhere_is_a_warning(begin, net, monkeypatch):
    begin().on_train_end(net)
    monkeypatch.setattr(module, "surroundings", lambda net: {"threads": 2})
    with pytest.warns(RuntimeWarning, match="began elsewhere. Then -> now: threads: 1 -> 2"):
        begin(resume=True)
