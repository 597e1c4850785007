"""Parameters that choose between a few words."""


def check_choice(name, choice, choices):
    """Refuse a choice that does not exist.

    Parameters
    ----------
    name : str
        Name of the parameter.
    choice : str
        What was given.
    choices : sequence of str
        What there is.

    Raises
    ------
    ValueError
        If `choice` is none of them; the message lists them.
    """
    if choice not in choices:
        raise ValueError(f"{name}={choice!r} is unknown: use one of {', '.join(choices)}.")
