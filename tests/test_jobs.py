"""Calls in several processes and on a cluster: what comes back, in which order, and what is sent.

Workers of a comparison that die are in faults/test_workers.py.
"""

import os
import signal
import time
from concurrent.futures import BrokenExecutor, CancelledError
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from dask_cluster import two_workers
from joblib import Parallel
from training_run import make_recordings

from sklearn_brainlm import _jobs
from sklearn_brainlm._jobs import run_jobs
from sklearn_brainlm.store_building import build_store


def subtract(a, b):
    return a - b


class Cluster:
    """Stands for a client of dask: what is sent once is told from what goes with each call."""

    def __init__(self):
        self.scattered = []

    def scatter(self, values, broadcast):
        assert broadcast
        self.scattered += values
        return [SimpleNamespace(value=value) for value in values]

    def submit(self, function, *arguments, pure):
        assert not pure  # the same call twice is two calls: it may have read a file
        given = [getattr(value, "value", value) for value in arguments]
        return SimpleNamespace(result=lambda: function(*given))


@pytest.fixture
def cluster(monkeypatch):
    """Return the cluster that joblib's backend stands for."""
    client = Cluster()
    monkeypatch.setattr(_jobs, "get_active_backend", lambda: (SimpleNamespace(client=client), None))
    return client


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_results_are_in_the_order_of_the_calls(n_jobs):
    calls = [(10, number) for number in range(5)]
    assert list(run_jobs(subtract, calls, n_jobs=n_jobs)) == [10, 9, 8, 7, 6]
    assert list(run_jobs(subtract, [], n_jobs=n_jobs)) == []


def test_results_come_one_by_one():
    called = []
    results = run_jobs(called.append, [(1,), (2,), (3,)])
    next(results)
    assert called == [1]


def test_a_backend_that_does_not_stream(monkeypatch):
    asked = []

    def parallel(return_as, **options):
        asked.append(return_as)
        return Parallel(return_as=return_as, **options)

    monkeypatch.setattr(_jobs, "Parallel", parallel)
    monkeypatch.setattr(_jobs, "get_active_backend", lambda: (SimpleNamespace(), None))
    assert list(run_jobs(subtract, [(3, 1)])) == [2]
    assert asked == ["list"]


def test_what_calls_share_is_sent_once(cluster):
    large, other = np.arange(4), np.arange(2)
    calls = [(large, 1), (other, 1), (large, 2)]
    results = list(run_jobs(subtract, calls, shared=(0,)))
    np.testing.assert_array_equal(results[2], large - 2)
    assert len(cluster.scattered) == 2
    assert cluster.scattered[0] is large and cluster.scattered[1] is other
    assert list(run_jobs(subtract, [(3, 1)], n_jobs=1)) == [2]  # here, as n_jobs says
    assert len(cluster.scattered) == 2


def test_workers_that_take_what_was_sent_with_them(cluster):
    def cancelled():
        raise CancelledError("cancelled for reason: unknown")

    cluster.submit = lambda *arguments, **options: SimpleNamespace(result=cancelled)
    with pytest.raises(BrokenExecutor, match="start them with more memory"):
        list(run_jobs(subtract, [(3, 1)]))


def end_process(parent, mark, recording):
    """Read a recording, but end the process that reads it, once or always."""
    if os.getpid() != parent and (mark is None or not os.path.exists(mark)):
        if mark is not None:
            open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return recording


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what dask says of workers that go
def test_a_store_is_built_on_a_cluster_whose_workers_die(tmp_path):
    recordings = make_recordings(6)
    alone = build_store(tmp_path / "alone", recordings)
    with two_workers(allowed_failures=1) as client:
        once = partial(end_process, os.getpid(), str(tmp_path / "died"))
        store = build_store(
            tmp_path / "once", [partial(once, recording) for recording in recordings], n_jobs=2
        )
        assert (tmp_path / "died").exists()
        for built, wanted in zip(store, alone, strict=True):
            np.testing.assert_array_equal(built, wanted)
        client.wait_for_workers(2, timeout=50)  # with one, joblib works in this process
        always, started = partial(end_process, os.getpid(), None), time.monotonic()
        sources = [partial(always, recording) for recording in recordings]
        with pytest.raises(Exception, match="workers that held|workers died"):
            build_store(tmp_path / "always", sources, n_jobs=2)
        assert time.monotonic() - started < 50
