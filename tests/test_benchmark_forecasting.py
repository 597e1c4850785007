"""The benchmark of forecasting: who is tested, what is kept, and what the table says.

Scores and tests are those of `compare_forecasters` (test_evaluation_forecasts.py); the split of a
folder is tested in test_benchmark_cohorts.py.
"""

import numpy as np
import pandas as pd
import pytest
from benchmark_folders import import_script, write_folder

from sklearn_brainlm import GaussianReconstructor
from sklearn_brainlm.evaluation import compare_forecasters

_cohorts = import_script("_cohorts")
_kept = import_script("_kept")
_rows = import_script("_forecasting_rows")
forecasting = import_script("forecasting")

WINDOWS = ["--context-length", "30", "--horizon", "10", "--patch-length", "10", "--stride", "15"]
QUICK = ["--epochs", "1", "--pretraining-epochs", "1"]
SIMPLE = ["Mean", "AR", "Wiener"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Let the AR row fit into the short contexts here, and draw few resamples."""
    monkeypatch.setattr(forecasting, "N_BOOTSTRAP", 50)
    entry = _rows._closed(_rows.ARForecaster, order=8)
    monkeypatch.setitem(_rows.METHODS, "AR", entry)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of ten people with two recordings each."""
    return write_folder(tmp_path / "here", [f"sub-{i // 2:02}" for i in range(20)])


def results(folder, output, *more):
    """Run the benchmark; return its tidy table and its page."""
    arguments = ["--recordings", str(folder), "--output", str(output), *WINDOWS, *QUICK, *more]
    forecasting.main(arguments)
    (page,) = output.glob("forecasting_*.md")
    tidy = pd.read_csv(page.with_suffix(".csv"), dtype={"seed": str})
    return tidy.fillna({"seed": ""}), page.read_text()


def test_kept_sums_give_the_table_of_compare_forecasters(folder, tmp_path):
    tidy, _ = results(folder, tmp_path / "out", "--methods", *SIMPLE)
    train, test = _cohorts.prepare(*_cohorts.split(_cohorts.load_cohort(folder)))
    setting = _rows.Setting(None, None, 30, 10, 10)
    table = compare_forecasters(
        {name: _rows.METHODS[name].build(setting, None) for name in SIMPLE},
        [*train.recordings, *test.recordings],
        groups=np.concatenate([train.subjects, test.subjects]),
        cv=[(np.arange(len(train)), np.arange(len(train), len(train) + len(test)))],
        steps=[(1, 8), (9, 10)],
        stride=15,
        random_state=0,
    )
    own = tidy.set_index(["method", "setting", "metric"])["value"]
    whole = table[~table["setting"].str.contains("fold")]
    for row in whole.to_dict("records"):
        key = (row["method"], row["setting"])
        np.testing.assert_allclose(own[(*key, row["metric"])], row["value"], rtol=1e-4)
        if row["metric"] == "r2" and row["compared_with"]:
            name = f"r2 minus best simple, {row['compared_with']}"
            np.testing.assert_allclose(own[(*key, name)], row["difference"], rtol=1e-4, atol=1e-7)
            p = own[(*key, f"p_corrected ({name})")]
            np.testing.assert_allclose(p, row["p_corrected"], rtol=1e-4)


def test_every_row_is_measured_on_the_same_windows(folder, tmp_path):
    tidy, page = results(folder, tmp_path / "out", "--seeds", "3", "--max-recordings", "6")
    r2 = tidy[(tidy["metric"] == "r2") & (tidy["setting"] == "step 1")].set_index("method")
    assert list(r2.index) == list(_rows.METHODS) and np.isfinite(r2["value"]).all()
    for method, entry in _rows.METHODS.items():
        assert r2.loc[method, "seed"] == ("mean" if entry.seeded else "")
    for method, reference in _rows.PAIRS:
        assert f"## {method} against {reference}" in page
        differences = tidy[tidy["metric"] == f"r2 minus {reference}"]
        assert (differences["method"] == method).sum() == 12  # steps and groups of steps
    assert "a trial, no result" in page and str(tmp_path) not in page
    picture = tmp_path / "out" / "forecasting_here_trial.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_people_of_both_cohorts_are_not_tested(folder, tmp_path):
    subjects = ["sub-08", "sub-09", *(f"sub-{i}" for i in range(20, 24))]
    there = write_folder(tmp_path / "there", subjects, seed=1)
    tidy, page = results(
        folder, tmp_path / "out", "--test-recordings", str(there), "--methods", "Mean"
    )
    assert "In both cohorts, and left out of the test side: sub-08, sub-09." in page
    assert set(tidy["n_train"]) == {20} and set(tidy["n_test"]) == {4}


def test_only_rows_that_are_pretrained_pay(folder, tmp_path, monkeypatch):
    Pretraining = import_script("_pretrained").Pretraining
    pretrain = Pretraining._pretrain
    seen = []

    def spy(self, key, recordings, subjects, seed):
        seen.append((set(subjects), seed))
        return pretrain(self, key, recordings, subjects, seed)[0], 1000.0

    monkeypatch.setattr(Pretraining, "_pretrain", spy)
    rows = ["Mean", _rows.RANDOM, _rows.PRETRAINED]
    tidy, _ = results(folder, tmp_path / "out", "--methods", *rows, "--seeds", "0", "1")
    train, _ = _cohorts.split(_cohorts.load_cohort(folder))
    assert seen == [(set(train.subjects), seed) for seed in (0, 1)]  # once for both rows
    seconds = tidy.groupby("method")["cpu_seconds"].first()
    assert seconds[_rows.PRETRAINED] > 1000 > seconds[_rows.RANDOM]


def test_a_run_goes_on_and_seeds_are_pooled(folder, tmp_path, monkeypatch):
    jobs = []
    run_rows = forecasting.run_rows
    monkeypatch.setattr(
        forecasting, "run_rows", lambda *given: jobs.extend(given[1]) or run_rows(*given)
    )
    few = ["--methods", "Mean", "LSTM"]
    results(folder, tmp_path / "out", *few, "--seeds", "0")
    first, _ = results(folder, tmp_path / "out", *few, "--seeds", "0", "1")
    assert jobs == ["Mean", "LSTM", "LSTM"]
    again, _ = results(folder, tmp_path / "out", *few, "--seeds", "0", "1")
    assert len(jobs) == 3
    pd.testing.assert_frame_equal(first, again)
    sums = pd.read_csv(tmp_path / "out" / "forecasting_here_sums.csv", keep_default_na=False)
    own = sums[(sums["method"] == "LSTM") & (sums["step"] == 1)]
    sse = own["true_true"] - 2 * own["true_predicted"] + own["predicted_predicted"]
    mse = [
        part.sum() / own.loc[part.index, "n_values"].sum() for _, part in sse.groupby(own["seed"])
    ]
    row = first[(first["method"] == "LSTM") & (first["setting"] == "step 1")]
    assert row[row["metric"] == "mse"]["value"].item() == pytest.approx(np.mean(mse), rel=1e-5)
    with pytest.raises(ValueError, match="another protocol"):
        results(folder, tmp_path / "out", *few, "--stride", "20")
    results(folder, tmp_path / "out", *few, "--seeds", "0", "--epochs", "2")
    sums = pd.read_csv(tmp_path / "out" / "forecasting_here_sums.csv", keep_default_na=False)
    assert sums[sums["method"] == "LSTM"]["seed"].nunique() == 1  # none of another budget is left


@pytest.mark.parametrize("adaptive", [False, True])
def test_gaussian_forecast_is_what_the_closed_form_fills_in(recordings, adaptive):
    model = _rows.GaussianForecaster(context_length=30, horizon=6, adaptive=adaptive, scaler=None)
    model.fit(recordings[1:])
    windows = np.stack([recording[:36] for recording in recordings])
    masked = np.zeros(windows.shape, dtype=bool)
    masked[:, 30:] = True
    closed = GaussianReconstructor(scaler=None, window_length=36, adaptive=adaptive, n_lags=35)
    filled = closed.fit(recordings[1:]).reconstruct_windows(windows, masked)
    forecasts = model.forecast_windows(windows[:, :30])
    np.testing.assert_allclose(forecasts, filled[:, 30:], rtol=1e-4, atol=1e-4)


def test_kept_rows_are_replaced_by_their_key(tmp_path):
    kept = _kept.Kept(
        tmp_path / "x.csv", "p", {"method": str, "seed": str, "budget": str}, {"v": float}
    )
    kept.add({"v": [1.0, 2.0]}, method="a", seed="0", budget="x")
    kept.add({"v": [3.0]}, method="a", seed="1", budget="x")
    kept.add({"v": [0.1 + 0.2]}, method="b", seed="", budget="x")
    kept.add({"v": [4.0]}, method="a", seed="0", budget="x")
    again = _kept.Kept(
        tmp_path / "x.csv", "p", {"method": str, "seed": str, "budget": str}, {"v": float}
    )
    assert sorted(again.table["v"]) == pytest.approx([0.1 + 0.2, 3.0, 4.0])
    assert again.has(method="b", seed="") and not again.has(method="a", budget="y")
    again.add({"v": [5.0]}, method="a", seed="0", budget="y")
    assert list(again.of(method="a")["v"]) == [5.0]
    with pytest.raises(KeyError, match="colour"):
        again.has(colour="red")


def test_steps_are_reported_apart():
    assert forecasting.group_steps(20) == [(1, 8), (9, 20)]
    assert forecasting.group_steps(5) == [(1, 5)]
