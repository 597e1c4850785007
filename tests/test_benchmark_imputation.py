"""The benchmark of imputation: what is missing, the methods that are its own, what is written.

Protocol, intervals and resumed runs are those of the reconstruction table (test_benchmarks.py).
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from benchmark_folders import import_script, write_folder
from scipy.interpolate import CubicSpline

_cohorts = import_script("_cohorts")
_holes = import_script("_holes")
_imputation = import_script("_imputation")
_methods = import_script("_methods")
_protocol = import_script("_protocol")
imputation = import_script("imputation")

SIZES = {"window_length": 40, "patch_length": 10}
SMALL = ["--window-length", "40", "--patch-length", "10"]
COORDS = np.random.default_rng(0).uniform(-60, 60, (12, 3))


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "people", [f"sub-{i:02}" for i in range(10)], coords=COORDS)


@pytest.fixture
def sides(folder):
    return _cohorts.prepare(*_cohorts.split(_cohorts.load_cohort(folder)))


def smooth(n_windows=2, n_timepoints=30, n_parcels=3):
    """Return windows of slow waves, and marks of censored timepoints, the first among them."""
    phases = np.random.default_rng(0).uniform(0, 6, (n_windows, 1, n_parcels))
    windows = np.sin(np.arange(n_timepoints)[:, None] / 5 + phases)
    masked = np.zeros(windows.shape, dtype=bool)
    masked[:, [0, 1, 9, 10, 11, 20]] = True
    return windows, masked


# --- what is missing ---


def test_timepoints_are_censored_in_all_parcels_and_parcels_for_good():
    starts, shape = [0, 40, 80], (40, 10)
    censored, again = (
        _holes.Holes(**SIZES).masks("sub-01.npy", at, shape, 0.2, 0) for at in (starts, [40])
    )
    assert (censored.all(axis=2) == censored.any(axis=2)).all()
    assert (censored.any(axis=2).sum(axis=1) == 8).all()
    assert (censored[0] != censored[1]).any()
    np.testing.assert_array_equal(again[0], censored[1])  # on its own
    protocol = _holes.Holes(**SIZES, task=_holes.PARCELS)
    missing = protocol.masks("sub-01.npy", starts, shape, 0.2, 0)
    assert (missing == missing[0, 0]).all() and missing[0, 0].sum() == 2
    others = [protocol.masks(f"sub-{i:02}.npy", [0], shape, 0.2, i % 3) for i in range(9)]
    assert len({mask.tobytes() for mask in others}) > 3


def test_what_is_missing_is_part_of_the_protocol(sides):
    names = {_holes.Holes(task=task).fingerprint(*sides) for task in _holes.PARTS}
    assert len(names) == 2


# --- methods ---


def test_interpolation_is_that_of_numpy_and_scipy():
    windows, masked = smooth()
    linear, spline = (
        method().fit(windows).reconstruct_windows(np.where(masked, 0, windows), masked)
        for method in (_imputation.LinearInterpolation, _imputation.SplineInterpolation)
    )
    kept = np.flatnonzero(~masked[0, :, 0])
    for filled in (linear, spline):
        np.testing.assert_array_equal(filled[~masked], windows[~masked])
        np.testing.assert_array_equal(filled[:, 0], windows[:, 2])  # before the first
    for k, parcel in itertools.product(range(2), range(3)):
        values = windows[k, kept, parcel]
        expected = np.interp(np.arange(30), kept, values)
        np.testing.assert_allclose(linear[k, :, parcel], expected)
        np.testing.assert_allclose(spline[k, 2:, parcel], CubicSpline(kept, values)(range(2, 30)))
    assert abs(spline - windows)[:, 2:].max() < 0.1 * abs(linear - windows)[:, 2:].max()


def test_autoregression_of_the_first_order_goes_by_both_neighbours():
    """The conditional mean is phi / (1 + phi^2) times their sum, and phi^k at the end."""
    model, phi = _imputation.ARInterpolation(), 0.8
    model.ridge, model.autocovariance_ = 0.0, 2 * phi ** np.arange(30)
    windows, masked = smooth()
    masked[:, :, 2] = np.arange(30) == 29
    filled = model.reconstruct_windows(np.where(masked, np.nan, windows), masked)
    between = phi / (1 + phi**2) * (windows[:, 19] + windows[:, 21])
    np.testing.assert_allclose(filled[:, 20, :2], between[:, :2])
    np.testing.assert_allclose(filled[:, 0, :2], phi**2 * windows[:, 2, :2])
    np.testing.assert_allclose(filled[:, 29, 2], phi * windows[:, 28, 2])
    np.testing.assert_array_equal(filled[~masked], windows[~masked])


def test_autocovariance_is_pooled_over_parcels():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 4001, 5))
    model = _imputation.ARInterpolation().fit(list(noise[:, 1:] + 0.5 * noise[:, :-1]))
    np.testing.assert_allclose(model.autocovariance_[:4], [1.25, 0.5, 0, 0], atol=0.03)


def test_nearest_parcels_are_those_that_are_there():
    coords = np.column_stack([np.arange(8.0) ** 2, np.zeros((8, 2))])
    windows = np.random.default_rng(0).standard_normal((1, 4, 8))
    masked = np.zeros(windows.shape, dtype=bool)
    masked[:, :, [0, 2]] = True
    model = _imputation.NearestParcels(coords).fit([])
    filled = model.reconstruct_windows(np.where(masked, 0, windows), masked)
    nearest = windows[0][:, [1, 3, 4, 5, 6]].mean(axis=1)
    np.testing.assert_allclose(filled[0, :, 0], nearest)
    np.testing.assert_array_equal(filled[~masked], windows[~masked])


@pytest.mark.parametrize("name", _imputation.METHODS)
def test_every_row_is_measured_where_it_knows_something(sides, name):
    train, test = sides
    row = _imputation.METHODS[name]
    setting = _methods.Setting(train.parcel_coords, 1.5, 40, 10, "pad", epochs=1)
    model = row.entry.build(setting, 0 if row.entry.seeded else None)
    model.fit(train.recordings)
    for task in row.tasks:
        protocol = _holes.Holes(**SIZES, n_draws=1, task=task)
        sums = _protocol.score(model, test, protocol, _holes.PARTS[task][0])
        if task == _holes.PARCELS and name != "Mean":
            assert sums.sse.sum() < 0.8 * sums.ss.sum()  # nine tenths of the variance are shared
        else:  # the recordings have no memory: there is nothing to know
            assert 0.9 * sums.ss.sum() < sums.sse.sum() < np.inf


# --- the script ---


def test_script_writes_a_table_for_each_kind_and_fits_once(folder, tmp_path, capsys, monkeypatch):
    fits = []
    fit = _methods.MeanReconstructor.fit
    monkeypatch.setattr(
        _methods.MeanReconstructor, "fit", lambda self, x: fits.append(len(x)) or fit(self, x)
    )
    methods = ["Mean", "AR", "Nearest parcels", "Space-time Gaussian"]
    output = tmp_path / "results"
    few = ["--recordings", str(folder), "--output", str(output), *SMALL, "--methods", *methods]
    imputation.main(few)
    assert fits == [7]
    printed = capsys.readouterr().out
    wanted = {
        "timepoints": (["Mean", "AR", "Space-time Gaussian"], ["mask_ratio=0.2", "mask_ratio=0.4"]),
        "parcels": (["Mean", "Nearest parcels", "Space-time Gaussian"], ["mask_ratio=0.1"]),
    }
    for name, (rows, parts) in wanted.items():
        files = output / f"imputation_{name}_people"
        tidy = pd.read_csv(f"{files}.csv")
        r2 = tidy[tidy["metric"] == "r2"]
        assert list(r2["method"].unique()) == rows and list(r2["setting"].unique()) == parts
        assert name in tidy["task"].unique().item()
        differences = tidy[tidy["metric"] == "r2 minus Space-time Gaussian"]
        assert differences["ci_low"].notna().all()
        page = (output / f"{files.name}.md").read_text()
        assert page in printed and str(tmp_path) not in page and "part missing" in page
        assert (output / f"{files.name}.png").read_bytes().startswith(b"\x89PNG")
    imputation.main(few)
    assert fits == [7]  # all was measured


def test_parcels_without_places_have_no_nearest(tmp_path, capsys):
    nowhere = write_folder(tmp_path / "nowhere", [f"sub-{i:02}" for i in range(10)])
    options = ["--recordings", str(nowhere), "--output", str(tmp_path / "results"), *SMALL]
    imputation.main([*options, "--methods", "Nearest parcels", "Mean"])
    assert "Nearest parcels: parcels.tsv has no x, y and z." in capsys.readouterr().out
    tidy = pd.read_csv(tmp_path / "results" / "imputation_parcels_nowhere.csv")
    assert set(tidy["method"]) == {"Mean"}
