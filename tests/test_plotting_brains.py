"""Plots of parcels on brains: which value is drawn where, and what is refused.

That nilearn draws images and surfaces rightly is its own business.
"""

import matplotlib

matplotlib.use("Agg")  # before pyplot: no display is needed

import nibabel
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib import pyplot as plt
from nilearn import datasets
from nilearn import plotting as nilearn_plotting

from sklearn_brainlm.plotting import (
    plot_parcels_on_glass_brain,
    plot_parcels_on_slices,
    plot_parcels_on_surface,
)
from sklearn_brainlm.plotting._parcel_maps import check_labels_img, read_parcel_map

VALUES = np.array([2.0, -1.0, 0.5, np.nan])
SIGNIFICANT = np.array([True, True, False, True])
COORDS = np.array([[-40.0, -20, 50], [40, -20, 50], [-6, -80, 6], [6, 50, 10]])


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test drew."""
    yield
    plt.close("all")


@pytest.fixture
def labels_img():
    """Label image of 4 mm with a cube around every centre; labels are not consecutive."""
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-90, -126, -72)
    labels = np.zeros((46, 55, 46), dtype=np.int16)
    for label, centre in zip((3, 7, 8, 20), COORDS, strict=True):
        i, j, k = np.rint((centre - affine[:3, 3]) / 4).astype(int)
        labels[i - 4 : i + 5, j - 4 : j + 5, k - 4 : k + 5] = label
    return nibabel.Nifti1Image(labels, affine)


@pytest.fixture
def drawn_surfaces(monkeypatch):
    """Surface maps that nilearn is given, instead of the pictures, which take seconds."""
    maps = []

    def draw(surf_mesh, stat_map, **options):
        maps.append((stat_map, options))

    monkeypatch.setattr(nilearn_plotting, "plot_surf_stat_map", draw)
    return maps


def colour_bar_label(figure):
    """Return the label of the colour bar."""
    return next(axes.get_ylabel() for axes in figure.axes if axes.get_ylabel())


def test_limits_are_symmetric_where_a_value_is_negative():
    found = read_parcel_map(VALUES, None, "t", None)
    assert (found.norm.vmin, found.norm.vmax, found.label) == (-2, 2, "t")
    positive = read_parcel_map([0.2, 0.6], None, "", None)
    assert (positive.norm.vmin, positive.norm.vmax) == (0.2, 0.6)
    assert positive.cmap is not found.cmap
    equal = read_parcel_map([0.0, 0.0], None, "", (-1, 3))
    assert (equal.norm.vmin, equal.norm.vmax) == (-1, 3)


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.1, 1.0]])
def test_colours_can_be_read_in_grey(values):
    cmap = colormaps[read_parcel_map(values, None, "", None).cmap.name]
    grey = cmap(np.linspace(0, 1, 50))[:, :3] @ (0.299, 0.587, 0.114)
    assert len(np.unique(np.sign(np.diff(grey)))) == 1
    assert np.ptp(grey) > 0.6


def test_glass_brain_marks_each_parcel():
    before = VALUES.copy(), COORDS.copy(), SIGNIFICANT.copy()
    display = plot_parcels_on_glass_brain(
        VALUES, COORDS, significant=SIGNIFICANT, title="Contrast", unit="t (no unit)"
    )
    side = display.axes["z"].ax  # from above: x and y
    pale, strong = [found for found in side.collections if len(found.get_offsets())]
    np.testing.assert_allclose(pale.get_offsets(), COORDS[[2], :2])
    np.testing.assert_allclose(strong.get_offsets(), COORDS[[1, 0], :2])  # strongest on top
    assert pale.get_sizes()[0] < strong.get_sizes()[0]
    assert pale.get_alpha() < strong.get_alpha()
    expected = colormaps["cividis"]([0.25, 1.0])
    np.testing.assert_allclose(strong.get_facecolors()[:, :3], expected[:, :3])
    figure = display.frame_axes.figure
    assert colour_bar_label(figure) == "t (no unit)\npale: not significant"
    assert display.frame_axes.get_title() == "Contrast"
    for array, kept in zip((VALUES, COORDS, SIGNIFICANT), before, strict=True):
        np.testing.assert_array_equal(array, kept)
    display.close()
    assert not plt.get_fignums()


def test_slices_show_the_value_of_the_parcel(labels_img, monkeypatch):
    given = {}
    draw = nilearn_plotting.plot_stat_map

    def remember(image, **options):
        given.update(options, image=image)
        return draw(image, **options)

    monkeypatch.setattr(nilearn_plotting, "plot_stat_map", remember)
    display = plot_parcels_on_slices(VALUES, labels_img, significant=SIGNIFICANT, unit="t")
    labels = np.asarray(labels_img.dataobj)
    painted, opacity = (np.asarray(given[name].dataobj) for name in ("image", "transparency"))
    for label, value, alpha in zip((3, 7, 8), VALUES[:3], (1, 1, 0.3), strict=True):
        np.testing.assert_allclose(painted[labels == label], value)
        np.testing.assert_allclose(opacity[labels == label], alpha)
    assert (opacity[(labels == 0) | (labels == 20)] == 0).all()  # outside, and NaN
    np.testing.assert_allclose(given["cut_coords"], COORDS[0], atol=4)  # the strongest
    assert (given["vmin"], given["vmax"]) == (-2, 2)
    assert colour_bar_label(display.frame_axes.figure).startswith("t\n")


def test_labels_are_counted_in_ascending_order(labels_img):
    _, positions = check_labels_img(labels_img, 4)
    labels = np.asarray(labels_img.dataobj)
    for position, label in enumerate((3, 7, 8, 20)):
        assert (positions[labels == label] == position).all()
    assert (positions[labels == 0] == -1).all()


def test_given_axes_hold_the_brain(labels_img):
    figure = plt.figure(figsize=(8, 3))
    one, other = figure.subplots(1, 2)
    plot_parcels_on_glass_brain(VALUES, COORDS, axes=one)
    plot_parcels_on_slices(VALUES, labels_img, axes=other, display_mode="z", cut_coords=[50])
    assert plt.get_fignums() == [figure.number]
    middle = other.get_position().x0
    bars = [axes.get_position() for axes in figure.axes if axes.get_ylabel()]
    assert bars[0].x1 < middle < bars[1].x0  # each beside its own brain


def test_surface_takes_coordinates(drawn_surfaces):
    figure = plot_parcels_on_surface(
        VALUES, parcel_coords=COORDS, significant=SIGNIFICANT, title="Contrast", unit="t"
    )
    views = [(options["hemi"], options["view"]) for _, options in drawn_surfaces]
    assert views == [(half, view) for view in ("lateral", "medial") for half in ("left", "right")]
    mesh = datasets.load_fsaverage("fsaverage5")["pial"]
    painted, options = drawn_surfaces[0]
    # Full colours lie from 1 to 2, pale ones below, of limits from -2 to 2.
    for half, parcel, expected in (("left", 0, 1.999), ("right", 1, 1.25), ("left", 2, 0.625)):
        distance = np.linalg.norm(mesh.parts[half].coordinates - COORDS[parcel], axis=1)
        value = painted.data.parts[half][np.argmin(distance)]
        assert value == pytest.approx(expected)
    distances = np.linalg.norm(mesh.parts["left"].coordinates[:, None] - COORDS[[0, 2]], axis=2)
    unknown = np.isnan(painted.data.parts["left"])
    np.testing.assert_array_equal(unknown, (distances > 20).all(axis=1))
    assert colour_bar_label(figure).startswith("t\n")
    assert figure.get_suptitle() == "Contrast"


def test_outline_lies_between_significant_and_other_parcels(drawn_surfaces):
    near = np.array([[-40.0, -20, 50], [-40, -45, 50]])
    plot_parcels_on_surface([1.0, 0.5], parcel_coords=near, significant=[True, False])
    values = drawn_surfaces[0][0].data.parts["left"]
    faces = datasets.load_fsaverage("fsaverage5")["inflated"].parts["left"].faces
    black = values > 2
    assert black.any()
    full = (values > 1) & ~black  # nowhere beside what is not significant
    touching = full[faces].any(axis=1)
    assert not ((values[faces] < 1) | np.isnan(values[faces]))[touching].any()
    plot_parcels_on_surface([1.0, 0.5], parcel_coords=near)
    assert not (drawn_surfaces[-1][0].data.parts["left"] > 2).any()


def test_surface_takes_a_label_image(drawn_surfaces, labels_img):
    plot_parcels_on_surface([1.0, 2.0, 3.0, 4.0], labels_img, limits=(0, 4))
    painted = drawn_surfaces[0][0]
    assert set(np.unique(painted.data.parts["right"].round(3))) >= {1.5, 1.999}
    mesh = datasets.load_fsaverage("fsaverage5")["white_matter"].parts["left"].coordinates
    central = np.linalg.norm(mesh - COORDS[0], axis=1) < 12
    assert central.any()
    np.testing.assert_allclose(painted.data.parts["left"][central], 1.25)


def test_surface_is_drawn():
    figure = plt.figure(figsize=(4, 3))
    found = plot_parcels_on_surface([1.0, 2.0], parcel_coords=COORDS[:2], figure=figure)
    assert found is figure
    assert plt.get_fignums() == [figure.number]
    assert sum(len(axes.collections) for axes in figure.axes[:4]) == 4


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda img: plot_parcels_on_glass_brain(VALUES, COORDS[:3]), r"\(3, 3\); expected \(4"),
        (lambda img: plot_parcels_on_glass_brain([np.nan], COORDS[:1]), "a finite one"),
        (lambda img: plot_parcels_on_glass_brain([[1.0]], COORDS[:1]), r"shape \(1, 1\)"),
        (lambda img: plot_parcels_on_glass_brain(VALUES, COORDS, limits=(2, 1)), "lower one"),
        (
            lambda img: plot_parcels_on_glass_brain(VALUES, COORDS, significant=[0.01] * 4),
            "dtype float64",
        ),
        (lambda img: plot_parcels_on_slices(VALUES[:3], img), "4 labels; expected .* 3 labels"),
        (lambda img: plot_parcels_on_surface(VALUES), "one of labels_img"),
        (lambda img: plot_parcels_on_surface(VALUES, img, {"pial": 0}), "white_matter, inflated"),
        (
            lambda img: plot_parcels_on_surface(VALUES, parcel_coords=COORDS[:, :2]),
            r"\(4, 2\); expected \(4, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(draw, message, labels_img):
    with pytest.raises(ValueError, match=message):
        draw(labels_img)
    assert not plt.get_fignums()
