"""The command line, ``sklearn-brainlm``. Everything is imported by the command that needs it."""

import argparse
import signal
import sys
from contextlib import contextmanager

from sklearn_brainlm import BrainLMError, __version__
from sklearn_brainlm.commands.compare import add_compare
from sklearn_brainlm.commands.config import insert_config
from sklearn_brainlm.commands.demo import add_demo
from sklearn_brainlm.commands.doctor import add_doctor
from sklearn_brainlm.commands.embed import add_embed
from sklearn_brainlm.commands.predict import add_predict
from sklearn_brainlm.commands.prepare import add_prepare
from sklearn_brainlm.commands.pretrain import add_pretrain
from sklearn_brainlm.commands.progress import notes_on_stderr
from sklearn_brainlm.commands.store import add_store
from sklearn_brainlm.commands.weights import add_weights
from sklearn_brainlm.commands.wording import in_options

# What a shell reports of a command that a signal ended; training follows the second one too.
_TERMINATED = 128 + signal.SIGTERM
_USER_SIGNAL = 128 + getattr(signal, "SIGUSR1", 10)


def main(argv=None):
    """Run a command.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments after the program's name; None takes those of this process.

    Returns
    -------
    status : int
        0 when the command did its work; 1 when it could not and said why, when `doctor` found an
        error, or `store verify` damage. Wrong arguments exit with 2, as argparse does, and SIGTERM
        with 143, after a checkpoint where one is kept.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser, commands = _build_parser()
    options = parser.parse_args(insert_config(argv, commands))
    options.command_line = ["sklearn-brainlm", *argv]
    name = options.name
    try:
        with _ending_by_sigterm(), notes_on_stderr(name):
            return options.run(options) or 0
    except (BrainLMError, OSError, ImportError, ValueError) as error:
        if options.debug:
            raise
        said = in_options(str(error), parser, options)
        print(f"sklearn-brainlm {name}: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nsklearn-brainlm {name}: interrupted", file=sys.stderr)
        return 1
    except SystemExit as ending:
        if ending.code in (_TERMINATED, _USER_SIGNAL):
            print(f"sklearn-brainlm {name}: terminated", file=sys.stderr)
        raise


class _Parser(argparse.ArgumentParser):
    """Parser of a command, or of the command of a command: all of them take ``--debug``."""

    def __init__(self, **options):
        # A shortened option would mean another one when an option is added.
        super().__init__(allow_abbrev=False, **options)
        self.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,  # one parser must not undo what another one read
            help="show the traceback of an error",
        )


def _build_parser():
    """Return the parser, and what it knows the commands by."""
    parser = _Parser(
        prog="sklearn-brainlm",
        description="BrainLM, a foundation model for brain activity recordings.",
        epilog=(
            "Exits with 0 when done, 1 when it could not and said why, 2 when it was not told "
            "rightly what to do, 143 when terminated. Results go to standard output and files, "
            "progress to standard error."
        ),
    )
    parser.set_defaults(debug=False)
    parser.add_argument("--version", action="version", version=f"sklearn-brainlm {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    add_demo(commands)
    add_prepare(commands)
    add_store(commands)
    add_doctor(commands)
    add_pretrain(commands)
    add_embed(commands)
    add_predict(commands)
    add_compare(commands)
    add_weights(commands)
    return parser, commands.choices


@contextmanager
def _ending_by_sigterm():
    """Let SIGTERM unwind what is being done, so that nothing half written stays."""

    def end(signum, frame):
        raise SystemExit(_TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # signals reach the main thread only
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
