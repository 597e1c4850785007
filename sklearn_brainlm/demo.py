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
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.utils import Bunch

from sklearn_brainlm._cohorts import load_cohort, simulate_cohort
from sklearn_brainlm.exceptions import DataQualityWarning
from sklearn_brainlm.metrics import masked_r2
from sklearn_brainlm.plotting import plot_loss_curve, plot_reconstruction

N_FOLDS = 3
MASK_RATIOS = (0.2, 0.75, 0.9)
MAX_RECONSTRUCTED = 20  # held-out recordings whose reconstruction is scored
BRAINLM = "BrainLM + SVR"

# Windows and masks, the same for everything that reconstructs.
WINDOWS = {"window_length": 60, "patch_length": 20}

# Half the width of the defaults, and a third of their epochs: seconds a fold.
SMALL = {
    **WINDOWS,
    "embed_dim": 32,
    "mlp_dim": 64,
    "decoder_embed_dim": 32,
    "decoder_mlp_dim": 64,
}


def run_demo(
    *,
    recordings=None,
    target="age",
    output="demo_output",
    max_recordings=100,
    n_subjects=60,
    max_epochs=5,
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
    max_recordings : int, default=100
        Recordings of the folder to use, drawn with the seed.
    n_subjects : int, default=60
        Subjects to simulate.
    max_epochs : int, default=5
        Epochs of pretraining in every fold.
    random_state : int, default=0
        Seed of everything.

    Returns
    -------
    result : :class:`sklearn.utils.Bunch`
        - ``predictions`` : dict of method to array of shape (n_recordings,), out of fold
        - ``cpu_seconds`` : dict of method to float
        - ``masked_r2`` : dict of method to list of float, one a ratio of ``MASK_RATIOS``
        - ``y`` : array of shape (n_recordings,), the target
        - ``figures`` : list of paths

    Raises
    ------
    InvalidRecordingError
        If the folder has no such target, or too few recordings or groups.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as cache:
        # Others' warnings are for those who write code; what is wrong with recordings is shown.
        warnings.simplefilter("ignore")
        warnings.simplefilter("once", DataQualityWarning)
        warnings.showwarning = lambda message, *_, **__: _say("Note", str(message))
        print("sklearn-brainlm demo: what recordings of the brain say about", target, "\n")
        if recordings is None:
            cohort = simulate_cohort(target, output / "images", n_subjects, random_state)
        else:
            cohort = load_cohort(recordings, target, max_recordings, random_state)
        for note in cohort.notes:
            _say(*note)
        first_steps = _build_masker(cohort, cache)
        folds = _split(cohort, target, random_state)
        methods = _build_methods(cohort, first_steps, max_epochs, random_state)
        predictions, cpu_seconds, brainlm = _cross_validate(methods, cohort, folds)
        _print_scores(cohort.y, predictions, cpu_seconds)
        _say("Verdict", _verdict(cohort.y, predictions))
        if cohort.truth is not None:
            _say("Truth", _describe_truth(cohort, folds))
        train, test = ([cohort.X[index] for index in part] for part in folds[0])
        if first_steps:
            train, test = (first_steps[0][1].transform(images) for images in (train, test))
        scores = _compare_reconstructions(brainlm, train, test[:MAX_RECONSTRUCTED])
        figures = _draw(brainlm, test[0], cohort, output)
    return Bunch(
        predictions=predictions,
        cpu_seconds=cpu_seconds,
        masked_r2=scores,
        y=cohort.y,
        figures=figures,
    )


def _build_masker(cohort, cache):
    """First step of every pipeline that starts at images, with the images read once."""
    if cohort.labels_img is None:
        return []
    from nilearn.maskers import MultiNiftiLabelsMasker

    # A masker learns nothing from one recording about another, so that folds may share what it
    # read. The cache goes with the run: it knows images by path, and the next run may write
    # others there.
    masker = MultiNiftiLabelsMasker(cohort.labels_img, standardize=None, memory=cache)
    begun = time.process_time()
    masker.fit_transform(cohort.X)
    seconds = time.process_time() - begun
    _say("Masked", f"in {seconds:.1f} CPU-s, cached for every fold of every method")
    return [("masker", masker)]


def _split(cohort, target, random_state):
    """Split into folds that share no group."""
    n_folds = min(N_FOLDS, len(np.unique(cohort.groups)))
    splitter = GroupKFold(n_folds, shuffle=True, random_state=random_state)
    low, high = cohort.y.min(), cohort.y.max()
    _say("Task", f"{target} ({low:.3g} to {high:.3g}), {n_folds} folds, {cohort.held_out} held out")
    return list(splitter.split(cohort.X, cohort.y, cohort.groups))


def _build_methods(cohort, first_steps, max_epochs, random_state):
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
    # With many more features than people, everybody is about as far from everybody else, and an
    # RBF kernel sees nothing but that: the readout is linear. Its penalty is chosen on the
    # training recordings, as that of ridge is.
    svr = GridSearchCV(SVR(kernel="linear"), {"C": np.logspace(-7, -1, 7)}, cv=3)
    return {
        "Dummy (mean)": DummyRegressor(),
        "Connectivity + ridge": Pipeline(
            [
                *first_steps,
                ("connectivity", connectivity),
                ("scale", StandardScaler()),
                ("ridge", RidgeCV(np.logspace(0, 6, 13))),
            ]
        ),
        BRAINLM: Pipeline(
            [*first_steps, ("brainlm", brainlm), ("scale", StandardScaler()), ("svr", svr)]
        ),
    }


def _cross_validate(methods, cohort, folds):
    """Predict out of fold with every method; return the network of the first fold as well."""
    print()
    predictions, cpu_seconds, networks = {}, {}, []
    for name, model in methods.items():
        print(f"  {name:<22}", end="", flush=True)
        begun = time.process_time()
        predictions[name] = np.full(len(cohort.y), np.nan)
        for train, test in folds:
            # Two recordings of a person must not be on both sides of a validation either.
            groups = {"brainlm__groups": cohort.subjects[train]} if name == BRAINLM else {}
            fitted = clone(model)
            fitted.fit([cohort.X[index] for index in train], cohort.y[train], **groups)
            predictions[name][test] = fitted.predict([cohort.X[index] for index in test])
            if name == BRAINLM:
                networks.append(fitted["brainlm"])
            print(".", end="", flush=True)
        cpu_seconds[name] = time.process_time() - begun
        print(f" {cpu_seconds[name]:6.1f} CPU-s")
    return predictions, cpu_seconds, networks[0]


def _print_scores(y, predictions, cpu_seconds):
    """Print one line a method."""
    print(f"\n  {'Predicted':<30}{'R2':>8}{'error':>9}{'r':>8}{'CPU-s':>9}")
    print("  " + "-" * 64)
    for name, predicted in predictions.items():
        error = mean_absolute_error(y, predicted)
        # The mean of the other folds is nearly constant: a correlation with it says nothing.
        r = "-" if name.startswith("Dummy") else f"{np.corrcoef(y, predicted)[0, 1]:.2f}"
        row = f"{r2_score(y, predicted):>8.2f}{error:>9.2f}{r:>8}{cpu_seconds[name]:>9.1f}"
        print(f"  {name:<30}{row}")
    print("  Out of fold, all folds together. error: mean absolute error, in the target's unit.\n")


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


def _describe_truth(cohort, folds):
    """Say what a method could reach that knew where to look, and without noise."""
    ridge = RidgeCV(np.logspace(-2, 4, 13))
    r2 = r2_score(cohort.y, cross_val_predict(ridge, cohort.truth, cohort.y, cv=folds))
    return (
        f"Ridge on the simulated strengths of the {cohort.truth.shape[1]} connections that depend "
        f"on age, which no method is told, has R2 {r2:.2f} in the same folds."
    )


def _compare_reconstructions(brainlm, train, test):
    """Score how recordings that nobody has seen are filled in, and print one line a method."""
    from sklearn_brainlm import GaussianReconstructor

    gaussian = GaussianReconstructor(**WINDOWS, temporal=False, adaptive=False)
    adaptive = GaussianReconstructor(**WINDOWS)
    methods = {
        "Gaussian": gaussian.fit(train),
        "Adaptive space-time Gaussian": adaptive.fit(train),
        "BrainLM": brainlm,
    }
    scores = {"Mean": []}
    for ratio in MASK_RATIOS:
        for name, model in methods.items():
            made = model.reconstruct(test, mask_ratio=ratio)  # with the same masks
            true, masked = ([window[key] for window in made] for key in ("true", "masked"))
            scores.setdefault(name, []).append(
                masked_r2(true, [window.predicted for window in made], masked)
            )
        # Scaling makes the mean of the training recordings 0.
        scores["Mean"].append(masked_r2(true, [np.zeros_like(values) for values in true], masked))
    ratios = "".join(f"{ratio:>8.0%}" for ratio in MASK_RATIOS)
    print(f"\n  {'R2 of what was masked':<30}{ratios}")
    print("  " + "-" * (30 + len(ratios)))
    for name, row in scores.items():
        print(f"  {name:<30}" + "".join(f"{r2:>8.3f}" for r2 in row))
    print(f"  {len(test)} held-out recordings of the first fold. 0: their own mean; 1: exact.\n")
    return scores


def _draw(brainlm, recording, cohort, output):
    """Save the figures: how the network learned, and what it fills in."""
    loss = plot_loss_curve(brainlm.history_)
    loss.figure.suptitle("Pretraining of the first fold")
    loss.set_title(
        "Training draws other windows and masks in each epoch, validation always the same.",
        fontsize="small",
    )
    (shown,) = brainlm.reconstruct([recording], mask_ratio=0.75)
    traces = plot_reconstruction(
        shown.true, shown.predicted, shown.masked, t_r=cohort.t_r, labels=cohort.labels
    )
    traces.figure.suptitle("A held-out recording, 75% masked")
    figures = [output / "loss_curve.png", output / "reconstruction.png"]
    for axes, figure in zip((loss, traces), figures, strict=True):
        axes.figure.savefig(figure, dpi=150)
        _say("Figure", str(figure))
    return figures


def _say(what, text):
    """Print an aligned paragraph; a path stays in one piece."""
    whole = {"break_long_words": False, "break_on_hyphens": False}
    print(textwrap.fill(f"{what:<13}{text}", 92, subsequent_indent=13 * " ", **whole), flush=True)
