"""An atlas on the vertices of both hemispheres."""

import hashlib
from typing import NamedTuple

import numpy as np

from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.readers.files import check_file
from sklearn_brainlm.readers.gifti_files import open_gifti

__all__ = ["VertexLabels", "read_vertex_labels"]

_HEMISPHERES = ("L", "R")
# What atlases call the vertices that belong to no parcel, in lower case.
_NO_PARCEL = {
    "???", "unknown", "medial_wall", "medialwall", "corpuscallosum",
    "background+freesurfer_defined_medial_wall",
}  # fmt: skip


class VertexLabels(NamedTuple):
    """An atlas on the vertices of both hemispheres, the left one first.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.readers.gifti import average_vertices
    >>> from sklearn_brainlm.readers.vertex_labels import VertexLabels
    >>> atlas = VertexLabels(np.array([1, 1, 0, 2]), (2, 2), np.array([1, 2]), ["L_V1", "R_V1"])
    >>> recording, coverage = average_vertices(
    ...     np.array([[1.0, 3.0, 9.0, 5.0]]), np.array([True, False, True, True]), atlas
    ... )
    >>> recording, coverage  # of the first parcel, one vertex of two
    (array([[1., 5.]], dtype=float32), array([0.5, 1. ]))
    """

    of_vertex: np.ndarray  # (n_vertices,), 0 where there is no parcel
    n_vertices: tuple  # of the left and of the right hemisphere
    labels: np.ndarray  # (n_parcels,), ascending
    names: list  # of the parcels

    @property
    def digest(self):
        """Text that is the same where the labels of all vertices are."""
        content = np.ascontiguousarray(self.of_vertex, dtype=np.int32).tobytes()
        return hashlib.sha256(content + repr(self.n_vertices).encode()).hexdigest()


def read_vertex_labels(labels_img):
    """Read the atlas of both hemispheres.

    Parameters
    ----------
    labels_img : tuple of two paths
        ``.label.gii`` or ``.annot`` of the left and right hemisphere. Labels of an ``.annot`` are
        counted from 1, as its table lists them.

    Returns
    -------
    atlas : VertexLabels
        Which parcel each vertex belongs to.

    Raises
    ------
    InvalidRecordingError
        A file holds no labels of vertices.
    """
    sides = [_read_labels(path) for path in labels_img]
    sets = [set(np.unique(values[values != 0]).tolist()) for values, _ in sides]
    if sets[0] & sets[1]:
        shift = max(sets[0])
        values, table = sides[1]
        counted_on = {label + shift: name for label, name in table.items()}
        sides[1] = np.where(values != 0, values + shift, 0), counted_on
    twice = set(sides[0][1].values()) & set(sides[1][1].values())
    of_vertex = np.concatenate([values for values, _ in sides])
    labels = np.unique(of_vertex[of_vertex != 0])
    if not len(labels):
        raise AtlasMismatchError(f"{labels_img[0]} has no label but the background. Get it again.")
    in_left = np.isin(labels, sides[0][0])
    names = []
    for label, is_left in zip(labels.tolist(), in_left, strict=True):
        name = sides[0 if is_left else 1][1].get(label, str(label))
        names.append(f"{_HEMISPHERES[0 if is_left else 1]}_{name}" if name in twice else name)
    return VertexLabels(of_vertex, tuple(len(values) for values, _ in sides), labels, names)


def _read_labels(path):
    """Label of each vertex of a hemisphere, 0 for none, and the names of labels."""
    if str(path).endswith(".annot"):
        values, table = _read_annot(path)
    else:
        image = open_gifti(path)
        if len(image.darrays) != 1 or image.darrays[0].data.ndim != 1:
            raise InvalidRecordingError(
                f"{path} holds no labels of vertices. Give a .label.gii or an .annot."
            )
        values = image.darrays[0].data
        table = {int(key): str(name) for key, name in image.labeltable.get_labels_as_dict().items()}
    if not np.array_equal(values, np.rint(values)) or np.min(values, initial=0) < 0:
        raise InvalidRecordingError(f"{path} holds numbers that are no labels. Get it again.")
    values = values.astype(np.int64)
    outside = [label for label, name in table.items() if name.strip().lower() in _NO_PARCEL]
    return np.where(np.isin(values, outside), 0, values), table


def _read_annot(path):
    """Labels of an annotation of FreeSurfer, counted from 1, and their names."""
    from nibabel.freesurfer import read_annot

    path, _ = check_file(path)
    try:
        values, _, names = read_annot(path)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - of a damaged table nibabel raises nearly anything
        raise InvalidRecordingError(
            f"{path} is not an .annot of FreeSurfer, or damaged ({type(error).__name__}: {error}). "
            "Get it again."
        ) from error
    table = {number: name.decode(errors="replace") for number, name in enumerate(names, start=1)}
    return values + 1, table
