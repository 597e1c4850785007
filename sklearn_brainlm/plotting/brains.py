"""Values of parcels in the volume: on the glass brain and on slices."""

import numpy as np

from sklearn_brainlm.plotting._parcel_maps import (
    PALE,
    check_labels_img,
    read_parcel_map,
    split_axes,
)

__all__ = ["plot_parcels_on_glass_brain", "plot_parcels_on_slices"]

_LARGE, _SMALL = 55, 14  # square points, of 300 parcels in a figure of our own


def plot_parcels_on_glass_brain(
    values,
    parcel_coords,
    *,
    significant=None,
    title=None,
    unit="",
    limits=None,
    display_mode="ortho",
    axes=None,
):
    """Draw a marker a parcel in a glass brain, coloured by its value.

    For maps such as attention (section 4.4 of the article) where the coordinates of parcels are at
    hand and an image of the atlas is not.

    Parameters
    ----------
    values : array-like of shape (n_parcels,)
        A number a parcel; NaN is not drawn.
    parcel_coords : array-like of shape (n_parcels, 3)
        Their centres in MNI mm.
    significant : bool array-like of shape (n_parcels,) or None, default=None
        Parcels that are drawn large and with an edge; the others are small and pale. None draws
        all of them large.
    title : str or None, default=None
        What is shown.
    unit : str, default=""
        Name and unit of the values, for the colour bar.
    limits : tuple of float or None, default=None
        Values at the ends of the colour map, to give several figures the same; None takes the
        range of the values, symmetric about 0 where one is below 0.
    display_mode : str, default="ortho"
        Views, as in :func:`nilearn.plotting.plot_glass_brain`.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    nilearn display
        What nilearn draws on, several views: it has no single axes. Its ``close`` closes the
        figure.

    Raises
    ------
    ValueError
        If there are not three coordinates for each value.

    See Also
    --------
    plot_parcels_on_slices : Paints the parcels themselves.
    plot_parcels_on_surface : Paints the cortex.

    Notes
    -----
    With values below 0, dark blue is below, grey is 0 and light yellow is above: of the diverging
    maps, this one also says the sign in a grey print, and to every kind of colour vision. Without,
    darker is more.

    Examples
    --------
    >>> from sklearn_brainlm.plotting import plot_parcels_on_glass_brain
    >>> display = plot_parcels_on_glass_brain(
    ...     [2.5, -0.4], [[-40, -20, 50], [40, -20, 50]], significant=[True, False], unit="t"
    ... )
    >>> display.close()
    """
    from nilearn.plotting import plot_glass_brain

    found = read_parcel_map(values, significant, unit, limits)
    coords = np.array(parcel_coords, dtype=float)
    if coords.shape != (len(found.values), 3) or not np.isfinite(coords).all():
        raise ValueError(
            f"parcel_coords have shape {coords.shape}; expected ({len(found.values)}, 3), finite "
            "MNI mm of each parcel."
        )
    brain, bar = split_axes(axes, (9.0, 3.2))
    inches = brain.get_position().width * brain.figure.get_figwidth()
    scale = min(1, 300 / len(coords)) * (inches / 7.7) ** 2
    display = plot_glass_brain(None, display_mode=display_mode, axes=brain, colorbar=False)
    # The strongest last, on top of the others.
    order = np.argsort(np.abs(found.values), kind="stable")
    order = order[np.isfinite(found.values[order])]
    styles = (
        (False, _SMALL, {"alpha": PALE, "linewidths": 0}),
        (True, _LARGE, {"alpha": 0.9, "linewidths": 0.6, "edgecolors": "black"}),
    )
    for is_significant, size, style in styles:
        own = order[found.significant[order] == is_significant]
        if len(own):
            colours = found.cmap(found.norm(found.values[own]))
            display.add_markers(
                coords[own], marker_color=colours, marker_size=scale * size, **style
            )
    found.draw_colour_bar(bar)
    if title is not None:
        brain.set_title(title)
    return display


def plot_parcels_on_slices(
    values,
    labels_img,
    *,
    significant=None,
    title=None,
    unit="",
    limits=None,
    display_mode="ortho",
    cut_coords=None,
    axes=None,
):
    """Paint the parcels of a label image with their values, on slices through a brain.

    It shows parcels in the depth, which a surface does not, and where each of them ends: no value
    is blended with that of a neighbour.

    Parameters
    ----------
    values : array-like of shape (n_parcels,)
        A number a parcel, by ascending label, as maskers return them; NaN is not drawn.
    labels_img : Niimg-like
        The atlas: image or path of one. 0 is no parcel.
    significant : bool array-like of shape (n_parcels,) or None, default=None
        Parcels that are opaque and have an outline; the others are pale. None draws all opaque,
        without outlines.
    title : str or None, default=None
        What is shown.
    unit : str, default=""
        Name and unit of the values, for the colour bar.
    limits : tuple of float or None, default=None
        As in :func:`plot_parcels_on_glass_brain`, as are the colours.
    display_mode : str, default="ortho"
        Slices, as in :func:`nilearn.plotting.plot_stat_map`.
    cut_coords : sequence of float, int or None, default=None
        Where to cut, in MNI mm, as there; None cuts where the strongest parcel is.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    nilearn display
        What nilearn draws on, several slices: it has no single axes. Its ``close`` closes the
        figure.

    Raises
    ------
    ValueError
        If the image has more or fewer labels than there are values.

    See Also
    --------
    plot_parcels_on_glass_brain : Needs coordinates only.
    plot_parcels_on_surface : Paints the cortex.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_brainlm.plotting import plot_parcels_on_slices
    >>> labels = np.zeros((10, 10, 10), dtype=np.int16)
    >>> labels[2:5, 4:7, 4:7], labels[6:9, 4:7, 4:7] = 1, 2
    >>> affine = np.diag([10.0, 10, 10, 1])
    >>> affine[:3, 3] = -50
    >>> display = plot_parcels_on_slices([0.2, 0.4], nibabel.Nifti1Image(labels, affine))
    >>> display.close()
    """
    from nilearn.image import new_img_like
    from nilearn.plotting import plot_stat_map

    found = read_parcel_map(values, significant, unit, limits)
    image, positions = check_labels_img(labels_img, len(found.values))
    # The last entry is that of position -1, outside every parcel.
    drawn = np.append(np.isfinite(found.values), False)
    opacity = np.where(np.append(found.significant, False), 1.0, PALE) * drawn
    painted = np.append(np.nan_to_num(found.values), 0.0)
    if cut_coords is None and display_mode == "ortho":
        cut_coords = _centre_of_strongest(np.where(drawn, np.abs(painted), -1), positions, image)
    brain, bar = split_axes(axes, (9.0, 3.4))
    display = plot_stat_map(
        new_img_like(image, painted[positions]),
        axes=brain,
        cmap=found.cmap,
        vmin=found.norm.vmin,
        vmax=found.norm.vmax,
        symmetric_cbar=False,
        threshold=None,  # 0 is a value like others; what is outside is transparent
        transparency=new_img_like(image, opacity[positions]),
        resampling_interpolation="nearest",
        display_mode=display_mode,
        cut_coords=cut_coords,
        draw_cross=False,
        colorbar=False,
        black_bg=False,
    )
    if significant is not None and found.significant.any():
        inside = np.append(found.significant, False)[positions].astype(np.float32)
        display.add_contours(new_img_like(image, inside), levels=[0.5], colors="black",
                             linewidths=0.8)  # fmt: skip
    found.draw_colour_bar(bar)
    if title is not None:
        brain.set_title(title)
    return display


def _centre_of_strongest(strengths, positions, image):
    """Return the voxel of the strongest parcel that is nearest to its centre, in MNI mm."""
    voxels = np.argwhere(positions == np.argmax(strengths[:-1]))
    nearest = np.argmin(np.linalg.norm(voxels - voxels.mean(axis=0), axis=1))
    return tuple(float(mm) for mm in (image.affine @ np.append(voxels[nearest], 1))[:3])
