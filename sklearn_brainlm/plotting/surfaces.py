"""Values of parcels on the surface of the cortex."""

import numpy as np

from sklearn_brainlm.plotting._parcel_maps import PALE, check_labels_img, read_parcel_map

__all__ = ["plot_parcels_on_surface"]

_REACH = 20.0  # mm from a vertex to the centre of its parcel
_GAP = 5.0  # mm from a vertex without a label to one that has one
_VIEWS = ("lateral", "medial")
_SURFACES = ("pial", "white_matter", "inflated")


def plot_parcels_on_surface(
    values,
    labels_img=None,
    mesh=None,
    *,
    parcel_coords=None,
    significant=None,
    title=None,
    unit="",
    limits=None,
    figure=None,
):
    """Paint the cortex with values of parcels: both hemispheres, from outside and from between.

    For maps of cortical parcels. The mesh of nilearn is used by default, so that nothing is
    downloaded. Parcels in the depth are better seen on slices.

    Parameters
    ----------
    values : array-like of shape (n_parcels,)
        A number a parcel, by ascending label of the image; NaN is not drawn.
    labels_img : Niimg-like or None, default=None
        The atlas: image or path of one. A vertex belongs to the label most frequent between its
        place on the white matter and on the pial surface; where there is none, to that of the
        nearest vertex with one within 5 mm, as atlases leave gaps in the sulci.
    mesh : mapping or None, default=None
        What :func:`nilearn.datasets.load_fsaverage` returns; None takes the fsaverage5 that
        nilearn brings along, with its sulci below.
    parcel_coords : array-like of shape (n_parcels, 3) or None, default=None
        Instead of `labels_img`: centres in MNI mm. A vertex belongs to the nearest centre of its
        hemisphere within 20 mm.
    significant : bool array-like of shape (n_parcels,) or None, default=None
        Parcels that are drawn in full colour, with an outline; the others are pale. None draws all
        in full, without outlines.
    title : str or None, default=None
        What is shown.
    unit : str, default=""
        Name and unit of the values, for the colour bar.
    limits : tuple of float or None, default=None
        As in :func:`plot_parcels_on_glass_brain`, as are the colours.
    figure : :class:`matplotlib.figure.Figure` or None, default=None
        An empty one to draw on; None makes one.

    Returns
    -------
    :class:`matplotlib.figure.Figure`
        What was drawn on: four views, and a colour bar, have no single axes.

    Raises
    ------
    ValueError
        If not one of `labels_img` and `parcel_coords` is given, it does not fit the values, or the
        mesh lacks a surface.

    See Also
    --------
    plot_parcels_on_slices : Shows parcels in the depth, too.
    plot_parcels_on_glass_brain : Draws a marker a parcel.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_parcels_on_surface
    >>> figure = plot_parcels_on_surface(
    ...     [0.3, 0.5], parcel_coords=[[-40, -20, 50], [40, -20, 50]], unit="R2 (no unit)"
    ... )
    >>> len(figure.axes)
    5
    >>> plt.close(figure)
    """
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    found = read_parcel_map(values, significant, unit, limits)
    if (labels_img is None) == (parcel_coords is None):
        raise ValueError("Give one of labels_img and parcel_coords, and not both.")
    background = None
    if mesh is None:
        mesh = load_fsaverage("fsaverage5")
        background = load_fsaverage_data("fsaverage5", "inflated", "sulcal")
    missing = [name for name in _SURFACES if name not in mesh]
    if missing:
        raise ValueError(
            f"mesh lacks {', '.join(missing)}; expected what nilearn.datasets.load_fsaverage "
            "returns."
        )
    if labels_img is not None:
        image, positions = check_labels_img(labels_img, len(found.values))
        owners = {half: _sample_labels(image, positions, mesh, half) for half in ("left", "right")}
    else:
        coords = np.array(parcel_coords, dtype=float)
        if coords.shape != (len(found.values), 3) or not np.isfinite(coords).all():
            raise ValueError(
                f"parcel_coords have shape {coords.shape}; expected ({len(found.values)}, 3), "
                "finite MNI mm of each parcel."
            )
        owners = {half: _nearest_parcels(coords, mesh, half) for half in ("left", "right")}
    return _draw_views(found, owners, mesh["inflated"], background, title, figure)


def _draw_views(found, owners, inflated, background, title, figure):
    """Draw both hemispheres from both sides, and the colour bar."""
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap
    from nilearn.plotting import plot_surf_stat_map
    from nilearn.surface import SurfaceImage

    figure = plt.figure(figsize=(8.0, 5.6)) if figure is None else figure
    # Maps in one, pale from 0 to 1, full from 1 to 2 and black above: a surface has one opacity.
    full = found.cmap(np.linspace(0, 1, 256))
    pale = np.column_stack([PALE * full[:, :3] + (1 - PALE) * 0.93, full[:, 3]])
    place = np.clip(found.norm(found.values).filled(np.nan), 1e-3, 1 - 1e-3) + found.significant
    place = np.append(place, np.nan)  # of position -1, which no parcel has
    inside = np.append(found.significant & np.isfinite(found.values), False)
    if found.significant.all():
        inside[:] = False  # nothing to set them off from
    parts = {}
    for half, owner in owners.items():
        parts[half] = place[owner]
        parts[half][_outline(inside[owner], inflated.parts[half].faces)] = 2.5
    painted = SurfaceImage(inflated, parts)
    black = np.tile([0.0, 0.0, 0.0, 1.0], (256, 1))
    for row, view in enumerate(_VIEWS):
        for column, half in enumerate(("left", "right")):
            box = (0.43 * column, 0.45 * (1 - row), 0.43, 0.47)
            axes = figure.add_axes(box, projection="3d")
            plot_surf_stat_map(
                inflated,
                painted,
                bg_map=background,
                hemi=half,
                view=view,
                cmap=ListedColormap(np.concatenate([pale, full, black])),
                vmin=0,
                vmax=3,
                symmetric_cbar=False,
                threshold=None,
                # Of three vertices the median is one of them: no face has a colour in between.
                avg_method="median",
                colorbar=False,
                axes=axes,
                figure=figure,
            )
            axes.set_title(f"{half}, {view}", y=0.94, fontsize="small")
    found.draw_colour_bar(figure.add_axes((0.88, 0.2, 0.02, 0.55)))
    if title is not None:
        figure.suptitle(title)
    return figure


def _sample_labels(image, positions, mesh, half):
    """Return the position of the parcel of each vertex of a hemisphere, -1 where it has none."""
    from nilearn.image import new_img_like
    from nilearn.surface import vol_to_surf
    from scipy.spatial import KDTree

    sampled = vol_to_surf(
        new_img_like(image, (positions + 1).astype(np.float32)),
        mesh["pial"].parts[half],
        inner_mesh=mesh["white_matter"].parts[half],
        interpolation="nearest_most_frequent",
    )
    owner = np.nan_to_num(sampled).astype(int) - 1
    vertices = mesh["pial"].parts[half].coordinates
    known = np.flatnonzero(owner >= 0)
    if len(known) == 0:
        return owner
    distance, nearest = KDTree(vertices[known]).query(vertices)
    return np.where(distance <= _GAP, owner[known[nearest]], -1)


def _nearest_parcels(coords, mesh, half):
    """Return the position of the nearest parcel of each vertex, -1 where none is near."""
    from scipy.spatial import KDTree

    own = np.flatnonzero(coords[:, 0] <= 0 if half == "left" else coords[:, 0] >= 0)
    vertices = mesh["pial"].parts[half].coordinates
    if len(own) == 0:
        return np.full(len(vertices), -1)
    distance, nearest = KDTree(coords[own]).query(vertices)
    return np.where(distance <= _REACH, own[nearest], -1)


def _outline(inside, faces):
    """Return which vertices inside share a face with one outside.

    In a grey print a light colour and a pale one are alike.
    """
    corners = inside[faces]
    mixed = corners.any(axis=1) & ~corners.all(axis=1)
    on_border = np.zeros(len(inside), dtype=bool)
    on_border[faces[mixed]] = True
    return on_border & inside
