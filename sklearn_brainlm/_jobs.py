"""Calls in several processes, or on a cluster, as the caller has chosen with joblib."""

from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

__all__ = ["run_jobs"]


def run_jobs(function, calls, *, n_jobs=None, shared=(), verbose=0):
    """Call a function many times, several times at once.

    Parameters
    ----------
    function : callable
        What is called. It and its arguments can be pickled.
    calls : list of tuple
        Arguments of each call.
    n_jobs : int, optional
        Jobs of joblib, whose backend is the caller's choice.
    shared : tuple of int, default=()
        Positions of arguments that are large and that many calls have in common: a cluster gets
        each once.
    verbose : int, default=0
        As of joblib.

    Yields
    ------
    result : object
        What each call returned, in the order of the calls, as soon as it and those before are done.

    Notes
    -----
    On dask the calls do not go through joblib, which waits for ever for a worker that died. A call
    whose workers die as often as dask allows raises dask's ``KilledWorker``; where what was sent
    once died with them, a :class:`concurrent.futures.BrokenExecutor` is raised.
    """
    backend, _ = get_active_backend()
    client = getattr(backend, "client", None)
    if client is not None and n_jobs != 1:
        yield from _run_on_dask(client, function, calls, shared)
    else:
        streams = getattr(backend, "supports_return_generator", False)  # that of Ray does not
        return_as = "generator" if streams else "list"
        parallel = Parallel(n_jobs=n_jobs, return_as=return_as, verbose=verbose)
        yield from parallel(delayed(function)(*call) for call in calls)


def _run_on_dask(client, function, calls, shared):
    """Yield what the workers of a cluster return; what nobody waits for any more is given up."""
    sent = {}

    def send(argument):
        if id(argument) not in sent:
            sent[id(argument)] = client.scatter([argument], broadcast=True)[0]
        return sent[id(argument)]

    futures = deque(
        client.submit(
            function,
            *(send(value) if place in shared else value for place, value in enumerate(call)),
            pure=False,
        )
        for call in calls
    )
    while futures:  # a result that was read does not stay in the memory of the cluster
        try:
            yield futures.popleft().result()
        except CancelledError as error:  # dask gives no reason
            raise BrokenExecutor(
                "The cluster lost the workers that held what a call needs: they ended, or were "
                "ended for the memory they took. Read their logs, and start them with more memory."
            ) from error
