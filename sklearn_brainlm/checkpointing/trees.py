"""What a checkpoint keeps, parted into arrays and what JSON holds, and put together again."""

import math

import numpy as np
import torch

__all__ = ["join_tree", "split_tree"]


def split_tree(tree, arrays, name=""):
    """Part a tree of dicts and lists into arrays and what JSON holds.

    Parameters
    ----------
    tree : object
        Dicts, lists, tuples, tensors, arrays, numbers, text and None.
    arrays : dict
        Is given every tensor and array, by its place in the tree.
    name : str, default=""
        Place of the tree.

    Returns
    -------
    tree : object
        The same without arrays; :func:`join_tree` makes the first of it again, tuples as lists.

    Raises
    ------
    TypeError
        If there is something else in the tree; the message names its place.

    Examples
    --------
    >>> arrays = {}
    >>> split_tree({"loss": 0.5, "best": np.inf, "step": torch.ones(2)}, arrays)
    {'loss': 0.5, 'best': {'float': 'inf'}, 'step': {'array': 'step'}}
    >>> arrays["step"]
    array([1., 1.], dtype=float32)
    """
    if isinstance(tree, torch.Tensor):
        tree = tree.detach().cpu()
        tree = (tree.float() if tree.dtype == torch.bfloat16 else tree).numpy()
    if isinstance(tree, np.generic):
        tree = tree.item()
    if isinstance(tree, np.ndarray):
        arrays[name] = tree
        return {"array": name}
    if isinstance(tree, dict):
        pairs = {key: split_tree(value, arrays, _within(name, key)) for key, value in tree.items()}
        if all(isinstance(key, str) for key in pairs) and pairs.keys() not in _MARKS:
            return pairs
        return {"pairs": [list(pair) for pair in pairs.items()]}
    if isinstance(tree, (list, tuple)):
        return [split_tree(value, arrays, _within(name, i)) for i, value in enumerate(tree)]
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"float": str(tree)}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(
        f"A checkpoint cannot keep {name!r}, a {type(tree).__name__}: only numbers, text, arrays, "
        "and lists and dicts of them. If a callback recorded it, record a number instead."
    )


def join_tree(tree, arrays):
    """Put a tree together again.

    Parameters
    ----------
    tree : object
        As :func:`split_tree` returned it.
    arrays : dict of str to array
        The arrays that were parted from it.

    Returns
    -------
    tree : object
        The tree, with tensors for the arrays.
    """
    if isinstance(tree, list):
        return [join_tree(value, arrays) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"array"}:
        return torch.from_numpy(arrays[tree["array"]])
    if tree.keys() == {"float"}:
        return float(tree["float"])
    if tree.keys() == {"pairs"}:
        return {key: join_tree(value, arrays) for key, value in tree["pairs"]}
    return {key: join_tree(value, arrays) for key, value in tree.items()}


_MARKS = ({"array"}, {"float"}, {"pairs"})


def _within(name, key):
    """Name a place within another."""
    return f"{name}/{key}" if name else str(key)
