"""What a command says while it works, on standard error: standard output is for results."""

import os
import sys
import warnings
from contextlib import contextmanager, redirect_stdout

__all__ = ["is_first_process", "notes_on_stderr", "printing_on_stderr", "say"]


def is_first_process():
    """Say whether this process is the one that prints and writes.

    Returns
    -------
    first : bool
        False in all but one of the processes that ``torchrun`` starts.
    """
    return int(os.environ.get("RANK", "0")) == 0


def say(text):
    """Print a line of progress.

    Parameters
    ----------
    text : str
        The line.
    """
    if is_first_process():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def notes_on_stderr(name):
    """Show warnings that are for people as lines, once each, and keep quiet about others.

    Parameters
    ----------
    name : str
        Name of the command.

    Yields
    ------
    None
        Nothing.
    """
    with warnings.catch_warnings():
        # Deprecations are for those who write code.
        warnings.simplefilter("ignore")
        for category in (UserWarning, RuntimeWarning):
            warnings.simplefilter("once", category)
        warnings.showwarning = lambda message, *_, **__: say(f"sklearn-brainlm {name}: {message}")
        yield


def printing_on_stderr():
    """Take what the training loop prints for progress.

    Returns
    -------
    redirection : context manager
        Within it, standard output is standard error.
    """
    return redirect_stdout(sys.stderr)
