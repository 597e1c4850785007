"""Who is trained on and who is held out: people are never on both sides."""

import numpy as np

__all__ = ["split_people"]


def split_people(groups, validation_fraction, seed, patience=None):
    """Choose the recordings to train on and those to hold out.

    Parameters
    ----------
    groups : array of shape (n_recordings,)
        Who each recording is of.
    validation_fraction : float
        Part of the recordings to hold out. Somebody is always left to train on.
    seed : int
        Seed of the choice.
    patience : int, optional
        When given, somebody has to be held out.

    Returns
    -------
    train, valid : int64 arrays
        Indices of recordings, both in ascending order.

    Raises
    ------
    ValueError
        If there is patience and nobody is held out.

    Examples
    --------
    >>> train, valid = split_people(np.repeat(["a", "b", "c"], 2), 0.3, seed=0)
    >>> len(train), len(valid)
    (4, 2)
    """
    people = np.unique(groups)
    order = np.random.default_rng(seed).permutation(people)
    n_wanted = validation_fraction * len(groups)
    held_out = np.zeros(len(groups), dtype=bool)
    if validation_fraction:
        for person in order[:-1]:  # somebody is left to train on
            held_out |= groups == person
            if held_out.sum() >= round(n_wanted):
                break
    if patience is not None and not held_out.any():
        raise ValueError(
            f"patience={patience} needs recordings to validate on, and of n_samples={len(groups)} "
            f"recordings with validation_fraction={validation_fraction} none is held out. Give "
            "more recordings, or patience=None."
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
