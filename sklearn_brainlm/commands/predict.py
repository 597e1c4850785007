"""``predict``: what is not known of some recordings, learned from others.

A fitted predictor has no file to be read from but a pickle, which could run code. So learning and
predicting are one command, and what it writes can be made again from what it says.
"""

from sklearn_brainlm.commands.config import add_config
from sklearn_brainlm.commands.inputs import add_input, count, open_recordings
from sklearn_brainlm.commands.methods import (
    CHECKPOINTS,
    METHODS,
    add_model_options,
    build_method,
    read_labels,
)
from sklearn_brainlm.commands.outputs import check_table, open_table, sidecar_of
from sklearn_brainlm.commands.parameters import add_parameters
from sklearn_brainlm.commands.progress import printing_on_stderr, say
from sklearn_brainlm.commands.provenance import describe_run, write_sidecar

__all__ = ["add_predict"]


def add_predict(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    predict = commands.add_parser(
        "predict",
        help="predict what is not known of some recordings",
        description=(
            "Learn from the recordings whose target is known, and predict it for the others. With "
            "--train-where, learn from some of those, and predict for all others. With "
            "--cross-validate, predict out of fold, and print the score beside that of simpler "
            "methods."
        ),
    )
    predict.set_defaults(run=_run)
    add_input(predict)
    predict.add_argument(
        "--output", required=True, metavar="FILE", help="file ending in .tsv or .parquet"
    )
    add_config(predict)
    add_model_options(predict)
    predict.add_argument(
        "--method",
        choices=list(METHODS),
        default="brainlm",
        help="what learns (default: brainlm)",
    )
    predict.add_argument(
        "--train-where", type=_condition, metavar="COLUMN=VALUE", help="learn from these only"
    )
    predict.add_argument("--cross-validate", type=count, metavar="K", help="in so many folds")
    add_parameters(predict, {}, CHECKPOINTS)


def _run(options):
    """Learn, predict and write."""
    output = check_table(options.output)
    if options.cross_validate is not None and options.train_where is not None:
        raise ValueError("--cross-validate and --train-where exclude each other: name one.")
    trains_once = options.method == "brainlm" and options.cross_validate is None
    if not trains_once and any(vars(options).get(name) for name in CHECKPOINTS):
        raise ValueError(
            "--checkpoint-dir and --resume are for one training: --method brainlm, without "
            "--cross-validate."
        )
    opened = open_recordings(
        options.input, atlas=options.atlas, max_recordings=options.max_recordings
    )
    y, task = read_labels(opened, options.target, options.task)
    groups = opened.column(options.groups).astype(str).to_numpy()
    X, t_r = opened.at_one_t_r(options.t_r)
    estimator = build_method(options.method, task, options, opened, t_r)
    say(f"{options.target}: {task} by {METHODS[options.method]}.")
    with printing_on_stderr():
        if options.cross_validate is None:
            frame, about = _predict_others(options, opened, estimator, X, y, task, groups)
        else:
            rows = _with_simple_row(options, opened, estimator, task, t_r)
            table = _cross_validate(options, opened, rows, X, y, groups)
            frame, about = _read_table(table, options, opened)
    if options.cross_validate is not None:
        from sklearn_brainlm.evaluation import format_comparison

        print(format_comparison(table))
    with open_table(output) as write:
        write(frame)
    from sklearn_brainlm.files.checked import file_sha256

    about["output"] = {"name": output.name, "sha256": file_sha256(output), "n_rows": len(frame)}
    described = describe_run(options, opened, task=task, **about)
    write_sidecar(sidecar_of(output), described)  # it vouches for the table: last
    print(f"{len(frame)} predictions of {options.target}: {output}")


def _predict_others(options, opened, estimator, X, y, task, groups):
    """Learn from those that are known, and predict for the others."""
    import numpy as np
    import pandas as pd

    from sklearn_brainlm.comparison.fold_runs import run_predictions, run_rows
    from sklearn_brainlm.comparison.folds import warn_of_pretraining

    known = pd.notna(y)
    chosen = known
    if options.train_where is not None:
        column, value = options.train_where
        chosen = known & (opened.column(column).astype(str) == value).to_numpy()
    train, test = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    if not len(train) or not len(test):
        raise ValueError(
            f"There are {len(train)} recordings to learn {options.target!r} from and {len(test)} "
            "to predict it for. Leave the target of some n/a, or pass --train-where or "
            "--cross-validate."
        )
    both = np.intersect1d(groups[train], groups[test])
    if len(both):
        say(f"{len(both)} of {options.groups} are learned from and predicted, such as {both[0]}.")
    classes = None if task == "regression" else np.unique(y[known])
    items = [X[index] for index in range(len(X))]
    people = opened.participants["participant_id"].astype(str).to_numpy()
    given = {"y": y, "groups": groups, "classes": classes}
    rows = {METHODS[options.method]: (estimator, items)}
    results = run_rows(run_predictions, rows, [(train, test)], people, given)
    warn_of_pretraining(results)
    ((result,),) = results.values()
    predicted, scores = result.predicted, result.scores
    columns = _name_rows(opened, test)
    columns["true"] = y[test]
    columns["predicted"] = predicted if classes is None else classes[predicted]
    if scores is not None:
        columns |= {f"score {name}": scores[:, i] for i, name in enumerate(classes)}
    return pd.DataFrame(columns), {"n_train": len(train)}


def _with_simple_row(options, opened, estimator, task, t_r):
    """Return what is cross-validated: what was chosen, and what it should beat."""
    rows = {METHODS[options.method]: estimator}
    simple = "connectivity-ridge"
    if options.method != simple:
        rows[METHODS[simple]] = build_method(simple, task, options, opened, t_r)
    return rows


def _cross_validate(options, opened, rows, X, y, groups):
    """Predict out of fold, and compare."""
    from sklearn_brainlm.evaluation import compare

    return compare(
        rows,
        X,
        y,
        groups=groups,
        subjects=opened.participants["participant_id"].astype(str).to_numpy(),
        cv=options.cross_validate,
        random_state=options.random_state,
    )


def _read_table(table, options, opened):
    """Return the predictions of the chosen method, and all scores."""
    import pandas as pd

    frame = table.attrs["predictions"].frame
    frame = frame[frame["method"] == METHODS[options.method]].sort_values("recording")
    columns = _name_rows(opened, frame["recording"].to_numpy())
    others = frame.drop(columns=["method", "recording", "subject"])
    columns |= {name: others[name].to_numpy() for name in others}
    whole = table[table["setting"] == "all"][["method", "metric", "value"]]
    return pd.DataFrame(columns), {"scores": whole.to_dict("records")}


def _name_rows(opened, positions):
    """Return the columns that say which recordings the rows are of."""
    rows = opened.participants.iloc[positions]
    return {name: rows[name].to_numpy() for name in ("recording", "participant_id")}


def _condition(text):
    """Read which rows of a table are meant."""
    import argparse

    column, equals, value = text.partition("=")
    if not (column and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return column, value
