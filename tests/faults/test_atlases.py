"""Rows 42 to 49: atlases and images that lie elsewhere, and atlases that are none."""

import numpy as np
import pandas as pd
import pytest
from fmriprep_tree import LABELS, label_voxels, make_volumes
from nilearn.maskers import NiftiLabelsMasker

from faults.images import (
    AFFINE,
    NAME,
    extract,
    make_image,
    move,
    patch_header,
    prepare_one,
    write_one,
    write_packed,
)
from sklearn_brainlm import GaussianReconstructor
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.preparation.atlas_images import load_atlas
from sklearn_brainlm.preparation.bold_images import read_bold


def write_labels(folder, volume, affine=AFFINE, dtype=np.int16):
    """Write an atlas; return its path."""
    make_image(volume, affine, dtype).to_filename(folder / "labels.nii.gz")
    return folder / "labels.nii.gz"


def make_labels(labels=LABELS):
    """Return a volume with the labels of the atlas, on the grid of the images."""
    volume = np.zeros(make_volumes(0).shape[:3])
    for own, label in zip(LABELS, labels, strict=True):
        volume[label_voxels(own)] = label
    return volume


def averages(values):
    """Return the mean of each label (T, P) of images in their usual place."""
    return np.stack([values[label_voxels(k)].mean(axis=(0, 1, 2)) for k in LABELS], axis=1)


@pytest.mark.fault(42, "image overlaps the atlas in part", "AtlasMismatchError, the lost labels")
@pytest.mark.parametrize(
    ("affine", "match"),
    [
        (move(20), r"in 2 of the 4 labels.*'2 2 \(\d+%\)', '5 5 \(\d+%\)'"),
        (np.eye(4), r"in 4 of the 4 labels.*'2 2 \(\d+%\)'.*field of view is partial"),
    ],
    ids=["20 mm", "identity"],
)
def test_fault_042_partial_overlap(observe, tmp_path, affine, match):
    write_one(tmp_path, affine=affine)
    with observe.leaves(tmp_path), observe.raises(AtlasMismatchError, match=match) as caught:
        extract(tmp_path)
    assert NAME in str(caught.value)
    with pytest.raises(InvalidRecordingError, match="None of 1 recordings can be stored.*Atlas"):
        prepare_one(tmp_path)


@pytest.mark.fault(42, "image overlaps the atlas in part", "AtlasMismatchError, the lost labels")
def test_fault_042_fewer_columns_of_a_masker(observe, tmp_path):
    image, atlas = write_one(tmp_path)
    masker = NiftiLabelsMasker(atlas, standardize=None)
    with pytest.warns(UserWarning):
        shifted = masker.fit_transform(make_image(affine=move(40)))
    assert shifted.shape[1] < len(LABELS)  # all that nilearn says is a warning
    model = GaussianReconstructor(window_length=40, patch_length=20)
    model.fit([masker.fit_transform(image)])
    with observe.raises(InvalidRecordingError, match="GaussianReconstructor is expecting 4 feat"):
        model.score([shifted])


@pytest.mark.fault(43, "label lost on a coarse grid", "never a missing column: AtlasMismatchError")
def test_fault_043_label_of_one_voxel(observe, tmp_path):
    write_one(tmp_path)
    fine = AFFINE.copy()
    fine[:3, :3] /= 8
    volume = np.repeat(np.repeat(np.repeat(make_labels(), 8, 0), 8, 1), 8, 2)
    volume[28, 28, 28] = 300  # of 1 mm, between voxels of 8 mm
    atlas = write_labels(tmp_path, volume, fine)
    with observe.raises(AtlasMismatchError, match=r"in 1 of the 5 labels.*'300 300 .*too small"):
        extract(tmp_path, atlas)


@pytest.mark.fault(44, "left and right stored the other way", "the same recording")
def test_fault_044_flipped_axis(observe, tmp_path):
    values, affine = make_volumes(0), AFFINE.copy()
    write_one(tmp_path, values)
    expected = extract(tmp_path).recording
    np.testing.assert_allclose(expected, averages(values), rtol=1e-5)
    affine[0, 0] *= -1
    affine[0, 3] = AFFINE[0, 3] + AFFINE[0, 0] * (values.shape[0] - 1)
    write_one(tmp_path, np.ascontiguousarray(values[::-1]), affine=affine)
    np.testing.assert_allclose(extract(tmp_path).recording, expected, rtol=1e-5)
    observe("equal: places are those of the affine")


@pytest.mark.fault(45, "singular affine, or NaN in it", "InvalidRecordingError")
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_fault_045_affine(observe, tmp_path, value):
    content = patch_header(280, np.full(12, value, "<f4"))
    path = write_packed(tmp_path / "bold.nii.gz", content)
    words = "bold.nii.gz has an affine that places no voxel.*Preprocess it again"
    with observe.raises(InvalidRecordingError, match=words):
        read_bold(path)


@pytest.mark.fault(46, "empty atlas", "AtlasMismatchError")
def test_fault_046_empty_atlas(observe, tmp_path):
    write_one(tmp_path)
    atlas = write_labels(tmp_path, np.zeros((4, 4, 4)))
    with observe.leaves(tmp_path):
        with observe.raises(AtlasMismatchError, match="labels.nii.gz has no label but the backg"):
            prepare_one(tmp_path, labels_img=atlas)


@pytest.mark.fault(47, "a label is missing in the atlas", "AtlasMismatchError that names it")
def test_fault_047_missing_label(observe, tmp_path):
    write_one(tmp_path)
    names = pd.DataFrame({"label": [f"area {i}" for i in range(1, 425)]})
    volume = np.zeros((10, 10, 10))
    volume.ravel()[:424] = np.arange(1, 425)
    volume[volume == 173] = 0
    atlas = write_labels(tmp_path, volume)
    words = r"has 423 labels, but there are 424 names.*Label 173 is missing; expected 1\.\.424"
    with observe.leaves(tmp_path), observe.raises(AtlasMismatchError, match=words):
        prepare_one(tmp_path, labels_img=atlas, parcels=names)


@pytest.mark.fault(48, "atlas of numbers that are not whole", "ValueError")
def test_fault_048_not_whole_numbers(observe, tmp_path):
    atlas = write_labels(tmp_path, make_labels() * 0.5, dtype=np.float32)
    words = "not a 3-D image of whole numbers.*interpolation='nearest'"
    with observe.raises(InvalidRecordingError, match=words):
        load_atlas(atlas)
    whole = write_labels(tmp_path, make_labels(), dtype=np.float32)  # whole numbers in floats
    assert load_atlas(whole).labels.tolist() == LABELS


@pytest.mark.fault(49, "wrong number of names of labels", "ValueError")
@pytest.mark.parametrize("n_names", [3, 5])
def test_fault_049_number_of_names(observe, tmp_path, n_names):
    write_one(tmp_path)
    parcels = pd.DataFrame({"label": [f"area {i}" for i in range(n_names)]})
    words = rf"atlas.nii.gz has 4 labels, but there are {n_names} names of parcels.*Give one name"
    with observe.leaves(tmp_path), observe.raises(AtlasMismatchError, match=words):
        prepare_one(tmp_path, parcels=parcels)
