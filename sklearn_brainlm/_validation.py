"""X in, checked recordings out; every message about X is written here.

The outer container is never passed to `numpy.asarray`: recordings of one length would become a 3-D
array, recordings of several lengths an error. Nothing is cast or copied, so a memory map stays
mapped; `as_float32` casts one window at a time.
"""

import os
from collections.abc import Mapping, Set
from numbers import Real

import numpy as np
from scipy import sparse

from sklearn_brainlm._parcels import check_parcel_coords, check_parcel_names, is_frame
from sklearn_brainlm._stored_values import StoredRecording
from sklearn_brainlm._values import as_float32, check_values, describe, enumerate_first, row_blocks
from sklearn_brainlm.exceptions import InvalidRecordingError, InvalidRecordingTypeError

__all__ = [
    "SAME_T_R",
    "T_R_ROUNDING",
    "as_float32",
    "check_parcel_coords",
    "check_parcel_names",
    "check_recordings",
    "check_t_r",
    "describe",
    "enumerate_first",
    "row_blocks",
]

T_R_ROUNDING = 0.01  # of headers: 0.735 s is often 0.74 or 0.7350001
SAME_T_R = 1e-3  # repetition times that differ by less than this part need no resampling


def check_recordings(
    X,
    *,
    estimator_name="BrainLMTransformer",
    n_parcels=None,
    min_timepoints=1,
    ensure_all_finite=True,
    warn_constant=True,
):
    """Check X and return its recordings as a list of 2-D arrays.

    Parameters
    ----------
    X : list, tuple, Series, sequence or array of recordings, or RecordingStore
        Each recording is an array or DataFrame of shape (n_timepoints, n_parcels) of real numbers;
        n_timepoints may differ. A 3-D array holds n_recordings of them; a 2-D array or DataFrame
        is one recording.
    estimator_name : str, default="BrainLMTransformer"
        Name used in messages.
    n_parcels : int or None, default=None
        Number of parcels every recording must have; None takes that of the first recording.
    min_timepoints : int, default=1
        Fewest timepoints a recording may have.
    ensure_all_finite : bool, default=True
        Whether values are looked at. Where some are missing, they cannot be yet. Those of a
        RecordingStore were when it was built, and are not read again.
    warn_constant : bool, default=True
        Whether to warn about parcels that do not vary within a recording, and refuse one where
        they are more than one and more than 5%.

    Returns
    -------
    recordings : list of ndarray of shape (n_timepoints, n_parcels)
        The arrays themselves or views of them, memory maps included, in the dtype they had. A
        store of 16-bit codes gives StoredRecordings, which decode what is read of them.

    Raises
    ------
    InvalidRecordingTypeError
        X or a recording is a path, an image, a sparse array, an iterator: nothing to read numbers
        from.
    InvalidRecordingError
        A recording has the wrong shape, dtype or number of parcels, is too short, is all zero,
        has too many constant parcels, or holds values that are not finite in float32.
    StoreCorruptionError
        The file of a memory map has been truncated since it was opened.

    Warns
    -----
    DataQualityWarning
        A parcel is constant within a recording, or a square recording looks transposed.
    """
    items, is_single = _split(X, estimator_name)
    if not items:
        raise InvalidRecordingError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required: "
            "X holds no recording."
        )
    recordings = [_as_recording(item, i, estimator_name) for i, item in enumerate(items)]
    _check_shapes(recordings, estimator_name, n_parcels, min_timepoints, is_single)
    # All values of a store were checked when they were written: reading them again before every fit
    # would read the whole disk. Constant parcels were reported then, too.
    if ensure_all_finite and getattr(X, "has_checked_values", None) is not True:
        check_values(recordings, warn_constant=warn_constant)
    return recordings


def check_t_r(t_r):
    """Check a repetition time.

    Parameters
    ----------
    t_r : float or None
        Seconds between timepoints; None when it is not known.

    Returns
    -------
    t_r : float or None
        The same.

    Raises
    ------
    InvalidRecordingTypeError
        It is not one number.
    InvalidRecordingError
        It is not a positive number of seconds, or so large that it must be milliseconds.
    """
    if t_r is None:
        return None
    if isinstance(t_r, (bool, np.bool_)) or not isinstance(t_r, Real):
        raise InvalidRecordingTypeError(
            f"t_r must be one number of seconds, got {type(t_r).__name__}. Recordings of several "
            "TRs are brought to one by resample_recordings first."
        )
    if not 0 < t_r <= 60:
        hint = " Is it in milliseconds?" if t_r > 60 else ""
        raise InvalidRecordingError(
            f"t_r is the TR in seconds, above 0 and at most 60; got {t_r}.{hint}"
        )
    return float(t_r)


def _split(X, estimator_name):
    """Return the recordings in X as a list, and whether X was a single recording."""
    _refuse_unreadable(X, "X", estimator_name)
    if is_frame(X):
        return [X], True
    ndim = getattr(X, "ndim", None)
    kind = getattr(getattr(X, "dtype", None), "kind", None)
    if ndim == 2:
        return [X], True
    if ndim == 0:
        raise InvalidRecordingError(
            "Expected 2D array, got scalar array instead: X is one number. "
            "X is a list of arrays of shape (n_timepoints, n_parcels)."
        )
    if ndim == 1 and kind is not None and kind in "biufc":
        raise InvalidRecordingError(
            f"Expected 2D array, got 1D array instead: X has shape {X.shape}. Reshape your data: a "
            "recording is (n_timepoints, n_parcels). A masker returns this for a 3-D image: give "
            "it 4-D images, or give [x] if these are recordings."
        )
    if ndim is not None and ndim > 3:
        raise InvalidRecordingError(
            f"Found array with dim {ndim}, while dim <= 3 is required: X has shape {X.shape}; "
            "expected (n_recordings, n_timepoints, n_parcels) or a list of 2-D arrays."
        )
    if not hasattr(X, "__getitem__") or isinstance(X, (Mapping, Set)):
        is_iterator = hasattr(X, "__next__")
        raise InvalidRecordingTypeError(
            f"X is {'an iterator' if is_iterator else f'of type {type(X).__name__}'}; expected a "
            "list of arrays of shape (n_timepoints, n_parcels)."
            + " Recordings are read more than once: pass list(X)."
            * is_iterator
        )
    if hasattr(X, "iloc"):  # a pandas Series is indexed by label, so X[0] may not exist
        return list(X), False
    return [X[i] for i in range(len(X))], False


def _as_recording(item, index, estimator_name):
    """Return one item of X as a 2-D array of real numbers."""
    name = describe(index, item)
    _refuse_unreadable(item, name, estimator_name)
    if isinstance(item, np.ma.MaskedArray):
        raise InvalidRecordingTypeError(
            f"{name} is a masked array, whose mask would be lost. Give its data."
        )
    if isinstance(item, (np.ndarray, StoredRecording)):
        recording = item
    else:
        try:
            recording = item.to_numpy() if is_frame(item) else np.asarray(item)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidRecordingTypeError(
                f"{name} of type {type(item).__name__} cannot be read as an array: {error}"
            ) from error
    dtype, kind = recording.dtype, recording.dtype.kind
    if kind == "c":
        raise InvalidRecordingError(f"Complex data not supported: {name} has dtype {dtype}.")
    if kind in "OSUMmVT" or (recording.ndim == 2 and kind not in "iuf"):
        raise InvalidRecordingError(
            f"{name} has dtype {dtype}; expected real numbers, such as float32. (Several "
            "recordings are a list of arrays, not an array of dtype object.)"
        )
    if recording.ndim != 2:
        what = {0: "scalar array", 1: "1D array"}.get(recording.ndim, f"{recording.ndim}D array")
        hint = " (a 3-D image gives this: give the masker 4-D images)" * (recording.ndim == 1)
        raise InvalidRecordingError(
            f"Expected 2D array, got {what} instead: {name} has shape {recording.shape}; "
            f"expected (n_timepoints, n_parcels){hint}."
        )
    return recording


def _refuse_unreadable(thing, name, estimator_name):
    """Raise the TypeError for what holds no numbers yet: paths, images, sparse arrays."""
    if sparse.issparse(thing):
        raise InvalidRecordingTypeError(
            f"Sparse data was passed, but dense data is required: {name}. Use '.toarray()'."
        )
    is_path = isinstance(thing, (str, bytes, os.PathLike))
    is_image = hasattr(thing, "dataobj") or hasattr(thing, "get_fdata")
    is_surface = hasattr(thing, "mesh") and hasattr(thing, "data")
    if is_path or is_image or is_surface:
        what = f"the path {str(thing)!r}" if is_path else f"an image ({type(thing).__name__})"
        masker = "MultiSurfaceLabelsMasker" if is_surface else "MultiNiftiLabelsMasker"
        if estimator_name[:1].islower():  # a function
            remedy = f"Give it what {masker}(labels_img).fit_transform(images) returns."
        else:
            remedy = (
                f"Put a masker in front: make_pipeline({masker}(labels_img), {estimator_name}()), "
                "and give it a list of images."
            )
        raise InvalidRecordingTypeError(
            f"{name} is {what}; expected an array of shape (n_timepoints, n_parcels). {remedy}"
        )


def _check_shapes(recordings, estimator_name, n_parcels, min_timepoints, is_single):
    """Check numbers of timepoints and parcels."""
    for index, recording in enumerate(recordings):
        n_found, width = recording.shape
        if not n_found or not width:
            found = "0 sample(s)" if not n_found else "0 feature(s)"
            raise InvalidRecordingError(
                f"Found array with {found} (shape={recording.shape}) while a minimum of 1 is "
                f"required: {describe(index, recording)}."
            )
    widths = np.array([recording.shape[1] for recording in recordings])
    if n_parcels is None and (widths != widths[0]).any():
        groups = "; ".join(
            f"{width} parcels: recordings {enumerate_first(np.flatnonzero(widths == width))}"
            for width in np.unique(widths)
        )
        lengths = {len(recording) for recording in recordings}
        hint = (
            f"All have {len(recordings[0])} rows: if these are parcels, pass [x.T for x in X]."
            if len(lengths) == 1
            else "Extract all with one atlas, and keep_masked_labels=True where a mask is used."
        )
        raise InvalidRecordingError(
            f"Recordings differ in their number of parcels: {groups}. {hint}"
        )
    for index, recording in enumerate(recordings):
        if n_parcels is not None and recording.shape[1] != n_parcels:
            what = "X" if is_single else f"X[{index}]"
            hint = (
                f"It looks transposed, pass {what}.T"
                if len(recording) == n_parcels
                else "Use the atlas it was fitted with, and keep_masked_labels=True in a masker "
                "with a mask"
            )
            raise InvalidRecordingError(
                f"X has {recording.shape[1]} features, but {estimator_name} is expecting "
                f"{n_parcels} features as input: {describe(index, recording)} has shape "
                f"{recording.shape}; expected (n_timepoints, {n_parcels}). {hint}."
            )
        if len(recording) < min_timepoints:
            raise InvalidRecordingError(
                f"{describe(index, recording)} has {len(recording)} timepoints; at least "
                f"{min_timepoints} timepoints are needed. (A NiftiLabelsMasker given 3-D images "
                "returns one short array; join them into 4-D images first.)"
            )
