"""The methods that ``predict`` and ``compare`` know, by names that stay."""

__all__ = [
    "CHECKPOINTS",
    "DEFAULT_METHODS",
    "METHODS",
    "add_model_options",
    "build_method",
    "read_labels",
]

# Name on the command line -> name in tables.
METHODS = {
    "connectivity-ridge": "Connectivity + ridge",
    "connectivity-kernel-ridge": "Connectivity + kernel ridge",
    "tangent-kernel-ridge": "Tangent + kernel ridge",
    "stack": "Connectome stack",
    "brainlm": "BrainLM (fine-tuned)",
    "brainlm-frozen": "BrainLM (frozen) + ridge",
}
DEFAULT_METHODS = ("connectivity-ridge", "connectivity-kernel-ridge", "brainlm")
CHECKPOINTS = ("checkpoint_dir", "resume")  # parameters of a command that trains once
_FEW_CLASSES = 2


def add_model_options(parser):
    """Add the options on what is predicted, and how BrainLM learns to.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    """
    from sklearn_brainlm.commands.inputs import count

    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="what to predict, of participants.tsv"
    )
    parser.add_argument(
        "--task",
        choices=("auto", "regression", "classification"),
        default="auto",
        help="auto takes text, and numbers of two values, for classes",
    )
    parser.add_argument(
        "--weights", metavar="SOURCE", help="name, folder or hub id of weights for BrainLM"
    )
    parser.add_argument(
        "--groups",
        default="participant_id",
        metavar="COLUMN",
        help="what a fold must not divide, such as site (default: participant_id)",
    )
    parser.add_argument("--max-epochs", type=count, metavar="N", help="of fine-tuning")
    parser.add_argument("--device", default="auto", help="device of torch (default: auto)")
    parser.add_argument(
        "--random-state", type=int, default=0, metavar="SEED", help="of everything (default: 0)"
    )


def read_labels(opened, target, task):
    """Return what is to be predicted, and whether it is an amount or a class.

    Parameters
    ----------
    opened : Recordings
        The recordings.
    target : str
        Column of the participants.
    task : {"auto", "regression", "classification"}
        What is known of it.

    Returns
    -------
    y : array of shape (n_recordings,)
        Float with NaN where one is missing, or objects with None.
    task : {"regression", "classification"}
        The task.

    Raises
    ------
    ValueError
        If amounts are to be predicted of what is no number.
    """
    import numpy as np
    import pandas as pd

    column = opened.column(target)
    is_number = pd.api.types.is_numeric_dtype(column)
    if task == "regression" and not is_number:
        raise ValueError(f"{target!r} is not numeric: pass --task classification.")
    if task == "auto":
        few = column.nunique() <= _FEW_CLASSES
        task = "regression" if is_number and not few else "classification"
    if task == "regression":
        return column.to_numpy(dtype=float, na_value=np.nan), task
    known = column.notna()
    names = column.map(lambda value: f"{value:g}" if is_number else str(value))
    return names.astype(object).where(known, None).to_numpy(), task


def build_method(name, task, options, opened, t_r):
    """Return an estimator of recordings.

    Parameters
    ----------
    name : str
        One of ``METHODS``.
    task : {"regression", "classification"}
        What it predicts.
    options : Namespace
        Those of `add_model_options`.
    opened : Recordings
        The recordings, for the coordinates of their parcels.
    t_r : float or None
        Their repetition time in seconds.

    Returns
    -------
    estimator : estimator
        Not fitted.

    Raises
    ------
    ValueError
        If it needs weights and there are none.
    """
    is_class = task == "classification"
    if name.startswith("brainlm"):
        return _build_brainlm(name, is_class, options, opened, t_r)
    from sklearn_brainlm.baselines import make_connectome, make_connectome_stack

    if name == "stack":
        return make_connectome_stack(classification=is_class)
    kind, _, last = name.partition("-")
    kind = "tangent" if kind == "tangent" else "correlation"
    return make_connectome(
        last.replace("-", "_"),
        kind=kind,
        classification=is_class,
        random_state=options.random_state,
    )


def _build_brainlm(name, is_class, options, opened, t_r):
    """Return a fine-tuned BrainLM, or a linear model of what it embeds."""
    given = {
        "weights": options.weights,
        "parcel_coords": opened.parcel_coords,
        "t_r": t_r,
        "device": options.device,
        "random_state": options.random_state,
    }
    if name == "brainlm":
        from sklearn_brainlm import BrainLMClassifier, BrainLMRegressor

        if options.max_epochs is not None:
            given["max_epochs"] = options.max_epochs
        given |= {name: vars(options)[name] for name in CHECKPOINTS if name in vars(options)}
        return (BrainLMClassifier if is_class else BrainLMRegressor)(**given)
    if options.weights is None:
        raise ValueError(f"The method {name!r} embeds by weights: pass --weights.")
    import numpy as np
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sklearn_brainlm.transformer import BrainLMTransformer

    embed = BrainLMTransformer(**given, pooling="covariance", max_epochs=0)
    ridge = (RidgeClassifierCV if is_class else RidgeCV)(np.logspace(-1, 5, 13))
    return make_pipeline(embed, StandardScaler(), ridge)
