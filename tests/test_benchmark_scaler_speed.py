"""The script that measures the scaler, run on a few small recordings.

Not here: the speed itself, which only a run of the benchmark can show.
"""

import csv

import numpy as np
import pytest
from benchmark_folders import import_script, write_folder

script = import_script("scaler_speed")


def test_columns_are_numpys_quartiles(recordings, monkeypatch):
    monkeypatch.setattr(script, "COLUMN_VALUES", 1000)
    expected = np.quantile(np.concatenate(recordings).astype(float), script.QUARTILES, axis=0)
    np.testing.assert_allclose(script.by_columns(recordings), expected, rtol=1e-12)


def test_made_up_recordings_have_the_size_asked_for(tmp_path):
    script.write_recordings(tmp_path, 2e6)
    recordings = script.open_recordings(tmp_path)
    assert 1e6 < sum(recording.nbytes for recording in recordings) <= 2e6
    assert recordings[0].shape == (script.N_TIMEPOINTS, script.N_PARCELS)
    assert all(isinstance(recording, np.memmap) for recording in recordings)


def test_script_measures_compares_and_judges(tmp_path, monkeypatch):
    # In a process of its own there is nothing to see of this one's changes.
    monkeypatch.setattr(script, "measure_memory", None)

    class Pool:
        def __init__(self, *args, **kwargs):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def submit(self, work, way, folder):
            return self

        def result(self):
            return 101.0

    monkeypatch.setattr(script, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(script, "N_PARCELS", 6)
    write_folder(tmp_path / "real", ["a", "b", "c"])
    output = tmp_path / "out"
    script.main(
        ["--output", str(output), "--repeats", "1", "--gigabytes", "1e-4"]
        + ["--recordings", str(tmp_path / "real")]
    )
    page = (output / "scaler_speed.md").read_text()
    assert "memory, MB: 101, the aim was at most 100: **MISSED**" in page
    assert "error / IQR: 0, the aim was at most 0.0002: **reached**" in page
    with open(output / "scaler_speed.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows} == {"random numbers", "real"}
    errors = {
        (row["dataset"], row["method"]): float(row["value"])
        for row in rows
        if row["metric"] == "error / IQR"
    }
    assert errors["real", "histogram, then gather, two passes"] == 0
    assert 0 < errors["real", script.HISTOGRAM] <= 2e-4
    assert errors["real", script.FIT_ONCE] <= 2 * 2e-4


def test_anonymous_memory_is_that_of_arrays():
    before = script.anonymous_bytes()
    if np.isnan(before):
        pytest.skip("the system does not tell anonymous memory apart")
    kept = np.ones(2**24)
    assert script.anonymous_bytes() - before > 0.9 * kept.nbytes
