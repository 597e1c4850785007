"""Recordings painted into 4-D images, so that a pipeline can start at the masker."""

from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

IMAGE_MEAN = 1000.0
VOXEL_SIZE_MM = 6.0
SPHERE_RADIUS_MM = 6.0


def write_images(recordings, names, *, parcel_coords, t_r, output_dir):
    """Write recordings as NIfTI images, every parcel a small sphere.

    Parameters
    ----------
    recordings : sequence of arrays of shape (n_timepoints, n_parcels)
        Percent signal change about zero.
    names : sequence of str
        File name of each image, without the suffix.
    parcel_coords : array of shape (n_parcels, 3)
        Centres of the spheres, MNI mm.
    t_r : float
        Repetition time in seconds, written in the headers.
    output_dir : path
        Folder of the images, made if missing. Files of the same names are replaced.

    Returns
    -------
    images : list of str
        Path of each 4-D image.
    labels_img : str
        Path of the label image: parcel 0 has label 1, the background 0.

    Raises
    ------
    ValueError
        If two parcels are so close that one is left without a voxel.

    Notes
    -----
    A recording of `x` percent becomes ``1000 * (1 + x / 100)``, so that
    :class:`nilearn.maskers.MultiNiftiLabelsMasker` returns ``1000 + 10 * recording`` up to the
    rounding of float32 (about 1e-4).
    """
    # Imported here: only those who ask for images pay for it.
    import nibabel

    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    painted, affine = paint_spheres(parcel_coords)
    labels_img = output_dir / "labels.nii.gz"
    nibabel.Nifti1Image(painted.astype(np.int16), affine).to_filename(labels_img)

    inside = painted > 0
    parcel_of_voxel = painted[inside] - 1
    images = []
    for name, recording in zip(names, recordings, strict=True):
        volumes = np.zeros((*inside.shape, len(recording)), dtype=np.float32)
        volumes[inside] = (IMAGE_MEAN * (1 + np.asarray(recording) / 100)).T[parcel_of_voxel]
        image = nibabel.Nifti1Image(volumes, affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
        images.append(str(output_dir / f"{name}.nii.gz"))
        image.to_filename(images[-1])
    return images, str(labels_img)


def paint_spheres(parcel_coords):
    """Paint spheres without overlap on a coarse grid.

    Parameters
    ----------
    parcel_coords : array of shape (n_parcels, 3)
        Centres, MNI mm.

    Returns
    -------
    painted : int array of shape (n_x, n_y, n_z)
        Parcel 0 as label 1; where spheres overlap, the nearest parcel wins.
    affine : array of shape (4, 4)
        Voxel indices to MNI mm.

    Raises
    ------
    ValueError
        If a parcel is left without a voxel.
    """
    # A whole number of voxels from the origin, and a margin.
    low = np.floor(parcel_coords.min(axis=0) / VOXEL_SIZE_MM) - 2
    high = np.ceil(parcel_coords.max(axis=0) / VOXEL_SIZE_MM) + 2
    shape = (high - low + 1).astype(int)
    affine = np.diag([VOXEL_SIZE_MM] * 3 + [1.0])
    affine[:3, 3] = low * VOXEL_SIZE_MM
    centres = np.indices(shape).reshape(3, -1).T * VOXEL_SIZE_MM + affine[:3, 3]
    distance = cdist(centres, parcel_coords)
    painted = np.where(distance.min(axis=1) <= SPHERE_RADIUS_MM, distance.argmin(axis=1) + 1, 0)
    lost = sorted(set(range(1, len(parcel_coords) + 1)) - set(painted.tolist()))
    if lost:
        raise ValueError(
            f"Labels {lost} have no voxel of their own on a grid of {VOXEL_SIZE_MM:g} mm; "
            "leave out parcels that lie closer together than that."
        )
    return painted.reshape(shape), affine
