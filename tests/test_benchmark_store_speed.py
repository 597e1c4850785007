"""The benchmark of reading windows, on a tiny store; what it measures only a run can show."""

import csv
import importlib
from pathlib import Path

import pytest

with pytest.MonkeyPatch.context() as patch:
    # Benchmarks are scripts: they find one another by lying in one folder.
    patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    store_speed = importlib.import_module("store_speed")


def test_a_small_run_writes_its_table_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store_speed, "N_WINDOWS", 8)
    stores = tmp_path / "stores"
    stores.mkdir()
    results = tmp_path / "results"
    store_speed.main(
        ["--output", str(results), "--folder", str(stores), "--recordings", "2", "--repeats", "2"]
    )
    with open(results / "store_speed.csv") as file:
        rows = list(csv.DictReader(file))
    speeds = {row["setting"]: row for row in rows if row["metric"] == "windows per CPU-s"}
    assert set(speeds) == {*store_speed.AIMS, store_speed.MEMORY}
    assert all(float(row["ci_low"]) > 0 for row in speeds.values())
    assert not list(stores.iterdir())


def test_report_says_when_an_aim_is_missed():
    speeds = {"float32": [6000.0], "int16": [4999.0], "float16": [2500.0]}
    rows = store_speed.make_rows(speeds, {}, 5)
    report = store_speed.write_report(rows)
    assert "float32: 6000 windows a CPU-second, the aim was at least 5000: **reached**" in report
    assert "int16: 4999 windows a CPU-second, the aim was at least 5000: **MISSED**" in report
    assert "float16: 2500 windows a CPU-second, the aim was at least 2500: **reached**" in report
