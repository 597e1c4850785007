"""A run becomes the recording NumPy would make of it, or an error that says what is wrong.

How runs are found and stores made of them is in test_prepare.py.
"""

import gzip
import shutil

import nibabel
import numpy as np
import pytest
from fmriprep_tree import (
    AFFINE,
    LABELS,
    N_VOLUMES,
    label_voxels,
    make_confounds,
    make_volumes,
    write_atlas,
    write_run,
)

from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.preparation.bold_images import read_bold
from sklearn_brainlm.prepare import prepare

NAME = "sub-01_task-rest"


@pytest.fixture
def one(tmp_path):
    """Return a function that writes one run and prepares it."""
    atlas = write_atlas(tmp_path / "atlas.nii.gz")

    def prepare_one(values=None, *, confounds=True, options=None, **run):
        folder = tmp_path / "fmriprep"
        shutil.rmtree(folder, ignore_errors=True)
        values = make_volumes(0) if values is None else values
        table = make_confounds(0, n_rows=values.shape[3]) if confounds is True else confounds
        write_run(folder, NAME, values, confounds=table, **run)
        options = {"labels_img": atlas} | (options or {})
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        shutil.rmtree(tmp_path / "store.logs", ignore_errors=True)
        return prepare(folder, tmp_path / "store", **options)

    return prepare_one


def move(millimetres):
    """Return the place of the images, moved to the right."""
    affine = AFFINE.copy()
    affine[0, 3] += millimetres
    return affine


def average(values):
    """Return the mean of the voxels of each label (T, P)."""
    return np.stack([values[label_voxels(k)].reshape(-1, N_VOLUMES).mean(0) for k in LABELS], 1)


def regress_out(signals, columns):
    """Return what a least-squares fit of centred regressors leaves, by NumPy."""
    left_out = ("global_signal", "framewise_displacement", "std_dvars")
    table = np.stack([values for name, values in columns.items() if name not in left_out], axis=1)
    table = table - table.mean(axis=0)
    return signals - table @ np.linalg.lstsq(table, signals, rcond=None)[0]


def test_averages_are_those_of_numpy(one):
    values = make_volumes(0)
    prepared = one(values, options={"strategy": None})
    np.testing.assert_allclose(prepared.store[0], average(values), rtol=1e-5)


def test_confounds_are_regressed_out(one):
    values, columns = make_volumes(0), make_confounds(0)
    for name in columns:  # so that nobody has to guess what stands in the first row
        columns[name][0] = 0.0 if np.isnan(columns[name][0]) else columns[name][0]
    prepared = one(values, confounds=columns)
    expected = regress_out(average(values).astype(float), columns)
    np.testing.assert_allclose(prepared.store[0], expected, atol=2e-3)
    assert np.abs(prepared.store[0] - average(values)).max() > 1


def test_scrubbed_timepoints_are_kept_or_dropped(one):
    columns = make_confounds(0, scrubbed=[10, 30], steady_from=2)
    params = {"scrub": 0}
    kept = one(confounds=columns, options={"confounds_params": params})
    assert len(kept.store[0]) == N_VOLUMES
    assert kept.store.participants["scrubbed_timepoints"].tolist() == ["0 1 10 30"]
    dropped = one(confounds=columns, options={"confounds_params": params, "scrubbed": "drop"})
    assert len(dropped.store[0]) == N_VOLUMES - 4
    assert dropped.outcomes["n_scrubbed"].tolist() == [4]


@pytest.mark.parametrize(
    ("t_r", "sidecar_t_r", "asked", "found"),
    [
        (2.0, 2.01, None, 2.01),  # within the rounding of headers
        (2.0, None, None, 2.0),
        (0.0, 0.8, None, 0.8),
        (0.0, None, 1.5, 1.5),
        (0.0, None, None, np.nan),
    ],
)
def test_t_r_is_what_is_known(one, t_r, sidecar_t_r, asked, found):
    prepared = one(t_r=t_r, sidecar_t_r=sidecar_t_r, options={"t_r": asked})
    np.testing.assert_allclose(prepared.store.t_r, [found], rtol=1e-6)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"sidecar_t_r": 0.735}, "repetition time is 0.735 s by its JSON sidecar, 2 s by its head"),
        ({"options": {"t_r": 1.9}}, "1.9 s by the user, 2 s by"),
        ({"t_r": 2000.0, "sidecar_t_r": None}, "milliseconds"),
        ({"sidecar_t_r": "two"}, "RepetitionTime"),
        ({"confounds": make_confounds(0, n_rows=50)}, "60 timepoints, its confounds have 50 rows"),
        ({"confounds": {"csf": np.ones(N_VOLUMES)}}, "no confounds of motion"),
        ({"values": make_volumes(0)[..., :1]}, "a 4-D image of two timepoints"),
        ({"values": np.zeros_like(make_volumes(0))}, "in 4 of the 4 labels"),
        ({"affine": move(5000)}, "in 4 of the 4 labels"),
        ({"affine": move(20)}, "in 2 of the 4 labels"),  # three quarters of the left ones
    ],
)
def test_runs_that_contradict_themselves(one, run, reason):
    with pytest.raises(InvalidRecordingError) as refused:  # none can be stored
        one(**run)
    assert reason in str(refused.value)
    assert NAME in str(refused.value)


def test_truncated_and_mistaken_images(tmp_path):
    atlas = write_atlas(tmp_path / "atlas.nii.gz")
    image = write_run(tmp_path / "prep", NAME, make_volumes(0), confounds=make_confounds(0))
    whole = image.read_bytes()
    unpacked = nibabel.Nifti1Image(make_volumes(0), AFFINE).to_bytes()
    for content, reason in [
        (whole[: len(whole) // 2], "is truncated"),
        (whole[:100] + bytes(50) + whole[150:], "is damaged"),
        (unpacked, "it is not a gzip file"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"", "is empty"),
        (gzip.compress(b"hello" * 200), "is not a NIfTI image"),
        (gzip.compress(unpacked[:-40]), "is truncated"),
    ]:
        image.write_bytes(content)
        with pytest.raises(InvalidRecordingError, match=reason):
            prepare(tmp_path / "prep", tmp_path / "store", labels_img=atlas)


def test_voxels_that_are_not_finite_carry_no_signal(one):
    values = make_volumes(0)
    clean = one(values, options={"strategy": None}).store[0][:, 1:].copy()
    values[1, 1, 1, 5] = np.nan
    values[2, 1, 1, 7] = np.inf
    prepared = one(values, options={"strategy": None})
    np.testing.assert_array_equal(prepared.store[0][:, 1:], clean)
    kept = np.ones((2, 3, 3), bool)
    kept[:, 0, 0] = False
    expected = values[1:3, 1:4, 1:4][kept].mean(axis=0)
    np.testing.assert_allclose(prepared.store[0][:, 0], expected, rtol=1e-5)
    log = prepared.store.path.with_name("store.logs") / f"{NAME}.log"
    assert "warning" not in log.read_text()


def test_min_coverage(one):
    values = make_volumes(0)
    values[4:6, 5:] = 0  # two thirds of label 9
    with pytest.raises(InvalidRecordingError, match=r"9 9 \(33%\)"):
        one(values)
    assert len(one(values, options={"min_coverage": 0.3}).store) == 1


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (np.full((3, 3, 3), 0.5), "not a 3-D image of whole numbers"),
        (np.zeros((3, 3, 3)), "no label but the background"),
        (np.ones((3, 3, 3, 2)), "not a 3-D image"),
    ],
)
def test_images_that_are_no_atlas(tmp_path, volume, message):
    image = nibabel.Nifti1Image(volume.astype(np.float32), AFFINE)
    with pytest.raises((AtlasMismatchError, InvalidRecordingError), match=message):
        prepare(tmp_path, tmp_path / "store", labels_img=image)


def test_headers_that_promise_too_much(tmp_path):
    image = nibabel.Nifti1Image(make_volumes(0)[..., :3], AFFINE)
    content = bytearray(image.to_bytes())
    plain = tmp_path / "bold.nii"
    plain.write_bytes(content[:-8])
    with pytest.raises(InvalidRecordingError, match=r"bold\.nii is truncated"):
        read_bold(plain)
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()  # dim[1] to dim[3]
    packed = tmp_path / "bold.nii.gz"
    packed.write_bytes(gzip.compress(content))
    with pytest.raises(InvalidRecordingError, match=r"bold\.nii\.gz has .* and announces"):
        read_bold(packed)


@pytest.mark.parametrize(
    ("offset", "field", "reason"),
    [
        (40, np.array([3, 4, 4, 4, 1], "<i2"), "expected a 4-D image"),
        (70, np.array([32], "<i2"), "its values are complex64"),
        (280, np.zeros(12, "<f4"), "places no voxel"),
    ],
)
def test_headers_that_cannot_be_used(tmp_path, offset, field, reason):
    image = nibabel.Nifti1Image(make_volumes(0), AFFINE)
    content = bytearray(image.to_bytes())
    content[offset : offset + field.nbytes] = field.tobytes()
    path = tmp_path / "bold.nii.gz"
    path.write_bytes(gzip.compress(content, 1))
    with pytest.raises(InvalidRecordingError, match=reason):
        read_bold(path)


def test_values_are_scaled_as_the_header_says(tmp_path):
    values = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_slope_inter(0.5, 10)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((8, 8, 8, 720))
    image.to_filename(tmp_path / "bold.nii.gz")
    read = read_bold(tmp_path / "bold.nii.gz")
    np.testing.assert_allclose(read.values, nibabel.load(tmp_path / "bold.nii.gz").get_fdata())
    assert (read.values.dtype, read.t_r) == (np.float32, 0.72)


def test_filters_need_the_repetition_time(one):
    options = {"strategy": None, "low_pass": 0.1}
    with pytest.raises(InvalidRecordingError, match="filtering needs its repetition time"):
        one(t_r=0.0, sidecar_t_r=None, options=options)
    filtered = one(options=options).store[0]
    spectrum = np.abs(np.fft.rfft(filtered - filtered.mean(axis=0), axis=0))
    frequency = np.fft.rfftfreq(N_VOLUMES, 2.0)
    assert spectrum[frequency > 0.15].max() < 0.2 * spectrum[frequency < 0.1].max()
