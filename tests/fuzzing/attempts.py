"""A try at something hostile: what may come of it, in what time, and how often it did."""

import signal
import warnings
from collections import Counter
from contextlib import contextmanager

from sklearn_brainlm.exceptions import BrainLMError

SECONDS = 10
_OF_THE_SYSTEM = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

tally = Counter()  # (target, outcome) to the number of tries


class TooSlow(BaseException):
    """A try took longer than the clock allows; no `except Exception` may hide it."""


@contextmanager
def attempt(target, *, ours_only=True):
    """Try something hostile: it works, or raises an error of the family, in time.

    With `ours_only` errors are those of the package, or of the operating system. Without it also
    a ValueError or TypeError that the package or scikit-learn raises itself with a message:
    one that comes out of NumPy or torch says that nobody looked.
    """
    outcome = "accepted"
    # The clock of the processor: what others do on the machine is no finding.
    before = signal.signal(signal.SIGPROF, _ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BaseException as error:
        outcome = type(error).__name__
        if not _is_allowed(error, ours_only):
            outcome += " (finding)"
            raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        tally[target, outcome] += 1


def _ring(number, frame):
    raise TooSlow(f"more than {SECONDS} seconds")


def _is_allowed(error, ours_only):
    if isinstance(error, BrainLMError) or (ours_only and type(error) in _OF_THE_SYSTEM):
        return True
    if ours_only or not isinstance(error, ValueError | TypeError):
        return False
    frames = error.__traceback__
    while frames.tb_next is not None:
        frames = frames.tb_next
    raised_in = frames.tb_frame.f_globals.get("__name__", "")
    return bool(str(error)) and raised_in.split(".")[0] in ("sklearn_brainlm", "sklearn")
