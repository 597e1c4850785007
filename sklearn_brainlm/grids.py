"""How the values of a window are laid out in tokens."""

from dataclasses import dataclass

import numpy as np

from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.masking import mask_to_bool
from sklearn_brainlm.recordings import n_columns, pad_to_patches

__all__ = ["ImageGrid", "TokenGrid", "order_along_y"]


def order_along_y(parcel_coords):
    """Order parcels as the rows of patches of several take them: ascending MNI Y.

    Parameters
    ----------
    parcel_coords : array of shape (P, 3) or None
        MNI coordinates of the parcels in millimetres.

    Returns
    -------
    order : int64 array of shape (P,) or None
        Parcels from the first to the last, ties as they come, as in the released image models;
        None without coordinates.
    """
    if parcel_coords is None:
        return None
    return np.argsort(np.asarray(parcel_coords)[:, 1], kind="stable")


@dataclass(frozen=True, eq=False)
class TokenGrid:
    """Rows of parcels by columns of timepoints; a last row or column may not be full.

    Attributes
    ----------
    n_parcels : int
        Parcels P of a window.
    patch_length : int
        Timepoints L of a patch.
    parcels_per_patch : int, default=1
        Parcels of a patch.
    parcel_order : int array of shape (P,), optional
        The order in which parcels are grouped into rows; as they come when None.

    Examples
    --------
    >>> grid = TokenGrid(n_parcels=5, patch_length=10, parcels_per_patch=2)
    >>> grid.n_rows, grid.n_columns(25), grid.n_tokens(25)
    (3, 3, 9)
    """

    n_parcels: int
    patch_length: int
    parcels_per_patch: int = 1
    parcel_order: np.ndarray | None = None

    @property
    def n_rows(self):
        """Number of token rows R."""
        return n_columns(self.n_parcels, self.parcels_per_patch)

    @property
    def order(self):
        """Parcels in the order in which rows take them, (P,)."""
        return np.arange(self.n_parcels) if self.parcel_order is None else self.parcel_order

    def n_columns(self, n_timepoints):
        """Count the patch columns of a window.

        Parameters
        ----------
        n_timepoints : int
            Timepoints T of the window.

        Returns
        -------
        n_columns : int
            Patch columns C.
        """
        return n_columns(n_timepoints, self.patch_length)

    def n_tokens(self, n_timepoints):
        """Count the tokens of a window.

        Parameters
        ----------
        n_timepoints : int
            Timepoints T of the window.

        Returns
        -------
        n_tokens : int
            ``R * C``.
        """
        return self.n_rows * self.n_columns(n_timepoints)

    def pad(self, window):
        """Fill a window up to what the network takes.

        Parameters
        ----------
        window : array of shape (T, P)
            A scaled window.

        Returns
        -------
        padded : array of shape (T_padded, P)
            The window, filled up to whole patch columns with zeros at its end.
        observed : bool array of shape (T_padded,)
            False where it was filled up.
        """
        return pad_to_patches(window, self.patch_length)

    def spread(self, ids, n_timepoints):
        """Mark the values that tokens hold.

        Parameters
        ----------
        ids : int64 array of shape (B, M)
            Tokens.
        n_timepoints : int
            Timepoints T of the windows.

        Returns
        -------
        held : bool array of shape (B, T, P)
            True for the values of these tokens.
        """
        tokens = mask_to_bool(ids, self.n_tokens(n_timepoints))
        tokens = tokens.reshape(len(ids), self.n_rows, -1)  # (B, R, C)
        held = tokens[:, self._row_of_parcel()][:, :, self._column_of_timepoint(n_timepoints)]
        return held.transpose(0, 2, 1)

    def touched(self, missing):
        """Find the tokens that missing values touch.

        Parameters
        ----------
        missing : bool array of shape (T, P)
            True where a value is missing.

        Returns
        -------
        touched : bool array of shape (R * C,)
            True for tokens that cannot be shown.
        """
        touched = np.zeros((self.n_rows, self.n_columns(len(missing))), dtype=bool)
        timepoints, parcels = np.nonzero(missing)
        rows = self._row_of_parcel()[parcels]
        touched[rows, self._column_of_timepoint(len(missing))[timepoints]] = True
        return touched.ravel()

    def hide(self, censored, n_windows):
        """Hide the tokens that censored timepoints touch, in all parcels.

        Parameters
        ----------
        censored : bool array of shape (T,)
            True for timepoints that are not to be seen.
        n_windows : int
            Windows of which they are hidden.

        Returns
        -------
        ids_keep, ids_mask : int64 arrays of shape (n_windows, K), (n_windows, M)
            Tokens to show, perhaps none, and tokens to predict.
        """
        touched = self.touched(np.broadcast_to(censored[:, None], (len(censored), self.n_parcels)))
        ids_keep, ids_mask = np.flatnonzero(~touched), np.flatnonzero(touched)
        return np.tile(ids_keep, (n_windows, 1)), np.tile(ids_mask, (n_windows, 1))

    def count_values(self, ids, observed):
        """Count the recorded values that tokens hold.

        Parameters
        ----------
        ids : int64 array of shape (B, M)
            Tokens.
        observed : bool array of shape (B, T)
            False for timepoints that only fill the last patch up.

        Returns
        -------
        n_values : float32 array of shape (B,)
            Values a window, padding not counted.
        """
        n_timepoints = observed.shape[1]
        parcels = np.bincount(self._row_of_parcel(), minlength=self.n_rows)  # (R,)
        column = self._column_of_timepoint(n_timepoints)
        belongs = column[:, None] == np.arange(self.n_columns(n_timepoints))  # (T, C)
        timepoints = observed.astype(np.int64) @ belongs  # (B, C)
        values = (parcels[:, None] * timepoints[:, None]).reshape(len(ids), -1)  # (B, N)
        return np.take_along_axis(values, ids, axis=1).sum(axis=1).astype(np.float32)

    def _row_of_parcel(self):
        """Return the row of each parcel, (P,)."""
        return np.argsort(self.order) // self.parcels_per_patch

    def _column_of_timepoint(self, n_timepoints):
        """Return the column of each timepoint, (T,)."""
        return np.arange(n_timepoints) // self.patch_length


@dataclass(frozen=True, eq=False)
class ImageGrid(TokenGrid):
    """Square image of patches with the window in its centre, as the released ViT models have it.

    Attributes
    ----------
    image_size : tuple of int, default=(432, 432)
        Parcels and timepoints of the image, margins included: multiples of the patch.
    window_length : int, default=200
        Timepoints of a window, the only length there is.

    Examples
    --------
    >>> grid = ImageGrid(n_parcels=424, patch_length=16, parcels_per_patch=16)
    >>> grid.n_rows, grid.n_columns(200)
    (27, 27)
    """

    image_size: tuple = (432, 432)
    window_length: int = 200

    @property
    def n_rows(self):
        """Number of token rows R, margins included."""
        return self.image_size[0] // self.parcels_per_patch

    def n_columns(self, n_timepoints):
        """Count the patch columns of the image.

        Parameters
        ----------
        n_timepoints : int
            Timepoints of a window, which do not matter.

        Returns
        -------
        n_columns : int
            Patch columns C, margins included.
        """
        return self.image_size[1] // self.patch_length

    def pad(self, window):
        """Check the length of a window; the network makes the margins.

        Parameters
        ----------
        window : array of shape (T, P)
            A scaled window.

        Returns
        -------
        window : array of shape (T, P)
            The window as it is.
        observed : bool array of shape (T,)
            True everywhere.

        Raises
        ------
        InvalidRecordingError
            If the window is not of the length that the image is for.
        """
        if len(window) != self.window_length:
            raise InvalidRecordingError(
                f"A window has {len(window)} timepoints and these weights take windows of exactly "
                f"{self.window_length}: recordings must be at least as long."
            )
        return window, np.ones(len(window), dtype=bool)

    def _row_of_parcel(self):
        margin = (self.image_size[0] - self.n_parcels) // 2
        return (np.argsort(self.order) + margin) // self.parcels_per_patch

    def _column_of_timepoint(self, n_timepoints):
        margin = (self.image_size[1] - n_timepoints) // 2
        return (np.arange(n_timepoints) + margin) // self.patch_length
