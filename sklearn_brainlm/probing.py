"""Which functional network a parcel belongs to, told from what a model knows of the parcel."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.utils import check_consistent_length, check_random_state, check_scalar, column_or_1d

from sklearn_brainlm.comparison.inference import interval, resample_weights

__all__ = ["NetworkProbe", "network_probe"]

_N_INNER = 5
_N_BOOTSTRAP = 2000


# `numpydoc lint` reads the source, and does not see the __init__ that dataclass makes.
@dataclass(frozen=True, eq=False)
class NetworkProbe:  # numpydoc ignore=PR02
    """How well networks of parcels are told from profiles, see :func:`network_probe`.

    Every recording is probed in every split of the parcels: means over either say how accuracy
    varies with people, and with the parcels held out.

    Parameters
    ----------
    accuracies : float64 array of shape (n_recordings, n_splits)
        Part of the parcels held out whose network is right.
    n_neighbors : int64 array of shape (n_recordings, n_splits)
        Neighbours that the parcels trained on have chosen.
    confusion : int64 array of shape (n_networks, n_networks)
        Parcels held out, over all recordings and splits: rows are the networks they belong to,
        columns what they were taken for.
    networks : array of shape (n_networks,)
        Names of rows and columns.
    n_train, n_test : int64 arrays of shape (n_splits,)
        Parcels on either side of each split.
    ci_low, ci_high : float
        95% bootstrap interval of the mean over subjects; NaN for one subject.

    See Also
    --------
    network_probe : Makes it.
    sklearn_brainlm.plotting.plot_network_confusion : Draws `confusion`.

    Examples
    --------
    >>> profiles = np.repeat(np.eye(3), 10, axis=0)
    >>> probe = network_probe(profiles, np.repeat(["Cont", "Default", "Vis"], 10), random_state=0)
    >>> probe.accuracy
    1.0
    >>> probe.by_recording
    array([1.])
    """

    accuracies: np.ndarray
    n_neighbors: np.ndarray
    confusion: np.ndarray
    networks: np.ndarray
    n_train: np.ndarray
    n_test: np.ndarray
    ci_low: float
    ci_high: float

    @property
    def by_recording(self):
        """Average the accuracy of each recording over splits.

        Returns
        -------
        by_recording : float64 array of shape (n_recordings,)
            Accuracies.
        """
        return self.accuracies.mean(axis=1)

    @property
    def by_split(self):
        """Average the accuracy in each split over recordings.

        Returns
        -------
        by_split : float64 array of shape (n_splits,)
            Accuracies.
        """
        return self.accuracies.mean(axis=0)

    @property
    def accuracy(self):
        """Average the accuracy over recordings and splits.

        Returns
        -------
        accuracy : float
            From 0 to 1.
        """
        return float(self.accuracies.mean())


def network_probe(
    profiles,
    networks,
    *,
    pairs=None,
    subjects=None,
    n_splits=20,
    test_size=0.2,
    n_neighbors=(1, 3, 5, 9),
    metric="cosine",
    random_state=0,
):
    """Tell the network of held-out parcels by their nearest neighbours, recording by recording.

    Section 4.5 and Table 3 of the article: a classifier is trained on 80% of the parcels of a
    recording and tested on the others. Neighbours in the brain mostly share a network, so
    coordinates alone do well, and belong into the table.

    Parameters
    ----------
    profiles : list of arrays of shape (n_parcels, n_features)
        What is known of each parcel in each recording: attention to other parcels, embeddings,
        coordinates in mm, the series of the parcel. A 3-D array is many recordings, a 2-D array
        one. Features may differ in number between recordings.
    networks : array-like of shape (n_parcels,)
        Network of each parcel, such as that of Yeo's seven.
    pairs : array-like of shape (n_parcels,), optional
        Parcels of the same value stay on the same side, such as a parcel and its homologue in the
        other hemisphere. None splits parcels one by one, as in the article.
    subjects : array-like of shape (n_recordings,), optional
        Who each recording is of, for the interval. None counts each recording as somebody.
    n_splits : int, default=20
        Splits of the parcels, the same for all recordings and for all profiles that are probed
        with the same `random_state`, so that differences are paired.
    test_size : float, default=0.2
        Part of the parcels, or pairs, held out in a split.
    n_neighbors : int or sequence of int, default=(1, 3, 5, 9)
        Neighbours that vote. Of several, one is chosen in each split by five-fold cross-validation
        among the parcels trained on, the first of equals; `pairs` are kept together there, too.
    metric : str, default="cosine"
        Distance of profiles, as in :func:`sklearn.metrics.pairwise_distances`. "precomputed" says
        that profiles are distances, (n_parcels, n_parcels).
    random_state : int, RandomState or None, default=0
        Seed of the splits and of the bootstrap.

    Returns
    -------
    NetworkProbe
        Accuracy of each recording in each split, its mean and interval, and confusions.

    Raises
    ------
    ValueError
        If profiles are no numbers for every parcel, or too few parcels are left for a neighbour
        count.

    See Also
    --------
    attention_matrix : Profiles by attention.
    sklearn_brainlm.baselines.MaskedVAE : Profiles by an autoencoder.
    neighbor_purity : Neighbours among recordings.

    Notes
    -----
    The article calls it unsupervised because the profiles are; the networks of most parcels are
    given. Homologues mostly share a network, too: `pairs` keeps them on one side.

    The interval is over subjects. Parcels are the same in all of them, so a test that is to hold
    for other parcels goes by the splits, which overlap: it has to be corrected for that.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signals = rng.standard_normal((4, 100, 3))  # four recordings of three networks
    >>> recordings = np.repeat(signals, 10, axis=2) + rng.standard_normal((4, 100, 30))
    >>> connectivity = [np.corrcoef(recording.T) for recording in recordings]
    >>> networks = np.repeat(["Cont", "Default", "Vis"], 10)
    >>> network_probe(connectivity, networks, metric="correlation", n_splits=5).accuracy
    1.0
    """
    check_scalar(n_splits, "n_splits", Integral, min_val=1)
    check_scalar(test_size, "test_size", Real, min_val=0, max_val=1, include_boundaries="neither")
    networks = column_or_1d(networks)
    names, codes = np.unique(networks.astype(str), return_inverse=True)
    pairs = np.arange(len(codes)) if pairs is None else column_or_1d(pairs)
    check_consistent_length(networks, pairs)
    profiles = _check_profiles(profiles, len(codes), metric)
    choices = [int(k) for k in np.atleast_1d(n_neighbors)]
    rng = check_random_state(random_state)
    splits = _split(codes, pairs, n_splits, test_size, rng)
    _check_choices(choices, splits)

    accuracies = np.empty((len(profiles), n_splits))
    chosen = np.empty((len(profiles), n_splits), dtype=np.int64)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    for recording, profile in enumerate(profiles):
        distances = profile
        if metric != "precomputed":
            distances = pairwise_distances(profile, metric=metric)
        # Ranked once: each split then takes the nearest of those that it trains on.
        ranked = np.argsort(distances, axis=1, kind="stable")
        for number, (train, test, inner) in enumerate(splits):
            k = choices[0]
            if len(choices) > 1:
                right = sum(_count_right(ranked, codes, *fold, choices) for fold in inner)
                k = choices[int(np.argmax(right))]
            predicted = _vote(ranked, codes, train, test, [k])[0]
            accuracies[recording, number] = np.mean(predicted == codes[test])
            chosen[recording, number] = k
            np.add.at(confusion, (codes[test], predicted), 1)
    sizes = np.array([(len(train), len(test)) for train, test, _ in splits])
    bounds = _interval(accuracies.mean(axis=1), subjects, rng)
    return NetworkProbe(accuracies, chosen, confusion, names, *sizes.T, *bounds)


def _check_profiles(profiles, n_parcels, metric):
    """Return the profiles as a list of arrays, one row a parcel."""
    if len(getattr(profiles, "shape", ())) == 2:
        profiles = [profiles]
    checked = [np.asarray(profile, dtype=np.float64) for profile in profiles]
    if not checked:
        raise ValueError("There are no profiles: give one array (n_parcels, n_features) or more.")
    for number, profile in enumerate(checked):
        square = metric != "precomputed" or profile.shape == (n_parcels, n_parcels)
        if profile.ndim != 2 or len(profile) != n_parcels or not profile.shape[1] or not square:
            wanted = "n_features" if metric != "precomputed" else n_parcels
            raise ValueError(
                f"The profiles of recording {number} have shape {profile.shape}; expected "
                f"({n_parcels}, {wanted}), one row for each of the networks given. Transpose a "
                "recording whose series are the profiles."
            )
        if not np.isfinite(profile).all():
            parcel = np.argwhere(~np.isfinite(profile))[0, 0]
            raise ValueError(
                f"The profile of parcel {parcel} in recording {number} is not finite. Leave the "
                "parcel out of profiles and networks."
            )
    return checked


def _split(codes, pairs, n_splits, test_size, rng):
    """Return parcels to train on and to test on, and the folds of those to train on."""
    seed = rng.randint(2**31 - 1)
    outer = GroupShuffleSplit(n_splits, test_size=test_size, random_state=seed)
    splits = []
    for train, test in outer.split(codes, groups=pairs):
        n_inner = min(_N_INNER, len(np.unique(pairs[train])))
        folds = GroupKFold(n_inner, shuffle=True, random_state=rng.randint(2**31 - 1))
        inner = [
            (train[fit], train[held_out])
            for fit, held_out in folds.split(train, groups=pairs[train])
        ]
        splits.append((train, test, inner))
    return splits


def _check_choices(choices, splits):
    """Refuse more neighbours than there are parcels to choose from."""
    train, _, inner = splits[0]
    n_there = len(train) if len(choices) == 1 else min(len(fit) for fit, _ in inner)
    if not choices or min(choices) < 1 or max(choices) > n_there:
        raise ValueError(
            f"n_neighbors={choices} has to lie between 1 and {n_there}, the parcels that "
            "neighbours are chosen from. Ask for fewer neighbours."
        )


def _vote(ranked, codes, train, test, choices):
    """Predict networks for each number of neighbours, (n_choices, n_test); ties as they sort."""
    is_there = np.zeros(len(codes), dtype=bool)
    is_there[train] = True
    rows = ranked[test]
    nearest = rows[is_there[rows]].reshape(len(test), len(train))[:, : max(choices)]
    ballots = np.eye(codes.max() + 1)[codes[nearest]].cumsum(axis=1)
    return np.stack([ballots[:, k - 1].argmax(axis=1) for k in choices])


def _count_right(ranked, codes, train, test, choices):
    """Count the parcels that each number of neighbours tells right, (n_choices,)."""
    return np.sum(_vote(ranked, codes, train, test, choices) == codes[test], axis=1)


def _interval(by_recording, subjects, rng):
    """Return the bootstrap interval of the mean over recordings, subjects drawn whole."""
    subjects = np.arange(len(by_recording)) if subjects is None else column_or_1d(subjects)
    check_consistent_length(by_recording, subjects)
    _, owner = np.unique(subjects, return_inverse=True)
    if owner.max() == 0:
        return np.nan, np.nan
    generator = np.random.default_rng(rng.randint(2**31 - 1))
    means = [
        weights @ by_recording / weights.sum(axis=1)
        for weights in resample_weights(owner, _N_BOOTSTRAP, generator)
    ]
    return interval(np.concatenate(means))
