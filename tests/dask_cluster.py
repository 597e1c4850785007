"""A cluster of dask on this machine, for tests that need one; nothing here is a test."""

from contextlib import contextmanager

import pytest
from joblib import parallel_config


@contextmanager
def two_workers(allowed_failures=3):
    """Let joblib work on two processes of dask; yield their client, or skip where there is none.

    A call whose worker has died is tried again `allowed_failures` times.
    """
    distributed = pytest.importorskip(
        "distributed", reason="cannot run here: dask.distributed is not installed"
    )
    import dask

    here = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": allowed_failures}),
        distributed.LocalCluster(**here) as cluster,
        distributed.Client(cluster) as client,
        parallel_config(backend="dask"),
    ):
        yield client
