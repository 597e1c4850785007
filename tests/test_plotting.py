"""Plots draw the numbers they are given, on the axes they are given.

How the figures look is judged by eye, not here.
"""

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import same_color

from sklearn_brainlm import plotting

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
    coloured = [line for line in axes.lines if same_color(line.get_color(), plotting._PREDICTED)]
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


@pytest.mark.parametrize("plot", ["loss", "reconstruction", "bars"])
def test_given_axes_are_used_and_returned(plot, window):
    given = plt.figure().subplots()
    drawn = {
        "loss": lambda: plotting.plot_loss_curve(HISTORY, axes=given),
        "reconstruction": lambda: plotting.plot_reconstruction(*window, axes=given),
        "bars": lambda: plotting.plot_masked_r2_bars({"a": [1.0]}, axes=given),
    }[plot]()
    assert drawn is given
    assert given.lines
    assert len(plt.get_fignums()) == 1


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"sklearn-brainlm\[plotting\]"):
        plotting.plot_loss_curve(HISTORY)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.9, 0.5), (1, 1), (4.9, 2), (60, 50), (0.02, 0.02)]
)
def test_round_down(value, expected):
    assert plotting._round_down(value) == pytest.approx(expected)
