"""Forecasts side by side: the table by horizon, checked by hand, and what is refused.

That nobody is on both sides is test_leakage.py.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sklearn_brainlm.baselines import ARForecaster, LastValueForecaster, MeanForecaster
from sklearn_brainlm.evaluation import compare_forecasters, format_comparison

SAID = "each recording is a subject"
QUICK = {"n_bootstrap": 50, "random_state": 0}
FORECAST = {"context_length": 10, "horizon": 3, "scaler": "standard"}


def rows_of(table, metric, setting="all"):
    """Return the rows of a metric by method."""
    chosen = (table["metric"] == metric) & (table["setting"] == setting)
    return table[chosen].set_index("method")


@pytest.fixture(scope="module")
def walks():
    """Return 12 recordings of 6 subjects, the next value of which is near the last."""
    rng = np.random.default_rng(0)
    return [0.05 * np.cumsum(rng.standard_normal((60, 3)), axis=0) for _ in range(12)]


PEOPLE = np.repeat(list("abcdef"), 2)


@pytest.fixture(scope="module")
def forecast_table(walks):
    rows = {
        "Last value": LastValueForecaster(**FORECAST),
        "Mean": MeanForecaster(**FORECAST),
        "BrainLM": ARForecaster(order=2, **FORECAST),
    }
    return compare_forecasters(rows, walks, groups=PEOPLE, cv=3, steps=[(1, 2), (3, 3)], **QUICK)


def test_forecasts_are_scored_as_forecasters_do(walks):
    model = LastValueForecaster(**FORECAST)
    cv = [(np.arange(6), np.arange(6, 12))]
    table = compare_forecasters(
        {"Last value": model}, walks, groups=PEOPLE, cv=cv, steps=[(1, 3), (2, 3)], **QUICK
    )
    fitted = model.fit(walks[:6])
    r2 = table.query("metric == 'r2'").set_index("setting")["value"]
    assert r2["steps 1-3"] == pytest.approx(fitted.score(walks[6:]))
    assert r2["steps 2-3"] == pytest.approx(fitted.score_by_step(walks[6:], [(2, 3)])[0])
    singles = r2[["step 1", "step 2", "step 3"]]
    np.testing.assert_allclose(singles, fitted.score_by_step(walks[6:]))
    assert r2["steps 1-3, fold 0"] == pytest.approx(r2["steps 1-3"])
    windows = fitted.backtest(walks[6:])
    at_step = [windows[key][:, 1].ravel().astype(float) for key in ("true", "predicted")]
    rows = table[table["setting"] == "step 2"].set_index("metric")["value"]
    assert rows["r"] == pytest.approx(np.corrcoef(*at_step)[0, 1])
    assert rows["mse"] == pytest.approx(np.mean((at_step[0] - at_step[1]) ** 2))


def test_forecasts_are_tested_over_subjects(forecast_table):
    errors = forecast_table.attrs["errors"].frame
    assert sorted(errors["subject"].unique()) == list("abcdef")
    at_step = errors.query("step == 2").assign(mse=lambda t: t["sse"] / t["n_values"])
    wide = at_step.pivot(index="subject", columns="method", values="mse")
    summary = rows_of(forecast_table, "r2", "step 2")
    reference = summary.loc["BrainLM", "compared_with"]
    assert reference == "Last value"
    expected = stats.wilcoxon(wide["BrainLM"] - wide[reference]).pvalue
    assert summary.loc["BrainLM", "p_value"] == pytest.approx(expected)
    by_step = pd.concat(
        rows_of(forecast_table, "r2", f"step {s}").loc[["BrainLM"]] for s in (1, 2, 3)
    )
    expected = stats.false_discovery_control(by_step["p_value"])
    np.testing.assert_allclose(by_step["p_corrected"], expected)
    pooled = at_step.groupby("method")[["sse", "ss"]].sum()
    value = summary.loc["BrainLM", "value"]
    assert value == pytest.approx(1 - pooled.loc["BrainLM", "sse"] / pooled.loc["BrainLM", "ss"])


def test_stars_are_for_the_better_row(walks):
    # Every walk four times, nearly, under other names: 48 subjects, whose order is clear.
    many = [walk + 1e-3 * copy for copy in range(4) for walk in walks]
    rows = {"Mean": MeanForecaster(**FORECAST), "BrainLM": LastValueForecaster(**FORECAST)}
    table = compare_forecasters(rows, many, groups=SAID, cv=2, steps=[(1, 3)], **QUICK)
    assert (
        rows_of(table, "r2", "step 1")["stars"] == pd.Series({"Mean": "", "BrainLM": "***"})
    ).all()
    reverse = {"BrainLM": rows["Mean"], "Last value": rows["BrainLM"]}
    table = compare_forecasters(reverse, many, groups=SAID, cv=2, steps=[(1, 3)], **QUICK)
    own = rows_of(table, "r2", "step 1").loc["BrainLM"]
    assert own["p_corrected"] < 0.001 and own["stars"] == ""
    text = format_comparison(table)
    assert "R2 steps 1-3 [95%]" in text and "***" not in text.split("* p < .05")[0]


@pytest.mark.parametrize(
    ("other", "change", "message"),
    [
        (MeanForecaster(**{**FORECAST, "scaler": "robust"}), {}, "not tested on the same values"),
        (MeanForecaster(**{**FORECAST, "context_length": 5}), {}, "not tested on the same values"),
        (MeanForecaster(**{**FORECAST, "horizon": 2}), {}, "not tested on the same values"),
        (MeanForecaster(**FORECAST), {"steps": [(1, 4)]}, "steps 1 to 4: .* horizon=3"),
        (MeanForecaster(**FORECAST), {"groups": None}, "say groups="),
        (MeanForecaster(**FORECAST), {"baseline": "AR"}, "baseline names 'AR'"),
    ],
)
def test_forecasts_that_cannot_be_compared(walks, other, change, message):
    rows = {"Last value": LastValueForecaster(**FORECAST), "Mean": other}
    given = {"groups": PEOPLE, "cv": 2, "steps": [(1, 2)], **QUICK, **change}
    with pytest.raises(ValueError, match=message):
        compare_forecasters(rows, walks, **given)


def test_the_table_is_printed_where_that_is_asked_for(walks, capsys):
    rows = {"Last value": LastValueForecaster(**FORECAST)}
    given = {"groups": PEOPLE, "cv": 2, "steps": [(1, 2)], **QUICK}
    compare_forecasters(rows, walks, **given)
    assert capsys.readouterr().out == ""
    table = compare_forecasters(rows, walks, verbose=1, **given)
    assert capsys.readouterr().out == format_comparison(table) + "\n"
