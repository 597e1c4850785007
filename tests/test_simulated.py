"""The simulated cohort holds the effects it promises, no more, and repeats by seed.

Whether a model finds the effects is not tested here.
"""

import nibabel
import numpy as np
import pytest
from nilearn.maskers import MultiNiftiLabelsMasker

from sklearn_brainlm.datasets import make_cohort, simulated
from sklearn_brainlm.datasets.images import paint_spheres

T_R = 2.0


@pytest.fixture(scope="module")
def cohort():
    """Forty recordings of 24 parcels, long enough for their correlations to be seen."""
    return make_cohort(40, 400, T_R, atlas=24, random_state=3)


def correlations(recordings):
    """Mean correlation matrix over recordings."""
    return np.mean([np.corrcoef(recording.T) for recording in recordings], axis=0)


def test_every_connection_correlates_with_age_at_the_stated_r():
    rng = np.random.default_rng(0)
    n_subjects = 2000
    age = rng.uniform(*simulated.AGE_RANGE, n_subjects)
    strengths = simulated._draw_strengths(age, 12, rng)
    r = np.array([np.corrcoef(age, strength)[0, 1] for strength in strengths.T])
    # The standard error of one r is .02, of their mean .006.
    assert simulated.AGE_CORRELATION == 0.3
    np.testing.assert_allclose(r, 0.3, atol=0.08)
    np.testing.assert_allclose(r.mean(), 0.3, atol=0.02)
    np.testing.assert_allclose(strengths.std(), 1, atol=0.03)


def test_strengths_become_correlations_of_the_signals():
    coords, labels, (first, second, _) = simulated._load_parcels("dosenbach")
    pairs = simulated._list_connections(labels, first, second)
    assert len(pairs) == simulated.MAX_AGE_CONNECTIONS
    assert len(np.unique(pairs)) == pairs.size  # no parcel twice
    assert {(labels[a], labels[b]) for a, b in pairs} == {(first, second)}
    rng = np.random.default_rng(0)
    wanted = simulated._draw_strengths(rng.uniform(20, 80, 60), len(pairs), rng)
    got = []
    for strength in wanted:
        matrix = simulated._draw_correlation(coords, labels, pairs, strength, rng)
        np.testing.assert_allclose(np.diag(matrix), 1)
        root = simulated._square_root(matrix)
        np.testing.assert_allclose(np.diag(root @ root.T), 1)
        got.append((root @ root.T)[tuple(pairs.T)])
    slope = np.polyfit(wanted.ravel(), np.ravel(got), 1)[0]
    np.testing.assert_allclose(slope, simulated.CONNECTION_SD, rtol=0.1)


def test_strengths_are_seen_in_the_recordings(cohort):
    a, b = cohort.age_connections.T
    seen = np.array([np.corrcoef(recording.T)[a, b] for recording in cohort.recordings])
    assert np.corrcoef(seen.ravel(), cohort.connection_strengths.ravel())[0, 1] > 0.6


def test_task_is_three_tenths_of_an_sd(monkeypatch):
    sizes = {"n_subjects": 8, "n_timepoints": 120, "t_r": T_R, "atlas": 24, "random_state": 1}
    with_task = make_cohort(**sizes)
    monkeypatch.setattr(simulated, "TASK_AMPLITUDE", 0.0)
    without = make_cohort(**sizes)
    assert with_task.task.any()
    assert not with_task.task.all()
    expected = np.zeros((120, 24))
    expected[:, with_task.task_parcels] = 0.3 * with_task.task_design[:, np.newaxis]
    for task, one, other in zip(
        with_task.task, with_task.recordings, without.recordings, strict=True
    ):
        np.testing.assert_allclose((one - other) / with_task.parcel_sd, task * expected, atol=1e-5)


def test_task_design_is_blocks_after_the_haemodynamic_response():
    design = make_cohort(1, 200, T_R, atlas=8).task_design
    blocks = (T_R * np.arange(200) // simulated.TASK_BLOCK_SECONDS) % 2
    np.testing.assert_allclose(design[:10], 0, atol=1e-6)  # rest comes first
    np.testing.assert_allclose(design[: round(40 / T_R)].max(), 1, atol=0.02)
    assert -0.5 < design.min() < 0  # the undershoot
    lags = [np.corrcoef(np.roll(blocks, lag), design)[0, 1] for lag in range(10)]
    assert np.argmax(lags) in (2, 3)  # the response peaks after 5 s


def test_variance_and_autocorrelation(cohort):
    sd = np.std(cohort.recordings, axis=(0, 1))
    # To the sampling error of 40 slow recordings; the task adds less than 2 percent.
    np.testing.assert_allclose(sd, cohort.parcel_sd, rtol=0.08)
    lag_one = [np.corrcoef(r[1:, 0], r[:-1, 0])[0, 1] for r in cohort.recordings]
    assert 0.5 < np.mean(lag_one) < 0.95


def test_networks_and_neighbours_share_signal(cohort):
    mean = correlations(cohort.recordings)
    same = cohort.labels[:, np.newaxis] == cohort.labels
    upper = np.triu(np.ones_like(same), 1)
    assert mean[upper & same].mean() > mean[upper & ~same].mean() + 0.15
    distance = np.linalg.norm(cohort.parcel_coords[:, np.newaxis] - cohort.parcel_coords, axis=-1)
    near = upper & same & (distance < 25)
    far = upper & same & (distance > 60)
    assert mean[near].mean() > mean[far].mean() + 0.05


def test_subjects_differ_beyond_sampling(cohort):
    halves = [
        [np.corrcoef(r[part].T)[np.triu_indices(24, 1)] for r in cohort.recordings]
        for part in (slice(0, 200), slice(200, 400))
    ]
    first, second = np.array(halves) - np.mean(halves, axis=1, keepdims=True)
    between = np.corrcoef(first, second)[:40, 40:]
    own = np.diag(between).mean()
    others = between[~np.eye(40, dtype=bool)].mean()
    assert own > others + 0.1


def test_same_seed_same_cohort_and_growing_keeps_subjects():
    one = make_cohort(4, 60, T_R, atlas=12, random_state=5)
    two = make_cohort(2, 60, T_R, atlas=12, random_state=5)
    other = make_cohort(2, 60, T_R, atlas=12, random_state=6)
    for index in range(2):
        np.testing.assert_array_equal(one.recordings[index], two.recordings[index])
    np.testing.assert_array_equal(one.age[:2], two.age)
    assert not np.allclose(two.recordings[0], other.recordings[0])


def test_generator_moves_and_none_is_fresh():
    rng = np.random.default_rng(0)
    first, second = (make_cohort(1, 40, T_R, atlas=8, random_state=rng) for _ in range(2))
    again = make_cohort(1, 40, T_R, atlas=8, random_state=np.random.default_rng(0))
    assert not np.allclose(first.recordings[0], second.recordings[0])
    np.testing.assert_array_equal(first.recordings[0], again.recordings[0])
    assert make_cohort(1, 40, T_R, atlas=8, random_state=None).recordings[0].shape == (40, 8)


def test_global_random_state_is_neither_read_nor_moved():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = make_cohort(1, 40, T_R, atlas=8)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(1)
    np.testing.assert_array_equal(
        first.recordings[0], make_cohort(1, 40, T_R, atlas=8).recordings[0]
    )


@pytest.mark.parametrize(("atlas", "n_parcels"), [("dosenbach", 160), ("seitzman", 300), (20, 20)])
def test_atlases(atlas, n_parcels):
    cohort = make_cohort(2, 30, T_R, atlas=atlas)
    assert cohort.parcel_coords.shape == (n_parcels, 3)
    assert cohort.labels.shape == (n_parcels,)
    assert cohort.n_parcels == n_parcels
    assert len(cohort.task_parcels) > 0
    assert all(r.dtype == np.float32 and r.shape == (30, n_parcels) for r in cohort.recordings)
    # Every parcel of every atlas keeps a voxel.
    painted, _ = paint_spheres(cohort.parcel_coords)
    assert set(painted.ravel()) == set(range(n_parcels + 1))


def test_images_give_the_recordings_back(tmp_path):
    cohort = make_cohort(2, 30, 1.5, atlas=40, output_dir=tmp_path / "images")
    masker = MultiNiftiLabelsMasker(cohort.labels_img, standardize=None)
    masked = masker.fit_transform(cohort.images)
    for recording, back in zip(cohort.recordings, masked, strict=True):
        # float32 near 1000 has steps of 6e-5, here 6e-6 of a percent.
        np.testing.assert_allclose((back - 1000) / 10, recording, atol=5e-5)
    header = nibabel.load(cohort.images[0]).header
    assert header.get_zooms()[3] == pytest.approx(1.5)
    assert header.get_xyzt_units() == ("mm", "sec")


def test_labels_lie_at_the_parcels(tmp_path):
    cohort = make_cohort(1, 10, T_R, atlas=20, output_dir=tmp_path)
    labels = nibabel.load(cohort.labels_img)
    for parcel, centre in enumerate(cohort.parcel_coords):
        voxels = np.argwhere(labels.get_fdata() == parcel + 1)
        mm = nibabel.affines.apply_affine(labels.affine, voxels)
        assert np.linalg.norm(mm - centre, axis=1).max() <= 6.0


def test_parcels_at_one_place_cannot_be_painted():
    with pytest.raises(ValueError, match="no voxel of their own"):
        paint_spheres(np.array([[0.0, 0, 0], [0.0, 0, 0]]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_subjects": 0}, "n_subjects must be an integer"),
        ({"n_timepoints": 1.5}, "n_timepoints must be an integer"),
        ({"t_r": 2000}, "t_r must be in seconds"),
        ({"t_r": float("nan")}, "t_r must be in seconds"),
        ({"atlas": "schaefer"}, "atlas must be"),
        ({"atlas": 7}, "8 to 160"),
        ({"atlas": 161}, "8 to 160"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        make_cohort(**wrong)
