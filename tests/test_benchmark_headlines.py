"""The table of the README: it says what the results say, and leaves no rival out."""

import pandas as pd
import pytest
from benchmark_folders import import_script

headlines = import_script("headlines")


def rows_of(method, value, *, seed=None, metric="r2"):
    """Return a row of results."""
    about = {"method": method, "task": "a task", "setting": "all", "metric": metric, "seed": seed}
    return {**about, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.1}


@pytest.fixture
def headline(tmp_path, monkeypatch):
    """Return a headline of a small file of results."""
    monkeypatch.setattr(headlines, "RESULTS", tmp_path)
    rows = [
        rows_of("Mean", 0.0),
        rows_of("Ridge", 0.5),
        rows_of("Ridge", 0.9, metric="r"),
        rows_of("Person oracle (other windows)", 0.8),
        rows_of("BrainLM (no prior)", 0.7),
        rows_of("BrainLM", 0.3, seed="mean"),
        rows_of("BrainLM", 0.6, seed="0"),
        rows_of("BrainLM", -0.2, seed="mean", metric="r2 minus best simple, Ridge"),
        rows_of("BrainLM", 0.3, seed="mean", metric="r2 minus Mean"),
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "results.csv", index=False)
    return headlines.Headline("what", "results", headlines.HCP30, "a task", "all", "r2")


def test_best_of_the_others_and_the_mean_over_seeds(headline):
    best, ours, difference = headline.find()
    assert (best.name, best["value"]) == ("Ridge", 0.5)
    assert ours["value"] == 0.3
    assert difference["value"] == -0.2


def test_readme_says_what_the_results_say():
    text = headlines.README.read_text(encoding="utf-8")
    table = text.partition(headlines.BEGIN)[2].partition(headlines.END)[0]
    assert table.strip() == headlines.write_table().strip()
    assert table.count("\n| ") == len(headlines.HEADLINES) + 2


def test_only_the_table_is_written(tmp_path, monkeypatch, capsys):
    text = f"before\n{headlines.BEGIN}old\n{headlines.END}after\n"
    readme = tmp_path / "README.md"
    readme.write_text(text)
    monkeypatch.setattr(headlines, "README", readme)
    for _ in range(2):  # again, it is the same
        headlines.main()
        assert readme.read_text() == (
            f"before\n{headlines.BEGIN}\n{headlines.write_table()}\n{headlines.END}after\n"
        )
    assert "Adaptive space-time Gaussian" in capsys.readouterr().out
