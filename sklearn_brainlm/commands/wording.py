"""What an error says about parameters, in the words of the command line."""

import argparse
import re

__all__ = ["in_options"]

# A parameter and its value, as in ``resume=True`` or ``atlas=``; not a part of a path.
_GIVEN = re.compile(
    r"""(?<![\w/.-])(?P<name>[a-z]\w*)=(?P<value>'[^']*'|"[^"]*"|\.{3}|[\w+-](?:[\w.+-]*\w)?)?"""
)
_QUOTES = "'\""


def in_options(message, parser, options):
    """Say how to set parameters where they are options of the command.

    Parameters
    ----------
    message : str
        What the package says, which is used from Python otherwise.
    parser : ArgumentParser
        Parser of the command, or of all commands.
    options : Namespace
        What it read.

    Returns
    -------
    message : str
        With ``--resume`` for ``resume=True``, ``--atlas`` for ``atlas=``, and so on. What is no
        option of the command stays as it was.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--t-r", type=float)
    >>> in_options("Give t_r=0.72 or scaler=None.", parser, parser.parse_args([]))
    'Give --t-r 0.72 or scaler=None.'
    """
    actions = {action.dest: action for action in _chosen(parser, options)._actions}

    def put(found):
        action = actions.get(found["name"])
        words = _as_words(action, found["value"]) if action and action.option_strings else None
        return found[0] if words is None else words

    return _GIVEN.sub(put, message)


def _chosen(parser, options):
    """Return the parser of the command that was chosen, or of the command of the command."""
    for action in parser._actions:
        if action.nargs == argparse.PARSER:
            return _chosen(action.choices[getattr(options, action.dest)], options)
    return parser


def _as_words(action, value):
    """Return an option with its value as one would type it; None when there is no such option."""
    long = [name for name in action.option_strings if name.startswith("--")]
    if action.nargs == 0:  # on or off
        if value not in ("True", "False"):
            return None
        is_off = value == "False"
        return next((name for name in long if name.startswith("--no-") == is_off), None)
    if value in (None, "..."):
        return long[0]
    return f"{long[0]} {value.strip(_QUOTES)}"
