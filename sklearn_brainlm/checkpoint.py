"""Training that survives: its whole state on disk every so often, and taken up again from there.

A checkpoint is not weights: weights are for using a trained network, a checkpoint is all that is
needed to go on with a training as if it had never stopped.
"""

import math
import shutil
import time
import warnings
from contextlib import suppress
from pathlib import Path

from skorch.callbacks import Callback

from sklearn_brainlm._exchanges import check_same, in_first
from sklearn_brainlm.checkpointing.changes import list_changes
from sklearn_brainlm.checkpointing.files import (
    list_checkpoints,
    name_checkpoint,
    read_last,
    read_manifest,
    remove_leftovers,
    write_checkpoint,
)
from sklearn_brainlm.checkpointing.room import check_space, describe_room
from sklearn_brainlm.checkpointing.state import (
    collect_state,
    estimate_bytes,
    join_state,
    reopen_epoch,
    restore_state,
    surroundings,
)
from sklearn_brainlm.distributed import process_rank
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.storage.lock import StoreLock, StoreLockedError

__all__ = ["Checkpoint"]

_MAX_FAILURES = 2  # saves in a row that fail before training stops
_TAKEN = "Another training has its checkpoints there: {}"


class Checkpoint(Callback):
    """Save checkpoints while a net trains, and resume from the last one.

    A training that is resumed on a CPU, with as many threads, ends in the same bits as one that was
    never interrupted: batches are a pure function of seed, epoch, step and process.

    Parameters
    ----------
    folder : str or Path, optional
        Folder of the checkpoints of one training. None saves nothing.
    every_steps : int, optional
        Optimizer steps between checkpoints.
    every_seconds : float or None, default=600
        Seconds between checkpoints. The end of an epoch whose validation loss is the lowest so far
        is saved too, when a tenth of this has passed since the last one.
    keep : int, default=3
        Number of the last checkpoints that are kept, and the one with the lowest validation loss
        beside them.
    resume : bool, default=False
        Whether to go on from the last checkpoint of the folder, if it has any.
    configuration : dict, optional
        What decides what is learned, by name: values that JSON holds. A training is only resumed
        under the same.

    See Also
    --------
    BrainLMTransformer : Uses one when `checkpoint_dir` is given.

    Notes
    -----
    A checkpoint holds the weights, the state of the optimizer and of the random generators, the
    place in the schedule and in the epoch, the history, what early stopping remembers, and the
    state of every callback that has ``state_dict`` and ``load_state_dict``. Of several processes,
    the first one writes and all read: on several machines, the folder must be on a disk that they
    share. A signal to any of them is followed by all, after the same step.

    SIGTERM, SIGUSR1 and Ctrl-C are followed when the step is done and saved: by SystemExit with
    code 143 or 138, and KeyboardInterrupt. A save that fails, as on a full disk, is a warning, the
    second in a row an error; former checkpoints stay whole. A folder is that of one training at a
    time; one that died loses it: at once, or to another machine after a minute of silence.

    Examples
    --------
    >>> Checkpoint("run-1", every_steps=100).keep
    3
    """

    def __init__(
        self,
        folder=None,
        *,
        every_steps=None,
        every_seconds=600,
        keep=3,
        resume=False,
        configuration=None,
    ):
        self.folder = folder
        self.every_steps = every_steps
        self.every_seconds = every_seconds
        self.keep = keep
        self.resume = resume
        self.configuration = configuration

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Take the folder, make sure that it can be written to, and resume."""
        self.is_saving_ = self.folder is not None
        if not self.is_saving_:
            return
        self.folder_ = Path(self.folder)
        self.batches_, self.n_before_ = X, len(net.history)
        self.step_, self.n_failures_ = 0, 0
        self.step_of_epoch_ = None  # between epochs
        self.is_between_steps_ = True
        self.begun_ = None  # the epoch to go on with
        self.losses_ = {}  # validation losses of checkpoints, by path
        self.saved_at_ = time.monotonic()
        self.surroundings_ = surroundings(net)
        self.interrupts_ = net.interrupts_
        self.is_writing_ = process_rank() == 0
        found = in_first(lambda: self._take_folder(net))  # damaged ones are put aside by now
        try:
            self._resume(net, found if self.is_writing_ else self._find())
        except BaseException:
            self._let_go()
            raise

    def on_epoch_begin(self, net, **kwargs):
        """Begin an epoch, or go on with the one that a checkpoint was saved in."""
        if not self.is_saving_:
            return
        self.interrupts_.listen()
        self.step_of_epoch_ = 0
        if self.begun_ is not None:
            reopen_epoch(net, self.begun_)
            self.step_of_epoch_, self.begun_ = self.begun_["step"], None

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Note that the weights are about to change."""
        self.is_between_steps_ = not training

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Save when it is time to, and follow a signal."""
        if not self.is_saving_:
            return
        if training:
            self.step_ += 1
            self.step_of_epoch_ += 1
            self.is_between_steps_ = True
        if self.interrupts_.pending is not None:
            self._follow_signal(net)
        elif training and self._is_time():
            self._save(net)

    def on_epoch_end(self, net, **kwargs):
        """Save the end of the best epoch so far, unless the last checkpoint is a recent one."""
        if not self.is_saving_:
            return
        self.step_of_epoch_ = None
        loss = net.history[-1].get("valid_loss")
        elapsed = time.monotonic() - self.saved_at_
        if self.interrupts_.pending is not None:
            self._follow_signal(net, "-epoch")
        elif loss is not None and elapsed >= (self.every_seconds or 0) / 10:
            if all(loss < other for other in self.losses_.values()):
                self._save(net, "-epoch")

    def on_interrupt(self, net):
        """Save when something else than a signal interrupts the training between two steps.

        Parameters
        ----------
        net : WindowNet
            The net.
        """
        if self.is_saving_ and self.is_between_steps_:
            self._save(net, must=False)

    def on_train_end(self, net, **kwargs):
        """Save the end of a training that was not cut short, and let go of the folder."""
        if not self.is_saving_:
            return
        try:
            if net.is_finished_:
                self.step_of_epoch_ = None  # also where early stopping ended it
                self._save(net, "-end", must=False)
        finally:
            self.interrupts_.close()
            self._let_go()
        if net.is_finished_:
            self.interrupts_.agree()
            if self.interrupts_.pending is not None:
                self.interrupts_.follow()

    def _take_folder(self, net):
        """Make sure that the folder can be written to, by nobody else; read what is there."""
        check_space(self.folder_, estimate_bytes(net))
        self.lock_ = StoreLock(self.folder_)
        try:
            self.lock_.__enter__()
        except StoreLockedError as error:
            raise CheckpointError(_TAKEN.format(error)) from None
        try:
            remove_leftovers(self.folder_)
            return self._find()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self):
        """Let others write into the folder."""
        if self.is_writing_:
            self.lock_.release()

    def _check_lock(self):
        """Make sure that no other training has taken the folder over."""
        try:
            self.lock_.check()
        except StoreLockedError as error:
            raise CheckpointError(_TAKEN.format(error)) from None

    def _follow_signal(self, net, stage=""):
        """Save and do what a signal asked for."""
        in_first(lambda: self._save(net, stage, must=False))  # who ends early ends the others
        self.interrupts_.follow()

    def _is_time(self):
        """Say whether a checkpoint is due."""
        if self.every_steps is not None and self.step_ % self.every_steps == 0:
            return True
        seconds = self.every_seconds
        return seconds is not None and time.monotonic() - self.saved_at_ >= seconds

    def _save(self, net, stage="", *, must=True):
        """Write a checkpoint; one that cannot be written is a warning, the next an error."""
        path = name_checkpoint(self.folder_, self.step_, stage)
        if not self.is_writing_ or path.exists():
            return
        parts, state = collect_state(
            net, self.batches_, n_before=self.n_before_, step_of_epoch=self.step_of_epoch_
        )
        state |= {"step": self.step_, "configuration": self.configuration}
        loss = net.history[-1].get("valid_loss", math.nan) if stage else math.nan
        loss = float(loss) if math.isfinite(loss) else None
        self._check_lock()
        notes = {"step": self.step_, "valid_loss": loss, "surroundings": self.surroundings_}
        try:
            write_checkpoint(path, parts, state, notes)
            self.n_failures_ = 0
        except OSError as error:
            self._note_failure(net, error, must)
            return
        finally:
            self.saved_at_ = time.monotonic()
        if loss is not None:
            self.losses_[path] = loss
        self._prune()

    def _note_failure(self, net, error, must):
        """Warn of a save that failed, or raise after several in a row."""
        self.n_failures_ += 1
        text = f"The checkpoint of step {self.step_} could not be saved: {error}."
        if must and self.n_failures_ >= _MAX_FAILURES:
            raise CheckpointError(
                f"{text} Nor could the one before. "
                f"{describe_room(self.folder_, estimate_bytes(net))} Make room in {self.folder_}, "
                "or mend the disk, and fit again with resume=True: former checkpoints are whole."
            ) from error
        warnings.warn(
            f"{text} Training goes on until the next one fails too. Make room in {self.folder_}.",
            RuntimeWarning,
            stacklevel=2,
        )

    def _prune(self):
        """Remove all checkpoints but the last ones and the best."""
        best = min(self.losses_, key=self.losses_.get, default=None)
        for path in list_checkpoints(self.folder_)[: -self.keep]:
            if path != best:
                shutil.rmtree(path, ignore_errors=True)
                self.losses_.pop(path, None)

    def _find(self):
        """Read the last checkpoint, if there is any; refuse one that was not asked for."""
        paths = list_checkpoints(self.folder_)
        if not paths:
            return None
        if not self.resume:
            raise CheckpointError(
                f"{self.folder_} holds the checkpoints of a training, the last one "
                f"{paths[-1].name}. Give resume=True to go on with it, or another checkpoint_dir=."
            )
        return read_last(paths)

    def _resume(self, net, found):
        """Go on from a checkpoint, the same in all processes; None begins."""
        check_same("checkpoint", -1 if found is None else found[1]["step"])
        if found is None:
            return
        manifest, state, parts = found
        self._compare(state["configuration"], manifest["surroundings"])
        joined = join_state(parts, state)
        self.begun_ = restore_state(net, self.batches_, joined, n_before=self.n_before_)
        self.step_ = state["step"]
        for path in list_checkpoints(self.folder_):
            with suppress(CheckpointError):
                loss = read_manifest(path).get("valid_loss")
                if loss is not None:
                    self.losses_[path] = loss

    def _compare(self, configuration, where):
        """Refuse the checkpoint of another training; warn of one from elsewhere."""
        changes = list_changes(configuration, self.configuration)
        if changes:
            raise CheckpointError(
                f"{self.folder_} holds the checkpoints of another training. Saved -> now: "
                f"{'; '.join(changes)}. Set these back, or give another checkpoint_dir."
            )
        changes = list_changes(where, self.surroundings_)
        if changes:
            warnings.warn(
                f"This training began elsewhere. Then -> now: {'; '.join(changes)}. The last "
                "digits of what it learns may differ.",
                RuntimeWarning,
                stacklevel=2,
            )
