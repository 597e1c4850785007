"""The atlas of the released weights, and the coordinates of any other."""

import numpy as np

from sklearn_brainlm import _a424
from sklearn_brainlm.exceptions import InvalidRecordingError

# Where a table is absent: parcels fine enough that a parcel of A424 covers several.
_N_SCHAEFER = 1000

_DESCRIPTION = """\
A424, the atlas of the released BrainLM weights.

424 parcels: 180 areas of each hemisphere (labels 1-180 right, 181-360 left), 36 of the amygdala,
hippocampus, striatum and thalamus (361-396), 28 of the cerebellum (397-424). Column i of a
recording is label i + 1.

The image is A424+2mm, in which the cortex is 2 mm thicker than in the plain A424: the authors'
toolkit averages images with it, and the plain image has no voxel of label 120 (R_H_ROI). Its
smallest parcel is label 405 (Vermis_Crus_I), one voxel. The grid is that of FSL's MNI152; the
authors do not name the template.

region_coords are the coordinates given to the released weights: whole even millimetres, on median
3 mm and at most 14 mm (label 5) from the centre of mass of the parcel in the image.

{networks}

Licences
{licences}
"""


def fetch_atlas_a424(data_dir=None, *, base_url=None, verbose=1):
    """Fetch A424, the atlas of 424 parcels that the released weights were trained with.

    Recordings have to be in these parcels, and in this order, for the released weights to mean
    anything (section 3.1 of the article).

    Parameters
    ----------
    data_dir : path or None, default=None
        Folder with the files, or with a folder ``a424`` of them. Files that are missing are
        downloaded into ``a424``. By default the folders of
        :func:`nilearn.datasets.get_data_dirs`.
    base_url : str or None, default=None
        Address of a folder to download from instead of the authors' repository. The files must
        be the same bytes.
    verbose : int, default=1
        0 prints nothing. Otherwise downloads, the licences of the parts and the lack of networks
        are told on the standard error.

    Returns
    -------
    ``nilearn.datasets.atlas.Atlas``, a :class:`sklearn.utils.Bunch`
        - ``maps`` : str, path of the label image A424+2mm, 91 x 109 x 91 voxels of 2 mm
        - ``labels`` : list of 425 str, the background first
        - ``lut`` : :class:`pandas.DataFrame` of 425 rows, columns ``index`` and ``name``
        - ``region_coords`` : array of shape (424, 3), MNI mm, in the order of labels 1 to 424
        - ``networks`` : array of str of shape (424,), the network of Yeo et al. (2011) of a
          cortical parcel, Subcortex or Cerebellum; None when there is neither a table nor the
          Schaefer atlas
        - ``networks_source`` : str, where they are from, or None
        - ``description``, ``template``, ``atlas_type`` : str

    Raises
    ------
    CheckpointError
        A file is not the published one, or cannot be had. The message names the remedy.
    InvalidRecordingError
        The table of networks is not of this atlas.

    See Also
    --------
    parcel_coords_from_labels : Coordinates of the parcels of any other atlas.
    sklearn_brainlm.list_weights : The released weights.

    Notes
    -----
    Networks are read from ``a424_parcels.tsv`` when it lies beside the files. Otherwise each voxel
    of a cortical parcel votes for the network of the nearest of the 1000 parcels of Schaefer et
    al. (2018), which nilearn downloads.

    The plain image of the authors, A424.nii.gz, is not used: it has no voxel of label 120.

    Two of the three parts are for non-commercial use only. `description` holds their licences.

    Examples
    --------
    >>> from sklearn_brainlm.datasets import fetch_atlas_a424
    >>> atlas = fetch_atlas_a424()  # doctest: +SKIP
    >>> from nilearn.maskers import MultiNiftiLabelsMasker
    >>> masker = MultiNiftiLabelsMasker(atlas.maps, lut=atlas.lut)  # doctest: +SKIP
    """
    # Imported here: both take seconds.
    import pandas as pd
    from nilearn.datasets.atlas import Atlas

    folders = _a424.list_folders(data_dir)
    files = {
        name: _a424.find_file(name, data_dir, base_url=base_url, verbose=verbose)
        for name in _a424.SHA256
    }
    licences = "\n".join(f"- {licence}" for licence in _a424.LICENCES)
    _a424.tell(f"A424 puts together atlases that each have their terms:\n{licences}", verbose)
    names = _read_names(files[_a424.NAMES])
    networks, source = _find_networks(files[_a424.LABELS_IMG], names, folders, data_dir, verbose)
    about_networks = "There are no networks." if source is None else f"networks: {source}."
    return Atlas(
        maps=str(files[_a424.LABELS_IMG]),
        lut=pd.DataFrame({"index": range(len(names) + 1), "name": ["Background", *names]}),
        description=_DESCRIPTION.format(networks=about_networks, licences=licences),
        atlas_type="deterministic",
        template="MNI152NLin6Asym",
        region_coords=_a424.read_coordinates(files[_a424.COORDINATES]),
        networks=networks,
        networks_source=source,
    )


def parcel_coords_from_labels(labels_img, *, background_label=0):
    """Compute the coordinates of the parcels of a label image.

    By coordinates a model knows where a parcel lies: give them as `parcel_coords`, also to carry
    weights to another atlas.

    Parameters
    ----------
    labels_img : 3-D Niimg-like object
        Whole numbers, one a parcel: the `labels_img` of
        :class:`nilearn.maskers.NiftiLabelsMasker`.
    background_label : int, default=0
        Number that is no parcel.

    Returns
    -------
    coords : ndarray of float64 of shape (n_parcels, 3)
        Centre of mass of each parcel in the millimetres of the image, MNI for an image in MNI
        space: the `parcel_coords` of the estimators, in the order of the columns of a masker.
    labels : ndarray of int of shape (n_parcels,)
        Number of each parcel, ascending.

    Raises
    ------
    InvalidRecordingError
        The image is not 3-D, holds something other than whole numbers, or no parcel.

    See Also
    --------
    fetch_atlas_a424 : The atlas of the released weights, with its coordinates.
    sklearn_brainlm.BrainLMTransformer : Takes coordinates.

    Notes
    -----
    The centre of a parcel with a part in each hemisphere is near the midline, and that of a curved
    parcel may lie outside it. Both are where its signal is from on average.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_brainlm.datasets import parcel_coords_from_labels
    >>> volume = np.zeros((5, 5, 5), dtype=np.int16)
    >>> volume[1, 2, 3:] = 7
    >>> labels_img = nibabel.Nifti1Image(volume, np.diag([2, 2, 2, 1]))
    >>> parcel_coords_from_labels(labels_img)
    (array([[2., 4., 7.]]), array([7]))
    """
    positions, values = _read_voxels(labels_img, background_label)
    labels, parcel, sizes = np.unique(values, return_inverse=True, return_counts=True)
    sums = [np.bincount(parcel, weights=axis) for axis in positions.T]
    return np.transpose(sums) / sizes[:, np.newaxis], labels


def _read_names(path):
    """Names of labels 1 to 424, from the table of a CIFTI file."""
    import nibabel

    (table,) = nibabel.load(path).header.get_axis(0).label  # {label: (name, colour)}
    return [table[label][0] for label in range(1, _a424.N_PARCELS + 1)]


def _find_networks(labels_img, names, folders, data_dir, verbose):
    """Networks (424,) and where they are from; None and None where there are none."""
    for folder in folders:
        path = folder / _a424.TABLE
        if path.is_file():
            return _a424.read_networks(path, names), f"column yeo7 of {_a424.TABLE}"
    try:
        centres, networks = _fetch_schaefer(data_dir)
    except OSError as error:  # those of requests are OSErrors too
        _a424.tell(
            f"No networks: there is no {_a424.TABLE}, and the Schaefer atlas could not be fetched "
            f"({error}).",
            verbose,
        )
        return None, None
    voted = _vote_networks(labels_img, centres, networks)
    return voted, f"votes of the voxels for the nearest of {len(centres)} Schaefer parcels"


def _fetch_schaefer(data_dir):
    """Centres (1000, 3) in MNI mm and networks (1000,) of the parcels of Schaefer et al."""
    from nilearn.datasets import fetch_atlas_schaefer_2018

    atlas = fetch_atlas_schaefer_2018(
        n_rois=_N_SCHAEFER, yeo_networks=7, resolution_mm=2, data_dir=data_dir, verbose=0
    )
    centres, labels = parcel_coords_from_labels(atlas.maps)
    names = atlas.lut.set_index("index").loc[labels, "name"]  # 7Networks_LH_Vis_1
    return centres, np.array([name.split("_")[2] for name in names])


def _vote_networks(labels_img, centres, networks):
    """Networks (424,): in the cortex that of the nearest centre, for most voxels of a parcel."""
    from scipy.spatial import cKDTree

    positions, labels = _read_voxels(labels_img)
    cortical = labels <= _a424.N_CORTICAL
    nearest = cKDTree(centres).query(positions[cortical])[1]
    order = np.array(_a424.NETWORKS)
    network_of_centre = np.array([_a424.NETWORKS.index(network) for network in networks])
    votes = np.zeros((_a424.N_CORTICAL, len(order)), dtype=int)
    np.add.at(votes, (labels[cortical] - 1, network_of_centre[nearest]), 1)
    n_cerebellar = _a424.N_PARCELS - _a424.N_CORTICAL - _a424.N_SUBCORTICAL
    rest = [_a424.SUBCORTEX] * _a424.N_SUBCORTICAL + [_a424.CEREBELLUM] * n_cerebellar
    return np.array([*order[votes.argmax(axis=1)], *rest])


def _read_voxels(labels_img, background_label=0):
    """Positions (n_voxels, 3) in mm and labels (n_voxels,) of all but the background."""
    from nibabel.affines import apply_affine
    from nilearn.image import load_img

    image = load_img(labels_img)
    volume = np.asarray(image.dataobj)
    if volume.ndim == 4 and volume.shape[3] == 1:
        volume = volume[..., 0]
    if volume.ndim != 3:
        raise InvalidRecordingError(
            f"labels_img has shape {volume.shape}; expected three dimensions, one number a voxel."
        )
    if not np.isfinite(volume).all() or not np.array_equal(volume, np.rint(volume)):
        raise InvalidRecordingError(
            "labels_img holds numbers that are not whole. Give the labels as published; an image "
            "that was resampled needs interpolation='nearest'."
        )
    inside = volume != background_label
    if not inside.any():
        raise InvalidRecordingError(
            f"labels_img has no label but the background, {background_label}."
        )
    return apply_affine(image.affine, np.argwhere(inside)), volume[inside].astype(np.int64)
