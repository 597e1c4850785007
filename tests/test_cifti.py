"""Parcels are read from CIFTI files, and grayordinates averaged in parcels as NumPy would.

Hostile files of the other kinds are in test_readers.py.
"""

import nibabel
import numpy as np
import pytest
from nibabel import cifti2

from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.readers import read_cifti

N_TIMEPOINTS, N_VERTICES = 9, 12


@pytest.fixture
def recording():
    """Values of two parcels."""
    return np.random.default_rng(0).standard_normal((N_TIMEPOINTS, 2))


def surface(vertices, n_vertices=N_VERTICES, name="CIFTI_STRUCTURE_CORTEX_LEFT"):
    """Return an axis of vertices of one hemisphere."""
    return cifti2.BrainModelAxis.from_surface(vertices, n_vertices, name=name)


def brain():
    """Return vertices 2 to 11 of the left cortex and four voxels of the thalamus."""
    voxels = np.zeros((3, 3, 3))
    voxels[1, 1, :] = voxels[0, 0, 0] = 1
    affine = np.diag([2.0, 2, 2, 1])
    name = "CIFTI_STRUCTURE_THALAMUS_LEFT"
    return surface(np.arange(2, N_VERTICES)) + cifti2.BrainModelAxis.from_mask(
        voxels, name=name, affine=affine
    )


def write_cifti(path, values, rows, columns):
    """Write a table of CIFTI."""
    cifti2.Cifti2Image(np.asarray(values, "f4"), (rows, columns)).to_filename(path)
    return path


def write_dlabel(path, labels, columns):
    """Write labels of grayordinates; label 9 of the table is nowhere."""
    table = {0: ("???", (0, 0, 0, 0))} | {k: (f"area{k}", (1, 0, 0, 1)) for k in (1, 3, 5, 9)}
    return write_cifti(path, [labels], cifti2.LabelAxis(["atlas"], [table]), columns)


def seconds(n_timepoints, t_r=0.72, unit="SECOND"):
    """Return the axis of the timepoints."""
    return cifti2.SeriesAxis(0, t_r, n_timepoints, unit)


def test_ptseries(tmp_path, recording):
    whole = brain()
    halves = [(name, whole[i::2]) for i, name in enumerate(["odd", "even"])]
    columns = cifti2.ParcelsAxis.from_brain_models(halves)
    path = write_cifti(tmp_path / "rest.ptseries.nii", recording, seconds(N_TIMEPOINTS), columns)
    read = read_cifti(path, n_parcels=2)
    np.testing.assert_array_equal(read.recording, recording.astype("f4"))
    assert (read.t_r, read.parcel_names) == (0.72, ["odd", "even"])
    with pytest.raises(InvalidRecordingError, match="holds parcels already"):
        read_cifti(path, labels_img=path)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(InvalidRecordingError, match=r"rest\.ptseries\.nii is truncated"):
        read_cifti(path)
    path.write_bytes(content[:700])
    with pytest.raises(InvalidRecordingError, match=r"rest\.ptseries\.nii is not a CIFTI file"):
        read_cifti(path)


def test_dtseries_is_the_mean_of_each_label(tmp_path, monkeypatch):
    columns = brain()
    values = np.random.default_rng(1).standard_normal((N_TIMEPOINTS, len(columns))).astype("f4")
    path = write_cifti(tmp_path / "bold.dtseries.nii", values, seconds(N_TIMEPOINTS), columns)
    labels = np.resize([0, 1, 3, 5, 5], len(columns))
    expected = np.stack([values[:, labels == k].mean(axis=1) for k in (1, 3, 5)], axis=1)
    # An atlas that has its grayordinates in another order, and vertices the recording has not.
    order = np.random.default_rng(2).permutation(len(columns))
    other = columns[order] + surface([0, 1])
    atlas = write_dlabel(tmp_path / "atlas.dlabel.nii", [*labels[order], 3, 1], other)
    for block in (1, 1 << 20):  # a timepoint at a time, and all at once
        monkeypatch.setattr("sklearn_brainlm.readers.cifti._BLOCK_VALUES", block)
        read = read_cifti(path, labels_img=atlas)
        np.testing.assert_allclose(read.recording, expected, rtol=1e-5, atol=1e-6)
    assert read.parcel_names == ["area1", "area3", "area5"]
    assert read.recording.dtype == np.float32
    with pytest.raises(InvalidRecordingError, match=r"14 grayordinates.*labels_img="):
        read_cifti(path)
    with pytest.raises(InvalidRecordingError, match="has no timepoints"):
        read_cifti(atlas)
    with pytest.raises(InvalidRecordingError, match="holds no labels"):
        read_cifti(path, labels_img=path)


def test_lost_labels_are_named(tmp_path):
    columns = brain()
    cortex = surface(np.arange(2, N_VERTICES))
    labels = [1] * 5 + [3] * 5 + [5] * 4  # 5 is the thalamus
    atlas = write_dlabel(tmp_path / "atlas.dlabel.nii", labels, columns)
    values = np.ones((N_TIMEPOINTS, len(cortex)))
    path = write_cifti(tmp_path / "bold.dtseries.nii", values, seconds(N_TIMEPOINTS), cortex)
    with pytest.raises(AtlasMismatchError, match=r"bold.*no grayordinate of 1 of the 3.*5 area5"):
        read_cifti(path, labels_img=atlas)


@pytest.mark.parametrize(("t_r", "unit", "found"), [(2.0, "HERTZ", None), (0.0, "SECOND", None)])
def test_t_r_is_said_only_in_seconds(tmp_path, t_r, unit, found):
    columns = cifti2.ParcelsAxis.from_brain_models([("all", brain())])
    rows = seconds(N_TIMEPOINTS, t_r, unit)
    path = write_cifti(tmp_path / "a.ptseries.nii", np.ones((N_TIMEPOINTS, 1)), rows, columns)
    assert read_cifti(path).t_r is found
    rows = seconds(N_TIMEPOINTS, 720.0)
    path = write_cifti(tmp_path / "b.ptseries.nii", np.ones((N_TIMEPOINTS, 1)), rows, columns)
    with pytest.raises(InvalidRecordingError, match=r"b\.ptseries\.nii.*milliseconds"):
        read_cifti(path)


def test_an_image_of_voxels_is_no_cifti(tmp_path):
    path = tmp_path / "bold.dtseries.nii"
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2, 5), "f4"), np.eye(4))
    path.write_bytes(image.to_bytes())
    with pytest.raises(InvalidRecordingError, match="no table of CIFTI"):
        read_cifti(path)
