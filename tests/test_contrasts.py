"""Contrasts of maps and spatial nulls, against SciPy and all permutations by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sklearn_brainlm.contrasts import attention_contrast
from sklearn_brainlm.spatial_nulls import network_enrichment, spatial_correlation, spin_parcels


def draw(n_a, n_b, n_parcels=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_a, n_parcels)), rng.standard_normal((n_b, n_parcels))


@pytest.fixture
def coords():
    """Points all over two hemispheres, 30 of each, the right one mirroring the left."""
    left = np.random.default_rng(3).standard_normal((30, 3))
    left = 40 * left / np.linalg.norm(left, axis=1, keepdims=True) - [45, 0, 0]
    return np.concatenate([left, left * [-1, 1, 1]])


# contrasts


def test_t_is_that_of_scipy():
    a, b = draw(9, 12)
    found = attention_contrast(a, b, n_permutations=50, random_state=0)
    np.testing.assert_allclose(found.t, stats.ttest_ind(a, b, equal_var=False).statistic)
    np.testing.assert_allclose(found.effect, a.mean(0) - b.mean(0))
    paired = attention_contrast(a, b[:9], paired=True, n_permutations=50, random_state=0)
    np.testing.assert_allclose(paired.t, stats.ttest_rel(a, b[:9]).statistic)
    assert (found.paired, paired.paired) == (False, True)
    assert (found.n_subjects, paired.n_subjects) == ((9, 12), (9, 9))


def test_paired_p_is_that_of_all_flips_by_hand():
    a, b = draw(7, 7)
    a[:, 2] += 1.5
    difference = a - b
    t = np.abs(stats.ttest_1samp(difference, 0).statistic)
    largest = [
        np.abs(stats.ttest_1samp(difference * np.array(signs)[:, None], 0).statistic).max()
        for signs in itertools.product([1, -1], repeat=7)
    ]
    expected = (np.array(largest)[:, None] >= t - 1e-9).mean(axis=0)
    found = attention_contrast(a, b, paired=True)
    np.testing.assert_allclose(found.p_corrected, expected)
    assert (found.exact, found.n_permutations) == (True, 128)
    assert "all" in str(found)


def test_unpaired_p_is_that_of_all_groups_by_hand():
    a, b = draw(4, 5)
    b[:, 1] += 3
    both = np.concatenate([a, b])
    largest = []
    for chosen in itertools.combinations(range(9), 4):
        mask = np.isin(np.arange(9), chosen)
        largest.append(
            np.abs(stats.ttest_ind(both[mask], both[~mask], equal_var=False).statistic).max()
        )
    t = np.abs(stats.ttest_ind(a, b, equal_var=False).statistic)
    found = attention_contrast(a, b)
    np.testing.assert_allclose(
        found.p_corrected, (np.array(largest)[:, None] >= t - 1e-9).mean(axis=0)
    )
    assert (found.exact, found.n_permutations) == (True, 126)


def test_random_permutations_come_close_to_all_and_follow_the_seed():
    a, b = draw(12, 12)
    a[:, 0] += 0.9
    every = attention_contrast(a, b, paired=True, n_permutations=5000)
    some = attention_contrast(a, b, paired=True, n_permutations=2000, random_state=1)
    again = attention_contrast(a, b, paired=True, n_permutations=2000, random_state=1)
    assert (every.exact, some.exact) == (True, False)
    np.testing.assert_allclose(some.p_corrected, every.p_corrected, atol=0.05)
    np.testing.assert_array_equal(some.p_corrected, again.p_corrected)
    assert some.p_corrected.min() >= 1 / 2001


def test_family_wise_error_is_that_of_the_level():
    """200 contrasts of nothing: 10 with a finding are expected, 20 are three deviations more."""
    n_false = 0
    for seed in range(200):
        a, b = draw(8, 8, n_parcels=20, seed=seed)
        n_false += attention_contrast(a, b, paired=True, n_permutations=256).significant().any()
    assert 2 <= n_false <= 20


def test_recordings_of_a_subject_are_averaged_first():
    a, b = draw(12, 12)
    who = np.repeat(["p", "q", "r", "s", "t", "u"], 2)
    order = np.random.default_rng(1).permutation(12)
    found = attention_contrast(a, b[order], subjects_a=who, subjects_b=who[order])
    expected = attention_contrast(
        a.reshape(6, 2, -1).mean(1), b.reshape(6, 2, -1).mean(1), paired=True
    )
    assert found.paired
    assert found.n_subjects == (6, 6)
    np.testing.assert_allclose(found.t, expected.t)
    np.testing.assert_allclose(found.p_corrected, expected.p_corrected)


def test_groups_that_share_some_subjects_have_to_say_what_is_meant():
    a, b = draw(6, 6)
    who = dict(subjects_a=list("pqrstu"), subjects_b=list("rstuvw"))
    with pytest.raises(ValueError, match="4 of 8 subjects are in both"):
        attention_contrast(a, b, **who)
    with pytest.raises(ValueError, match="not independent"):
        attention_contrast(a, b, paired=False, **who)
    found = attention_contrast(a, b, paired=True, **who)
    np.testing.assert_allclose(found.effect, (a[2:] - b[:4]).mean(axis=0))
    others = attention_contrast(a, b, subjects_a=list("pqrstu"), subjects_b=list("ABCDEF"))
    assert not others.paired


def test_networks_are_averaged_before_the_test():
    a, b = draw(10, 10)
    labels = np.array(["x", "y", "x", "z", "y", "x"])
    found = attention_contrast(a, b, paired=True, labels=labels, n_permutations=100)
    assert found.names.tolist() == ["x", "y", "z"]
    difference = (a - b)[:, labels == "x"].mean(axis=1)
    np.testing.assert_allclose(found.t[0], stats.ttest_1samp(difference, 0).statistic)


def test_what_does_not_vary_is_found_only_where_there_is_a_difference():
    a, b = draw(8, 8)
    a[:, 0] = b[:, 0] = 0.25
    a[:, 1], b[:, 1] = 0.75, 0.25
    found = attention_contrast(a, b, paired=True)
    assert found.t[0] == 0
    assert found.p_corrected[0] == 1
    assert found.p_corrected[1] == 2 / 256


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"subjects_a": list("pqrstu")}, "both subjects_a and subjects_b"),
        ({"subjects_a": ["p"] * 6, "subjects_b": ["q"] * 5}, "at least 2"),
        ({"paired": True}, "a has 6 maps and b 5"),
        ({"coords": np.zeros((6, 3))}, "coords without labels"),
        ({"subjects_a": list("pq"), "subjects_b": list("rs")}, "inconsistent numbers"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        attention_contrast(*draw(6, 5), **parameters)


def test_maps_of_other_parcels_are_refused():
    with pytest.raises(ValueError, match="a has 6 parcels and b has 5"):
        attention_contrast(draw(6, 6)[0], draw(6, 6, n_parcels=5)[0])


# spatial nulls


def test_rotations_are_mirrored_and_stay_in_their_hemisphere(coords):
    spins = spin_parcels(coords, n_rotations=20, random_state=0)
    assert spins[:, :30].max() < 30
    np.testing.assert_array_equal(spins[:, :30] + 30, spins[:, 30:])
    assert len(np.unique(spins, axis=0)) == 20
    # Every parcel comes to lie everywhere: rotations are uniform.
    many = spin_parcels(coords, n_rotations=3000, random_state=0)
    assert np.bincount(many[:, 0], minlength=30)[:30].min() > 20


def test_smooth_maps_that_have_nothing_in_common_correlate_less_than_it_seems(coords):
    """Maps that vary smoothly: a test that takes parcels as independent finds far too much."""
    rng = np.random.default_rng(0)
    distance = np.linalg.norm(coords[:, None] - coords, axis=2)
    smooth = np.linalg.cholesky(np.exp(-((distance / 50) ** 2)) + 1e-6 * np.eye(60))
    spun, naive = 0, 0
    for seed in range(60):
        first, second = (smooth @ rng.standard_normal((60, 2))).T
        found = spatial_correlation(first, second, coords, n_rotations=199, random_state=seed)
        np.testing.assert_allclose(found.correlation, stats.spearmanr(first, second).statistic)
        spun += found.p_value < 0.05
        naive += stats.spearmanr(first, second).pvalue < 0.05
    assert naive > 15
    assert spun <= 10


def test_pearson_is_that_of_scipy(coords):
    first, second = coords[:, 1], coords[:, 1] + coords[:, 2]
    found = spatial_correlation(first, second, coords, method="pearson", n_rotations=99)
    np.testing.assert_allclose(found.correlation, np.corrcoef(first, second)[0, 1])


def test_enrichment_finds_where_a_map_is_large(coords):
    labels = np.where(coords[:, 1] > 20, "front", np.where(coords[:, 1] < -20, "back", "middle"))
    values = (labels == "front") + 0.1 * np.random.default_rng(0).standard_normal(60)
    found = network_enrichment(values, labels, coords, n_rotations=500, random_state=0)
    assert found.names.tolist() == ["back", "front", "middle"]
    assert found.p_corrected[1] < 0.05
    assert found.p_corrected[1] == found.p_corrected.min()
    maps = values + np.random.default_rng(1).standard_normal((8, 60))
    contrast = attention_contrast(
        maps, maps - values, paired=True, labels=labels, coords=coords, random_state=0
    )
    assert contrast.p_spatial.shape == (3,)
    assert contrast.p_spatial.argmin() == 1


def test_coordinates_that_cannot_be_rotated_are_refused(coords):
    with pytest.raises(ValueError, match="at least 4"):
        spin_parcels(coords[:32])
    with pytest.raises(ValueError, match="'kendall'"):
        spatial_correlation(coords[:, 0], coords[:, 1], coords, method="kendall")
    with pytest.raises(ValueError, match="60 and 59"):
        spatial_correlation(coords[:, 0], coords[1:, 1], coords)
    with pytest.raises(ValueError, match="60 values and 3 labels"):
        network_enrichment(coords[:, 0], [1, 2, 3], coords)
