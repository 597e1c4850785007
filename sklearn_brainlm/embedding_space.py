"""Embeddings in a plane, and whether those who are alike lie together in them."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_consistent_length, check_random_state, check_scalar
from sklearn.utils.validation import column_or_1d

__all__ = ["NeighborPurity", "neighbor_purity", "project_embeddings"]

_METHODS = ("pca", "tsne", "umap")
_PERPLEXITY = 30.0


@dataclass(frozen=True, eq=False)
class NeighborPurity:
    """How alike neighbours are in a covariate, see :func:`neighbor_purity`.

    Attributes
    ----------
    purity : float
        Of classes, the part of the neighbours that are of one's own class, from 0 to 1; of
        numbers, the correlation of the ranks of one's own value and those of one's neighbours.
    by_recording : float64 array of shape (n_recordings,)
        What each recording adds to `purity`, which is the mean; NaN for recordings without
        neighbours or a covariate.
    null : float64 array of shape (n_permutations,)
        Purity under permutation of the covariate.
    p_value : float
        Part of the permutations, the one observed among them, that are as pure or purer.
    kind : {"classes", "numbers"}
        What the covariate was taken for.

    Examples
    --------
    >>> embeddings = np.repeat([[0.0, 0.0], [9.0, 9.0]], 12, axis=0)
    >>> embeddings += np.random.default_rng(0).standard_normal(embeddings.shape)
    >>> found = neighbor_purity(embeddings, np.repeat(["f", "m"], 12), n_neighbors=5)
    >>> found.purity, found.p_value < 0.01, found.kind
    (1.0, True, 'classes')
    """

    purity: float
    by_recording: np.ndarray
    null: np.ndarray
    p_value: float
    kind: str


def project_embeddings(embeddings, method="pca", *, n_components=2, random_state=0):
    """Lay embeddings out in a plane, to look at.

    Figure 5 of the article shows CLS embeddings in a plane by UMAP. What is seen there depends on
    the method and its seed: :func:`neighbor_purity` measures in all dimensions.

    Parameters
    ----------
    embeddings : array of shape (n_recordings, n_features)
        Such as what ``BrainLMTransformer(pooling="cls")`` returns.
    method : {"pca", "tsne", "umap"}, default="pca"
        Principal components, t-SNE or UMAP. Of these only the first keeps distances; the other two
        keep neighbours. "umap" needs the package umap-learn.
    n_components : int, default=2
        Dimensions of the plane.
    random_state : int, RandomState or None, default=0
        Seed of t-SNE and UMAP.

    Returns
    -------
    float64 array of shape (n_recordings, n_components)
        Features are standardised first, as embeddings have no unit, and so have the points.

    Raises
    ------
    ValueError
        If the method is unknown, or embeddings are no finite numbers.
    ImportError
        If "umap" is asked for and umap-learn is not installed.

    See Also
    --------
    neighbor_purity : Tests what is seen.
    sklearn_brainlm.plotting.plot_embedding : Draws the points.

    Notes
    -----
    The plane is learned from all embeddings it is given, test people too, so nothing may be chosen
    or scored by points in it. For that, fit a projection on the training side, in a pipeline.

    Examples
    --------
    >>> embeddings = np.random.default_rng(0).standard_normal((20, 8))
    >>> project_embeddings(embeddings).shape, project_embeddings(embeddings, "tsne").shape
    ((20, 2), (20, 2))
    """
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(_METHODS)}.")
    check_scalar(n_components, "n_components", Integral, min_val=1)
    features = _standardise(check_array(embeddings, dtype=np.float64, ensure_min_samples=4))
    seed = check_random_state(random_state)
    if method == "pca":
        n_components_there = min(n_components, *features.shape)
        points = PCA(n_components_there, svd_solver="full").fit_transform(features)
        return np.pad(points, ((0, 0), (0, n_components - n_components_there)))
    n_others = len(features) - 1
    if method == "tsne":
        perplexity = min(_PERPLEXITY, n_others / 3)
        return (
            TSNE(n_components, perplexity=perplexity, init="random", random_state=seed)
            .fit_transform(features)
            .astype(np.float64)
        )
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError(
            "method='umap' needs umap-learn, which is not installed. Install "
            "sklearn-brainlm[umap], or use 'tsne' or 'pca'."
        ) from error
    layout = UMAP(
        n_components=n_components,
        n_neighbors=min(15, n_others),
        random_state=seed,
        n_jobs=1,  # it says so itself where a seed is given
    )
    return np.asarray(layout.fit_transform(features), dtype=np.float64)


def neighbor_purity(
    embeddings,
    covariate,
    *,
    subjects=None,
    n_neighbors=10,
    metric="euclidean",
    n_permutations=1000,
    random_state=0,
):
    """Test whether recordings lie near others that are alike in a covariate.

    It puts a number on what a plot of embeddings suggests, such as that people of one sex or of
    similar age lie together (Figure 5 of the article), and says how often chance does as well.

    Parameters
    ----------
    embeddings : array of shape (n_recordings, n_features)
        Embeddings in all their dimensions, not points of a plane. Features are standardised.
    covariate : array-like of shape (n_recordings,)
        Classes such as sex, given as text or truth values, or numbers such as age. Recordings
        whose covariate is missing (NaN, None) are left out.
    subjects : array-like of shape (n_recordings,), optional
        Who each recording is of. None counts each recording as somebody. Recordings of the same
        subject are no neighbours of each other where the covariate belongs to the subject.
    n_neighbors : int, default=10
        Neighbours that are looked at.
    metric : str, default="euclidean"
        Distance of embeddings, as in :class:`sklearn.neighbors.NearestNeighbors`.
    n_permutations : int, default=1000
        Permutations of the covariate behind the null.
    random_state : int, RandomState or None, default=0
        Seed of the permutations.

    Returns
    -------
    NeighborPurity
        Purity, its null distribution and its p-value, which tests one side.

    Raises
    ------
    ValueError
        If there is nothing to compare: one class only, or too few recordings or subjects.

    See Also
    --------
    project_embeddings : Lays embeddings out in a plane.
    sklearn_brainlm.plotting.plot_embedding : Draws it, with the purity.

    Notes
    -----
    Where the covariate is the same in all recordings of a subject, as age is, subjects change
    places in the null, all recordings of one together, among subjects of as many recordings. Where
    it differs within a subject, as rest and task do, recordings change places within subjects.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(20, 80, 40)
    >>> embeddings = np.column_stack([age / 20, rng.standard_normal((40, 3))])
    >>> found = neighbor_purity(embeddings, age)
    >>> found.kind, found.p_value < 0.05
    ('numbers', True)
    """
    check_scalar(n_neighbors, "n_neighbors", Integral, min_val=1)
    check_scalar(n_permutations, "n_permutations", Integral, min_val=1)
    features = check_array(embeddings, dtype=np.float64, ensure_min_samples=4)
    values, kind, known = _read_covariate(covariate)
    subjects = np.arange(len(values)) if subjects is None else column_or_1d(subjects)
    check_consistent_length(features, values, subjects)
    _, owner = np.unique(subjects[known], return_inverse=True)
    values = values[known]
    if len(np.unique(values)) < 2:
        raise ValueError("The covariate has a single value: there is nothing to tell apart.")
    features = _standardise(features[known])
    is_of_subject = all(len(np.unique(values[owner == s])) == 1 for s in np.unique(owner))
    nearest = _find_neighbours(features, owner, is_of_subject, n_neighbors, metric)
    permute = _permute_subjects if is_of_subject else _permute_within
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    measure = _agreement if kind == "classes" else _rank_products

    own = measure(values, nearest)
    null = np.array(
        [measure(permute(values, owner, rng), nearest).mean() for _ in range(n_permutations)]
    )
    # Sums of the same numbers in another order differ in their last digits.
    n_as_pure = np.sum(null >= own.mean() - 1e-12)
    by_recording = np.full(len(known), np.nan)
    by_recording[known] = own
    p_value = float((1 + n_as_pure) / (1 + n_permutations))
    return NeighborPurity(float(own.mean()), by_recording, null, p_value, kind)


def _standardise(features):
    """Centre features and divide them by their standard deviation, where they have one."""
    sd = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(sd > 0, sd, 1)


def _read_covariate(covariate):
    """Return a covariate as numbers, what it is, and which recordings have it."""
    values = column_or_1d(np.asarray(covariate))
    if values.dtype.kind in "iuf":
        known = np.isfinite(values)
        ranks = np.full(len(values), np.nan)
        ranks[known] = rankdata(values[known])
        return ranks, "numbers", known
    missing = np.array([value is None or value != value for value in values])  # NaN is not itself
    codes = np.zeros(len(values))
    codes[~missing] = np.unique(values[~missing].astype(str), return_inverse=True)[1]
    return codes, "classes", ~missing


def _find_neighbours(features, owner, is_of_subject, n_neighbors, metric):
    """Return the nearest recordings of each, nearest first, (n_recordings, n_neighbors)."""
    largest = np.bincount(owner).max() if is_of_subject else 1
    n_others = len(features) - largest
    if n_neighbors > n_others:
        raise ValueError(
            f"n_neighbors={n_neighbors} of {len(features)} recordings of {owner.max() + 1} "
            f"subjects: {n_others} are left to be neighbours. Ask for fewer."
        )
    search = NearestNeighbors(n_neighbors=n_neighbors + largest, metric=metric).fit(features)
    found = search.kneighbors(features, return_distance=False)
    group = owner if is_of_subject else np.arange(len(features))
    is_other = group[found] != group[:, None]
    order = np.argsort(~is_other, axis=1, kind="stable")[:, :n_neighbors]
    return np.take_along_axis(found, order, axis=1)


def _agreement(codes, nearest):
    """Return the part of the neighbours of each recording that are of its class."""
    return np.mean(codes[nearest] == codes[:, None], axis=1)


def _rank_products(ranks, nearest):
    """Return products of standardised ranks with those of neighbours; their mean correlates."""
    own = ranks - ranks.mean()
    others = own[nearest].mean(axis=1)
    spread = own.std() * others.std()
    return own * (others - others.mean()) / (spread if spread > 0 else 1.0)


def _permute_subjects(values, owner, rng):
    """Exchange the values of subjects that have as many recordings."""
    counts = np.bincount(owner)
    first = np.full(len(counts), -1)
    first[owner[::-1]] = np.arange(len(owner))[::-1]
    of_subject = values[first]
    for count in np.unique(counts):
        same = np.flatnonzero(counts == count)
        of_subject[same] = of_subject[rng.permutation(same)]
    return of_subject[owner]


def _permute_within(values, owner, rng):
    """Exchange the values of the recordings of each subject."""
    permuted = values.copy()
    for subject in range(owner.max() + 1):
        own = np.flatnonzero(owner == subject)
        permuted[own] = values[rng.permutation(own)]
    return permuted
