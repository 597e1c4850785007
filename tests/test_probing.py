"""The network probe: what it counts, checked against scikit-learn's own classifier.

The rows of Table 3 are in test_benchmark_networks.py.
"""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from sklearn_brainlm.probing import _split, _vote, network_probe

NETWORKS = np.repeat(["Cont", "Default", "Vis"], 20)
PAIRS = np.concatenate([np.arange(10)] * 2 + [10 + np.arange(10)] * 2 + [20 + np.arange(10)] * 2)


def draw_profiles(n_recordings=3, noise=3.0, seed=0):
    """Return noisy profiles (n_recordings, 60, 8) of three networks."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((3, 8))
    return np.repeat(centres, 20, axis=0) + noise * rng.standard_normal((n_recordings, 60, 8))


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "correlation"])
def test_votes_are_those_of_scikit_learn(metric):
    profile = draw_profiles(1)[0]
    rng = np.random.RandomState(0)
    codes = np.repeat([0, 1, 2], 20)
    probe = network_probe(profile, NETWORKS, metric=metric, n_neighbors=5, n_splits=4)
    splits = _split(codes, np.arange(60), 4, 0.2, rng)
    for (train, test, _), accuracy in zip(splits, probe.accuracies[0], strict=True):
        trusted = KNeighborsClassifier(5, metric=metric).fit(profile[train], codes[train])
        assert accuracy == trusted.score(profile[test], codes[test])


def test_votes_for_several_counts_are_those_for_each():
    distances = np.abs(np.subtract.outer(*[np.random.default_rng(0).standard_normal(60)] * 2))
    codes, train, test = np.repeat([0, 1, 2], 20), np.arange(0, 60, 2), np.arange(1, 60, 2)
    votes = _vote(distances.argsort(axis=1), codes, train, test, [1, 4, 9])
    for k, row in zip([1, 4, 9], votes, strict=True):
        trusted = KNeighborsClassifier(k, metric="precomputed")
        trusted.fit(distances[np.ix_(train, train)], codes[train])
        np.testing.assert_array_equal(row, trusted.predict(distances[np.ix_(test, train)]))


def test_neighbours_are_chosen_by_cross_validation_among_the_parcels_trained_on():
    profile = draw_profiles(1)[0]
    codes = np.repeat([0, 1, 2], 20)
    probe = network_probe(
        profile, NETWORKS, pairs=PAIRS, metric="euclidean", n_neighbors=(1, 3, 9), n_splits=5
    )
    for number, (_, _, inner) in enumerate(_split(codes, PAIRS, 5, 0.2, np.random.RandomState(0))):
        # All parcels of a fold count alike, whatever the size of the fold.
        right = {
            k: sum(
                KNeighborsClassifier(k)
                .fit(profile[fit], codes[fit])
                .score(profile[out], codes[out])
                * len(out)
                for fit, out in inner
            )
            for k in (1, 3, 9)
        }
        assert probe.n_neighbors[0, number] == max(right, key=right.get)


def test_pairs_stay_together_in_splits_and_in_their_folds():
    for train, test, inner in _split(
        np.repeat([0, 1, 2], 20), PAIRS, 6, 0.2, np.random.RandomState(1)
    ):
        assert not set(PAIRS[train]) & set(PAIRS[test])
        assert len(test) == 12
        assert sorted(np.concatenate([held_out for _, held_out in inner])) == sorted(train)
        for fit, held_out in inner:
            assert not set(PAIRS[fit]) & set(PAIRS[held_out])
            assert set(fit) | set(held_out) == set(train)


def test_a_mirror_parcel_gives_the_network_away():
    """Profiles that only name the pair: told from the homologue, and by nothing else."""
    profiles = np.eye(30)[PAIRS]
    alone = network_probe(profiles, NETWORKS, n_neighbors=1, n_splits=20)
    paired = network_probe(profiles, NETWORKS, pairs=PAIRS, n_neighbors=1, n_splits=20)
    assert alone.accuracy > 0.75
    assert paired.accuracy < 0.45


def test_noise_is_at_chance_and_networks_are_not():
    noise = np.random.default_rng(0).standard_normal((3, 60, 8))
    assert network_probe(noise, NETWORKS).accuracy < 0.45
    assert network_probe(draw_profiles(noise=0.5), NETWORKS).accuracy > 0.9
    shuffled = np.random.default_rng(0).permutation(NETWORKS)
    assert network_probe(draw_profiles(noise=0.5), shuffled).accuracy < 0.5


def test_all_parcels_as_neighbours_are_the_majority():
    networks = np.repeat(["Default", "Vis"], [42, 18])
    probe = network_probe(np.ones((60, 1)), networks, n_neighbors=48, metric="euclidean")
    assert probe.confusion[:, 1].sum() == 0
    assert probe.accuracy == probe.confusion[0, 0] / probe.confusion.sum()


def test_confusions_add_up_to_the_accuracies():
    probe = network_probe(draw_profiles(), NETWORKS, n_splits=7)
    assert probe.confusion.sum() == 3 * 7 * 12
    assert probe.confusion.trace() == pytest.approx(probe.accuracies.sum() * 12)
    assert probe.networks.tolist() == ["Cont", "Default", "Vis"]
    np.testing.assert_array_equal(probe.n_test, np.full(7, 12))
    np.testing.assert_array_equal(probe.n_train, np.full(7, 48))
    assert probe.by_recording.mean() == pytest.approx(probe.by_split.mean())


def test_splits_are_the_same_for_all_recordings_and_profiles():
    profile = draw_profiles(1)[0]
    probe = network_probe([profile, profile[:, :5], profile], NETWORKS, random_state=3)
    np.testing.assert_array_equal(probe.accuracies[0], probe.accuracies[2])
    again = network_probe([profile], NETWORKS, random_state=3)
    np.testing.assert_array_equal(probe.accuracies[0], again.accuracies[0])
    other = network_probe([profile], NETWORKS, random_state=4)
    assert (other.accuracies != again.accuracies).any()


def test_the_interval_is_over_subjects():
    profiles = np.concatenate([draw_profiles(6, seed=0), draw_profiles(6, noise=0.3, seed=1)])
    probe = network_probe(profiles, NETWORKS)
    assert probe.ci_low < probe.accuracy < probe.ci_high
    one = network_probe(profiles, NETWORKS, subjects=["sub-01"] * 12)
    assert np.isnan([one.ci_low, one.ci_high]).all()
    two = network_probe(profiles, NETWORKS, subjects=np.repeat(["a", "b"], 6))
    assert two.ci_high - two.ci_low > probe.ci_high - probe.ci_low


def test_distances_may_be_given():
    profiles = draw_profiles()
    distances = [np.linalg.norm(p[:, None] - p, axis=2) for p in profiles]
    given = network_probe(distances, NETWORKS, metric="precomputed")
    made = network_probe(profiles, NETWORKS, metric="euclidean")
    np.testing.assert_array_equal(given.confusion, made.confusion)


@pytest.mark.parametrize(
    ("profiles", "options", "message"),
    [
        ([], {}, "no profiles"),
        (np.ones((59, 4)), {}, r"recording 0 have shape \(59, 4\); expected \(60, n_features\)"),
        ([np.ones((60, 2)), np.ones((60, 0))], {}, "recording 1"),
        (np.ones((60, 4)), {"metric": "precomputed"}, r"expected \(60, 60\)"),
        (np.full((60, 4), np.nan), {}, "parcel 0 in recording 0 is not finite"),
        (np.ones((60, 4)), {"n_neighbors": (1, 50)}, r"n_neighbors=\[1, 50\]"),
        (np.ones((60, 4)), {"n_neighbors": 0}, r"n_neighbors=\[0\]"),
        (np.ones((60, 4)), {"test_size": 1.0}, "test_size"),
        (np.ones((60, 4)), {"pairs": np.arange(59)}, "inconsistent numbers of samples"),
        (np.ones((60, 4)), {"subjects": ["a", "b"]}, "inconsistent numbers of samples"),
    ],
)
def test_errors_say_what_was_expected(profiles, options, message):
    with pytest.raises(ValueError, match=message):
        network_probe(profiles, NETWORKS, **options)


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    network_probe(draw_profiles(), NETWORKS)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
