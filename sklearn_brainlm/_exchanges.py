"""What processes that work together tell one another. With one process, nothing is told."""

import numpy as np
import torch
import torch.distributed as dist

from sklearn_brainlm.distributed import ProcessGroupError, meeting, n_processes, process_rank

__all__ = [
    "agree_on",
    "check_same",
    "gather_parts",
    "in_first",
    "join_numbers",
    "largest",
    "seed_step",
    "sum_weighted",
    "take_weights_of_first",
]

_MOST_NUMBERS = 16  # of a process, that others are told


def check_same(what, *numbers):
    """Make sure that all processes have the same.

    Parameters
    ----------
    what : str
        What the numbers describe.
    *numbers : int or float
        Numbers that must be the same in all processes.

    Raises
    ------
    ProcessGroupError
        If they are not.
    """
    if n_processes() == 1:
        return
    both = torch.tensor([*numbers, *(-number for number in numbers)], dtype=torch.float64)
    with meeting():
        dist.all_reduce(both, dist.ReduceOp.MAX)
    upper, lower = both.view(2, -1).tolist()
    if any(most != -least for most, least in zip(upper, lower, strict=True)):
        raise ProcessGroupError(
            f"The processes do not have the same {what}. Give all of them the same recordings, "
            "parameters and folder, and an integer as random_state."
        )


def agree_on(number):
    """Take the number that the first process has.

    Parameters
    ----------
    number : int
        That of this process, less than 2**63.

    Returns
    -------
    number : int
        That of the first.
    """
    if n_processes() == 1:
        return number
    shared = torch.tensor(number)
    with meeting():
        dist.broadcast(shared, 0)
    return int(shared)


def largest(number):
    """Return the largest number that any process has.

    Parameters
    ----------
    number : int
        That of this process.

    Returns
    -------
    number : int
        The largest.
    """
    if n_processes() == 1:
        return number
    shared = torch.tensor(number)
    with meeting():
        dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def join_numbers(numbers):
    """Put together the numbers that the processes have.

    Parameters
    ----------
    numbers : list of int
        Those of this process, none below 0; of more than 16 the lowest are told to others.

    Returns
    -------
    numbers : list of int
        Those of all, each once, in ascending order.

    Examples
    --------
    >>> join_numbers([3, 1, 3])
    [1, 3]
    """
    numbers = sorted(set(numbers))
    if n_processes() == 1:
        return numbers
    told = torch.full((_MOST_NUMBERS,), -1)
    n_told = min(len(numbers), _MOST_NUMBERS)
    told[:n_told] = torch.tensor(numbers[:n_told], dtype=torch.int64)
    gathered = [torch.empty_like(told) for _ in range(n_processes())]
    with meeting():
        dist.all_gather(gathered, told)
    return [number for number in torch.cat(gathered).unique().tolist() if number >= 0]


def in_first(act):
    """Call a function in the first process, while the others wait.

    Parameters
    ----------
    act : callable
        Takes nothing.

    Returns
    -------
    result : object
        What the function returns; None in the others.

    Raises
    ------
    ProcessGroupError
        In the others, if the function raised in the first.

    Examples
    --------
    >>> in_first(lambda: 3)
    3
    """
    if n_processes() == 1:
        return act()
    result = None
    if process_rank() == 0:
        try:
            result = act()
        except BaseException:
            largest(1)
            raise
    if largest(0):
        raise ProcessGroupError("The first process cannot go on, and says why.")
    return result


def gather_parts(rows, n_most):
    """Bring rows of a table to the first process.

    Parameters
    ----------
    rows : float32 array of shape (n_rows, n_columns)
        Those of this process, perhaps none.
    n_most : int
        Most rows that a process has.

    Returns
    -------
    gathered : list of float32 arrays of shape (n_most, n_columns), or None
        Those of each process, filled up with zeros; None in all but the first. With one process,
        `rows` alone.
    """
    if n_processes() == 1:
        return [rows]
    mine = torch.zeros(n_most, rows.shape[1])
    mine[: len(rows)] = torch.from_numpy(np.ascontiguousarray(rows))
    is_first = process_rank() == 0
    gathered = [torch.empty_like(mine) for _ in range(n_processes())] if is_first else None
    with meeting():
        dist.gather(mine, gathered)
    return [each.numpy() for each in gathered] if is_first else None


def take_weights_of_first(parameters):
    """Begin with the weights of the first process.

    Parameters
    ----------
    parameters : iterable of tensors
        Parameters of a network. Those of other processes may differ in the last digit, where
        machines do.
    """
    if n_processes() == 1:
        return
    with meeting(), torch.no_grad():
        for parameter in parameters:
            dist.broadcast(parameter, 0)


def seed_step(*place):
    """Seed torch for a step, as a function of the step and of this process.

    Parameters
    ----------
    *place : int
        Seed of the training, epoch and step, none below 0. Dropout then differs from process to
        process, and a training that is resumed goes on with what it would have drawn.
    """
    words = np.random.SeedSequence((*place, process_rank())).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0] >> 1))


def sum_weighted(parameters, loss, weight, counts, device="cpu"):
    """Turn mean losses, and gradients, of the processes into those of all of them.

    Parameters
    ----------
    parameters : iterable of tensors
        Parameters whose gradients are replaced; none to add up losses only.
    loss : tensor of shape () or float
        Mean loss of this process, whose gradient `parameters` hold.
    weight : float
        Values that it is the mean of; 0 where this process has no windows.
    counts : list of float
        Numbers to add up.
    device : str, default="cpu"
        Device of torch that the loss is on.

    Returns
    -------
    loss : tensor of shape ()
        Mean over the values of all processes, and the same bits in all of them.
    counts : list of float
        Sums.

    Notes
    -----
    One sum of one long vector, after all parts of a batch, rather than DistributedDataParallel: a
    process may have no windows or halve its parts without asking the others, the weights keep their
    names, and what is weighted by the number of values is exactly the mean of a single process. It
    takes as much memory as the gradients, and does not overlap with the backward pass. A parameter
    without a gradient in any process has none afterwards, so that weight decay leaves it alone, as
    with one process.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    has_gradient = [float(parameter.grad is not None) for parameter in trained]
    gradients = [
        (torch.zeros_like(each) if each.grad is None else each.grad).reshape(-1) for each in trained
    ]
    tail = torch.tensor([weight, *counts, *has_gradient], device=device)
    loss = torch.as_tensor(loss, dtype=torch.float32, device=device).detach().reshape(1)
    flat = torch.cat([*gradients, loss, tail])
    n_averaged = len(flat) - len(tail)
    flat[:n_averaged] *= weight
    with meeting():
        dist.all_reduce(flat)
    total, *sums = flat[n_averaged:].tolist()
    averaged = flat[:n_averaged].div_(total)
    start = 0
    for parameter, n_with in zip(trained, sums[len(counts) :], strict=True):
        end = start + parameter.numel()
        parameter.grad = averaged[start:end].view_as(parameter) if n_with else None
        start = end
    return averaged[-1], sums[: len(counts)]
