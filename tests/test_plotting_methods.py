"""Plots of methods side by side: forecast errors, scaling curves, comparisons.

That ``compare`` and ``compare_forecasters`` are right is tested in test_evaluation*.py.
"""

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import same_color, to_rgba
from sklearn.linear_model import Ridge

from sklearn_brainlm.baselines import ARForecaster, LastValueForecaster
from sklearn_brainlm.evaluation import compare, compare_forecasters
from sklearn_brainlm.plotting import (
    _frames,
    plot_comparison,
    plot_forecast_error,
    plot_scaling_curve,
)

ERRORS = {"AR": [0.5, 0.3, 0.1], "BrainLM": [0.6, 0.4, 0.1]}


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test drew."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def forecast_table():
    """What compare_forecasters returns for the noisy rhythms of eight people."""
    rng = np.random.default_rng(0)
    rhythms = np.sin(np.arange(120)[:, None] / 2 + rng.uniform(0, 6, (8, 1, 2)))
    rhythms += 0.2 * rng.standard_normal(rhythms.shape)
    windows = {"context_length": 20, "horizon": 4}
    rows = {
        "Last value": LastValueForecaster(**windows),
        "BrainLM": ARForecaster(order=2, **windows),
    }
    groups = "each recording is a subject"
    return compare_forecasters(
        rows, rhythms, groups=groups, cv=2, steps=[(1, 2)], n_bootstrap=50, random_state=0
    )


@pytest.fixture(scope="module")
def table():
    """What compare returns for two simple methods and two on trial."""
    rng = np.random.default_rng(0)
    age = rng.normal(50, 10, 60)
    rows = {
        name: (Ridge(), age[:, None] + noise * rng.standard_normal((60, 3)))
        for name, noise in (("Connectivity", 12), ("Raw", 30), ("BrainLM", 3), ("BrainLM x", 25))
    }
    groups = "each recording is a subject"
    with pytest.warns(UserWarning, match="did not beat"):
        return compare(rows, None, age, groups=groups, n_bootstrap=50, random_state=0)


@pytest.fixture
def curve():
    """Points of a network that grows with recordings, out of order, and of the closed form."""
    points = [("BrainLM", n, 13e6, 0.1 * np.log10(n)) for n in (1000, 10, 100)]
    points += [("Gaussian", n, np.nan, 0.2) for n in (10, 1000)]
    table = pd.DataFrame(points, columns=["method", "n_recordings", "n_parameters", "r2"])
    return table.assign(ci_low=table["r2"] - 0.01, ci_high=table["r2"] + 0.02)


def lines_by_label(axes):
    """Return {label: line} of labelled lines."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_styles_are_all_different():
    names = [f"method {i}" for i in range(20)] + [f"BrainLM {i}" for i in range(10)]
    styles = _frames.style_methods(names)
    assert list(styles) == names
    looks = {(to_rgba(style["color"]), style["marker"]) for style in styles.values()}
    assert len(looks) == len(names)
    assert {styles[name]["linestyle"] for name in names if "BrainLM" in name} == {"-"}
    assert "-" not in {styles[name]["linestyle"] for name in names if "BrainLM" not in name}


def test_forecast_error_draws_each_method_at_its_times():
    bounds = {"lower": {"AR": [0.4, 0.2, 0.0]}, "upper": {"AR": [0.6, 0.4, 0.3]}}
    axes = plot_forecast_error(
        ERRORS, significant={"BrainLM": [True, False, True]}, t_r=2.0, **bounds
    )
    lines = lines_by_label(axes)
    for name, values in ERRORS.items():
        np.testing.assert_allclose(lines[name].get_xydata(), np.column_stack([[2, 4, 6], values]))
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].min() == 0.0
    assert [text.get_position()[0] for text in axes.texts] == [2.0, 6.0]
    assert all(same_color(text.get_color(), _frames.PREDICTED) for text in axes.texts)
    assert min(text.get_position()[1] for text in axes.texts) > 0.6  # above all lines
    assert axes.get_xlabel() == "Time ahead (s)"
    assert axes.get_ylabel().startswith("R2 (1: exact")


def test_forecast_error_of_a_table(forecast_table):
    axes = plot_forecast_error(forecast_table)
    own = forecast_table[forecast_table["metric"] == "r2"].set_index(["method", "setting"])
    for name, line in lines_by_label(axes).items():
        expected = [own.loc[(name, f"step {step}"), "value"] for step in range(1, 5)]
        np.testing.assert_allclose(line.get_ydata(), expected)
    stars = [own.loc[("BrainLM", f"step {step}"), "stars"] for step in range(1, 5)]
    assert any(stars)  # else the next line says nothing
    assert [text.get_text() for text in axes.texts] == [found for found in stars if found]
    assert axes.get_xlabel() == "Time ahead (timepoints)"


def test_forecast_error_of_a_table_from_a_file(forecast_table, tmp_path):
    forecast_table.to_csv(tmp_path / "table.csv")
    axes = plot_forecast_error(pd.read_csv(tmp_path / "table.csv"), metric="mse")
    assert axes.get_ylabel() == "Mean squared error (squared scaled units)"
    assert not axes.texts  # the test is of R2


@pytest.mark.parametrize(
    ("errors", "options", "message"),
    [
        ({}, {}, "0 methods"),
        ({"AR": [[1.0]]}, {}, r"shape \(1, 1\); expected \(n_steps,\)"),
        ({"AR": [1.0], "VAR": [1.0, 2.0]}, {}, r"'VAR' has shape \(2,\); expected \(1,\)"),
        (ERRORS, {"lower": ERRORS}, "both or neither"),
        (ERRORS, {"significant": {"ar": [True] * 3}}, "'ar'; the methods are AR, BrainLM"),
    ],
)
def test_forecast_errors_are_checked(errors, options, message):
    with pytest.raises(ValueError, match=message):
        plot_forecast_error(errors, **options)


def test_tables_of_something_else_are_refused(table, forecast_table, curve):
    with pytest.raises(ValueError, match="no steps ahead of 'R2'"):
        plot_forecast_error(table)
    with pytest.raises(ValueError, match="give it alone"):
        plot_forecast_error(forecast_table, significant={})
    with pytest.raises(ValueError, match="plot_forecast_error draws"):
        plot_comparison(forecast_table)
    with pytest.raises(ValueError, match="columns method, n_recordings.* metric"):
        plot_comparison(curve)
    with pytest.raises(ValueError, match="'auc'"):
        plot_comparison(table, metric="auc")
    with pytest.raises(ValueError, match="a dict; expected"):
        plot_scaling_curve({})
    with pytest.raises(ValueError, match="0 rows"):
        plot_scaling_curve(curve.head(0))
    with pytest.raises(ValueError, match="x='r2'"):
        plot_scaling_curve(curve, x="r2")


def test_scaling_curve_against_recordings(curve):
    axes = plot_scaling_curve(curve)
    line = lines_by_label(axes)["BrainLM"]
    np.testing.assert_allclose(line.get_xydata(), [[10, 0.1], [100, 0.2], [1000, 0.3]])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.09, 0.32))
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "100", "1,000"]
    assert "(number, log scale)" in axes.get_xlabel()


def test_scaling_curve_against_parameters_splits_lines(curve):
    larger = curve[curve["method"] == "BrainLM"].assign(n_parameters=111e6)
    axes = plot_scaling_curve(pd.concat([curve, larger]), x="n_parameters")
    lines = lines_by_label(axes)
    np.testing.assert_allclose(lines["BrainLM, 100 recordings"].get_xdata(), [13e6, 111e6])
    level = lines["Gaussian, 10 recordings"]  # no place on the axis: a level line
    np.testing.assert_allclose(level.get_ydata(), 0.2)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["13M", "111M"]


def test_scaling_curve_refuses_what_has_no_place(curve):
    with pytest.raises(ValueError, match="several rows of 'BrainLM, 13M parameters'"):
        plot_scaling_curve(pd.concat([curve, curve]))
    with pytest.raises(ValueError, match="nothing has a place"):
        plot_scaling_curve(curve[curve["method"] == "Gaussian"].tail(1), x="n_parameters")


def test_comparison_has_a_dot_and_an_interval_a_method(table):
    axes = plot_comparison(table)
    own = table.query("setting == 'all' and metric == 'r2'").set_index("method")
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["Connectivity", "Raw", "BrainLM", "BrainLM x"]
    simple, trials, ring = axes.lines[:3]
    np.testing.assert_allclose(simple.get_xdata(), own["value"][["Connectivity", "Raw"]])
    np.testing.assert_allclose(trials.get_xdata(), own["value"][["BrainLM", "BrainLM x"]])
    np.testing.assert_array_equal(trials.get_ydata(), [2, 3])
    assert simple.get_marker() != trials.get_marker()
    assert not same_color(simple.get_color(), trials.get_color())
    intervals = np.concatenate([bars.get_segments() for bars in axes.collections])[:, :, 0]
    np.testing.assert_allclose(intervals, own.loc[names, ["ci_low", "ci_high"]])
    assert ring.get_xdata() == own["value"]["Connectivity"]
    (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed.get_xdata()[0] == own["value"]["Dummy (mean)"]
    assert [text.get_text() for text in axes.texts] == [star for star in own["stars"] if star]
    assert own["stars"]["BrainLM"]  # else the line before says nothing
    assert axes.yaxis_inverted()
    assert "better \N{RIGHTWARDS ARROW}" in axes.get_xlabel()


def test_comparison_of_an_error_points_left(table):
    axes = plot_comparison(table, metric="mean_absolute_error")
    assert "(unit of the labels)\n\N{LEFTWARDS ARROW} better" in axes.get_xlabel()
    assert not axes.texts  # stars belong to the primary metric


@pytest.mark.parametrize("plot", ["errors", "curve", "comparison"])
def test_given_axes_are_used_and_nothing_is_changed(plot, table, curve, forecast_table):
    given = plt.figure().subplots()
    function, drawn = {
        "errors": (plot_forecast_error, forecast_table),
        "curve": (plot_scaling_curve, curve),
        "comparison": (plot_comparison, table),
    }[plot]
    before = drawn.copy()
    assert function(drawn, axes=given) is given
    assert given.lines
    assert len(plt.get_fignums()) == 1
    pd.testing.assert_frame_equal(drawn, before)
