"""What a training with checkpoints meets: damage, other trainings, full disks, signals.

Not here: how a training goes on (test_checkpoint.py), processes that are killed
(test_checkpoint_kill.py).
"""

import os
import resource
import shutil
import signal
import threading
from functools import partial

import numpy as np
import pytest
from skorch.callbacks import Callback
from training_run import Act, Cut, cut_at, make_model, make_recordings, names, outcome, train

from sklearn_brainlm import CheckpointError
from sklearn_brainlm.checkpointing import files


@pytest.fixture(autouse=True)
def ctrl_c():
    """Let Ctrl-C raise, as in a terminal: a shell that runs a job in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cut(monkeypatch):
    """Return a function that ends a training at a phase of its nth checkpoint."""
    return partial(cut_at, monkeypatch)


@pytest.fixture(scope="module")
def whole():
    """What a training that nobody interrupts ends in."""
    return outcome(make_model().fit(make_recordings()))


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "optimizer.safetensors"])
@pytest.mark.parametrize("how", ["flipped", "cut off", "missing"])
def test_damaged_last_checkpoint(tmp_path, whole, cut, name, how):
    cut("written", 3)
    with pytest.raises(Cut):
        train(tmp_path)
    cut("written", 0)
    path = tmp_path / "step-000000009" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if how != "missing":
        path.write_bytes(content if how == "flipped" else content[:-5])
    if (name, how) == ("manifest.json", "flipped"):
        path.write_bytes(content.replace(b"{", b"[", 1))
    with pytest.warns(RuntimeWarning, match=f"damaged.*{name}") as caught:
        assert train(tmp_path) == whole
    assert len(caught) == 1
    assert (tmp_path / "damaged-step-000000009").is_dir()


def test_no_checkpoint_is_whole(tmp_path):
    train(tmp_path)
    for path in files.list_checkpoints(tmp_path):
        (path / "state.json").write_text("{}")
    with (
        pytest.warns(RuntimeWarning, match="damaged"),
        pytest.raises(CheckpointError, match="No checkpoint in .* is whole"),
    ):
        train(tmp_path)


# --- what is refused -----------------------------------------------------------------------------


def test_another_training_is_not_resumed(tmp_path):
    train(tmp_path)
    with pytest.raises(CheckpointError) as error:
        train(tmp_path, lr=0.01, max_epochs=9, parcel_coords=np.eye(4, 3), n_recordings=8)
    for change in (
        "lr: 0.0015 -> 0.01;",
        "max_epochs: 4 -> 9;",
        "parcel_coords: None -> float64 [4, 3] (",
        "recordings: 9 of 40 to 40 timepoints, 4 parcels (",
    ):
        assert change in str(error.value)
    assert "batch_size" not in str(error.value)
    with pytest.raises(CheckpointError, match="seed: [0-9]* -> [0-9]*"):
        train(tmp_path, random_state=1)
    with pytest.raises(CheckpointError, match="net_params optimizer__eps: nothing -> 0.001"):
        train(tmp_path, net_params={"optimizer__eps": 1e-3})
    moved = make_recordings()
    moved[0] = moved[0] + 1.0
    with pytest.raises(CheckpointError, match="recordings: 9 of"):
        make_model(tmp_path, resume=True).fit(moved)


def test_what_does_not_matter_may_change(tmp_path, whole):
    train(tmp_path)
    assert train(str(tmp_path), verbose=0, micro_batch_size=1, pooling="cls") == whole


def test_weights_that_it_starts_from_are_part_of_it(tmp_path):
    donor = make_model(max_epochs=1).fit(make_recordings())
    other = make_model(max_epochs=1, random_state=1).fit(make_recordings())
    for number, model in enumerate((donor, other)):
        model.set_params(net_params=None).save_pretrained(tmp_path / f"weights-{number}")
    run = tmp_path / "run"
    expected = train(run, weights=tmp_path / "weights-0")
    shutil.copytree(tmp_path / "weights-0", tmp_path / "moved")
    assert train(run, weights=tmp_path / "moved") == expected
    with pytest.raises(CheckpointError, match="starting weights"):
        train(run, weights=tmp_path / "weights-1")


def test_other_versions_are_a_warning(tmp_path, whole):
    train(tmp_path)
    path = tmp_path / "step-000000016-end" / "manifest.json"
    path.write_text(path.read_text().replace('"threads": ', '"threads": 9'))
    with pytest.warns(RuntimeWarning, match="threads: 9[0-9]+ -> "):
        assert train(tmp_path) == whole


def test_a_run_is_never_overwritten(tmp_path):
    train(tmp_path)
    with pytest.raises(CheckpointError, match="step-000000016-end. Give resume=True"):
        make_model(tmp_path).fit(make_recordings())
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        make_model(resume=True).fit(make_recordings())


def test_one_training_a_folder(tmp_path):
    def second():
        with pytest.raises(CheckpointError, match=f"process {os.getpid()} on "):
            train(tmp_path)

    train(tmp_path, net_params={"callbacks": [Act(2, second)]})
    train(tmp_path)  # the folder was let go of


# --- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def limit_files():
    """Return a function that makes writing more than some bytes to a file fail, as a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(n_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, former[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_full_disk_fails_before_training(tmp_path, limit_files):
    limit_files(1 << 20)
    act = Act()
    with pytest.raises(
        CheckpointError, match="takes about 1.1 MB; .* MB are free there. Make room"
    ):
        train(tmp_path / "run", net_params={"callbacks": [act]})
    assert act.n_steps == 0
    assert not list((tmp_path / "run").iterdir())


def test_folder_that_cannot_be_written_fails_before_training(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="cannot take checkpoints"):
        train(tmp_path / "file" / "run")
    if os.geteuid():  # root may write everywhere
        tmp_path.chmod(0o500)
        with pytest.raises(CheckpointError, match="Permission denied"):
            train(tmp_path / "run")


def test_disk_that_becomes_full(tmp_path, whole, limit_files):
    """A warning, then an error; what was saved before is whole."""
    fill = {"callbacks": [Act(4, lambda: limit_files(100))]}
    saving = {"callbacks__checkpoint__every_steps": 3}
    with (
        pytest.warns(RuntimeWarning, match="step 6 could not be saved.*Training goes on") as caught,
        pytest.raises(CheckpointError, match="step 9 could not .* Nor could the one before"),
    ):
        train(tmp_path, net_params={**fill, **saving})
    assert len(caught) == 1
    assert names(tmp_path) == ["step-3"]
    limit_files(resource.RLIM_INFINITY)
    assert train(tmp_path) == whole


def test_disk_that_is_full_for_a_while(tmp_path, whole, limit_files):
    acts = [Act(4, lambda: limit_files(100)), Act(7, lambda: limit_files(resource.RLIM_INFINITY))]
    saving = {"callbacks__checkpoint__every_steps": 3}
    with pytest.warns(RuntimeWarning, match="step 6 could not be saved"):
        found = train(tmp_path, net_params={"callbacks": acts, **saving})
    assert found == whole
    assert names(tmp_path) == ["step-12", "step-15", "step-16-end"]


# --- signals -------------------------------------------------------------------------------------

SIGNALS = {
    "SIGTERM": (SystemExit, 143),
    "SIGUSR1": (SystemExit, 128 + signal.SIGUSR1),
    "SIGINT": (KeyboardInterrupt, None),
}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("when", ["step", "validation"])
def test_signal_is_followed_when_the_step_is_saved(tmp_path, whole, name, when):
    class Tell(Callback):
        """Send a signal in the fifth step, or when the second epoch is validated."""

        n_epochs = n_steps = 0

        def on_epoch_begin(self, net, **kwargs):
            self.n_epochs += 1

        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            self.n_steps += training
            in_step = when == "step" and training and self.n_steps == 5
            if in_step or (when == "validation" and not training and self.n_epochs == 2):
                signal.raise_signal(getattr(signal, name))

    former = [signal.getsignal(getattr(signal, other)) for other in SIGNALS]
    error, code = SIGNALS[name]
    saving = {"callbacks__checkpoint__every_steps": 100}
    with pytest.raises(error) as raised:
        train(tmp_path, net_params={"callbacks": [Tell()], **saving})
    if code is not None:
        assert raised.value.code == code
    assert names(tmp_path) == ["step-5" if when == "step" else "step-8"]
    assert [signal.getsignal(getattr(signal, other)) for other in SIGNALS] == former
    assert train(tmp_path) == whole


def test_interrupt_of_a_callback_saves_too(tmp_path, whole):
    def interrupt():
        raise KeyboardInterrupt

    saving = {"callbacks__checkpoint__every_steps": 100}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, net_params={"callbacks": [Act(5, interrupt)], **saving})
    assert names(tmp_path) == ["step-5"]
    assert train(tmp_path) == whole


def test_second_ctrl_c_does_not_wait(tmp_path):
    def press_twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("nobody listened")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, net_params={"callbacks": [Act(5, press_twice)]})


def test_other_threads_leave_signals_alone(tmp_path, whole):
    found = []
    thread = threading.Thread(target=lambda: found.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert found == [whole]
