"""Signals that ask a training to end: heard at once, followed when the step is done."""

import signal
import threading

from sklearn_brainlm._exchanges import largest
from sklearn_brainlm.distributed import n_processes

__all__ = ["Interrupts"]

# SLURM and most other schedulers send the first before they kill, the second when told to.
_NAMES = ("SIGTERM", "SIGUSR1", "SIGINT")


class Interrupts:
    """Note signals instead of following them, until they are asked for.

    Attributes
    ----------
    heard : int or None
        Number of the signal that arrived.
    agreed : int or None
        Number of a signal that arrived in any of several processes, and all know of.

    Notes
    -----
    Only the main thread can listen; elsewhere nothing changes. SIGINT is only listened to where it
    would raise KeyboardInterrupt, and a second one is followed at once: somebody is waiting.

    Examples
    --------
    >>> interrupts = Interrupts()
    >>> interrupts.listen()
    >>> signal.raise_signal(signal.SIGTERM)
    >>> interrupts.close()
    >>> interrupts.heard == signal.SIGTERM
    True
    """

    def __init__(self):
        self.heard = self.agreed = None
        self._former = {}

    @property
    def pending(self):
        """Number of the signal to follow, or None; the same in all processes."""
        return self.heard if n_processes() == 1 else self.agreed

    def agree(self, is_heard=True):
        """Let all processes know what one has heard.

        Parameters
        ----------
        is_heard : bool, default=True
            Whether any may have heard something, the same in all processes.
        """
        self.agreed = (largest(self.heard or 0) or None) if is_heard else None

    def listen(self):
        """Begin to note signals, unless it has begun."""
        if self._former or threading.current_thread() is not threading.main_thread():
            return
        for name in _NAMES:
            number = getattr(signal, name, None)  # Windows lacks SIGUSR1
            if number is None:
                continue
            former = signal.getsignal(number)
            if number == signal.SIGINT and former is not signal.default_int_handler:
                continue
            if former is None:  # not installed from Python, and could not be put back
                continue
            signal.signal(number, self._note)
            self._former[number] = former

    def close(self):
        """Put the former handlers back."""
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former.clear()

    def follow(self):
        """Do what the signal asked for.

        Raises
        ------
        KeyboardInterrupt
            After SIGINT.
        SystemExit
            After others, with 128 and the number of the signal as exit code: 143 after SIGTERM.
        """
        self.close()
        if self.pending == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.pending)

    def _note(self, number, frame):
        """Note a signal; follow a second SIGINT."""
        is_second = self.heard is not None
        self.heard = number
        if is_second and number == signal.SIGINT:
            self.close()
            raise KeyboardInterrupt
