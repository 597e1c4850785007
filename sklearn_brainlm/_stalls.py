"""Disks and networks that do not answer: said while it lasts, and given up on where that helps."""

import sys
import threading
from contextlib import contextmanager

__all__ = ["read_in_time", "saying_when_slow"]

NOTICE_SECONDS = 30.0
TIMEOUT_SECONDS = 600.0


@contextmanager
def saying_when_slow(what):
    """Say on the standard error that reading takes long, while it still does.

    Parameters
    ----------
    what : callable
        Returns what is read, in words; only called when it is slow.

    Examples
    --------
    >>> with saying_when_slow(lambda: "recording 3"):
    ...     pass
    """

    def say():
        print(
            f"Reading {what()} has taken {NOTICE_SECONDS:g} s so far: its disk or network is slow, "
            "or stuck. Waiting.",
            file=sys.stderr,
        )

    timer = threading.Timer(NOTICE_SECONDS, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def read_in_time(read, what):
    """Read something, and give up when that takes too long.

    Parameters
    ----------
    read : callable
        Reads, and returns what it has read.
    what : str
        What is read, in words.

    Returns
    -------
    made : object
        What `read` returns. What it raises is raised here.

    Raises
    ------
    TimeoutError
        If it took longer than 600 seconds. Its thread is left behind: nothing can end a read.

    Examples
    --------
    >>> read_in_time(lambda: 3, "three")
    3
    """
    made = {}

    def run():
        try:
            made["value"] = read()
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            made["error"] = error

    thread = threading.Thread(target=run, daemon=True, name="read-in-time")
    with saying_when_slow(lambda: what):
        thread.start()
        thread.join(TIMEOUT_SECONDS)
    if thread.is_alive():
        raise TimeoutError(
            f"reading {what} took longer than {TIMEOUT_SECONDS:g} s. Its disk or network is stuck: "
            "look at it, and read again."
        )
    if "error" in made:
        raise made["error"]
    return made["value"]
