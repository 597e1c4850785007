"""``demo``: the main job from end to end, on recordings that are simulated or on a folder."""

import argparse

from sklearn_brainlm.commands.inputs import count

__all__ = ["add_demo"]


def add_demo(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
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
    demo.set_defaults(run=_run)
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
        type=count,
        default=100,
        metavar="N",
        help="of the folder, drawn with the seed",
    )
    demo.add_argument(
        "--n-subjects", type=count, default=60, metavar="N", help="of the simulated cohort"
    )
    demo.add_argument("--max-epochs", type=count, default=5, metavar="N", help="of pretraining")
    demo.add_argument("--random-state", type=int, default=0, metavar="SEED", help="of everything")


def _run(options):
    """Run the demo."""
    from sklearn_brainlm.demo import run_demo

    names = "recordings target output max_recordings n_subjects max_epochs random_state".split()
    given = vars(options)
    run_demo(**{name: given[name] for name in names if name in given})
