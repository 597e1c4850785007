"""Plots of embeddings and of networks: what is drawn, and what is refused."""

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib import pyplot as plt

from sklearn_brainlm import neighbor_purity
from sklearn_brainlm.plotting import plot_embedding, plot_network_confusion

CONFUSION = np.array([[9, 1, 0], [2, 6, 0], [0, 0, 0]])
NETWORKS = ["Vis", "Default", "Limbic"]


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test drew."""
    yield
    plt.close("all")


@pytest.fixture
def points():
    """Points (30, 2) of two groups."""
    return np.random.default_rng(0).standard_normal((30, 2)) + np.repeat([[0, 0], [5, 5]], 15, 0)


def test_numbers_colour_points_and_missing_ones_are_crosses(points):
    age = np.linspace(20, 80, 30)
    age[3] = np.nan
    axes = plot_embedding(points, age, covariate_name="Age (years)")
    missing, known = axes.collections
    np.testing.assert_array_equal(missing.get_offsets(), points[[3]])
    np.testing.assert_array_equal(known.get_offsets(), np.delete(points, 3, axis=0))
    np.testing.assert_array_equal(known.get_array(), np.delete(age, 3))
    (bar,) = [other for other in axes.figure.axes if other is not axes]
    assert bar.get_ylabel() == "Age (years)"
    assert "no unit" in axes.get_xlabel() and "no unit" in axes.get_ylabel()


def test_lightness_says_the_number_in_grey():
    grey = colormaps["cividis"](np.linspace(0, 1, 50))[:, :3] @ (0.299, 0.587, 0.114)
    assert (np.diff(grey) > 0).all()


@pytest.mark.parametrize("kind", [object, bool])
def test_classes_have_colours_and_markers(points, kind):
    if kind is bool:
        sex = np.arange(30) < 15
    else:
        sex = np.repeat(np.array(["f", "m"], dtype=object), 15)
    axes = plot_embedding(points, sex, covariate_name="Sex")
    first, second = axes.collections
    drawn = points[:15] if kind is object else points[15:]  # f, or False
    np.testing.assert_array_equal(first.get_offsets(), drawn)
    assert not np.array_equal(first.get_facecolors(), second.get_facecolors())
    assert not np.array_equal(first.get_paths()[0].vertices, second.get_paths()[0].vertices)
    assert axes.get_legend().get_title().get_text() == "Sex (recordings)"


def test_unknown_class_is_said(points):
    site = np.array(["A"] * 29 + [None], dtype=object)
    axes = plot_embedding(points, site)
    assert [text.get_text() for text in axes.get_legend().texts] == ["not known (1)", "A (29)"]


def test_title_says_purity_and_chance(points):
    found = neighbor_purity(points, np.repeat(["f", "m"], 15), n_neighbors=3, n_permutations=20)
    axes = plot_embedding(points, purity=found)
    assert axes.get_title(loc="left") == (
        f"Neighbour purity 1.00, by chance {found.null.mean():.2f} (p = {found.p_value:.2g})"
    )


@pytest.mark.parametrize(
    ("shape", "covariate", "message"),
    [
        ((4, 3), None, r"shape \(4, 3\); expected \(n_recordings, 2\)"),
        ((0, 2), None, r"shape \(0, 2\)"),
        ((4, 2), [1.0, 2.0], r"shape \(2,\); expected \(4,\)"),
    ],
)
def test_points_are_checked(shape, covariate, message):
    with pytest.raises(ValueError, match=message):
        plot_embedding(np.zeros(shape), covariate)


def test_confusion_is_of_the_true_network():
    axes = plot_network_confusion(CONFUSION, NETWORKS)
    (image,) = axes.images
    shown = image.get_array().filled(np.nan)
    np.testing.assert_allclose(shown[:2], [[90, 10, 0], [25, 75, 0]])
    assert np.isnan(shown[2]).all()  # no parcel, no share
    assert [text.get_text() for text in axes.texts] == ["90", "10", "0", "25", "75", "0"]
    rows = [tick.get_text() for tick in axes.get_yticklabels()]
    assert rows == ["Vis (10)", "Default (8)", "Limbic (0)"]
    assert axes.get_title(loc="left") == "83% of 18 parcels right"
    assert axes.figure.axes[1].get_ylabel() == "Parcels of the true network (%)"


def test_confusion_in_numbers():
    axes = plot_network_confusion(CONFUSION, NETWORKS, normalise=False)
    assert [text.get_text() for text in axes.texts[:4]] == ["9", "1", "0", "2"]
    assert axes.figure.axes[1].get_ylabel() == "Parcels (number)"


@pytest.mark.parametrize(
    ("confusion", "labels", "message"),
    [
        (CONFUSION, ["Vis"], r"shape \(3, 3\), there are 1 labels"),
        (CONFUSION[:2], NETWORKS, r"shape \(2, 3\)"),
        (-CONFUSION, NETWORKS, "below 0"),
    ],
)
def test_confusions_are_checked(confusion, labels, message):
    with pytest.raises(ValueError, match=message):
        plot_network_confusion(confusion, labels)


def test_given_axes_are_used_and_nothing_is_changed(points):
    one, other = plt.figure().subplots(1, 2)
    age = np.linspace(20, 80, 30)
    before = points.copy(), age.copy(), CONFUSION.copy()
    assert plot_embedding(points, age, axes=one) is one
    assert plot_network_confusion(CONFUSION, NETWORKS, axes=other) is other
    assert len(plt.get_fignums()) == 1
    for array, kept in zip((points, age, CONFUSION), before, strict=True):
        np.testing.assert_array_equal(array, kept)
