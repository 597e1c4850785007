"""What is said about parcels beside their signals: names and coordinates."""

import numpy as np

from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError

__all__ = ["check_parcel_coords", "check_parcel_names", "is_frame"]


def check_parcel_coords(parcel_coords, n_parcels=None):
    """Check the MNI coordinates of the parcels.

    Parameters
    ----------
    parcel_coords : array of shape (n_parcels, 3)
        Centre of each parcel in MNI millimetres.
    n_parcels : int or None, default=None
        Number of parcels of the recordings.

    Returns
    -------
    parcel_coords : ndarray of float64 of shape (n_parcels, 3)
        The coordinates.

    Raises
    ------
    InvalidRecordingError
        They are not n_parcels rows of three finite numbers.
    """
    try:
        coords = np.array(parcel_coords, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidRecordingError(
            f"parcel_coords must be numbers, one row (x, y, z) in MNI mm a parcel: {error}"
        ) from error
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise InvalidRecordingError(
            f"parcel_coords has shape {coords.shape}; expected (n_parcels, 3): x, y, z in MNI mm."
        )
    if n_parcels is not None and len(coords) != n_parcels:
        raise InvalidRecordingError(
            f"parcel_coords has {len(coords)} rows, but recordings have {n_parcels} parcels. Give "
            "one row a column of the recordings, in the same order."
        )
    if not np.isfinite(coords).all():
        row = int(np.flatnonzero(~np.isfinite(coords).all(axis=1))[0])
        raise InvalidRecordingError(
            f"parcel_coords is not finite at parcel {row}: {coords[row].tolist()}."
        )
    return coords


def check_parcel_names(X, expected=None):
    """Read the parcel names of X, and compare them with those seen in fit.

    Parameters
    ----------
    X : recordings as in check_recordings
        Only pandas and polars DataFrames carry names.
    expected : array of str of shape (n_parcels,) or None, default=None
        Names that recordings with names must have, in this order.

    Returns
    -------
    names : ndarray of object of shape (n_parcels,) or None
        Names of the parcels; None when X carries none, or names that are not all strings.

    Raises
    ------
    AtlasMismatchError
        Two recordings, or X and `expected`, name their parcels differently or in another order.
    """
    names, whose = expected, "the recordings given to fit"
    found = None
    for index, frame in enumerate([X] if is_frame(X) else X):
        columns = list(frame.columns) if is_frame(frame) else []
        if not columns or not all(isinstance(column, str) for column in columns):
            continue
        found = np.array(columns, dtype=object)
        if names is None:
            names, whose = found, f"recording {index}"
        elif len(found) == len(names) and not np.array_equal(found, names):
            column = int(np.flatnonzero(found != names)[0])
            same = "the parcel order differs" if set(found) == set(names) else "parcel names differ"
            raise AtlasMismatchError(
                f"recording {index}: {same}. Column {column} is {found[column]!r}, in {whose} it "
                f"is {names[column]!r}. Extract all recordings with one atlas, or reorder columns."
            )
    return None if found is None else names


def is_frame(thing):
    """Tell whether something is a pandas or polars DataFrame.

    Parameters
    ----------
    thing : object
        Anything.

    Returns
    -------
    is_frame : bool
        Whether it has the columns and the conversion of a DataFrame.
    """
    return hasattr(thing, "columns") and hasattr(thing, "to_numpy")
