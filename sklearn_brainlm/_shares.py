"""Batches divided among processes: each reads its share of the windows of every step."""

import zlib

import numpy as np

__all__ = ["SharedBatches", "describe_steps", "share_of"]


def share_of(n_windows, rank, n_processes):
    """Say which windows of a step are those of one process.

    Parameters
    ----------
    n_windows : int
        Windows of the step.
    rank : int
        Number of the process, from 0.
    n_processes : int
        Number of processes.

    Returns
    -------
    share : slice
        Neighbours; the shares of all processes are all windows, and differ by one at most. It is
        empty where there are fewer windows than processes.

    Examples
    --------
    >>> [share_of(5, rank, 2) for rank in range(2)]
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return slice(n_windows * rank // n_processes, n_windows * (rank + 1) // n_processes)


class SharedBatches:
    """The share of one process in batches.

    Parameters
    ----------
    batches : batches
        Batches of all processes, the same in each. Those with ``steps``, the windows of each step,
        and ``read_part(step, slice)`` read their share only; of others, the whole batch is read and
        the share kept.
    rank : int
        Number of the process, from 0.
    n_processes : int
        Number of processes.

    Examples
    --------
    >>> import numpy as np
    >>> batches = [({"signals": np.arange(5)}, {"recording": np.arange(5)})]
    >>> [SharedBatches(batches, rank, 2)[0][1]["recording"].tolist() for rank in range(2)]
    [[0, 1], [2, 3, 4]]
    """

    def __init__(self, batches, rank, n_processes):
        self.batches = batches
        self.rank = rank
        self.n_processes = n_processes

    @property
    def epoch(self):
        """Number of the epoch that the batches are of."""
        return self.batches.epoch

    @epoch.setter
    def epoch(self, epoch):
        self.batches.epoch = epoch

    def next_epoch(self):
        """Go on to the batches of the next epoch."""
        self.batches.next_epoch()

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, step):
        if not hasattr(self.batches, "read_part"):
            batch = self.batches[step]
            return _keep(batch, share_of(len(batch[1]["recording"]), self.rank, self.n_processes))
        share = share_of(len(self.batches.steps[step]), self.rank, self.n_processes)
        if share.start < share.stop:
            return self.batches.read_part(step, share)
        return _keep(self.batches.read_part(step, slice(0, 1)), slice(0))  # has all but windows


def describe_steps(batches):
    """Describe the windows of an epoch, so that others are told apart from them.

    Parameters
    ----------
    batches : batches
        Batches; those that have ``steps``, the windows of each, are looked at more closely.

    Returns
    -------
    numbers : tuple of int
        Number of steps, and a checksum of their windows.

    Examples
    --------
    >>> describe_steps("abc")
    (3, 0)
    """
    steps = getattr(batches, "steps", [])
    return len(batches), zlib.crc32(np.concatenate(steps).tobytes()) if len(steps) else 0


def _keep(batch, share):
    """Keep some windows of a batch."""
    return tuple({name: values[share] for name, values in half.items()} for half in batch)
