"""Traits from connectivity and from raw values: pipelines of scikit-learn and nilearn.

Each function returns an estimator that takes recordings. Whatever it learns, scales and reference
points included, it learns in `fit`, so that cross-validation keeps it from the test fold.
"""

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_brainlm.baselines.connectivity import ConnectivityFeatures
from sklearn_brainlm.baselines.kernel_ridge import (
    DEFAULT_ALPHAS,
    KernelRidgeClassifierCV,
    KernelRidgeCV,
)
from sklearn_brainlm.baselines.measures import (
    FirstTimepoints,
    GlobalSignalRegression,
    ParcelDeviation,
)
from sklearn_brainlm.baselines.stacking import KernelStackClassifier, KernelStackRegressor
from sklearn_brainlm.targets import TargetScaler

__all__ = [
    "connectome_features",
    "make_connectome",
    "make_connectome_stack",
    "make_pca",
    "make_raw_series",
]

_RIDGE_ALPHAS = np.logspace(-1, 5, 13)  # correlations of many pairs: kernels of 10 to 10,000
_LOGISTIC_CS = np.logspace(-5, 1, 7)


def make_connectome(
    estimator="ridge",
    *,
    kind="correlation",
    global_signal=False,
    classification=False,
    random_state=None,
    memory=None,
):
    """Predict a trait from connectivity.

    The SVR and the MLP of Table 1 of the article see the correlation matrix, too. Ridge predicts
    several targets at once; of the others, "kernel_ridge" and "mlp" do.

    Parameters
    ----------
    estimator : {"ridge", "kernel_ridge", "svm", "mlp", "logistic"}, default="ridge"
        "ridge" chooses its penalty by leaving out one recording, "kernel_ridge" by folds, of
        groups where ``fit(X, y, predict__groups=groups)`` names them. "logistic" is for classes
        only. With labels that are words, "mlp" needs scikit-learn 1.9.
    kind : {"correlation", "partial correlation", "tangent", "covariance", "precision"}, \
            default="correlation"
        See :class:`ConnectivityFeatures`. Covariances of "tangent" hold a fifth of the identity,
        those of "partial correlation" half of it: recordings are short for so many pairs.
        Correlations go through Fisher's transform. The tangent space is that of the pooled
        covariance: ``set_params(connectivity__reference="geometric")`` takes five times as long.
    global_signal : bool, default=False
        Whether the global signal is regressed out first.
    classification : bool, default=False
        Whether the trait is a class.
    random_state : int, RandomState or None, default=None
        Seed of "mlp"; the others draw nothing.
    memory : str or joblib.Memory or None, default=None
        Where a Pipeline keeps features, for a search over an estimator of the same trait.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps "global_signal" where asked for, "connectivity", what the estimator needs, and
        "predict".

    Raises
    ------
    ValueError
        There is no such estimator, or "logistic" is to predict a number.

    See Also
    --------
    make_connectome_stack : Several kinds of connectivity together.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.connectome import make_connectome
    >>> rng = np.random.default_rng(0)
    >>> recordings = [rng.normal(size=(60, 5)) for _ in range(12)]
    >>> age = rng.uniform(20, 80, 12)
    >>> make_connectome("ridge", kind="tangent").fit(recordings, age).predict(recordings[:2]).shape
    (2,)
    """
    connectivity = ConnectivityFeatures(
        kind,
        shrinkage={"tangent": 0.2, "partial correlation": 0.5}.get(kind, 0.0),
        reference="pooled",
        fisher_z=kind == "correlation",
    )
    steps = [("global_signal", GlobalSignalRegression())] if global_signal else []
    steps += [("connectivity", connectivity)]
    steps += _predictor(estimator, classification, random_state)
    return Pipeline(steps, memory=memory)


def make_raw_series(
    estimator="svm", *, n_timepoints=None, classification=False, random_state=None, memory=None
):
    """Predict a trait from the raw values of recordings.

    The SVM on raw data of section 4.2 of the article. Every timepoint of every parcel is a feature.

    Parameters
    ----------
    estimator : {"ridge", "kernel_ridge", "svm", "mlp", "logistic"}, default="svm"
        As in `make_connectome`.
    n_timepoints : int or None, default=None
        Timepoints taken, see :class:`FirstTimepoints`.
    classification : bool, default=False
        Whether the trait is a class.
    random_state : int, RandomState or None, default=None
        Seed of "mlp".
    memory : str or joblib.Memory or None, default=None
        Where a Pipeline keeps features.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps "values", "scale", what the estimator needs, and "predict".

    See Also
    --------
    make_pca : Components of these values.

    Examples
    --------
    >>> from sklearn_brainlm.baselines.connectome import make_raw_series
    >>> list(make_raw_series().named_steps)
    ['values', 'scale', 'predict']
    """
    steps = [("values", FirstTimepoints(n_timepoints)), ("scale", StandardScaler())]
    return Pipeline(steps + _predictor(estimator, classification, random_state), memory=memory)


def make_pca(
    estimator="svm",
    *,
    n_components=50,
    n_timepoints=None,
    classification=False,
    random_state=None,
    memory=None,
):
    """Predict a trait from principal components of the raw values of recordings.

    It makes few features of the many values that `make_raw_series` takes as they are.

    Parameters
    ----------
    estimator : {"ridge", "kernel_ridge", "svm", "mlp", "logistic"}, default="svm"
        As in `make_connectome`.
    n_components : int or float, default=50
        Components, at most as many as training recordings; or the part of the variance to hold.
    n_timepoints : int or None, default=None
        Timepoints taken, see :class:`FirstTimepoints`.
    classification : bool, default=False
        Whether the trait is a class.
    random_state : int, RandomState or None, default=None
        Seed of the components and of "mlp".
    memory : str or joblib.Memory or None, default=None
        Where a Pipeline keeps features.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps "values", "scale", "components", what the estimator needs, and "predict".

    See Also
    --------
    make_raw_series : All values.

    Examples
    --------
    >>> from sklearn_brainlm.baselines.connectome import make_pca
    >>> list(make_pca().named_steps)
    ['values', 'scale', 'components', 'predict']
    """
    model = make_raw_series(
        estimator,
        n_timepoints=n_timepoints,
        classification=classification,
        random_state=random_state,
        memory=memory,
    )
    model.steps.insert(2, ("components", PCA(n_components, random_state=random_state)))
    return model


def connectome_features():
    """Return the kinds of features that `make_connectome_stack` begins with.

    Connectivity is scaled to unit length by recording: its length follows motion and the number of
    timepoints more than it follows traits.

    Returns
    -------
    list of (str, transformer)
        "connectivity", "global_signal" (after its regression), "tangent", "deviation".

    See Also
    --------
    make_connectome_stack : Stacks them.

    Examples
    --------
    >>> [name for name, _ in connectome_features()]
    ['connectivity', 'global_signal', 'tangent', 'deviation']
    """
    # The pooled reference gives what the geometric mean gives, within noise, in a fifth of the
    # time.
    tangent = ConnectivityFeatures("tangent", shrinkage=0.2, reference="pooled")
    return [
        ("connectivity", make_pipeline(ConnectivityFeatures(), Normalizer())),
        (
            "global_signal",
            make_pipeline(GlobalSignalRegression(), ConnectivityFeatures(), Normalizer()),
        ),
        ("tangent", make_pipeline(tangent, Normalizer())),
        ("deviation", ParcelDeviation()),
    ]


def make_connectome_stack(
    *, classification=False, log_target=False, extra=(), alphas=DEFAULT_ALPHAS, cv=5
):
    """Predict a trait from all simple features of recordings, stacked: the yardstick.

    Each kind of features has a model of its own, and their predictions are weighed. Embeddings,
    given as `extra`, have to earn a weight beside connectivity.

    Parameters
    ----------
    classification : bool, default=False
        Whether the trait is a class.
    log_target : bool, default=False
        Whether a number, at least 0, is learned on a logarithmic scale, as suits age.
        Predictions and `score` are in its own units.
    extra : list of (str, transformer), default=()
        More features to stack, such as embeddings.
    alphas : array-like of float, default=(1e-6, ..., 1e1)
        Penalties to choose from, see :class:`KernelRidgeCV`.
    cv : int, splitter or iterable of (train, test), default=5
        Inner folds, of groups where ``fit(X, y, groups=groups)`` names them.

    Returns
    -------
    KernelStackRegressor, KernelStackClassifier or TransformedTargetRegressor
        The last one, around a KernelStackRegressor, for `log_target`.

    Raises
    ------
    ValueError
        A class is to be put on a logarithmic scale.

    See Also
    --------
    connectome_features : What is stacked.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.connectome import make_connectome_stack
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(20, 80, 40)
    >>> recordings = [rng.normal(scale=years, size=(60, 5)) for years in age]
    >>> model = make_connectome_stack(log_target=True).fit(recordings[:30], age[:30])
    >>> model.score(recordings[30:], age[30:]) > 0.8
    True
    """
    transformers = [*connectome_features(), *extra]
    if not classification:
        model = KernelStackRegressor(transformers, alphas=alphas, cv=cv)
        if log_target:
            model = TransformedTargetRegressor(model, transformer=TargetScaler("log_minmax"))
        return model
    if log_target:
        raise ValueError("log_target=True is for numbers; classification=True predicts classes.")
    return KernelStackClassifier(transformers, alphas=alphas, cv=cv)


def _predictor(estimator, classification, random_state):
    """Return the last steps of a pipeline, from features to the trait."""
    # Targets are z-scored where the defaults of an estimator expect it.
    if estimator == "ridge":
        ridge = (RidgeClassifierCV if classification else RidgeCV)(_RIDGE_ALPHAS)
        return [("predict", ridge)]
    if estimator == "kernel_ridge":
        return [("predict", KernelRidgeClassifierCV() if classification else KernelRidgeCV())]
    if estimator == "svm":
        return [("predict", SVC() if classification else _on_scaled_target(SVR()))]
    if estimator == "mlp":
        network = (MLPClassifier if classification else MLPRegressor)(
            hidden_layer_sizes=(64,), early_stopping=True, random_state=random_state
        )
        predict = network if classification else _on_scaled_target(network)
        return [("scale_features", StandardScaler()), ("predict", predict)]
    if estimator == "logistic" and classification:
        logistic = LogisticRegression(max_iter=1000)
        search = GridSearchCV(logistic, {"C": _LOGISTIC_CS}, scoring="neg_log_loss")
        # As many components as recordings hold all there is to learn from, and are quick.
        return [("rotate", KernelPCA(remove_zero_eig=True)), ("predict", search)]
    if estimator == "logistic":
        raise ValueError("'logistic' predicts classes: set classification=True.")
    raise ValueError(
        f"estimator must be 'ridge', 'kernel_ridge', 'svm', 'mlp' or 'logistic', got {estimator!r}."
    )


def _on_scaled_target(regressor):
    """Return a regressor that learns z-scored targets and predicts in their own units."""
    return TransformedTargetRegressor(regressor, transformer=TargetScaler())
