"""Reports on comparisons: the table, its verdict and its budget, as text.

What holds for every report is in test_reports.py.
"""

import numpy as np
import pandas as pd
import pytest
from report_pages import HOSTILE, SHARP, Page, check_self_contained
from sklearn.linear_model import Ridge

from sklearn_brainlm import compare, compare_forecasters
from sklearn_brainlm.baselines import ARForecaster, LastValueForecaster
from sklearn_brainlm.reports import generate_report

NOBODY_TWICE = "each recording is a subject"
NAMES = [f"BrainLM {HOSTILE}", f"Motion {SHARP}"]


def read(report):
    """Take a report apart and check what holds for all."""
    page = Page(report.html)
    check_self_contained(page)
    return page


def compared(good, bad, **more):
    """Compare two rows of one feature, of which the first says much of the labels."""
    rng = np.random.default_rng(0)
    y = rng.normal(50, 10, 100)
    features = [y + rng.normal(0, noise, 100) for noise in (3, 12)]
    rows = {name: (Ridge(), x) for name, x in zip((good, bad), features, strict=True)}
    return compare(rows, None, y, groups=NOBODY_TWICE, n_bootstrap=100, random_state=0, **more)


@pytest.fixture
def table():
    return compared(*NAMES)


def test_the_table_is_that_of_compare(table):
    before = table.copy()
    page = read(generate_report(table, date="2025-01-31"))
    pd.testing.assert_frame_equal(table, before)
    own = table[(table["setting"] == "all") & (table["metric"] == "r2")].set_index("method")
    cells = page.rows("Method", "R2")
    assert set(cells) == {"Dummy (mean)", *NAMES}
    for name, row in own.iterrows():
        value, interval, skill = cells[name][:3]
        assert float(value) == pytest.approx(row["value"], abs=6e-4)
        low, high = (float(part) for part in interval.split(" to "))
        assert (low, high) == pytest.approx((row["ci_low"], row["ci_high"]), abs=6e-4)
        assert float(skill) == pytest.approx(row["skill"], abs=6e-4)
    tested = own.loc[NAMES[0]]
    assert cells[NAMES[0]][-1].split() == [f"{tested['p_corrected']:.2g}", tested["stars"]]
    assert cells[NAMES[1]][3:] == ["–"] * 4  # the reference
    budget = page.rows("Method", "Trained on (recordings, mean over folds)")
    assert budget[NAMES[0]][:3] == ["80", "100", "1"]
    assert set(page.rows("Method", "fold 0")) == set(cells)
    assert len(page.images) == 1 and HOSTILE in page.images[0]["alt"]
    assert page.rows("What")["Report made on"] == ["2025-01-31"]


def test_brainlm_wins(table):
    said = read(generate_report(table)).sections["result"]
    assert f"{NAMES[0]} has the best R2" in said
    assert f"better than the best simple method, {NAMES[1]}" in said
    assert "more than chance, by the test" in said


@pytest.mark.filterwarnings("ignore:'BrainLM.* did not beat:UserWarning")
def test_a_simple_row_wins():
    page = read(generate_report(compared("Connectivity", "BrainLM")))
    assert "A simple method wins: Connectivity has the best R2" in page.sections["result"]


def test_nobody_wins():
    rng = np.random.default_rng(0)
    rows = {"BrainLM": (Ridge(), rng.normal(size=(30, 20)))}
    table = compare(rows, None, rng.normal(size=30), groups=NOBODY_TWICE, n_bootstrap=50)
    said = read(generate_report(table)).sections["result"]
    assert "No method does better than guessing" in said


def test_no_row_on_trial():
    said = read(generate_report(compared("Motion", "Noise"))).sections["result"]
    assert "Motion has the best R2" in said and "No BrainLM row was compared" in said


def test_less_error_is_better():
    table = compared(*NAMES, scoring="mse")
    page = read(generate_report(table))
    assert f"{NAMES[0]} has the best mean squared error" in page.sections["result"]


def test_a_table_from_a_file(table, tmp_path):
    table.to_csv(tmp_path / "table.csv", index=False)
    again = pd.read_csv(tmp_path / "table.csv")
    page = read(generate_report(again, date="d"))
    assert page.sections["result"] == read(generate_report(table, date="d")).sections["result"]


def test_forecasts():
    walks = np.cumsum(np.random.default_rng(0).normal(size=(8, 100, 3)), axis=1)
    lengths = {"context_length": 10, "horizon": 4}
    rows = {
        NAMES[0]: ARForecaster(order=2, scaler="standard", **lengths),
        NAMES[1]: LastValueForecaster(scaler="standard", **lengths),
    }
    table = compare_forecasters(
        rows, list(walks), groups=NOBODY_TWICE, cv=2, steps=[(1, 2), (3, 4)], n_bootstrap=50,
        random_state=0,
    )  # fmt: skip
    page = read(generate_report(table))
    assert "Steps 1-2: " in page.sections["result"] and "Steps 3-4: " in page.sections["result"]
    own = table.query("metric == 'r2' and setting == 'steps 1-2'").set_index("method")["value"]
    cells = page.rows("Method", "R2")
    assert {name: float(row[0]) for name, row in cells.items()} == pytest.approx(
        own.to_dict(), abs=6e-4
    )
    assert len(page.images) == 1 and "step ahead" in page.images[0]["alt"]


def test_a_comparison_takes_no_recordings(table, recordings):
    with pytest.raises(TypeError, match="give no recordings"):
        generate_report(table, recordings)
    with pytest.raises(TypeError, match="what is a DataFrame"):
        generate_report(table[["method", "value"]])
