"""``compare``: methods side by side on the same people, the simple ones among them."""

from sklearn_brainlm.commands.config import add_config
from sklearn_brainlm.commands.inputs import add_input, count, open_recordings
from sklearn_brainlm.commands.methods import (
    DEFAULT_METHODS,
    METHODS,
    add_model_options,
    build_method,
    read_labels,
)
from sklearn_brainlm.commands.outputs import check_table, open_table, write_text
from sklearn_brainlm.commands.progress import printing_on_stderr, say
from sklearn_brainlm.commands.provenance import describe_run, write_sidecar

__all__ = ["add_compare"]


def add_compare(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    compare = commands.add_parser(
        "compare",
        help="predict by several methods out of fold, and test who is better",
        description=(
            "Predict a column of participants.tsv by several methods in the same folds, and print "
            "their scores with intervals and tests. Writes compare.csv, compare.md, "
            "predictions.tsv and compare.json, which says how they were made."
        ),
    )
    compare.set_defaults(run=_run)
    add_input(compare)
    add_config(compare)
    add_model_options(compare)
    compare.add_argument(
        "--methods",
        type=_methods,
        default=list(DEFAULT_METHODS),
        metavar="NAME,NAME",
        help=f"of {', '.join(METHODS)} (default: {','.join(DEFAULT_METHODS)})",
    )
    compare.add_argument(
        "--covariates",
        type=lambda text: text.split(","),
        default=[],
        metavar="COLUMN,COLUMN",
        help="each makes a row of its own, such as site or mean_fd",
    )
    compare.add_argument("--folds", type=count, default=5, metavar="K", help="(default: 5)")
    compare.add_argument("--scoring", metavar="METRIC", help="the metric that is tested")
    compare.add_argument("--n-jobs", type=count, metavar="N", help="fits at a time")
    compare.add_argument("--output", metavar="DIR", help="folder for the results")


def _run(options):
    """Compare, print and write."""
    from pathlib import Path

    folder = None if options.output is None else Path(options.output)
    if folder is not None:
        check_table(folder / "predictions.tsv")
    opened = open_recordings(
        options.input, atlas=options.atlas, max_recordings=options.max_recordings
    )
    y, task = read_labels(opened, options.target, options.task)
    groups = opened.column(options.groups).astype(str).to_numpy()
    covariates = {name: opened.column(name) for name in options.covariates}
    X, t_r = opened.at_one_t_r(options.t_r)
    rows = {
        METHODS[name]: build_method(name, task, options, opened, t_r) for name in options.methods
    }
    from sklearn_brainlm.evaluation import compare, format_comparison

    say(f"{options.target}: {task} by {len(rows)} methods in {options.folds} folds.")
    with printing_on_stderr():
        table = compare(
            rows,
            X,
            y,
            groups=groups,
            subjects=opened.participants["participant_id"].astype(str).to_numpy(),
            cv=options.folds,
            scoring=options.scoring,
            covariates=covariates or None,
            n_jobs=options.n_jobs,
            random_state=options.random_state,
        )
    text = format_comparison(table)
    print(text)
    if folder is None:
        return
    frame = table.attrs["predictions"].frame
    frame.insert(2, "id", [opened.ids[index] for index in frame["recording"]])
    with open_table(folder / "predictions.tsv") as write:
        write(frame)
    write_text(folder / "compare.csv", table.to_csv(index=False))
    title = f"{options.target} ({task}), {len(opened)} recordings of {options.input}"
    write_text(folder / "compare.md", f"# {title}\n\n```\n{text}\n```\n")
    described = describe_run(options, opened, task=task, methods=list(rows))
    write_sidecar(folder / "compare.json", described)


def _methods(text):
    """Read names of methods."""
    import argparse

    names = text.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(METHODS)}")
    return names
