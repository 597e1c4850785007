"""Plots of recordings draw the numbers they are given, on the axes they are given.

How the figures look is judged by eye, not here. Plots of methods are in test_plotting_methods.py,
of embeddings and networks in test_plotting_embeddings.py, of brains in test_plotting_brains.py.
"""

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import same_color, to_rgb

from sklearn_brainlm import plotting
from sklearn_brainlm.plotting import _frames
from sklearn_brainlm.plotting._traces import round_down

HISTORY = [
    {"epoch": 1, "train_loss": 1.0, "valid_loss": 1.1},
    {"epoch": 2, "train_loss": 0.5, "valid_loss": 0.7},
    {"epoch": 3, "train_loss": 0.4, "valid_loss": 0.6},
]


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test drew."""
    yield
    plt.close("all")


@pytest.fixture
def window():
    """A window (40, 8), its prediction, and a mask of two blocks in three parcels."""
    rng = np.random.default_rng(0)
    true = rng.standard_normal((40, 8))
    masked = np.zeros((40, 8), dtype=bool)
    masked[10:20, [1, 4, 6]] = True
    masked[30:40, 4] = True
    return true, true + 0.1 * rng.standard_normal((40, 8)), masked


def test_loss_curve_draws_both_losses():
    axes = plotting.plot_loss_curve(HISTORY)
    train, valid = axes.lines
    np.testing.assert_array_equal(train.get_xydata(), [[1, 1.0], [2, 0.5], [3, 0.4]])
    np.testing.assert_array_equal(valid.get_ydata(), [1.1, 0.7, 0.6])
    assert [text.get_text() for text in axes.get_legend().texts] == ["training", "validation"]
    assert axes.get_xlabel() == "Epoch"


def test_loss_curve_without_validation():
    axes = plotting.plot_loss_curve([{"train_loss": 1.0}, {"train_loss": 0.5, "valid_loss": None}])
    assert len(axes.lines) == 1


def test_loss_curve_of_nothing():
    with pytest.raises(ValueError, match="no epoch"):
        plotting.plot_loss_curve([])


def test_reconstruction_draws_predictions_where_masked_only(window):
    true, predicted, masked = window
    axes = plotting.plot_reconstruction(true, predicted, masked, t_r=2.0, parcels=[4, 0])
    recorded = [line for line in axes.lines if same_color(line.get_color(), "black")][:2]
    coloured = [line for line in axes.lines if same_color(line.get_color(), _frames.PREDICTED)]
    np.testing.assert_array_equal(recorded[0].get_xdata(), 2.0 * np.arange(40))
    for parcel, one, other in zip([4, 0], recorded, coloured, strict=True):
        shift = one.get_ydata() - true[:, parcel]
        np.testing.assert_allclose(shift, shift[0])
        np.testing.assert_array_equal(np.isfinite(other.get_ydata()), masked[:, parcel])
        error = (other.get_ydata() - one.get_ydata())[masked[:, parcel]]
        np.testing.assert_allclose(error, (predicted - true)[masked[:, parcel], parcel])
    assert axes.get_xlabel() == "Time (s)"
    assert len(axes.collections) == 2  # the two masked blocks of parcel 4, none of parcel 0


def test_shade_covers_the_masked_timepoints(window):
    true, predicted, masked = window
    axes = plotting.plot_reconstruction(true, predicted, masked, t_r=0.5, parcels=[1])
    (shade,) = axes.collections
    seconds = shade.get_paths()[0].vertices[:, 0]
    assert (seconds.min(), seconds.max()) == (9.5 * 0.5, 19.5 * 0.5)


def test_reconstruction_chooses_masked_parcels_and_names_them(window):
    true, predicted, masked = window
    labels = [f"region {index}" for index in range(8)]
    axes = plotting.plot_reconstruction(true, predicted, masked, labels=labels)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "region 1",
        "region 4",
        "region 6",
    ]
    assert axes.get_xlabel() == "Time (timepoints)"


def test_scale_bar_has_the_length_it_says(window):
    axes = plotting.plot_reconstruction(*window, unit="%")
    (text,) = [text.get_text() for text in axes.texts]
    number, unit = text.split()
    bar = axes.lines[-1].get_ydata()
    assert unit == "%"
    assert np.ptp(bar) == pytest.approx(float(number))


def test_reconstruction_of_constant_parcels_and_empty_mask():
    constant = np.zeros((10, 3))
    axes = plotting.plot_reconstruction(constant, constant, constant.astype(bool))
    axes.figure.canvas.draw()
    assert len(axes.get_yticks()) == 3


def test_shapes_must_agree(window):
    true, predicted, masked = window
    with pytest.raises(ValueError, match=r"shapes \(40, 8\), \(40, 8\) and \(39, 8\)"):
        plotting.plot_reconstruction(true, predicted, masked[:-1])


def test_bars_are_means_in_order():
    axes = plotting.plot_masked_r2_bars({"Gaussian": [0.3, 0.5], "BrainLM": -0.1})
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.4, -0.1])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Gaussian", "BrainLM"]
    assert axes.yaxis_inverted()


def test_mask_lies_down_with_time_across(window):
    masked = window[2]
    axes = plotting.plot_mask(masked, t_r=0.5, patch_length=10)
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), masked.T)
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (-0.25, 19.75)  # a timepoint is the middle of its cell
    assert bottom > top  # the first parcel on top
    assert axes.get_xlabel().startswith("Time (s)")
    assert axes.get_title(loc="left") == f"{100 * masked.mean():.3g}% masked"
    np.testing.assert_allclose([line.get_xdata()[0] for line in axes.lines], [4.75, 9.75, 14.75])


@pytest.mark.parametrize(
    ("masked", "options", "message"),
    [
        (np.zeros(5, dtype=bool), {}, r"shape \(5,\); expected \(n_timepoints, n_parcels\)"),
        (np.full((4, 2), 2), {}, "True and False"),
        (np.zeros((4, 2), dtype=bool), {"patch_length": 5}, "from 1 to 4"),
        (np.zeros((4, 2), dtype=bool), {"t_r": 0.0}, "t_r=0.0"),
    ],
)
def test_masks_are_checked(masked, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_mask(masked, **options)


def test_forecast_begins_after_time_zero(window):
    recording = window[0]
    context, true = recording[:30], recording[30:]
    given = {"true": true, "lower": true - 1, "upper": true + 2, "coverage": 0.9}
    axes = plotting.plot_forecast(context, 0.5 * true, t_r=2.0, parcels=[6, 1], **given)
    recorded, forecast = axes.lines[:2]
    np.testing.assert_allclose(recorded.get_xdata(), 2.0 * np.arange(-29, 11))
    shift = recorded.get_ydata() - recording[:, 6]
    np.testing.assert_allclose(shift, shift[0])
    np.testing.assert_allclose(forecast.get_xdata(), 2.0 * np.arange(1, 11))
    np.testing.assert_allclose(forecast.get_ydata() - shift[0], 0.5 * true[:, 6])
    fan = axes.collections[0].get_paths()[0].vertices
    assert fan[:, 0].min() == 2.0
    assert fan[:, 1].max() == pytest.approx(true[:, 6].max() + 2 + shift[0])
    assert fan[:, 1].min() == pytest.approx(true[:, 6].min() - 1 + shift[0])
    assert axes.get_xlabel() == "Time from the last timepoint seen (s)"
    labels = [text.get_text() for text in axes.get_legend().texts]
    assert labels == ["recorded", "forecast", "90% interval"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["6", "1"]


def test_forecast_alone(window):
    axes = plotting.plot_forecast(window[0][:30], window[0][30:])
    assert len(axes.lines[0].get_xdata()) == 30
    assert not axes.collections
    assert axes.get_xlabel().endswith("(timepoints)")
    assert len(axes.get_yticks()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"true": np.zeros((9, 8))}, r"true has shape \(9, 8\); expected \(10, 8\)"),
        ({"lower": np.zeros((10, 8))}, "both or neither"),
        ({"coverage": 90}, "between 0 and 1"),
        ({"parcels": [8]}, "from 0 to 7"),
        ({"parcels": []}, "one at least"),
    ],
)
def test_forecasts_are_checked(window, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_forecast(window[0][:30], window[0][30:], **options)


def test_forecast_of_other_parcels():
    with pytest.raises(ValueError, match=r"shapes \(30, 8\) and \(10, 7\)"):
        plotting.plot_forecast(np.zeros((30, 8)), np.zeros((10, 7)))


@pytest.mark.parametrize("plot", ["loss", "reconstruction", "bars", "mask", "forecast"])
def test_given_axes_are_used_and_nothing_is_changed(plot, window):
    given = plt.figure().subplots()
    before = [array.copy() for array in window]
    true, predicted, masked = window
    drawn = {
        "loss": lambda: plotting.plot_loss_curve(HISTORY, axes=given),
        "reconstruction": lambda: plotting.plot_reconstruction(*window, axes=given),
        "bars": lambda: plotting.plot_masked_r2_bars({"a": [1.0]}, axes=given),
        "mask": lambda: plotting.plot_mask(masked, axes=given),
        "forecast": lambda: plotting.plot_forecast(true, predicted, true=true, axes=given),
    }[plot]()
    assert drawn is given
    assert given.lines or given.images
    assert len(plt.get_fignums()) == 1
    for array, kept in zip(window, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_main_colours_differ_in_grey():
    # Lightness as ITU-R BT.601 weighs it, which is what a grey print does.
    grey = [np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) for colour in
            (_frames.TRUE, _frames.PREDICTED, _frames.SHADE)]  # fmt: skip
    assert np.diff(grey).min() > 0.25
    assert _frames.style_methods(["BrainLM", "Gaussian"])["BrainLM"]["color"] == _frames.PREDICTED
    assert _frames.style_methods(["BrainLM", "Gaussian"])["Gaussian"]["color"] == _frames.TRUE


def test_every_public_name_is_a_function_on_the_api_page():
    page = (Path(__file__).parents[1] / "doc" / "api.rst").read_text(encoding="utf-8")
    section = page.partition(".. currentmodule:: sklearn_brainlm.plotting\n")[2]
    assert plotting.__all__ == sorted(plotting.__all__)
    for name in plotting.__all__:
        assert callable(getattr(plotting, name))
        assert f"   {name}\n" in section


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sklearn-brainlm\[plotting\]"):
        plotting.plot_loss_curve(HISTORY)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.9, 0.5), (1, 1), (4.9, 2), (60, 50), (0.02, 0.02)]
)
def test_round_down(value, expected):
    assert round_down(value) == pytest.approx(expected)
