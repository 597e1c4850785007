"""A file of options, read as if they had been given before those on the command line."""

import argparse
import difflib
import json
import sys

__all__ = ["add_config", "insert_config", "read_config"]


def add_config(parser):
    """Add the option that names the file.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=(
            "options in JSON or TOML, by their names with underscores, as max_epochs = 20; those "
            "of the command line win"
        ),
    )


def insert_config(argv, commands):
    """Put the options of a file where those of the command line win over them.

    Parameters
    ----------
    argv : list of str
        Command line.
    commands : dict of str to ArgumentParser
        Parser of each command.

    Returns
    -------
    argv : list of str
        Command line with the options of the file behind the name of the command. As it was when
        no file is named.

    Notes
    -----
    A file that cannot be read, and an option that there is not, end the process with 2, as
    argparse does. Values are checked by argparse, as if they had been typed.
    """
    position = next((i for i, word in enumerate(argv) if not word.startswith("-")), len(argv))
    parser = commands.get(argv[position]) if position < len(argv) else None
    if parser is None or "--config" not in parser._option_string_actions:
        return argv
    finder = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, usage=parser.format_usage()
    )
    finder.add_argument("--config")
    path = finder.parse_known_args(argv)[0].config
    if path is None:
        return argv
    try:
        words = _as_words(path, read_config(path), parser)
    except (OSError, ValueError) as error:
        parser.print_usage(sys.stderr)
        parser.exit(2, f"{parser.prog}: error: --config: {error}\n")
    return [*argv[: position + 1], *words, *argv[position + 1 :]]


def read_config(path):
    """Read a file of options.

    Parameters
    ----------
    path : str
        File that ends in .json or .toml.

    Returns
    -------
    content : dict
        Options by name.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is of another kind, or not what its name says.
    """
    import tomllib

    kinds = {".json": json.loads, ".toml": tomllib.loads}
    kind = next((suffix for suffix in kinds if path.lower().endswith(suffix)), None)
    if kind is None:
        raise ValueError(f"{path} ends in neither .json nor .toml, so its kind is not known.")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        content = kinds[kind](text)
    except ValueError as error:  # also of text that is not UTF-8, and of TOML
        raise ValueError(f"{path} is not {kind[1:].upper()}: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; options by name are expected.")
    return content


def _as_words(path, content, parser):
    """Return options as one would type them; refuse those that the command has not."""
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    known = sorted(set(actions) - {"config", "debug", "help"})
    words = []
    for key, value in content.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else f", only {', '.join(known)}"
            raise ValueError(f"{path}: there is no option {key!r}{hint}.")
        long = [name for name in actions[key].option_strings if name.startswith("--")]
        if actions[key].nargs == 0:  # on or off
            if not isinstance(value, bool):
                raise ValueError(f"{path}: {key!r} is true or false, got {value!r}.")
            off = [name for name in long if name.startswith("--no-")]
            words += long[:1] if value else off[:1]
        else:
            words.append(f"{long[0]}={_as_word(value)}")
    return words


def _as_word(value):
    """Return a value as one would type it."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list):
        return ",".join(map(_as_word, value))
    return str(value)
