"""The main job from end to end: recordings, embeddings, a prediction, and what it is worth."""

import tempfile
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.utils import Bunch

from sklearn_brainlm.exceptions import DataQualityWarning, InvalidRecordingError
from sklearn_brainlm.plotting import plot_loss_curve, plot_reconstruction

N_FOLDS = 5
MIN_RECORDINGS = 10

# The simulated cohort: small enough for two minutes on two cores.
SIMULATED = {"n_timepoints": 150, "t_r": 2.0, "atlas": 40}

# A small model: seconds a fold. The defaults of BrainLMTransformer are for real work.
SMALL = {
    "window_length": 60,
    "patch_length": 20,
    "embed_dim": 32,
    "depth": 2,
    "n_heads": 4,
    "mlp_dim": 64,
    "decoder_embed_dim": 32,
    "decoder_depth": 1,
    "decoder_n_heads": 4,
    "decoder_mlp_dim": 64,
    "batch_size": 16,
    "lr": 3e-3,
}


def run_demo(
    *,
    recordings=None,
    target="age",
    output="demo_output",
    max_recordings=200,
    n_subjects=60,
    max_epochs=10,
    random_state=0,
):
    """Pretrain, embed and predict under cross-validation, and print it beside simpler methods.

    Parameters
    ----------
    recordings : path or None, default=None
        Folder of :func:`sklearn_brainlm.datasets.load_recordings_folder`; None simulates a
        cohort and writes it as images.
    target : str, default="age"
        Numeric column of participants.tsv to predict. A simulated cohort has age only.
    output : path, default="demo_output"
        Folder for the figures and the simulated images.
    max_recordings : int, default=200
        Recordings of the folder to use, drawn with the seed.
    n_subjects : int, default=60
        Subjects to simulate.
    max_epochs : int, default=10
        Epochs of pretraining in every fold.
    random_state : int, default=0
        Seed of everything.

    Returns
    -------
    result : :class:`sklearn.utils.Bunch`
        - ``predictions`` : dict of method to array of shape (n_recordings,), out of fold
        - ``cpu_seconds`` : dict of method to float
        - ``y`` : array of shape (n_recordings,), the target
        - ``figures`` : list of paths

    Raises
    ------
    InvalidRecordingError
        If the folder has no such target, or too few recordings or groups.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Others' warnings are for those who write code; what is wrong with recordings is shown.
        warnings.simplefilter("ignore")
        warnings.simplefilter("once", DataQualityWarning)
        warnings.showwarning = lambda message, *_, **__: _say("Note", str(message))
        print("sklearn-brainlm demo: what recordings of the brain say about", target, "\n")
        if recordings is not None:
            cohort = _load(recordings, target, max_recordings, random_state)
            return _compare(cohort, target, output, max_epochs, random_state)
        # Every fold masks the same images. The cache goes with the run: it knows images by path,
        # and the next run may write others there.
        with tempfile.TemporaryDirectory() as cache:
            cohort = _simulate(target, output, n_subjects, random_state, cache)
            return _compare(cohort, target, output, max_epochs, random_state)


def _simulate(target, output, n_subjects, random_state, cache):
    """Cohort of simulated images, with the masker that reads them."""
    from nilearn.maskers import MultiNiftiLabelsMasker

    from sklearn_brainlm.datasets import make_cohort

    if target != "age":
        raise InvalidRecordingError(
            f"A simulated cohort has no {target!r}, only age. Pass --recordings, or --target age."
        )
    _check_counts("The cohort", n_subjects, n_subjects, "subject")
    images = output / "images"
    made = make_cohort(n_subjects, random_state=random_state, output_dir=images, **SIMULATED)
    _say("Recordings", made.description)
    _say("Images", f"{len(made.images)} 4-D images and their label image in {images}")
    masker = MultiNiftiLabelsMasker(made.labels_img, standardize=None, memory=cache)
    return Bunch(
        X=made.images,
        y=made.age,
        groups=made.subjects,
        held_out="subjects",
        first_steps=[("masker", masker)],
        parcel_coords=made.parcel_coords,
        labels=[f"{network} {index}" for index, network in enumerate(made.labels)],
        t_r=made.t_r,
    )


def _load(folder, target, max_recordings, random_state):
    """Cohort of a folder: z-scored recordings with a target, at one repetition time."""
    from sklearn_brainlm.datasets import load_recordings_folder
    from sklearn_brainlm.preprocessing import resample_recordings, standardize_recordings

    loaded = load_recordings_folder(folder)
    y = _read_target(loaded.participants, target)
    known = np.flatnonzero(np.isfinite(y))
    n_drawn = min(max_recordings, len(known))
    rng = np.random.default_rng(random_state)
    drawn = np.sort(rng.choice(known, size=n_drawn, replace=False))
    group = "site" if "site" in loaded.participants else "participant_id"
    groups = loaded.participants[group].astype(str).to_numpy()[drawn]
    n_groups = len(np.unique(groups))
    _check_counts(f"{folder}, where {target!r} is known,", n_drawn, n_groups, group)
    X = [np.asarray(loaded.recordings[index], dtype=np.float32) for index in drawn]
    t_r = loaded.t_r[drawn]
    rates = ", ".join(f"{rate:g}" for rate in np.unique(t_r[np.isfinite(t_r)]))
    _say(
        "Recordings",
        f"{n_drawn} of {len(loaded.recordings)} in {folder} (seed {random_state}), "
        f"{min(map(len, X))} to {max(map(len, X))} timepoints, t_r {rates or 'unknown'} s, "
        f"{loaded.n_parcels} parcels, {n_groups} {group}s",
    )
    one_t_r = None
    if np.isfinite(t_r).all():
        one_t_r = float(np.median(t_r))
        if len(np.unique(t_r)) > 1:
            X = resample_recordings(X, t_r, one_t_r)
            _say("Resampled", f"to t_r {one_t_r:g} s, the median")
    _say("Scaled", "every recording to mean 0 and sd 1 a parcel")
    return Bunch(
        X=standardize_recordings(X),
        y=y[drawn],
        groups=groups,
        held_out="whole sites" if group == "site" else "subjects",
        first_steps=[],
        parcel_coords=loaded.parcel_coords,
        labels=[str(label) for label in loaded.parcels["label"]],
        t_r=one_t_r,
    )


def _check_counts(source, n_recordings, n_groups, group):
    """Refuse a cohort too small to be cross-validated."""
    if n_recordings < MIN_RECORDINGS or n_groups < 2:
        raise InvalidRecordingError(
            f"{source} has {n_recordings} recordings of {n_groups} {group}s; cross-validation "
            f"needs at least {MIN_RECORDINGS} of at least 2. Take more."
        )


def _read_target(participants, target):
    """Target of every recording as numbers, NaN where missing."""
    import pandas as pd

    numeric = [name for name in participants if pd.api.types.is_numeric_dtype(participants[name])]
    if target not in participants:
        raise InvalidRecordingError(
            f"participants.tsv has no column {target!r}. Pass --target, one of {numeric}."
        )
    if target not in numeric:
        raise InvalidRecordingError(
            f"Column {target!r} of participants.tsv is not numeric. Pass --target, one of "
            f"{numeric}."
        )
    return participants[target].to_numpy(dtype=float)


def _build_methods(cohort, max_epochs, random_state):
    """Every method as a pipeline from the cohort's X to a prediction, the simplest first."""
    from nilearn.connectome import ConnectivityMeasure

    from sklearn_brainlm import BrainLMTransformer

    brainlm = BrainLMTransformer(
        **SMALL,
        parcel_coords=cohort.parcel_coords,
        t_r=cohort.t_r,
        pooling="covariance",
        max_epochs=max_epochs,
        random_state=random_state,
    )
    connectivity = ConnectivityMeasure(
        kind="correlation", vectorize=True, discard_diagonal=True, standardize=False
    )
    svr = ("svr", SVR(kernel="linear"))
    return {
        "Dummy (mean)": DummyRegressor(),
        "Connectivity + ridge": Pipeline(
            [
                *cohort.first_steps,
                ("connectivity", connectivity),
                ("scale", StandardScaler()),
                ("ridge", RidgeCV(np.logspace(0, 6, 13))),
            ]
        ),
        "BrainLM + SVR": Pipeline([*cohort.first_steps, ("brainlm", brainlm), svr]),
    }


def _compare(cohort, target, output, max_epochs, random_state):
    """Cross-validate every method, print the table and save the figures."""
    n_folds = min(N_FOLDS, len(np.unique(cohort.groups)))
    folds = list(
        GroupKFold(n_folds, shuffle=True, random_state=random_state).split(
            cohort.X, cohort.y, cohort.groups
        )
    )
    low, high = cohort.y.min(), cohort.y.max()
    _say("Task", f"{target} ({low:.3g} to {high:.3g}), {n_folds} folds, {cohort.held_out} held out")
    print()
    predictions, cpu_seconds, first_fitted = {}, {}, {}
    for name, model in _build_methods(cohort, max_epochs, random_state).items():
        print(f"  {name:<22}", end="", flush=True)
        begun = time.process_time()
        predictions[name] = np.full(len(cohort.y), np.nan)
        for train, test in folds:
            fitted = clone(model).fit([cohort.X[index] for index in train], cohort.y[train])
            predictions[name][test] = fitted.predict([cohort.X[index] for index in test])
            first_fitted.setdefault(name, fitted)
            print(".", end="", flush=True)
        cpu_seconds[name] = time.process_time() - begun
        print(f" {cpu_seconds[name]:6.1f} CPU-s")
    _print_scores(cohort.y, predictions, cpu_seconds)
    print()
    _say("Verdict", _verdict(cohort.y, predictions))

    figures = _look_inside(first_fitted["BrainLM + SVR"], cohort, folds[0][1], output)
    return Bunch(predictions=predictions, cpu_seconds=cpu_seconds, y=cohort.y, figures=figures)


def _print_scores(y, predictions, cpu_seconds):
    """Print one line a method."""
    print(f"\n  {'method':<22}{'R2':>8}{'error':>9}{'r':>8}{'CPU-s':>9}")
    print("  " + "-" * 54)
    for name, predicted in predictions.items():
        error = mean_absolute_error(y, predicted)
        # The mean of the other folds is nearly constant: a correlation with it says nothing.
        r = "-" if name.startswith("Dummy") else f"{np.corrcoef(y, predicted)[0, 1]:.2f}"
        row = f"{r2_score(y, predicted):>8.2f}{error:>9.2f}{r:>8}{cpu_seconds[name]:>9.1f}"
        print(f"  {name:<22}{row}")
    print("  Out of fold, all folds together. error: mean absolute error, in the target's unit.")


def _verdict(y, predictions):
    """Say in one sentence who won, if anybody did."""
    losses = {name: (y - predicted) ** 2 for name, predicted in predictions.items()}
    dummy, *others = sorted(losses, key=lambda name: not name.startswith("Dummy"))
    best = min(others, key=lambda name: losses[name].mean())
    if not _clearly_lower(losses[best], losses[dummy]):
        return (
            f"No method beats guessing the mean by more than chance, with {len(y)} recordings. "
            "An effect of this size needs more of them."
        )
    rivals = [name for name in others if name != best]
    tied = [name for name in rivals if not _clearly_lower(losses[best], losses[name])]
    if tied:
        return f"{best} has the lowest error, but does not clearly differ from {', '.join(tied)}."
    return f"{best} wins: its squared error is clearly below that of {', '.join(rivals)}."


def _clearly_lower(losses, others):
    """Whether the paired difference lies more than two standard errors below zero."""
    difference = losses - others
    return difference.mean() + 2 * difference.std(ddof=1) / np.sqrt(len(difference)) < 0


def _look_inside(pipeline, cohort, held_out, output):
    """Score and draw how the first fold's network reconstructs recordings it has not seen."""
    brainlm = pipeline["brainlm"]
    X = [cohort.X[index] for index in held_out]
    if cohort.first_steps:
        X = pipeline["masker"].transform(X)
    masked_r2 = brainlm.score(X)
    _say("Masked R2", f"{masked_r2:.2f} on held-out recordings; 0 is the mean of what was masked")

    loss = plot_loss_curve(brainlm.history_)
    loss.set_title("Pretraining of the first fold")
    (shown,) = brainlm.reconstruct(X[:1])
    traces = plot_reconstruction(
        shown.true, shown.predicted, shown.masked, t_r=cohort.t_r, labels=cohort.labels
    )
    traces.set_title("A held-out recording", loc="right")
    figures = [output / "loss_curve.png", output / "reconstruction.png"]
    for axes, figure in zip((loss, traces), figures, strict=True):
        axes.figure.savefig(figure, dpi=150)
        _say("Figure", str(figure))
    return figures


def _say(what, text):
    """Print an aligned paragraph; a path stays in one piece."""
    whole = {"break_long_words": False, "break_on_hyphens": False}
    print(textwrap.fill(f"{what:<13}{text}", 92, subsequent_indent=13 * " ", **whole), flush=True)
