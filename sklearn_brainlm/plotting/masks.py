"""What a model saw of a window, and what it did not."""

from numbers import Integral

import numpy as np

from sklearn_brainlm.plotting._frames import REFERENCE, new_axes, time_axis

__all__ = ["plot_mask"]

_MASKED, _VISIBLE = "#404040", "white"


def plot_mask(masked, *, t_r=None, patch_length=None, axes=None):
    """Draw which values of a window are masked, parcels down and time across.

    It shows what a `masking` hides from the model: patches here and there or the last ones in time,
    as in section 3.2 of the article, or other shapes.

    Parameters
    ----------
    masked : bool array of shape (n_timepoints, n_parcels)
        True where the model does not see the value.
    t_r : float or None, default=None
        Seconds between timepoints; None counts timepoints.
    patch_length : int or None, default=None
        Timepoints of a patch; a thin line is drawn where each begins. None draws none.
    axes : :class:`matplotlib.axes.Axes` or None, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    :class:`matplotlib.axes.Axes`
        What was drawn on. Its title says which part is masked.

    Raises
    ------
    ValueError
        If `masked` is not two-dimensional or holds other values than True and False, or a patch is
        longer than the window.

    See Also
    --------
    plot_reconstruction : Draws what was predicted there.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib import pyplot as plt
    >>> from sklearn_brainlm.plotting import plot_mask
    >>> patches = np.random.default_rng(0).permuted(np.arange(40) % 4 > 0).reshape(4, 10)
    >>> axes = plot_mask(np.repeat(patches, 20, axis=0), t_r=0.72, patch_length=20)
    >>> axes.get_title(loc="left")
    '75% masked'
    >>> plt.close(axes.figure)
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    masked = np.asarray(masked)
    if masked.ndim != 2 or 0 in masked.shape:
        raise ValueError(
            f"masked has shape {masked.shape}; expected (n_timepoints, n_parcels), neither 0."
        )
    if not np.isin(masked, (0, 1)).all():
        raise ValueError("masked holds other values than True and False.")
    n_timepoints, n_parcels = masked.shape
    if patch_length is not None and (
        not isinstance(patch_length, Integral) or not 1 <= patch_length <= n_timepoints
    ):
        raise ValueError(
            f"patch_length={patch_length!r}; expected an integer from 1 to {n_timepoints}, the "
            "timepoints of the window."
        )
    step, xlabel = time_axis(t_r)
    axes = new_axes((7.0, 3.6)) if axes is None else axes

    # Edges half a timepoint before the first and after the last, as values are at its middle.
    axes.imshow(
        masked.T.astype(bool),
        cmap=ListedColormap([_VISIBLE, _MASKED]),
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(-step / 2, step * (n_timepoints - 0.5), n_parcels - 0.5, -0.5),
    )
    handles = [
        Patch(facecolor=_MASKED, edgecolor=REFERENCE, label="masked"),
        Patch(facecolor=_VISIBLE, edgecolor=REFERENCE, label="visible"),
    ]
    if patch_length is not None:
        for first in range(patch_length, n_timepoints, patch_length):
            axes.axvline(step * (first - 0.5), color=REFERENCE, linewidth=0.6)
        xlabel += f"; lines bound patches of {patch_length} timepoints"
    axes.set(xlabel=xlabel, ylabel="Parcel (number)")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"{100 * masked.mean():.3g}% masked", loc="left")
    axes.legend(
        handles=handles, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), frameon=False,
        borderaxespad=0.2,
    )  # fmt: skip
    return axes
