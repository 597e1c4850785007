"""The benchmark of intervals: what is counted, and what the page says of it."""

import numpy as np
import pandas as pd
import pytest
from benchmark_folders import import_script, write_folder

coverage = import_script("interval_coverage")


def test_coverage_is_counted_for_each_person_on_every_context(tmp_path, monkeypatch):
    monkeypatch.setattr(coverage, "N_BOOTSTRAP", 50)
    folder = write_folder(tmp_path / "here", [f"sub-{i // 2:02}" for i in range(20)])
    asked = []
    count = coverage.count_inside

    def watch(forecaster, contexts, futures, promised):
        asked.append((len(contexts), futures.shape, promised))
        return count(forecaster, contexts, futures, promised)

    monkeypatch.setattr(coverage, "count_inside", watch)
    options = "--context-length 30 --horizon 10 --patch-length 10 --stride 15 --epochs 1".split()
    coverage.main(["--recordings", str(folder), "--output", str(tmp_path / "out"), *options])
    (file,) = (tmp_path / "out").glob("coverage_*.csv")
    table = pd.read_csv(file)
    assert [promised for _, _, promised in asked] == [*coverage.PROMISED] * 2
    n_contexts, shape, _ = asked[0]
    assert shape[:2] == (n_contexts, 10)
    means = table[table["metric"] == "coverage"]
    assert len(means) == 2 * len(coverage.PROMISED) * 2  # rows, promises, groups of steps
    assert (means["ci_low"] <= means["value"]).all() and (means["value"] <= means["ci_high"]).all()
    promised = means["setting"].str.extract(r"promised=([\d.]+)")[0].astype(float)
    wide, narrow = (means["value"][promised == part].mean() for part in (0.95, 0.5))
    assert narrow < wide <= 1
    page = file.with_suffix(".md").read_text()
    assert "BrainLM (gate held at zero)" in page and "## What it says" in page


@pytest.mark.parametrize(("held", "said"), [(0.9, "Every interval"), (0.7, "do not hold")])
def test_page_says_where_the_promise_was_broken(held, said):
    rows = coverage.describe_coverage(np.linspace(held - 0.01, held + 0.01, 20))
    table = pd.DataFrame([{"method": "m", "setting": "promised=0.9; steps 1-8", **r} for r in rows])
    assert said in coverage.read_table(table)


def test_contexts_end_where_their_futures_begin():
    recording = np.arange(50.0)[:, None] * [1, 1]
    test = type("Side", (), {"subjects": ["a"], "recordings": [recording]})
    options = type("Options", (), {"context_length": 20, "horizon": 5, "stride": 10})
    contexts, futures, owner = coverage.cut(test, options)
    assert [c[-1, 0] + 1 for c in contexts] == [f[0, 0] for f in futures] == [20, 30, 40]
    assert len(owner) == 3
