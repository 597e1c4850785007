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
        0 when the command did its work, 1 when it could not and said why, or when `doctor` found
        an error. Wrong arguments exit with 2, as argparse does.
    """
    parser = _build_parser()
    options = vars(parser.parse_args(argv))
    command, name = options.pop("command"), options.pop("name")
    try:
        return command(**options) or 0
    except (BrainLMError, OSError, ImportError) as error:
        print(f"sklearn-brainlm {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nsklearn-brainlm {name}: interrupted", file=sys.stderr)
        return 1


def _build_parser():
    """Commands and their options."""
    parser = argparse.ArgumentParser(
        prog="sklearn-brainlm",
        description="BrainLM, a foundation model for brain activity recordings.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-brainlm {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_doctor(commands)
    return parser


def _add_demo(commands):
    """Options of the demo."""
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


def _add_doctor(commands):
    """Options of the doctor."""
    doctor = commands.add_parser(
        "doctor",
        help="look for what is wrong with recordings before weights are used on them",
        description=(
            "Compare recordings with what weights expect: parcels and their order, units, "
            "repetition time, length, filtering, copies. Prints a line for each finding, with its "
            "fix. Exits with 1 when embeddings would be wrong."
        ),
    )
    doctor.set_defaults(command=_doctor)
    doctor.add_argument(
        "--recordings",
        metavar="DIR",
        required=True,
        help="folder with participants.tsv, parcels.tsv and .npy recordings",
    )
    doctor.add_argument(
        "--weights", metavar="SOURCE", help="name, folder or hub id of the weights they are for"
    )
    doctor.add_argument(
        "--t-r",
        type=float,
        metavar="SECONDS",
        help="repetition time of the recordings, instead of the tr_s of participants.tsv",
    )
    doctor.add_argument("--atlas", metavar="NAME", help="of a folder that holds several atlases")
    doctor.add_argument(
        "--max-recordings",
        type=_count,
        metavar="N",
        help="look at so many of the folder, spread evenly (default: at all)",
    )


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


def _doctor(recordings, weights, t_r, atlas, max_recordings):
    """Print the diagnosis of a folder; return 1 when embeddings would be wrong."""
    import numpy as np

    from sklearn_brainlm.datasets import load_recordings_folder
    from sklearn_brainlm.doctor import doctor

    folder = load_recordings_folder(recordings, atlas=atlas)
    n_recordings = len(folder.recordings)
    n_kept = min(n_recordings, max_recordings or n_recordings)
    kept = np.linspace(0, n_recordings - 1, n_kept).round().astype(int)
    diagnosis = doctor(
        [folder.recordings[index] for index in kept],
        weights,
        t_r=folder.t_r[kept] if t_r is None else t_r,
        parcel_coords=folder.parcel_coords,
        parcel_names=folder.parcels["label"].tolist(),
        recording_ids=folder.participants["recording"].iloc[kept].tolist(),
    )
    print(diagnosis)
    return 0 if diagnosis.ok else 1


if __name__ == "__main__":
    sys.exit(main())
