"""The benchmark of transfer: who is tested, what is carried, what is written.

Protocol, intervals and resumed runs are those of the reconstruction table (test_benchmarks.py).
"""

import numpy as np
import pandas as pd
import pytest
from benchmark_folders import import_script, write_folder

from sklearn_brainlm import InvalidRecordingError

_cohorts = import_script("_cohorts")
_methods = import_script("_methods")
_protocol = import_script("_protocol")
_transfer = import_script("_transfer")
transfer = import_script("transfer")

PROTOCOL = _protocol.Protocol(window_length=40, patch_length=10)
SMALL = ["--window-length", "40", "--patch-length", "10", "--t-r", "1.5"]
CLOSED = [name for name, row in _transfer.METHODS.items() if not row.seeded]
HOME, NEAR_HOME, AWAY = (
    np.random.default_rng(seed).uniform(-60, 60, (n_parcels, 3))
    for seed, n_parcels in enumerate([20, 9, 6])
)


@pytest.fixture
def folders(tmp_path):
    """Return a folder to pretrain on, and two of other parcels; people 20 and 21 are in two."""
    home = write_folder(tmp_path / "home", [f"sub-{i:02}" for i in range(20, 30)], coords=HOME)
    people = [f"sub-{i:02}" for i in (*range(10), 20, 21, 30, 31)]
    near = write_folder(tmp_path / "near", people, coords=NEAR_HOME, seed=1)
    others = [f"sub-{i:02}" for i in range(40, 46)]
    away = write_folder(
        tmp_path / "away", others, coords=AWAY, seed=2, sites=["a", "a", "a", "a", "b", "b"]
    )
    return home, near, away


def run(folders, output, *more):
    home, *tests = map(str, folders)
    transfer.main(
        ["--recordings", home, "--test-recordings", *tests, "--output", str(output), *SMALL, *more]
    )


def setting(cohort):
    return _methods.Setting(cohort.parcel_coords, 1.5, 40, 10, "pad", epochs=1)


def test_who_was_pretrained_on_is_not_tested(folders):
    home, near, _ = map(_cohorts.load_cohort, folders)
    train, test = _transfer.sides(near, home, [])
    assert list(test.subjects) == ["sub-30", "sub-31"]
    assert list(train.subjects) == [f"sub-{i:02}" for i in range(10)]
    fewer, same = _transfer.sides(near, home, ["sub-05", "sub-25"])  # the second is only at home
    assert len(fewer) == 9 and list(same.files) == list(test.files)
    with pytest.raises(InvalidRecordingError, match="No recording is left on the test side"):
        _transfer.sides(near, near, [])


def test_the_same_values_under_another_name_are_found(folders):
    home, near, _ = map(_cohorts.load_cohort, folders)
    twin = home.take([0, 1])
    twin.recordings[0] = near.recordings[-1]
    with pytest.raises(InvalidRecordingError, match="holds the values of"):
        _transfer.sides(near, twin, [])


@pytest.mark.filterwarnings("ignore:These weights come without statistics")
@pytest.mark.parametrize("name", _transfer.METHODS)
def test_every_row_is_measured_on_other_parcels(folders, name):
    home, near, _ = map(_cohorts.load_cohort, folders)
    train, test = _cohorts.prepare(*_transfer.sides(near, home, []), t_r=1.5)
    pretraining = _transfer.prepare_pretraining(home, 1.5)
    row = _transfer.METHODS[name]
    model = row.build(setting(pretraining if row.elsewhere else train), 0 if row.seeded else None)
    if row.elsewhere:
        place = _transfer.Place(setting(train), measured_t_r=2.0)
        model = model.fit(pretraining.recordings).carry(place, train)
    else:
        model.fit(train.recordings)
    sums = _protocol.score(model, test, PROTOCOL, 0.75)
    if name == "Mean":
        assert sums.sse.sum() > 0.95 * sums.ss.sum()
    else:
        assert sums.sse.sum() < 0.8 * sums.ss.sum()  # nine tenths of the variance are shared


def test_carried_closed_forms_learn_nothing_of_the_cohort(folders):
    home, near, _ = map(_cohorts.load_cohort, folders)
    pretraining = _transfer.prepare_pretraining(home, 1.5)
    place = _transfer.Place(setting(near), measured_t_r=2.0)
    rng = np.random.default_rng(0)
    window = rng.standard_normal((1, 40, len(NEAR_HOME)), dtype=np.float32)
    masked = np.repeat(rng.random((1, 4, len(NEAR_HOME))) < 0.5, 10, axis=1)
    for name in CLOSED:
        row = _transfer.METHODS[name]
        if row.elsewhere:
            learned = row.build(setting(pretraining), None).fit(pretraining.recordings)
            filled = [
                learned.carry(place, near.take(people)).reconstruct_windows(window, masked)
                for people in ([0, 1], [2])
            ]
            np.testing.assert_array_equal(*filled)


def test_script_writes_a_table_for_each_cohort(folders, tmp_path, capsys, monkeypatch):
    fits = []
    fit = _transfer.CarriedGaussian.fit
    monkeypatch.setattr(
        _transfer.CarriedGaussian, "fit", lambda self, x: fits.append(len(x)) or fit(self, x)
    )
    methods = [_transfer.DISTANCE, "Coordinate Gaussian", "Gaussian fitted there"]
    few = ["--methods", *methods, "--ratios", "0.75"]
    run(folders, tmp_path / "results", *few)
    assert fits == [10, 10]  # once for both cohorts
    printed = capsys.readouterr().out
    assert "Subjects of both cohorts: kept out of the test side: sub-20, sub-21." in printed
    assert "Subjects of both cohorts: none." in printed
    for name, n_train, n_test in (("near", 10, 2), ("away", 4, 2)):
        files = tmp_path / "results" / f"transfer_home_to_{name}_tr1.5"
        tidy = pd.read_csv(f"{files}.csv")
        r2 = tidy[tidy["metric"] == "r2"]
        assert list(r2["method"].unique()) == methods and (r2["n_test"] == n_test).all()
        learned_there = r2["method"].str.endswith("there")
        assert (r2["n_train"] == np.where(learned_there, n_train, 10)).all()
        differences = tidy[tidy["metric"] == "r2 minus Distance Gaussian"]
        assert len(differences) == len(methods) - 1 and differences["ci_low"].notna().all()
        page = (tmp_path / "results" / f"{files.name}.md").read_text()
        assert page in printed and str(tmp_path) not in page
        assert "sites are held out" in page if name == "away" else "sites" not in page
        picture = (tmp_path / "results" / f"{files.name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
    fits.clear()
    run(folders, tmp_path / "results", *few)
    assert not fits  # all was measured
    with pytest.raises(ValueError, match="another protocol"):  # who was pretrained on counts
        run(folders, tmp_path / "results", *few, "--exclude", "sub-25")


def test_cohorts_that_cannot_be_carried_to(folders, tmp_path):
    nowhere = write_folder(tmp_path / "nowhere", ["sub-30", "sub-31"])
    with pytest.raises(InvalidRecordingError, match=r"nowhere has no x, y and z"):
        run([folders[0], nowhere], tmp_path / "results")
    with pytest.raises(InvalidRecordingError, match="called sub-99"):
        run(folders, tmp_path / "results", "--exclude", "sub-99")
    home, near, _ = map(str, folders)
    with pytest.raises(InvalidRecordingError, match="--t-r"):
        transfer.main(
            ["--recordings", home, "--test-recordings", near, "--output", str(tmp_path / "r")]
        )
