"""The methods of the table of traits, by names that stay.

To add one: write a line in METHODS that builds an estimator of recordings, or of features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _methods import ONE_WINDOW_A_STEP
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_brainlm.baselines.connectome import (
    make_connectome,
    make_connectome_stack,
    make_pca,
    make_raw_series,
)
from sklearn_brainlm.targets import TargetScaler

N_NEIGHBORS = 15
N_COMPONENTS = 50
# Timepoints that hold a recording of this kind from end to end: correlations want them all.
WHOLE = 240
STACK = "Connectome stack"
FINE_TUNED, RANDOM = "BrainLM (fine-tuned)", "BrainLM (random init)"
# A row, and the one that it is compared with besides the best simple one.
PAIRS = ((FINE_TUNED, RANDOM), ("BrainLM + stack", STACK), (FINE_TUNED, STACK))


@dataclass(frozen=True)
class Target:
    """What is predicted of people."""

    column: str  # of participants.tsv
    is_class: bool
    on_log: bool = False  # rows that say so learn its logarithm


TARGETS = {
    "age": Target("age", is_class=False, on_log=True),
    "fiq": Target("fiq", is_class=False),
    "sex": Target("sex", is_class=True),
    "diagnosis": Target("group", is_class=True),
}


@dataclass(frozen=True)
class Setting:
    """What a method is told about the recordings, the target and its budget."""

    target: Target
    window_length: int
    patch_length: int
    n_train: int
    epochs: int | None = None  # None leaves each learned method its own
    weights: FrozenEstimator | None = None  # pretrained on the training side


@dataclass(frozen=True)
class Entry:
    """A line of the table: what builds the method, and what it depends on."""

    build: Callable  # of a Setting and a seed
    seeded: bool = False
    takes_weights: bool = False
    is_pretrained: bool = False  # and so pays for the pretraining
    pooling: str | None = None  # is given embeddings, pooled so, in the place of recordings
    classes_only: bool = False
    says_log: bool = False


def make_transformer(parcel_coords, setting, epochs):
    """Return what is pretrained for the rows of BrainLM: without a prior, on short windows."""
    from sklearn_brainlm import BrainLMTransformer  # loads torch: only where it is asked for

    return BrainLMTransformer(
        prior=None,
        parcel_coords=parcel_coords,
        window_length=setting.window_length,
        patch_length=setting.patch_length,
        max_epochs=epochs,
        **ONE_WINDOW_A_STEP,
    )


def token_correlations(features):
    """Turn covariances of parcels' tokens, upper triangles with diagonal, into correlations."""
    features = np.asarray(features, dtype=np.float64)
    n_parcels = int((np.sqrt(8 * features.shape[1] + 1) - 1) / 2)
    rows, columns = np.triu_indices(n_parcels)
    sd = np.sqrt(features[:, rows == columns])  # (n_recordings, n_parcels)
    divisor = sd[:, rows] * sd[:, columns]
    correlations = np.divide(features, divisor, out=np.zeros_like(features), where=divisor > 0)
    return correlations[:, rows != columns].astype(np.float32)


def _pipeline(make, *arguments, **options):
    """Return the line of a pipeline of ``sklearn_brainlm.baselines.connectome``."""
    seeded, classes_only = options.pop("seeded", False), "logistic" in arguments

    def build(setting, seed):
        given = {"classification": setting.target.is_class, "random_state": seed, **options}
        if given.get("n_components"):
            given["n_components"] = min(given["n_components"], setting.n_train)
        return make(*arguments, **given)

    return Entry(build, seeded, classes_only=classes_only)


def _network(name):
    """Return the line of a learned comparator."""

    def build(setting, seed):
        from sklearn_brainlm import baselines

        kind = "Classifier" if setting.target.is_class else "Regressor"
        model = getattr(baselines, name + kind)(
            window_length=setting.window_length, random_state=seed
        )
        return _with_epochs(model, setting)

    return Entry(build, seeded=True)


def _readout(name, pooling):
    """Return the line of a simple model of frozen embeddings."""

    def build(setting, seed):
        is_class = setting.target.is_class
        if name == "SVR":
            last = (
                SVC() if is_class else TransformedTargetRegressor(SVR(), transformer=TargetScaler())
            )
        elif name == "kNN":
            last = (KNeighborsClassifier if is_class else KNeighborsRegressor)(
                min(N_NEIGHBORS, setting.n_train // 2), weights="distance"
            )
        else:
            last = (RidgeClassifierCV if is_class else RidgeCV)(np.logspace(-1, 5, 13))
        if pooling == "covariance":
            return make_pipeline(FunctionTransformer(token_correlations), last)
        return make_pipeline(StandardScaler(), last)

    return Entry(build, True, takes_weights=True, is_pretrained=True, pooling=pooling)


def _brainlm(*, is_pretrained=True, **options):
    """Return the line of a fine-tuned BrainLM with these options beside its defaults."""

    def build(setting, seed):
        from sklearn_brainlm import BrainLMClassifier, BrainLMRegressor

        model = BrainLMClassifier if setting.target.is_class else BrainLMRegressor
        model = model(
            weights=setting.weights, pretrained=is_pretrained, random_state=seed, **options
        )
        return _on_log(_with_epochs(model, setting), setting)

    return Entry(build, True, takes_weights=True, is_pretrained=is_pretrained, says_log=True)


def _stack(*, with_brainlm=False):
    """Return the line of the stack of connectome features, with or without embeddings."""

    def build(setting, seed):
        from sklearn_brainlm import BrainLMTransformer

        embed = BrainLMTransformer(weights=setting.weights, pooling="covariance", max_epochs=0)
        member = make_pipeline(embed, FunctionTransformer(token_correlations), Normalizer())
        return make_connectome_stack(
            classification=setting.target.is_class,
            log_target=setting.target.on_log,
            extra=[("brainlm", member)] if with_brainlm else [],
        )

    return Entry(build, *[with_brainlm] * 3, says_log=True)


def _with_epochs(model, setting):
    """Return a model with the epochs of the command line, if it says so."""
    return model if setting.epochs is None else model.set_params(max_epochs=setting.epochs)


def _on_log(model, setting):
    """Let a model of numbers learn logarithms where the target suits them."""
    if not setting.target.on_log:
        return model
    return TransformedTargetRegressor(model, transformer=TargetScaler("log_minmax"))


METHODS = {
    "Raw series + SVR": _pipeline(make_raw_series, "svm"),
    "PCA + SVR": _pipeline(make_pca, "svm", n_components=N_COMPONENTS),
    "Connectivity + SVR": _pipeline(make_connectome, "svm"),
    "Connectivity + MLP": _pipeline(make_connectome, "mlp", seeded=True),
    "Connectivity + ridge": _pipeline(make_connectome, "ridge"),
    "Connectivity + kernel ridge": _pipeline(make_connectome, "kernel_ridge"),
    "Connectivity + logistic": _pipeline(make_connectome, "logistic"),
    "Tangent + kernel ridge": _pipeline(make_connectome, "kernel_ridge", kind="tangent"),
    "Tangent + logistic": _pipeline(make_connectome, "logistic", kind="tangent"),
    "LSTM": _network("LSTM"),
    "GCN": _network("GCN"),
    STACK: _stack(),
    **{
        f"BrainLM (frozen{about}) + {name}": _readout(name, pooling)
        for about, pooling in (("", "covariance"), (", CLS", "cls"))
        for name in ("SVR", "kNN", "ridge")
    },
    RANDOM: _brainlm(is_pretrained=False, window_length=WHOLE),
    "BrainLM (article's head)": _brainlm(pooling="cls", head="mlp"),
    FINE_TUNED: _brainlm(window_length=WHOLE),
    "BrainLM + stack": _stack(with_brainlm=True),
}
