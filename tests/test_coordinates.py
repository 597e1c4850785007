"""Statistics by coordinates: what is carried to another atlas, and what is not.

The recordings are of a made brain: networks with places in it, some of them far apart, of which
any set of parcels can be recorded. Not here: the closed form that uses statistics
(test_gaussian.py), and the benchmark of transfer (test_benchmark_transfer.py).
"""

import numpy as np
import pytest
from scipy import signal
from scipy.spatial.distance import cdist

from sklearn_brainlm import InvalidRecordingError, resample_recordings
from sklearn_brainlm.conditioning import complete_timepoints, visible_patterns
from sklearn_brainlm.coordinates import (
    CoordinateStatistics,
    fit_coordinate_statistics,
    fit_distance_statistics,
)
from sklearn_brainlm.stationary import fit_statistics

N_NETWORKS = 6
FITS = [fit_coordinate_statistics, fit_distance_statistics]


def draw_atlas(n_parcels, seed):
    """Draw coordinates (n_parcels, 3) in a box of the size of a brain."""
    return np.random.default_rng(seed).uniform([-60, -90, -30], [60, 60, 70], (n_parcels, 3))


def patterns_at(coords):
    """Return how networks show at coordinates (n_networks, n_parcels): each at two places.

    Both hemispheres are alike.
    """
    places = draw_atlas(2 * N_NETWORKS, seed=100)
    places[:, 0] = np.abs(places[:, 0])
    folded = np.column_stack([np.abs(coords[:, 0]), coords[:, 1:]])
    blobs = np.exp(-((cdist(places, folded) / 40) ** 2))
    return blobs[:N_NETWORKS] + blobs[N_NETWORKS:]


def record(coords, *, n_timepoints=400, n_recordings=3, memory=0.8, seed=0):
    """Record parcels at coordinates, in units of their own spread."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n_recordings):
        noise = rng.standard_normal((n_timepoints, N_NETWORKS))
        networks = signal.lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=0)
        values = networks @ patterns_at(coords)
        values += 0.3 * rng.standard_normal(values.shape)
        made.append((values / values.std(axis=0)).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def home():
    return draw_atlas(120, seed=0)


@pytest.fixture(scope="module")
def elsewhere():
    return draw_atlas(40, seed=1)


@pytest.fixture(scope="module")
def at_home(home):
    return record(home)


def off_diagonal(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("n_parcels", [1, 7, 150])
def test_statistics_are_those_of_a_gaussian(home, at_home, fit, n_parcels):
    statistics = fit(at_home, home, n_lags=12).at(draw_atlas(n_parcels, seed=2))
    covariance = statistics.covariance
    assert all(array.dtype == np.float32 for array in vars(statistics).values())
    assert np.linalg.eigvalsh(covariance.astype(np.float64)).min() > 0
    variance = np.mean([recording.var(axis=0) for recording in at_home])
    np.testing.assert_allclose(np.diagonal(covariance), variance, rtol=0.02)
    components = statistics.whitening.T @ covariance @ statistics.whitening
    np.testing.assert_allclose(components, np.eye(n_parcels), atol=2e-3)
    np.testing.assert_allclose(statistics.colouring @ statistics.colouring.T, covariance, atol=1e-3)
    assert statistics.autocorrelation.shape == (13, n_parcels)
    np.testing.assert_allclose(statistics.autocorrelation[0], 1, rtol=1e-6)
    assert np.abs(statistics.autocorrelation).max() <= 1 + 1e-6
    assert (statistics.spectrum(64) > 0).all()
    assert not statistics.cross_spectrum(64).any()


def test_networks_are_found_at_the_parcels_of_another_atlas(home, at_home, elsewhere):
    true = off_diagonal(fit_statistics(record(elsewhere, seed=5)).covariance)
    by_coordinates, by_distance = (
        off_diagonal(fit(at_home, home).at(elsewhere).covariance) for fit in FITS
    )
    assert np.corrcoef(by_coordinates, true)[0, 1] > 0.9
    # Half of what belongs together lies far apart.
    assert np.corrcoef(by_distance, true)[0, 1] < 0.6


def test_hidden_values_are_filled_in_better_than_by_distance(home, at_home, elsewhere):
    window = record(elsewhere, n_recordings=1, seed=6)[0]
    visible = np.random.default_rng(0).random(window.shape) < 0.4
    errors = []
    for fit in FITS:
        statistics = fit(at_home, home).at(elsewhere)
        filled = complete_timepoints(
            statistics.covariance, window, visible_patterns(visible), ridge=0.15
        )
        errors.append(((filled - window)[~visible] ** 2).mean())
    assert errors[0] < 0.7 * errors[1] < 0.4


def test_slow_networks_are_slow_elsewhere(home, at_home, elsewhere):
    # What networks share has a memory, what a parcel has for itself none.
    auto = fit_coordinate_statistics(at_home, home).at(elsewhere).autocorrelation[1]
    assert auto[:3].min() > 0.6
    assert np.abs(auto[-10:]).max() < 0.3


def test_at_home_it_is_the_covariance_without_what_is_not_shared(home, at_home):
    known = off_diagonal(fit_statistics(at_home).covariance)
    carried = off_diagonal(fit_coordinate_statistics(at_home, home).at(home).covariance)
    assert np.corrcoef(known, carried)[0, 1] > 0.97
    # The noise of parcels stays behind, so that the rest of them has more in common.
    assert 1 < carried @ known / (known @ known) < 1.3


def test_far_from_all_parcels_only_distance_counts(home, at_home):
    statistics = fit_coordinate_statistics(at_home, home)
    triangle = np.array([[30.0, 0, 0], [30, 10, 0], [30, 40, 0]])
    far, farther = (
        statistics.at(triangle + [0, offset, 0]).covariance for offset in (5_000, 9_000)
    )
    np.testing.assert_allclose(far, farther, rtol=1e-5)
    assert far[0, 1] > far[0, 2] > 0


def test_homotopic_parcels_belong_together_where_hemispheres_do():
    right = draw_atlas(60, seed=3)
    right[:, 0] = np.abs(right[:, 0]) + 5
    rng = np.random.default_rng(0)
    one_side = record(right)
    noise = [0.5 * rng.standard_normal(x.shape, dtype=np.float32) for x in one_side]
    both = [np.hstack([x, x + n]) for x, n in zip(one_side, noise, strict=True)]
    coords = np.vstack([right, right * [-1, 1, 1]])
    # Far enough from all parcels to be told by the distance and the mirror image alone.
    pair = np.array([[60.0, 2_000, 0], [-60, 2_000, 0], [60, 2_120, 0]])
    covariance = fit_coordinate_statistics(both, coords).at(pair).covariance
    assert covariance[0, 1] > covariance[0, 2] + 0.3


def test_order_of_parcels_does_not_matter(home, at_home, elsewhere):
    order = np.random.default_rng(0).permutation(len(home))
    as_it_is = fit_coordinate_statistics(at_home, home).at(elsewhere)
    shuffled = fit_coordinate_statistics([x[:, order] for x in at_home], home[order])
    carried = shuffled.at(elsewhere[::-1])
    np.testing.assert_allclose(carried.covariance[::-1, ::-1], as_it_is.covariance, atol=1e-4)


def test_longer_repetition_time(home, elsewhere):
    fast = record(home, n_timepoints=1200, memory=0.3)
    statistics = fit_coordinate_statistics(fast, home, t_r=0.5)
    slow = resample_recordings(resample_recordings(fast, 0.5, 2.0), 2.0, 0.5)
    slow = [(x / x.std(axis=0)).astype(np.float32) for x in slow]
    expected = fit_statistics(slow)
    told, not_told = statistics.at(home, t_r=2.0), statistics.at(home)
    truly = expected.autocorrelation[1:4, :5].mean(axis=1)
    np.testing.assert_allclose(told.autocorrelation[1:4, :5].mean(axis=1), truly, atol=0.08)
    assert np.abs(not_told.autocorrelation[1:4, :5].mean(axis=1) - truly).max() > 0.3
    assert (told.spectrum(64) > 0).all()
    np.testing.assert_allclose(np.diagonal(told.covariance), np.diagonal(not_told.covariance))
    # A little noise is left below the Nyquist frequency, and more of the networks.
    assert off_diagonal(told.covariance).std() > off_diagonal(not_told.covariance).std()
    for t_r in (None, 0.5, 0.4):
        unchanged = statistics.at(elsewhere, t_r=t_r).autocorrelation
        np.testing.assert_array_equal(unchanged, statistics.at(elsewhere).autocorrelation)
    unknown = fit_coordinate_statistics(fast, home)
    np.testing.assert_array_equal(
        unknown.at(elsewhere, t_r=2.0).covariance, statistics.at(elsewhere).covariance
    )


def test_statistics_are_plain_arrays(home, at_home, elsewhere, tmp_path):
    statistics = fit_coordinate_statistics(at_home, home, t_r=0.72)
    np.savez(tmp_path / "statistics.npz", **vars(statistics))
    with np.load(tmp_path / "statistics.npz") as arrays:
        again = CoordinateStatistics(**arrays)
    for name, array in vars(again.at(elsewhere, t_r=2.0)).items():
        np.testing.assert_array_equal(array, getattr(statistics.at(elsewhere, t_r=2.0), name))


def test_distance_statistics_know_distances_only(home, at_home):
    statistics = fit_distance_statistics(at_home, home)
    assert (np.diff(statistics.profile) <= 0).all()
    assert (np.diff(statistics.distances) > 0).all()
    corners = np.array([[0.0, 0, 0], [20, 0, 0], [0, 60, 0]])
    moved = corners[:, [2, 0, 1]] + 17
    np.testing.assert_allclose(
        statistics.at(corners).covariance, statistics.at(moved).covariance, rtol=1e-5
    )
    one_more = fit_distance_statistics(at_home, home[:, [1, 2, 0]] * [-1, 1, 1])
    np.testing.assert_allclose(one_more.profile, statistics.profile)


def test_dead_parcels_are_carried_as_nothing(home, at_home, elsewhere):
    dead = [recording * (np.arange(len(home)) > 3) for recording in at_home]
    statistics = fit_coordinate_statistics(dead, home).at(elsewhere)
    assert all(np.isfinite(array).all() for array in vars(statistics).values())


@pytest.mark.parametrize("fit", FITS)
def test_coordinates_are_checked(home, at_home, fit):
    with pytest.raises(InvalidRecordingError, match="119 rows"):
        fit(at_home, home[1:])
    with pytest.raises(InvalidRecordingError, match="not finite at parcel 1"):
        fit(at_home, home).at([[0.0, 0, 0], [np.nan, 0, 0]])
    with pytest.raises(InvalidRecordingError, match="shape"):
        fit(at_home, home).at(home[:, :2])
