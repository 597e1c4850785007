"""Recordings on the vertices of both hemispheres, averaged in parcels."""

from pathlib import Path

import numpy as np

from sklearn_brainlm._validation import check_t_r
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.files.checked import shown
from sklearn_brainlm.readers.files import as_read_recording
from sklearn_brainlm.readers.gifti_files import open_gifti
from sklearn_brainlm.readers.vertex_labels import read_vertex_labels

__all__ = ["average_vertices", "find_signal", "read_gifti", "read_vertices"]

_MAX_SECONDS = 20.0  # a larger time step is in milliseconds


def read_gifti(paths, *, labels_img, n_parcels=None):
    """Read a recording from the ``.func.gii`` of both hemispheres, with an atlas.

    Parameters
    ----------
    paths : tuple of two paths
        Left and right hemisphere.
    labels_img : tuple of two paths
        The ``.label.gii`` or FreeSurfer's ``.annot`` of the left and right hemisphere, on the same
        mesh. A recording is the mean of the vertices of each label, in ascending order of the
        labels.
    n_parcels : int or None, default=None
        How many parcels there must be.

    Returns
    -------
    read : ReadRecording
        The recording in float32, its t_r and the names of its parcels.

    Raises
    ------
    InvalidRecordingError
        A file is not GIFTI, damaged, or the two do not belong together.
    AtlasMismatchError
        The atlas is of another mesh, no vertex of some labels has signal, which the message names,
        or there is another number of parcels.
    UntrustedFileError
        A file would unpack to more than it announces, or reads another file.

    Notes
    -----
    A number that both hemispheres have stands for two parcels: those of the right hemisphere are
    counted on from the largest of the left. Vertices without label, and those of the medial wall,
    belong to no parcel. Vertices whose values are constant or not finite do not count.

    Examples
    --------
    >>> from sklearn_brainlm.readers import read_gifti
    >>> run = "sub-01_task-rest_hemi-{}_space-fsaverage5_bold.func.gii"
    >>> read = read_gifti(
    ...     (run.format("L"), run.format("R")),
    ...     labels_img=("lh.Schaefer2018_400Parcels_7Networks_order.annot",
    ...                 "rh.Schaefer2018_400Parcels_7Networks_order.annot"),
    ... )  # doctest: +SKIP
    >>> read.recording.shape, read.t_r  # doctest: +SKIP
    ((490, 400), 0.735)
    """
    atlas = read_vertex_labels(labels_img)
    values, t_r = read_vertices(paths, atlas.n_vertices)
    recording, coverage = average_vertices(values, find_signal(values), atlas)
    lost = np.flatnonzero(coverage == 0)
    if len(lost):
        named = shown([f"{atlas.labels[i]} {atlas.names[i]}" for i in lost])
        raise AtlasMismatchError(
            f"{paths[0]} and {Path(paths[1]).name} have no signal in {len(lost)} of the "
            f"{len(atlas.labels)} labels of {labels_img[0]}: {named}. Take another atlas, or leave "
            "the recording out."
        )
    return as_read_recording(
        recording, paths[0], n_parcels=n_parcels, t_r=t_r, names=list(atlas.names)
    )


def read_vertices(paths, n_vertices):
    """Read the series of both hemispheres.

    Parameters
    ----------
    paths : tuple of two paths
        ``.func.gii`` of the left and right hemisphere.
    n_vertices : tuple of int
        How many vertices each must have.

    Returns
    -------
    values : float32 array of shape (n_timepoints, n_vertices)
        The left hemisphere first.
    t_r : float or None
        Seconds between timepoints; None where neither file says.
    """
    sides, t_rs = [], []
    for path, expected in zip(paths, n_vertices, strict=True):
        image = open_gifti(path)
        series = _stack(image, path)
        if series.shape[1] != expected:
            raise AtlasMismatchError(
                f"{path} has {series.shape[1]} vertices, the atlas {expected}. Take the atlas of "
                "the same mesh, as fsaverage5, or preprocess to that of the atlas."
            )
        sides.append(series)
        t_rs.append(_find_t_r(image, path))
    n_timepoints = [len(series) for series in sides]
    known = {t_r for t_r in t_rs if t_r is not None}
    if len(set(n_timepoints)) > 1 or len(known) > 1:
        raise InvalidRecordingError(
            f"{paths[0]} and {Path(paths[1]).name} are not of one run: {n_timepoints} timepoints, "
            f"repetition times {t_rs}. Give both hemispheres of the same run."
        )
    return np.concatenate(sides, axis=1), known.pop() if known else None


def find_signal(values):
    """Find the vertices that vary, and are finite throughout.

    Parameters
    ----------
    values : array of shape (n_timepoints, n_vertices)
        A run.

    Returns
    -------
    has_signal : bool array of shape (n_vertices,)
        Those that a mean may be made of.
    """
    with np.errstate(invalid="ignore"):
        low, high = values.min(axis=0), values.max(axis=0)
        return np.isfinite(low) & np.isfinite(high) & (low < high)


def average_vertices(values, has_signal, atlas):
    """Average vertices within parcels.

    Parameters
    ----------
    values : array of shape (n_timepoints, n_vertices)
        A run.
    has_signal : bool array of shape (n_vertices,)
        The vertices that count.
    atlas : VertexLabels
        The parcels.

    Returns
    -------
    recording : float32 array of shape (n_timepoints, n_parcels)
        NaN for a parcel none of whose vertices counts.
    coverage : array of shape (n_parcels,)
        Share of the vertices of each parcel that count.
    """
    recording = np.full((len(values), len(atlas.labels)), np.nan, dtype=np.float32)
    coverage = np.zeros(len(atlas.labels))
    for column, label in enumerate(atlas.labels):
        is_inside = atlas.of_vertex == label
        members = np.flatnonzero(is_inside & has_signal)
        coverage[column] = len(members) / is_inside.sum()
        if len(members):
            recording[:, column] = values[:, members].mean(axis=1, dtype=np.float64)
    return recording, coverage


def _stack(image, path):
    """Series (n_timepoints, n_vertices) of a hemisphere, an array a timepoint or all in one."""
    arrays = [array.data for array in image.darrays]
    if len(arrays) == 1 and arrays[0].ndim == 2:  # vertices are its rows
        series = arrays[0].T
    elif len({array.shape for array in arrays}) == 1 and arrays[0].ndim == 1:
        series = np.stack(arrays)
    else:
        shapes = shown(sorted({str(array.shape) for array in arrays}))
        raise InvalidRecordingError(
            f"{path} holds arrays of shape {shapes}; expected one of as many values as there are "
            "vertices for each timepoint. Give the *_bold.func.gii."
        )
    if len(series) < 2 or series.dtype.kind not in "iuf":
        raise InvalidRecordingError(
            f"{path} holds {len(series)} timepoints of {series.dtype}; expected numbers of two "
            "timepoints or more. Give the *_bold.func.gii."
        )
    return series.astype(np.float32)


def _find_t_r(image, path):
    """Seconds between timepoints, None where the file does not say."""
    said = [meta.get("TimeStep") for meta in (image.meta, image.darrays[0].meta)]
    said = [value for value in said if value not in (None, "")]
    try:
        step = float(said[0]) if said else 0.0
        if step == 0:
            return None
        return check_t_r(step / 1000 if step > _MAX_SECONDS else step)
    except ValueError as error:  # also that of float
        raise InvalidRecordingError(f"{path}: TimeStep is {said[0]}: {error}") from error
