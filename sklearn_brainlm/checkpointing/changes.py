"""In what two descriptions differ."""

__all__ = ["list_changes"]


def list_changes(before, now):
    """List in what two descriptions differ.

    Parameters
    ----------
    before, now : dict or None
        Descriptions by name.

    Returns
    -------
    changes : list of str
        "name: before -> now".

    Examples
    --------
    >>> list_changes({"lr": 0.001, "seed": 0}, {"lr": 0.002, "seed": 0, "clip": None})
    ['clip: nothing -> None', 'lr: 0.001 -> 0.002']
    """
    before, now = before or {}, now or {}
    return [
        f"{name}: {before.get(name, 'nothing')} -> {now.get(name, 'nothing')}"
        for name in sorted(before.keys() | now.keys())
        if name not in before or name not in now or before[name] != now[name]
    ]
