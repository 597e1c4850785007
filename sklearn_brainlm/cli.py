"""The command line, ``sklearn-brainlm``. Everything is imported by the command that needs it."""

import argparse
import sys

from sklearn_brainlm import BrainLMError, __version__


def main(argv=None):
    """Run a command.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments after the program's name; None takes those of this process.

    Returns
    -------
    status : int
        0 when the command did its work, 1 when it could not and said why. Wrong arguments exit
        with 2, as argparse does.
    """
    parser = _build_parser()
    options = vars(parser.parse_args(argv))
    command, name = options.pop("command"), options.pop("name")
    try:
        command(**options)
    except (BrainLMError, OSError, ImportError) as error:
        print(f"sklearn-brainlm {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nsklearn-brainlm {name}: interrupted", file=sys.stderr)
        return 1
    return 0


def _build_parser():
    """Commands and their options."""
    parser = argparse.ArgumentParser(
        prog="sklearn-brainlm",
        description="BrainLM, a foundation model for brain activity recordings.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-brainlm {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="pretrain, embed and predict age, beside simpler methods",
        description=(
            "Pretrain a small BrainLM, embed recordings with it and predict age from the "
            "embeddings under cross-validation, beside simpler methods. Without --recordings the "
            "recordings are simulated, so that the truth is known."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.set_defaults(command=_demo)
    demo.add_argument(
        "--recordings",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="folder with participants.tsv, parcels.tsv and .npy recordings (simulate them)",
    )
    demo.add_argument("--target", default="age", metavar="COLUMN", help="what to predict")
    demo.add_argument("--output", default="demo_output", metavar="DIR", help="where results go")
    demo.add_argument(
        "--max-recordings",
        type=_count,
        default=100,
        metavar="N",
        help="of the folder, drawn with the seed",
    )
    demo.add_argument(
        "--n-subjects", type=_count, default=60, metavar="N", help="of the simulated cohort"
    )
    demo.add_argument("--max-epochs", type=_count, default=5, metavar="N", help="of pretraining")
    demo.add_argument("--random-state", type=int, default=0, metavar="SEED", help="of everything")
    return parser


def _count(text):
    """Return an argument as a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _demo(**options):
    """Run the demo."""
    from sklearn_brainlm.demo import run_demo

    run_demo(**options)


if __name__ == "__main__":
    sys.exit(main())
