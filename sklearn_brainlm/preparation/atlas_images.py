"""An atlas in voxels, grayordinates or vertices, and how much of it a run covers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sklearn_brainlm._validation import enumerate_first
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.files.checked import file_sha256, shown
from sklearn_brainlm.readers.cifti import read_labels
from sklearn_brainlm.readers.vertex_labels import VertexLabels, read_vertex_labels

__all__ = ["Atlas", "load_atlas"]


@dataclass(frozen=True)
class Atlas:
    """Labels in the voxels of MNI space, of grayordinates, or of the vertices of a surface.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_brainlm.preparation.atlas_images import load_atlas
    >>> volume = np.zeros((4, 4, 4), dtype=np.int16)
    >>> volume[:2], volume[3] = 3, 7
    >>> atlas = load_atlas(nibabel.Nifti1Image(volume, np.eye(4)))
    >>> atlas.labels, atlas.names
    (array([3, 7], dtype=int32), ['3', '7'])
    >>> has_signal = np.ones((4, 4, 4), dtype=bool)
    >>> has_signal[0] = False
    >>> atlas.measure_coverage(has_signal, np.eye(4))
    array([0.5, 1. ])
    """

    kind: str  # "volume", "cifti" or "surface"
    source: str
    labels: np.ndarray  # (P,), ascending: the order of the columns
    names: list  # P of str
    digest: str
    volume: np.ndarray | None = None  # (X, Y, Z)
    affine: np.ndarray | None = None
    vertices: VertexLabels | None = None

    def measure_coverage(self, has_signal, affine):
        """Measure the share of each label's voxels where a run has signal.

        Parameters
        ----------
        has_signal : bool array of shape (n_x, n_y, n_z)
            Voxels of the run that vary.
        affine : array of shape (4, 4)
            Their place.

        Returns
        -------
        coverage : ndarray of shape (n_parcels,)
            From 0 to 1. It is measured in the voxels of the atlas, so that those outside the grid
            of the run count.
        """
        from nibabel.affines import apply_affine

        inside = np.argwhere(self.volume)  # of the atlas
        to_run = np.linalg.inv(affine) @ self.affine
        voxels = np.rint(apply_affine(to_run, inside)).astype(np.int64)  # of the run
        on_grid = ((voxels >= 0) & (voxels < has_signal.shape)).all(axis=1)
        covered = np.zeros(len(inside))
        covered[on_grid] = has_signal[tuple(voxels[on_grid].T)]
        parcel = np.searchsorted(self.labels, self.volume[tuple(inside.T)])
        return np.bincount(parcel, weights=covered) / np.bincount(parcel)

    def place_on(self, shape, affine):
        """Return the labels on the grid of a run, the nearest for each of its voxels.

        Parameters
        ----------
        shape : tuple of int
            Of the grid.
        affine : array of shape (4, 4)
            Its place.

        Returns
        -------
        labels_img : Nifti1Image
            On that grid.
        """
        import nibabel
        from nilearn.image import resample_img

        image = nibabel.Nifti1Image(self.volume, self.affine)
        if self.volume.shape == tuple(shape) and np.allclose(self.affine, affine):
            return image
        return resample_img(
            image,
            target_affine=affine,
            target_shape=tuple(shape),
            interpolation="nearest",
            copy_header=True,
            force_resample=True,
        )

    def check_complete(self, is_there, coverage, image):
        """Refuse a run that has no signal in some parcels.

        Parameters
        ----------
        is_there : bool array of shape (n_parcels,)
            Whether the run has enough of a parcel.
        coverage : array of shape (n_parcels,)
            Share of each label that has signal.
        image : path
            The run, for the message.

        Raises
        ------
        AtlasMismatchError
            The message names the labels that are lost.
        """
        lost = np.flatnonzero(~is_there)
        if not len(lost):
            return
        named = [f"{self.labels[i]} {self.names[i]} ({coverage[i]:.0%})" for i in lost]
        error = AtlasMismatchError(
            f"{image} has no signal, or too little, in {len(lost)} of the {len(self.labels)} "
            f"labels of {self.source}: {shown(named)}. The field of view is partial, the atlas is "
            "of another space, or its parcels are too small for the voxels: leave the run out, or "
            "take another atlas."
        )
        error.add_note(f"lost labels: {', '.join(named)}")  # all of them, for the log
        raise error


def load_atlas(labels_img, names=None):
    """Load an atlas.

    Parameters
    ----------
    labels_img : path, 3-D Niimg-like object or tuple of two paths
        Labels in voxels; a path that ends in ``.dlabel.nii`` is one of grayordinates, and two paths
        are the left and right hemisphere of a surface (``.label.gii`` or ``.annot``).
    names : list of str or None, default=None
        Name of each label in ascending order; None takes the numbers, or the names in the
        files of grayordinates and surfaces.

    Returns
    -------
    atlas : Atlas
        Its labels, in the order the columns of recordings will have.

    Raises
    ------
    InvalidRecordingError
        The file cannot be read, or does not hold whole numbers.
    AtlasMismatchError
        There is no label, or there are more or fewer names than labels.
    """
    if isinstance(labels_img, (str, Path)) and str(labels_img).endswith(".dlabel.nii"):
        labels, own_names = read_labels(labels_img)
        source, digest = str(labels_img), file_sha256(labels_img)
        atlas = Atlas("cifti", source, labels, own_names, digest)
    elif isinstance(labels_img, (tuple, list)):
        atlas = _load_surface(labels_img)
    else:
        atlas = _load_volume(labels_img)
    if names is None:
        return atlas
    if len(names) != len(atlas.labels):
        lost = sorted(set(range(1, len(names) + 1)).difference(atlas.labels.tolist()))
        is_counted = atlas.labels[0] > 0 and atlas.labels[-1] <= len(names)
        missing = f" Label {enumerate_first(lost)} is missing; expected 1..{len(names)}."
        raise AtlasMismatchError(
            f"{atlas.source} has {len(atlas.labels)} labels, but there are {len(names)} names of "
            f"parcels.{missing if is_counted else ''} Give one name a label that is in the image, "
            "in the order of the numbers."
        )
    return Atlas(**{**vars(atlas), "names": [str(name) for name in names]})


def _load_surface(labels_img):
    """Load an atlas of vertices."""
    if len(labels_img) != 2:
        raise InvalidRecordingError(
            f"labels_img names {len(labels_img)} files. Give those of the left and of the right "
            "hemisphere."
        )
    vertices = read_vertex_labels(labels_img)
    source = " and ".join(str(path) for path in labels_img)
    return Atlas(
        "surface", source, vertices.labels, vertices.names, vertices.digest, vertices=vertices
    )


def _load_volume(labels_img):
    """Load an atlas of voxels."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nilearn.image import load_img

    is_path = isinstance(labels_img, (str, Path))
    source = str(labels_img) if is_path else "labels_img"
    try:
        # Not the path itself: nilearn would take brackets in it for a pattern.
        image = load_img(nibabel.load(labels_img) if is_path else labels_img)
        values = np.asarray(image.dataobj)
    except (ValueError, TypeError, OSError, EOFError, ImageFileError) as error:
        if is_path and not Path(labels_img).exists():
            raise FileNotFoundError(f"{source} does not exist. Give a label image.") from None
        raise InvalidRecordingError(f"{source} cannot be read: {error}. Get it again.") from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3 or not np.array_equal(values, np.rint(values)):
        raise InvalidRecordingError(
            f"{source} is not a 3-D image of whole numbers, one a parcel. Give the labels as "
            "published; one that was resampled needs interpolation='nearest'."
        )
    volume = np.ascontiguousarray(values, dtype=np.int32)
    labels = np.unique(volume[volume != 0])
    if not len(labels):
        raise AtlasMismatchError(f"{source} has no label but the background. Get it again.")
    affine = np.asarray(image.affine, dtype=float)
    digest = hashlib.sha256(volume.tobytes() + affine.tobytes()).hexdigest()
    return Atlas("volume", source, labels, [str(k) for k in labels], digest, volume, affine)
