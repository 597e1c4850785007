"""Missing values: where they are, and a first guess that needs no model."""

import numpy as np

from sklearn_brainlm._validation import describe
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["check_missing", "interpolate"]


def check_missing(missing, recordings):
    """Check the marks of missing values against the recordings they are for.

    Parameters
    ----------
    missing : list of bool arrays of shape (n_timepoints, n_parcels) or (n_timepoints,)
        One a recording; for one recording, the array itself will do.
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        The recordings.

    Returns
    -------
    missing : list of bool arrays of shape (n_timepoints, n_parcels)
        One a recording.

    Raises
    ------
    InvalidRecordingError
        If the marks do not fit the recordings.
    """
    shapes = [recording.shape for recording in recordings]
    if len(shapes) == 1 and np.shape(missing) in (shapes[0], shapes[0][:1]):
        missing = [missing]
    if len(missing) != len(recordings):
        raise InvalidRecordingError(
            f"missing has {len(missing)} arrays for {len(recordings)} recordings. Give one a "
            "recording, of its shape or of its number of timepoints."
        )
    marks = []
    for index, (recording, gaps) in enumerate(zip(recordings, missing, strict=True)):
        gaps = np.asarray(gaps)
        if gaps.dtype != bool:
            raise InvalidRecordingError(
                f"missing[{index}] has dtype {gaps.dtype}; expected bool, True where a value is "
                "missing."
            )
        if gaps.shape not in (recording.shape, recording.shape[:1]):
            raise InvalidRecordingError(
                f"missing[{index}] has shape {gaps.shape}; {describe(index, recording)} has shape "
                f"{recording.shape}. Give that shape, or one truth value a timepoint."
            )
        if gaps.ndim < recording.ndim:
            gaps = np.repeat(gaps[:, None], recording.shape[1], axis=1)
        marks.append(gaps)
    return marks


def interpolate(recording, missing, center):
    """Fill missing values in between the observed neighbours in time of their parcel.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        What is marked as missing is not looked at.
    missing : bool array of shape (n_timepoints, n_parcels)
        True where a value is missing.
    center : array of shape (n_parcels,)
        What stands for a parcel that is missing from beginning to end.

    Returns
    -------
    filled : array of shape (n_timepoints, n_parcels)
        A copy of at least single precision, observed values untouched.

    Examples
    --------
    >>> missing = np.array([[False], [True], [False]])
    >>> interpolate(np.array([[1.0], [np.nan], [3.0]]), missing, center=[0.0]).ravel()
    array([1., 2., 3.])
    """
    filled = recording.astype(np.result_type(recording.dtype, np.float32))
    timepoints = np.arange(len(recording))
    for parcel in np.flatnonzero(missing.any(axis=0)):
        gaps = missing[:, parcel]
        if gaps.all():
            filled[:, parcel] = center[parcel]
        else:
            seen = timepoints[~gaps]
            filled[gaps, parcel] = np.interp(timepoints[gaps], seen, filled[seen, parcel])
    return filled
