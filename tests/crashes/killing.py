"""Workers in processes of their own, which say what they do and are killed meanwhile.

Nothing here is a test.
"""

import multiprocessing
import os
import signal
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

N_KILLS = int(os.environ.get("CRASH_KILLS", "50"))
NOBODY = 65534

tally = defaultdict(Counter)  # what happened to each kind of worker


class Worker:
    """A process that works, and says what it does through a pipe that survives it.

    It calls `work(say, *args)`. What is said is an event and a value: "begun" and "ended" stand
    around what is written, "saved" says what has been. With `die_at`, it is killed at the moment
    of that event, counted from 0.
    """

    def __init__(self, work, *args, die_at=None, is_nobody=False):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["crashes.preloaded"])
        self._reader, writer = context.Pipe(duplex=False)
        given = (writer, work, args, die_at, is_nobody)
        self.process = context.Process(target=_run, args=given)
        self.process.start()
        writer.close()
        self.said = []

    def listen(self, n_events=None):
        """Wait until so much has been said, or all; return it."""
        with suppress(EOFError):
            while n_events is None or len(self.said) < n_events:
                self.said.append(self._reader.recv())
        return self.said

    def kill(self):
        """Kill the process, listen to what it said before, and return how it ended."""
        self.process.kill()
        return self.wait()

    def wait(self):
        """Wait for the end of the process, and return how it ended."""
        self.listen()
        self.process.join()
        return self.process.exitcode

    def values(self, event):
        """Return the values of an event."""
        return [value for name, value in self.said if name == event]

    @property
    def is_inside(self):
        """Whether the last that was begun had not ended."""
        return len(self.values("begun")) > len(self.values("ended"))


def _run(pipe, work, args, die_at, is_nobody):
    """Work in the process of a worker."""
    n_events = 0

    def say(event, value=None):
        nonlocal n_events
        pipe.send((event, value))
        n_events += 1
        if n_events - 1 == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if is_nobody and not os.geteuid():
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        work(say, *args)
    except Exception as error:  # noqa: BLE001 - the test decides what may come
        say("failed", (type(error).__name__, isinstance(error, OSError), str(error)))


def say_calls(say):
    """Say every call that changes names or waits for the disk, before it is made."""

    def told(function):
        def call(*args, **kwargs):
            say("call", function.__name__)
            return function(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "unlink", "mkdir", "ftruncate"):
        setattr(os, name, told(getattr(os, name)))


def kill_often(name, begin, check, *, max_events, seed=0):
    """Kill workers, half of them at an event and half at any time, and check what they left.

    `begin(die_at)` starts a worker, `check(worker)` looks at its folder. A worker that comes to
    its end is none that was killed.
    """
    rng, counts = np.random.default_rng(seed), tally[name]
    before = counts["kills"]
    while counts["kills"] - before < N_KILLS:
        moment, at_event = int(rng.integers(max_events)), rng.random() < 0.5
        worker = begin(moment if at_event else None)
        if not at_event:
            worker.listen(moment)
            time.sleep(rng.uniform(0, 0.005))
            worker.process.kill()
        ended = worker.wait()
        assert ended in (0, -signal.SIGKILL), ended
        assert not worker.values("failed"), worker.values("failed")
        check(worker)
        if ended:
            counts["kills"] += 1
            counts["inside a write"] += worker.is_inside
            counts["recovered"] += 1
    return counts


def fill(folder, room):
    """Fill a disk with a file, until there is only so much room; return the file."""
    path = folder / "filler"
    path.unlink(missing_ok=True)
    found = os.statvfs(folder)
    n_bytes = found.f_bavail * found.f_frsize - room
    if n_bytes > 0:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    return path


def close_folder(folder):
    """Let nobody write into a folder any more."""
    folder.chmod(0o555)  # first: from now on no folder in it goes or comes while they are listed
    for path in [path for path in folder.rglob("*") if path.is_dir()]:
        with suppress(FileNotFoundError):  # what was about to be renamed
            path.chmod(0o555)


def open_again(folder):
    """Let everybody write into a folder."""
    for path in [folder, *(path for path in Path(folder).rglob("*") if path.is_dir())]:
        path.chmod(0o777)
