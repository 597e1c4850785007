"""Build stores that are killed: a script that the tests of building run in a process of its own.

python store_killing.py every FOLDER     kill at each write that must reach the disk, in turn
python store_killing.py slow FOLDER      build once, slowly, to be killed from outside
"""

import itertools
import os
import shutil
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from sklearn_brainlm.storage import writer
from sklearn_brainlm.storage.lock import StoreLock
from sklearn_brainlm.store_building import build_store


def make_recording(index, seconds=0.0):
    """Return one of the recordings; every fifth is not valid."""
    time.sleep(seconds)
    rng = np.random.default_rng(index)
    recording = rng.normal(size=(20 + index % 7, 4))
    if index % 5 == 3:
        recording[3, 2] = np.nan
    return recording


def build(folder, n, seconds=0.0, n_jobs=1):
    """Build a store of several shards, which reaches the disk after each recording."""
    writer._COMMIT_SECONDS = 0.0
    recordings = [partial(make_recording, index, seconds) for index in range(n)]
    parcels = {"label": list("abcd")}
    return build_store(
        folder, recordings, parcels=parcels, dtype="int16", shard_bytes=500, n_jobs=n_jobs
    )


def read_files(folder):
    """Return the content of every file of a folder by its name."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def die_at(count):
    """Let the process end, as by kill -9, at a call that makes something last."""
    left = [count]

    def counted(function):
        def call(*args, **kwargs):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return function(*args, **kwargs)

        return call

    os.fsync = counted(os.fsync)
    os.replace = counted(os.replace)
    os.unlink = counted(os.unlink)
    Path.unlink = counted(Path.unlink)
    Path.mkdir = counted(Path.mkdir)


def kill_at_points(folder, step):
    """Kill a build at such calls in turn, go on, and compare; print how often it was killed."""
    # What a killed process wrote is kept by the kernel: only the order of calls matters here.
    os.fsync = lambda descriptor: None
    build(folder / "whole", 6)
    expected = read_files(folder / "whole")
    n_kills = 0
    for count in itertools.count(0, step):
        pid = os.fork()
        if not pid:
            die_at(count)
            build(folder / "killed", 6)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 0:
            break
        if status != 9:
            raise RuntimeError(f"The build killed at {count} ended with {status}.")
        build(folder / "killed", 6)
        found = read_files(folder / "killed")
        if found != expected:
            differ = [name for name in found | expected if found.get(name) != expected.get(name)]
            raise RuntimeError(f"Killed at {count}, these files differ: {differ}.")
        shutil.rmtree(folder / "killed")
        n_kills += 1
    print(n_kills)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of what is in quarantine
    if sys.argv[1] == "every":
        kill_at_points(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "hold":
        with StoreLock(Path(sys.argv[2])):
            print("held", flush=True)
            time.sleep(60)
    else:
        print("begins", flush=True)
        build(Path(sys.argv[2]), 80, 0.05, n_jobs=int(sys.argv[3]))
