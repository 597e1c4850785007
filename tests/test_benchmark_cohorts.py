"""The cohorts of the benchmarks: who is learned from, who is tested, in which units.

Reading folders is tested in test_folders.py, scaling and resampling in test_preprocessing.py.
"""

import numpy as np
import pytest
from benchmark_folders import import_script, write_folder

from sklearn_brainlm import AtlasMismatchError, InvalidRecordingError

_cohorts = import_script("_cohorts")


@pytest.fixture
def folder(tmp_path):
    """Return a folder of ten people with two recordings each."""
    return write_folder(tmp_path / "people", [f"sub-{i // 2:02}" for i in range(20)])


def test_recordings_come_in_the_order_of_their_files(folder):
    cohort = _cohorts.load_cohort(folder)
    assert list(cohort.files) == sorted(cohort.files)
    for file, recording in zip(cohort.files, cohort.recordings, strict=True):
        np.testing.assert_array_equal(recording, np.load(folder / file))


@pytest.mark.parametrize(("n", "n_train"), [(30, 20), (10, 7), (200, 140)])
def test_last_people_are_held_out(tmp_path, n, n_train):
    folder = write_folder(tmp_path / "x", [f"sub-{i:03}" for i in range(n)])
    cohort = _cohorts.load_cohort(folder)
    train, test = _cohorts.split(cohort)
    assert [*train.files, *test.files] == list(cohort.files)
    assert len(train) == n_train


def test_somebody_at_the_border_stays_whole(tmp_path):
    # 70% of ten recordings end within the third of three people.
    folder = write_folder(
        tmp_path / "x", ["sub-a"] * 3 + ["sub-b"] * 3 + ["sub-c"] * 2 + ["sub-d"] * 2
    )
    train, test = _cohorts.split(_cohorts.load_cohort(folder))
    assert set(train.subjects) == {"sub-a", "sub-b", "sub-c"}
    assert set(test.subjects) == {"sub-d"}


def test_whole_sites_are_held_out(tmp_path):
    sites = np.repeat(["a", "b", "c", "d", "e", "f"], [10, 6, 6, 6, 6, 6])
    folder = write_folder(tmp_path / "x", [f"sub-{i:02}" for i in range(40)], sites=sites)
    cohort = _cohorts.load_cohort(folder)
    train, test = _cohorts.split(cohort)
    assert not set(train.sites) & set(test.sites)
    assert 0.15 * 40 <= len(test) <= 0.25 * 40
    assert list(_cohorts.split(cohort)[1].files) == list(test.files)  # the same every time


def test_nobody_is_on_both_sides(tmp_path):
    here = write_folder(tmp_path / "here", ["sub-1", "sub-2", "sub-3"], seed=1)
    there = write_folder(tmp_path / "there", ["sub-3", "sub-4"], seed=2)
    cohorts = _cohorts.load_cohort(here), _cohorts.load_cohort(there)
    with pytest.raises(InvalidRecordingError, match="both sides: sub-3"):
        _cohorts.split(*cohorts)
    train, test = _cohorts.split(*cohorts, exclude=["sub-3"])
    assert set(train.subjects) == {"sub-1", "sub-2"}
    assert set(test.subjects) == {"sub-4"}
    with pytest.raises(InvalidRecordingError, match="called sub-9"):
        _cohorts.split(*cohorts, exclude=["sub-9"])


def test_the_same_recording_under_another_name_is_found(tmp_path):
    here = write_folder(tmp_path / "here", ["sub-1", "sub-2"], seed=1)
    there = write_folder(tmp_path / "there", ["sub-7", "sub-8"], seed=1)
    cohorts = _cohorts.load_cohort(here), _cohorts.load_cohort(there)
    with pytest.raises(InvalidRecordingError, match="holds the values of"):
        _cohorts.split(*cohorts)


def test_leaving_somebody_out_moves_nobody_else(tmp_path):
    folder = write_folder(tmp_path / "x", [f"sub-{i:02}" for i in range(30)])
    cohort = _cohorts.load_cohort(folder)
    train, test = _cohorts.split(cohort, exclude=["sub-00", cohort.files[-1]])
    whole_train, whole_test = _cohorts.split(cohort)
    assert list(train.files) == list(whole_train.files[1:])
    assert list(test.files) == list(whole_test.files[:-1])


def test_cohorts_of_other_parcels_are_refused(tmp_path):
    here = write_folder(tmp_path / "here", ["sub-1"])
    there = write_folder(tmp_path / "there", ["sub-2"], label="other")
    with pytest.raises(AtlasMismatchError):
        _cohorts.split(_cohorts.load_cohort(here), _cohorts.load_cohort(there))


def test_units_are_those_of_the_train_side(folder):
    sides = _cohorts.split(_cohorts.load_cohort(folder))
    train, test = _cohorts.prepare(*sides, t_r=2.0, standardize="recording")
    quartiles = np.quantile(np.concatenate(train.recordings), [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(quartiles[1], 0, atol=1e-6)
    np.testing.assert_allclose(quartiles[2] - quartiles[0], 1, atol=1e-5)
    for before, after in zip(sides, (train, test), strict=True):
        n_expected = [
            round(len(r) * t_r / 2.0) for r, t_r in zip(before.recordings, before.t_r, strict=True)
        ]
        assert [len(r) for r in after.recordings] == n_expected
    assert _cohorts.common_t_r(train) == 2.0
    assert _cohorts.common_t_r(sides[0]) is None
