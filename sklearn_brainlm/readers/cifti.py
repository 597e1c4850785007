"""Recordings in CIFTI files: parcels as they are, and grayordinates averaged in parcels."""

import math

import numpy as np

from sklearn_brainlm._validation import check_t_r
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.files.checked import shown
from sklearn_brainlm.readers.files import as_read_recording, check_file, refuse_web_page

__all__ = ["read_cifti", "read_labels"]

_BLOCK_VALUES = 1 << 24  # 64 MB of float32: a whole .dtseries.nii may be gigabytes


def read_cifti(path, *, labels_img=None, n_parcels=None):
    """Read a recording from ``.ptseries.nii``, or from ``.dtseries.nii`` with an atlas.

    Parameters
    ----------
    path : path
        The file.
    labels_img : path or None, default=None
        For a ``.dtseries.nii``: the ``.dlabel.nii`` whose labels are the parcels. A recording is
        the mean of the grayordinates of each label, in ascending order of the labels.
    n_parcels : int or None, default=None
        How many parcels there must be.

    Returns
    -------
    read : ReadRecording
        The recording in float32, its t_r and the names of its parcels.

    Raises
    ------
    InvalidRecordingError
        The file is not CIFTI, damaged, not of this kind, or `labels_img` is missing.
    AtlasMismatchError
        The recording has no grayordinate of some labels, which the message names, or another
        number of parcels.

    Notes
    -----
    Grayordinates are matched by structure and vertex, or by voxel, so that a ``.dlabel.nii`` of
    the cortex goes with a ``.dtseries.nii`` of the whole brain, in whatever order both are. A name
    in the table of labels that no grayordinate of the ``.dlabel.nii`` has is no parcel.

    Examples
    --------
    >>> from sklearn_brainlm.readers import read_cifti
    >>> read = read_cifti(
    ...     "sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii", labels_img="A424.dlabel.nii"
    ... )  # doctest: +SKIP
    >>> read.recording.shape, read.t_r  # doctest: +SKIP
    ((490, 424), 0.735)
    """
    from nibabel import cifti2

    image, rows, columns = _open_cifti(path)
    if not isinstance(rows, cifti2.SeriesAxis):
        raise InvalidRecordingError(
            f"{path} has no timepoints: its rows are a {type(rows).__name__}. Give a .ptseries.nii "
            "or a .dtseries.nii."
        )
    t_r = _find_t_r(rows, path)
    if isinstance(columns, cifti2.ParcelsAxis):
        if labels_img is not None:
            raise InvalidRecordingError(
                f"{path} holds parcels already. Leave out labels_img, or give the .dtseries.nii."
            )
        names = [str(name) for name in columns.name]
        recording = _read_rows(image, path, None)
    elif isinstance(columns, cifti2.BrainModelAxis):
        if labels_img is None:
            raise InvalidRecordingError(
                f"{path} holds {len(columns)} grayordinates, not parcels. Pass labels_img=, the "
                ".dlabel.nii of an atlas."
            )
        averaging, names = _find_parcels(columns, labels_img, path)
        recording = _read_rows(image, path, averaging)
    else:
        raise InvalidRecordingError(
            f"{path} has neither parcels nor grayordinates: its columns are a "
            f"{type(columns).__name__}. Give a .ptseries.nii or a .dtseries.nii."
        )
    return as_read_recording(recording, path, n_parcels=n_parcels, t_r=t_r, names=names)


def _open_cifti(path):
    """Open a CIFTI file, without its values; return it and its two axes."""
    import nibabel

    path, size = check_file(path)
    with open(path, "rb") as file:
        refuse_web_page(path, file.read(256))
    try:
        image = nibabel.load(path)
        is_table = isinstance(image, nibabel.Cifti2Image) and image.ndim == 2
        axes = [image.header.get_axis(axis) for axis in (0, 1)] if is_table else []
        needed = math.prod(image.shape) * image.get_data_dtype().itemsize + image.dataobj.offset
    except Exception as error:  # a damaged header or XML makes nibabel raise nearly anything
        raise InvalidRecordingError(
            f"{path} is not a CIFTI file, or damaged ({type(error).__name__}: {error}). Copy it "
            "again."
        ) from error
    if not is_table:
        raise InvalidRecordingError(
            f"{path} is no table of CIFTI. Give a .ptseries.nii or .dtseries.nii; an image of "
            "voxels needs a masker, or `sklearn-brainlm prepare`."
        )
    if needed > size or tuple(len(axis) for axis in axes) != image.shape:
        raise InvalidRecordingError(
            f"{path} is truncated or damaged: it has {size} bytes, its header announces {needed} "
            f"for a table of shape {image.shape}. Copy it again."
        )
    return image, *axes


def _find_t_r(rows, path):
    """Seconds between timepoints, None where the file counts in something else."""
    if rows.unit.upper() != "SECOND" or rows.step == 0:
        return None
    try:
        return check_t_r(float(rows.step))
    except InvalidRecordingError as error:
        raise InvalidRecordingError(f"{path}: {error}") from error


def _find_parcels(columns, labels_img, path):
    """Averaging matrix (n_grayordinates, n_parcels), sparse, and the names of the parcels."""
    from scipy.sparse import csr_array

    values, places, table = _open_labels(labels_img)
    labels = np.unique(values[values != 0])
    label_of_place = dict(zip(_list_places(places), values.tolist(), strict=True))
    found = np.array([label_of_place.get(place, 0) for place in _list_places(columns)])
    lost = np.setdiff1d(labels, found)
    names = [table.get(label, str(label)) for label in labels.tolist()]
    if len(lost):
        named = shown([f"{label} {table.get(label, '')}".strip() for label in lost.tolist()])
        raise AtlasMismatchError(
            f"{path} has no grayordinate of {len(lost)} of the {len(labels)} labels of "
            f"{labels_img}: {named}. Take an atlas of the same space and the same structures."
        )
    inside = np.flatnonzero(found)
    parcel = np.searchsorted(labels, found[inside])
    weight = 1 / np.bincount(parcel)[parcel]
    return csr_array((weight, (inside, parcel)), shape=(len(found), len(labels))), names


def read_labels(labels_img):
    """Read the parcels of a ``.dlabel.nii``.

    Parameters
    ----------
    labels_img : path
        The file.

    Returns
    -------
    labels : ndarray of int of shape (n_parcels,)
        The labels that some grayordinate has, ascending, without 0.
    names : list of str
        Their names.

    Raises
    ------
    InvalidRecordingError
        The file holds no labels of grayordinates.
    """
    values, _, table = _open_labels(labels_img)
    labels = np.unique(values[values != 0])
    return labels, [table.get(label, str(label)) for label in labels.tolist()]


def _open_labels(labels_img):
    """Label of each grayordinate, their axis, and the names of labels."""
    from nibabel import cifti2

    atlas, rows, places = _open_cifti(labels_img)
    if not isinstance(rows, cifti2.LabelAxis) or not isinstance(places, cifti2.BrainModelAxis):
        raise InvalidRecordingError(
            f"{labels_img} holds no labels of grayordinates. Give a .dlabel.nii."
        )
    values = np.asarray(atlas.dataobj[0])
    if not np.array_equal(values, np.rint(values)):
        raise InvalidRecordingError(f"{labels_img} holds numbers that are no labels. Get it again.")
    table = {int(label): str(name) for label, (name, _) in rows.label[0].items()}
    return values.astype(np.int64), places, table


def _list_places(axis):
    """Structure and vertex, or the voxel, of each grayordinate."""
    is_surface = axis.surface_mask
    # Voxels are told by their place in mm, so that grids of one space need not be the same.
    voxels = np.column_stack([axis.voxel, np.ones(len(axis))])
    positions = voxels @ axis.affine.T if axis.affine is not None else voxels
    positions = np.rint(positions[:, :3] * 100).astype(np.int64).tolist()
    return [
        (name, vertex) if surface else (None, *position)
        for name, vertex, surface, position in zip(
            axis.name.tolist(), axis.vertex.tolist(), is_surface.tolist(), positions, strict=True
        )
    ]


def _read_rows(image, path, averaging):
    """Values (n_timepoints, n_parcels) in float32, a block of timepoints at a time."""
    n_timepoints, n_columns = image.shape
    n_rows = max(1, _BLOCK_VALUES // n_columns)
    blocks = []
    try:
        for begin in range(0, n_timepoints, n_rows):
            block = np.asarray(image.dataobj[begin : begin + n_rows], dtype=np.float32)
            blocks.append(block if averaging is None else (block @ averaging).astype(np.float32))
    except (OSError, ValueError, EOFError) as error:
        raise InvalidRecordingError(
            f"{path} is truncated or damaged ({error}). Copy it again."
        ) from error
    return np.concatenate(blocks)
