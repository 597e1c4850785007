"""What maps of parcels share, on glass brains, slices and surfaces."""

from dataclasses import dataclass

import numpy as np

__all__ = ["PALE", "ParcelMap", "check_labels_img", "read_parcel_map", "split_axes"]

PALE = 0.3  # opacity of parcels that are not significant
_DIVERGING, _SEQUENTIAL = "cividis", "YlOrBr"


@dataclass(frozen=True, eq=False)
class ParcelMap:
    r"""Checked values of parcels and their colours.

    Attributes
    ----------
    values : float64 array of shape (n_parcels,)
        NaN is not drawn.
    significant : bool array of shape (n_parcels,)
        All True when nothing was said.
    cmap : :class:`matplotlib.colors.Colormap`
        Lightness falls or rises along all of it.
    norm : :class:`matplotlib.colors.Normalize`
        From values to the colour map.
    label : str
        For the colour bar.

    Examples
    --------
    >>> found = read_parcel_map([-1.0, 0.5], [True, False], "t", None)
    >>> found.norm.vmin, found.norm.vmax, found.label
    (-1.0, 1.0, 't\npale: not significant')
    """

    values: np.ndarray
    significant: np.ndarray
    cmap: object
    norm: object
    label: str

    def draw_colour_bar(self, axes):
        """Fill axes with the colour bar.

        Parameters
        ----------
        axes : :class:`matplotlib.axes.Axes`
            Narrow ones.
        """
        from matplotlib.cm import ScalarMappable

        axes.figure.colorbar(ScalarMappable(self.norm, self.cmap), cax=axes, label=self.label)


def read_parcel_map(values, significant, unit, limits):
    """Check values of parcels and choose their colours.

    Parameters
    ----------
    values : array-like of shape (n_parcels,)
        A number a parcel.
    significant : bool array-like of shape (n_parcels,) or None
        Which are significant.
    unit : str
        Name and unit of the values.
    limits : tuple of float or None
        Values at the ends of the colour map.

    Returns
    -------
    parcel_map : ParcelMap
        Limits symmetric about 0 where a value is below 0.

    Raises
    ------
    ValueError
        If there is no finite value, or shapes differ.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    values = np.array(values, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).any():
        raise ValueError(
            f"values have shape {values.shape}; expected (n_parcels,), with a finite one at least."
        )
    label = unit or "Value (no unit)"
    if significant is None:
        significant = np.ones(len(values), dtype=bool)
    else:
        significant = np.array(significant)
        if significant.shape != values.shape or not np.isin(significant, (0, 1)).all():
            raise ValueError(
                f"significant has shape {significant.shape} and dtype {significant.dtype}; "
                f"expected True or False for each of {len(values)} parcels."
            )
        significant = significant.astype(bool)
        label += "\npale: not significant"
    low, high = np.nanmin(values), np.nanmax(values)
    diverging = low < 0
    if limits is not None:
        low, high = map(float, limits)
        if not low < high:
            raise ValueError(f"limits={limits!r}; expected two numbers, the lower one first.")
    elif diverging:
        low, high = -np.nanmax(np.abs(values)), np.nanmax(np.abs(values))
    elif low == high:
        low, high = (0.0, high) if high > 0 else (0.0, 1.0)
    cmap = colormaps[_DIVERGING if diverging else _SEQUENTIAL]
    return ParcelMap(values, significant, cmap, Normalize(low, high), label)


def check_labels_img(labels_img, n_parcels):
    """Load a label image and compare its labels with the values.

    Parameters
    ----------
    labels_img : Niimg-like
        Image or path of one; 0 is no parcel.
    n_parcels : int
        Number of values.

    Returns
    -------
    image : :class:`nibabel.nifti1.Nifti1Image`
        The image.
    positions : int array, the shape of the image
        Which value each voxel has, by ascending label; -1 where it has none.

    Raises
    ------
    ValueError
        If there are more or fewer labels than values.
    """
    from nilearn.image import load_img

    image = load_img(labels_img)
    numbers = np.asarray(image.dataobj)
    if numbers.ndim == 4 and numbers.shape[3] == 1:
        numbers = numbers[..., 0]
        image = image.slicer[..., 0]
    found, positions = np.unique(numbers, return_inverse=True)
    rank = np.full(len(found), -1)
    rank[found != 0] = np.arange(np.sum(found != 0))
    if numbers.ndim != 3 or rank.max() + 1 != n_parcels:
        raise ValueError(
            f"labels_img has shape {numbers.shape} and {rank.max() + 1} labels; expected three "
            f"dimensions and {n_parcels} labels, one for each value."
        )
    return image, rank[positions].reshape(numbers.shape)


def split_axes(axes, figsize):
    """Make axes for a brain and for its colour bar, in a new figure or in place of `axes`.

    Parameters
    ----------
    axes : :class:`matplotlib.axes.Axes` or None
        What was given; it is left empty.
    figsize : tuple of float
        Inches of a new figure.

    Returns
    -------
    brain, bar : :class:`matplotlib.axes.Axes`
        Side by side.
    """
    if axes is None:
        from matplotlib import pyplot as plt

        figure, left, bottom, width, height = plt.figure(figsize=figsize), 0.0, 0.0, 1.0, 1.0
    else:
        figure, (left, bottom, width, height) = axes.figure, axes.get_position().bounds
        axes.set_axis_off()
    brain = figure.add_axes((left, bottom, 0.86 * width, 0.9 * height))
    bar = figure.add_axes(
        (left + 0.88 * width, bottom + 0.15 * height, 0.018 * width, 0.65 * height)
    )
    return brain, bar
