"""Rows 50 to 58: values, confounds and names of runs."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from fmriprep_tree import (
    LABELS,
    MOTION,
    N_VOLUMES,
    label_voxels,
    make_confounds,
    make_volumes,
    write_confounds,
    write_run,
)
from nilearn.maskers import NiftiLabelsMasker
from sklearn.dummy import DummyRegressor

from faults.images import (
    NAME,
    extract,
    make_image,
    patch_header,
    prepare_one,
    write_one,
    write_packed,
)
from faults.recordings import make_recordings
from sklearn_brainlm import GaussianReconstructor
from sklearn_brainlm.doctor import doctor
from sklearn_brainlm.evaluation import compare
from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    DataQualityWarning,
    InvalidRecordingError,
)
from sklearn_brainlm.preparation.bold_images import read_bold
from sklearn_brainlm.store_building import build_store

WRONG_T_R = (27, "wrong repetition time", "ValueError above 1%, with resampling as remedy")
MOTION_ONLY = {"strategy": ("motion",), "confounds_params": {"motion": "full"}}


@pytest.mark.fault(*WRONG_T_R)
@pytest.mark.parametrize(
    ("run", "asked", "match"),
    [
        ({"sidecar_t_r": 0.735}, None, "is 0.735 s by its JSON sidecar, 2 s by its header"),
        ({}, 1.9, "is 1.9 s by the user, 2 s by its JSON sidecar"),
        ({"t_r": 2000.0, "sidecar_t_r": None}, None, "milliseconds"),
    ],
)
def test_fault_027_repetition_time_of_an_image(observe, tmp_path, run, asked, match):
    write_one(tmp_path, **run)
    with observe.leaves(tmp_path), observe.raises(InvalidRecordingError, match=match):
        extract(tmp_path, t_r=asked)


@pytest.mark.fault(*WRONG_T_R)
def test_fault_027_filters_need_it(observe, tmp_path):
    write_one(tmp_path, t_r=0.0, sidecar_t_r=None)
    assert extract(tmp_path).t_r is None
    with observe.raises(InvalidRecordingError, match="filtering needs its repetition time.*t_r"):
        extract(tmp_path, low_pass=0.1)


@pytest.mark.fault(50, "NaN or infinite voxels", "counted; too many: the run is refused")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fault_050_broken_voxels(observe, tmp_path, value):
    values = make_volumes(0)
    values[1, 1, 1, 5] = value
    write_one(tmp_path, values)
    prepared = prepare_one(tmp_path)
    kept = np.ones(values[label_voxels(2)].shape[:3], dtype=bool)
    kept[0, 0, 0] = False
    expected = values[label_voxels(2)][kept].mean(axis=0)
    np.testing.assert_allclose(prepared.store[0][:, 0], expected, rtol=1e-5)
    outcome = json.loads((tmp_path / "store.logs" / f"{NAME}.json").read_text())
    assert outcome["NotFiniteVoxels"] == 1
    observe("1 voxel left out, and counted in the log")
    values[label_voxels(2)][..., :2, 8] = value  # two thirds of the label
    write_one(tmp_path, values)
    with observe.raises(AtlasMismatchError, match=r"in 1 of the 4 labels.*'2 2 \(33%\)'"):
        extract(tmp_path)


@pytest.mark.fault(51, "a whole parcel NaN or zero", "AtlasMismatchError; of a masker: warning")
@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_fault_051_dead_parcel(observe, tmp_path, value):
    values = make_volumes(0)
    values[label_voxels(6)] = value
    _, atlas = write_one(tmp_path, values)
    with observe.raises(AtlasMismatchError, match=r"in 1 of the 4 labels .*'6 6 \(0%\)'"):
        extract(tmp_path)
    if np.isnan(value):
        return
    masker = NiftiLabelsMasker(atlas, standardize=None, reports=False)
    signals = masker.fit_transform(make_image(values))
    with observe.warns(DataQualityWarning, match=r"constant.*recording 0: 2\).*A masker returns"):
        GaussianReconstructor(window_length=40, patch_length=20)._check_X([signals], reset=True)


@pytest.mark.fault(
    52, "NaN in the first row of confounds", "filled by load_confounds, or ValueError"
)
def test_fault_052_confounds_with_nan(observe, tmp_path):
    image, _ = write_one(tmp_path)
    assert np.isnan(make_confounds(0)[f"{MOTION[0]}_derivative1"][0])
    recording = extract(tmp_path, **MOTION_ONLY).recording
    assert np.isfinite(recording).all()
    observe("the first row of derivatives is filled as load_confounds does")
    columns = make_confounds(0)
    columns["rot_y"][7] = np.nan
    write_confounds(image.parent / NAME, columns)
    with observe.raises(InvalidRecordingError, match=r"rot_y.*not finite.*Choose a strategy"):
        extract(tmp_path, **MOTION_ONLY)


@pytest.mark.fault(53, "confounds of another length", "ValueError with both lengths")
def test_fault_053_confounds_of_another_length(observe, tmp_path):
    write_one(tmp_path, confounds=make_confounds(0, n_rows=50))
    words = f"{NAME}.* has {N_VOLUMES} timepoints, its confounds have 50 rows.*run fMRIPrep again"
    with observe.leaves(tmp_path), observe.raises(InvalidRecordingError, match=words):
        extract(tmp_path, **MOTION_ONLY)


@pytest.mark.fault(54, "int16 or big-endian image", "float32 out")
@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "<f8", "u1"])
def test_fault_054_dtypes_of_images(observe, tmp_path, dtype):
    values = np.rint(make_volumes(0) - 900)
    image, _ = write_one(tmp_path)
    image.unlink()
    swapped = nibabel.Nifti1Image(values.astype(dtype), make_image().affine)
    if dtype.startswith(">"):
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(dtype)
        swapped = nibabel.Nifti1Image(values.astype(dtype), make_image().affine, header)
    swapped.header.set_zooms((8, 8, 8, 2.0))
    swapped.to_filename(image)
    found = extract(tmp_path).recording
    assert found.dtype == np.float32
    expected = [values[label_voxels(k)].mean(axis=(0, 1, 2)) for k in LABELS]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-5)
    observe("float32, native byte order")


@pytest.mark.fault(55, "float16, int64 or complex image", "read exactly, or a clear error")
def test_fault_055_rare_dtypes(observe, tmp_path):
    values = np.rint(make_volumes(0))
    wide = nibabel.Nifti1Image(values.astype(np.int64), np.eye(4), dtype="int64")
    wide.to_filename(tmp_path / "wide.nii")
    np.testing.assert_array_equal(read_bold(tmp_path / "wide.nii").values, values)
    make_image(values, dtype=np.complex64).to_filename(tmp_path / "complex.nii")
    with observe.raises(InvalidRecordingError, match="complex.nii has a header.*complex64"):
        read_bold(tmp_path / "complex.nii")
    for code in (16384, 12345, 1, 128):  # NIfTI has no code for float16; a bit; colours
        content = patch_header(70, np.array([code], "<i2"))
        path = write_packed(tmp_path / "bold.nii.gz", content)
        with observe.raises(InvalidRecordingError, match="bold.nii.gz has a header that cannot"):
            read_bold(path)


@pytest.mark.fault(56, "scl_slope of 1e30 or NaN", "InvalidRecordingError")
@pytest.mark.parametrize("slope", [1e30, -1e30, np.nan, np.inf])
def test_fault_056_scale_of_the_header(observe, tmp_path, slope):
    path = write_packed(tmp_path / "bold.nii.gz", patch_header(112, np.array([slope], "<f4")))
    with observe.raises(InvalidRecordingError, match="bold.nii.gz has a header.*scl_slope"):
        read_bold(path)
    write_packed(path, patch_header(116, np.array([slope], "<f4")))  # scl_inter
    with observe.raises(InvalidRecordingError, match="scl_inter"):
        read_bold(path)
    write_packed(path, patch_header(112, np.zeros(2, "<f4")))  # by the standard: unscaled
    np.testing.assert_array_equal(read_bold(path).values, make_volumes(0))


@pytest.mark.fault(57, "path with Unicode, spaces and links", "works")
def test_fault_057_odd_paths(observe, tmp_path):
    folder = tmp_path / "donnée ß 脳 #1 [x] (a)"
    folder.mkdir()
    image, _ = write_one(folder)
    expected = extract(folder).recording
    shutil.move(image, folder / "elsewhere é.nii.gz")
    image.symlink_to(folder / "elsewhere é.nii.gz")
    prepared = prepare_one(folder)
    np.testing.assert_array_equal(prepared.store[0], expected)
    observe("prepared as in any folder")


@pytest.mark.fault(58, "a run twice", "warning; never in training and test of one fold")
def test_fault_058_same_bytes_of_two_people(observe, tmp_path):
    X, y = make_recordings((60,) * 12), np.arange(12.0)
    X[7] = X[2].copy()
    people = [f"sub-{i:02d}" for i in range(12)]
    model = {"Mean": DummyRegressor()}
    how = {"baseline": "Mean", "n_bootstrap": 20, "random_state": 0}
    with observe.warns(DataQualityWarning, match=r"X\[2\] and X\[7\] hold the same values"):
        with observe.raises(ValueError, match=r"same subject is in training and test of fold"):
            compare(model, X, y, groups=people, cv=[([0, 1, 2, 3], [6, 7, 8])], **how)
    with observe.warns(DataQualityWarning, match="Leave one of each out"):
        compare(model, X, y, groups=people, cv=[([0, 1, 3], [2, 7, 8])], **how)
    (found,) = [finding for finding in doctor(X).findings if finding.kind == "duplicates"]
    assert found.recordings == (2, 7)
    ids = {"recording": ["a", "b", "a"], "participant_id": ["sub-1", "sub-2", "sub-1"]}
    with observe.leaves(tmp_path):
        with observe.raises(InvalidRecordingError, match="occur more than once: a"):
            build_store(tmp_path / "store", X[:3], participants=ids)


@pytest.mark.fault(58, "a run twice", "warning; never in training and test of one fold")
def test_fault_058_same_run_of_two_subjects(observe, tmp_path):
    values = make_volumes(0)
    write_one(tmp_path, values)
    write_run(tmp_path / "fmriprep", "sub-02_task-rest", values)
    with observe.warns(DataQualityWarning, match="sub-01_task-rest.*sub-02_task-rest.*same val"):
        prepare_one(tmp_path)
