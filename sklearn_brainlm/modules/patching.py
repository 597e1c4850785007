"""Windows to patches and back."""

import torch
from torch.nn import functional as F


def patchify(signals, patch_length, parcels_per_patch=1):
    """Cut windows into patches, one a token.

    Parameters
    ----------
    signals : tensor of shape (B, P, T)
        Windows. Zeros fill the last row and the last column of patches where they are not full.
    patch_length : int
        Timepoints in a patch.
    parcels_per_patch : int, default=1
        Consecutive parcels in a patch.

    Returns
    -------
    patches : tensor of shape (B, N, parcels_per_patch * patch_length)
        Patches, parcel-major; the values of a patch are parcel-major too.

    Examples
    --------
    >>> patchify(torch.arange(6.0).reshape(1, 2, 3), patch_length=2)
    tensor([[[0., 1.],
             [2., 0.],
             [3., 4.],
             [5., 0.]]])
    """
    n_windows, n_parcels, n_timepoints = signals.shape
    pad_parcels, pad_timepoints = -n_parcels % parcels_per_patch, -n_timepoints % patch_length
    if pad_parcels or pad_timepoints:
        signals = F.pad(signals, (0, pad_timepoints, 0, pad_parcels))
    n_rows, n_columns = grid_shape(n_parcels, n_timepoints, patch_length, parcels_per_patch)
    grid = signals.reshape(n_windows, n_rows, parcels_per_patch, n_columns, patch_length)
    return grid.transpose(2, 3).reshape(
        n_windows, n_rows * n_columns, parcels_per_patch * patch_length
    )


def unpatchify(patches, n_parcels, n_timepoints, patch_length, parcels_per_patch=1):
    """Join patches into windows, the inverse of :func:`patchify`.

    Parameters
    ----------
    patches : tensor of shape (B, N, parcels_per_patch * patch_length)
        All the patches of each window.
    n_parcels, n_timepoints : int
        Size of the windows; what fills the last row and column of patches is cut off.
    patch_length : int
        Timepoints in a patch.
    parcels_per_patch : int, default=1
        Consecutive parcels in a patch.

    Returns
    -------
    signals : tensor of shape (B, P, T)
        Windows.
    """
    n_rows, n_columns = grid_shape(n_parcels, n_timepoints, patch_length, parcels_per_patch)
    grid = patches.reshape(len(patches), n_rows, n_columns, parcels_per_patch, patch_length)
    signals = grid.transpose(2, 3).reshape(
        len(patches), n_rows * parcels_per_patch, n_columns * patch_length
    )
    return signals[:, :n_parcels, :n_timepoints]


def grid_shape(n_parcels, n_timepoints, patch_length, parcels_per_patch=1):
    """Count the token rows and patch columns of a window.

    Parameters
    ----------
    n_parcels, n_timepoints : int
        Size of a window.
    patch_length : int
        Timepoints in a patch.
    parcels_per_patch : int, default=1
        Parcels in a patch.

    Returns
    -------
    n_rows, n_columns : int
        Both rounded up.
    """
    return -(-n_parcels // parcels_per_patch), -(-n_timepoints // patch_length)


def row_means(values, parcels_per_patch, parcel_order=None):
    """Average what belongs to parcels over the parcels of each token row.

    Parameters
    ----------
    values : array of shape (P, ...)
        One value, or array, a parcel.
    parcels_per_patch : int
        Parcels in a patch.
    parcel_order : int64 tensor of shape (P,), optional
        The order in which parcels are grouped into rows; as they come when None.

    Returns
    -------
    means : float32 tensor of shape (R, ...)
        The last row may have fewer parcels.
    """
    values = torch.as_tensor(values, dtype=torch.float32)
    if parcel_order is not None:
        values = values[parcel_order]
    return torch.stack([row.mean(0) for row in values.split(parcels_per_patch)])


def row_coords(parcel_coords, n_parcels, parcels_per_patch, parcel_order=None):
    """Average the coordinates of the parcels of each token row.

    Parameters
    ----------
    parcel_coords : array of shape (P, 3) or None
        Coordinates.
    n_parcels : int
        Parcels there should be.
    parcels_per_patch : int
        Parcels in a patch.
    parcel_order : int64 tensor of shape (P,), optional
        The order in which parcels are grouped into rows.

    Returns
    -------
    coords : float32 tensor of shape (R, 3) or None
        None for None.

    Raises
    ------
    ValueError
        If the coordinates are not those of `n_parcels` parcels.
    """
    if parcel_coords is None:
        return None
    shape = tuple(torch.as_tensor(parcel_coords).shape)
    if shape != (n_parcels, 3):
        raise ValueError(f"parcel_coords has shape {shape}, expected ({n_parcels}, 3).")
    return row_means(parcel_coords, parcels_per_patch, parcel_order)


def row_similarity(parcel_similarity, parcels_per_patch, parcel_order=None):
    """Average the similarities of all pairs of parcels of each pair of token rows.

    Parameters
    ----------
    parcel_similarity : array of shape (P, P) or None
        Similarities.
    parcels_per_patch : int
        Parcels in a patch.
    parcel_order : int64 tensor of shape (P,), optional
        The order in which parcels are grouped into rows.

    Returns
    -------
    similarity : float32 tensor of shape (R, R) or None
        None for None.
    """
    if parcel_similarity is None:
        return None
    similarity = row_means(parcel_similarity, parcels_per_patch, parcel_order).T
    return row_means(similarity, parcels_per_patch, parcel_order).T
