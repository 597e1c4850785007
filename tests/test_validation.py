"""What is accepted as X, and each error with its words. That estimators call this: test_common."""

import pickle
import re
import time
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage
from scipy import sparse

from sklearn_brainlm._validation import (
    as_float32,
    check_parcel_coords,
    check_parcel_names,
    check_recordings,
    check_t_r,
    describe,
)
from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    DataQualityWarning,
    InvalidRecordingError,
    InvalidRecordingTypeError,
    StoreCorruptionError,
)


@pytest.fixture
def recording(recordings):
    return recordings[0][:40]


class LazySequence:
    """A sequence with the two methods a store has, and no more."""

    def __init__(self, recordings):
        self.recordings = recordings

    def __len__(self):
        return len(self.recordings)

    def __getitem__(self, index):
        return self.recordings[index]


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def nifti_image():
    return nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), dtype=np.float32), np.eye(4))


def surface_image():
    half = InMemoryMesh(np.zeros((3, 3), dtype=np.float32), np.array([[0, 1, 2]]))
    return SurfaceImage(
        PolyMesh(left=half, right=half),
        {side: np.zeros((3, 4), dtype=np.float32) for side in ("left", "right")},
    )


# --- what is accepted ----------------------------------------------------------------------------

CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": object_array,
    "Series": pd.Series,
    "Series with another index": lambda items: pd.Series(items, index=range(7, 7 + len(items))),
    "polars Series": lambda items: pl.Series(items, dtype=pl.Object),
    "lazy sequence": LazySequence,
    "list of DataFrames": lambda items: [pd.DataFrame(item) for item in items],
    "list of polars DataFrames": lambda items: [pl.DataFrame(item) for item in items],
    "list of tensors": lambda items: [torch.tensor(item) for item in items],
    "list of nested lists": lambda items: [item.astype(float).tolist() for item in items],
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_containers_hold_the_same_recordings(recordings, container):
    checked = check_recordings(container(recordings))
    assert type(checked) is list
    assert len(checked) == len(recordings)
    for found, expected in zip(checked, recordings, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("container", [np.stack, lambda items: torch.tensor(np.stack(items))])
def test_three_dimensions_are_many_recordings(recordings, container):
    equal = [recording[:60] for recording in recordings]
    checked = check_recordings(container(equal))
    np.testing.assert_array_equal(np.stack(checked), np.stack(equal))


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, pl.DataFrame, torch.tensor])
def test_two_dimensions_are_one_recording(recording, container):
    (checked,) = check_recordings(container(recording))
    np.testing.assert_array_equal(checked, recording)


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "<f8", ">f8", "g", "i1", "<i2", ">i8", "u2"])
def test_real_dtypes_are_accepted_as_they_are(recording, dtype):
    typed = np.round(np.abs(recording) * 10).astype(dtype)
    (checked,) = check_recordings(typed)
    assert checked is typed
    cast = as_float32(typed)
    assert cast.dtype == np.dtype(np.float32) and cast.dtype.isnative
    np.testing.assert_array_equal(cast, np.round(np.abs(recording) * 10))


@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1][::-1],
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    ],
    ids=["Fortran", "strided", "reversed rows", "negative strides"],
)
def test_memory_order_does_not_matter(recording, view):
    (checked,) = check_recordings([view(recording)])
    cast = as_float32(checked)
    assert cast.flags.c_contiguous
    np.testing.assert_array_equal(cast, recording)


def test_nothing_is_copied_and_nothing_written(recordings):
    for recording in recordings:
        recording.flags.writeable = False
    before = [recording.copy() for recording in recordings]
    checked = check_recordings(recordings)
    assert all(a is b for a, b in zip(checked, recordings, strict=True))
    assert all(
        as_float32(a) is b or np.shares_memory(a, b)
        for a, b in zip(checked, recordings, strict=True)
    )
    for recording, copy in zip(recordings, before, strict=True):
        np.testing.assert_array_equal(recording, copy)


def test_memory_maps_stay_mapped(tmp_path, recording):
    np.save(tmp_path / "run.npy", recording)
    mapped = np.load(tmp_path / "run.npy", mmap_mode="r")
    (checked,) = check_recordings([mapped])
    assert checked is mapped
    window = as_float32(checked[5:20])
    assert np.shares_memory(window, mapped)


def test_a_big_recording_is_checked_fast():
    big = np.random.default_rng(0).standard_normal((1195, 360), dtype=np.float32)
    start = time.process_time()
    check_recordings([big] * 10)
    assert (time.process_time() - start) / 10 < 0.1


# --- what is refused -----------------------------------------------------------------------------

REFUSED_TYPES = {
    "sparse matrix": (lambda x: sparse.csr_matrix(x), "Sparse data was passed, but dense"),
    "sparse array in a list": (lambda x: [sparse.csr_array(x)], r"recording 0.*toarray"),
    "path": (lambda x: "run.nii.gz", r"X is the path 'run.nii.gz'.*MultiNiftiLabelsMasker"),
    "Path": (lambda x: Path("run.nii.gz"), r"X is the path 'run.nii.gz'.*MultiNiftiLabelsMasker"),
    "list of paths": (lambda x: [x, "run.nii.gz"], r"recording 1 is the path.*a list of images"),
    "image": (lambda x: nifti_image(), r"X is an image \(Nifti1Image\).*MultiNiftiLabelsMasker"),
    "list of images": (lambda x: [nifti_image()], r"recording 0 is an image"),
    "image of another package": (
        lambda x: [SimpleNamespace(get_fdata=None)],
        r"recording 0 is an image \(SimpleNamespace\)",
    ),
    "image without get_fdata": (lambda x: SimpleNamespace(dataobj=x), "X is an image"),
    "surface": (lambda x: surface_image(), r"image \(SurfaceImage\).*MultiSurfaceLabelsMasker"),
    "iterator": (lambda x: iter([x]), r"X is an iterator; .*pass list\(X\)"),
    "generator": (lambda x: (y for y in [x]), r"X is an iterator; .*pass list\(X\)"),
    "dict": (lambda x: {"run": x}, "X is of type dict; expected a list of arrays"),
    "set": (lambda x: {1, 2}, "X is of type set"),
    "None": (lambda x: None, "X is of type NoneType"),
    "masked array": (lambda x: [np.ma.masked_greater(x, 0)], "recording 0 is a masked array"),
    "tensor with gradient": (
        lambda x: [torch.tensor(x, requires_grad=True)],
        r"recording 0 of type Tensor cannot be read.*detach",
    ),
}


def with_value(x, value, dtype=None):
    changed = x.astype(dtype or x.dtype)
    changed[7, 3] = value
    return changed


REFUSED_VALUES = {
    "scalar": (lambda x: np.float64(3), "Expected 2D array, got scalar array instead"),
    "1-D": (lambda x: x[0], r"Expected 2D array, got 1D array instead: X has shape \(12,\).*\[x\]"),
    "list of 1-D": (lambda x: list(x), r"Expected 2D.*1D.*recording 0.*give the masker 4-D images"),
    "list of scalars": (
        lambda x: list(x[0]),
        r"got scalar array instead: recording 0 has shape \(\); .*n_parcels\)\.$",
    ),
    "4-D": (lambda x: x[None, None], r"Found array with dim 4.*\(1, 1, 40, 12\)"),
    "5-D": (lambda x: x[None, None, None], "Found array with dim 5"),
    "list of 3-D": (
        lambda x: [x[None]],
        r"Expected 2D array, got 3D array instead: recording 0 .*n_parcels\)\.$",
    ),
    "no recordings": (lambda x: [], r"Found array with 0 sample\(s\).*minimum of 1 is required"),
    "no recordings, 3-D": (lambda x: x[None][:0], r"Found array with 0 sample\(s\)"),
    "no timepoints": (lambda x: [x, x[:0]], r"0 sample\(s\) \(shape=\(0, 12\)\).*recording 1"),
    "no parcels": (lambda x: x[:, :0], r"0 feature\(s\) \(shape=\(40, 0\)\) while a minimum of 1"),
    "complex": (lambda x: [x, x * 1j], "Complex data not supported: recording 1 has dtype complex"),
    "object": (lambda x: x.astype(object), "recording 0 has dtype object; expected real numbers"),
    "3-D object": (lambda x: np.stack([x, x]).astype(object), "dtype object.*list of arrays"),
    "string": (lambda x: [x.astype(str)], "recording 0 has dtype <U"),
    "bool": (lambda x: x > 0, "recording 0 has dtype bool"),
    "datetime": (lambda x: x.astype("M8[s]"), "recording 0 has dtype datetime64"),
    "mixed columns": (
        lambda x: pd.DataFrame(x).assign(subject="a"),
        "recording 0 has dtype object",
    ),
    "NaN": (
        lambda x: [x, with_value(x, np.nan)],
        "Input X contains NaN. recording 1: 1 values are NaN.*timepoint 7, parcel 3",
    ),
    "infinity": (
        lambda x: [with_value(x, np.inf)],
        "Input X contains infinity.*recording 0: 0 values.*1 infinite.*timepoint 7, parcel 3",
    ),
    "minus infinity, float16": (
        lambda x: [with_value(x, -np.inf, np.float16)],
        "Input X contains infinity.*timepoint 7, parcel 3",
    ),
    "float32 overflow": (
        lambda x: [with_value(x, 1e39, np.float64)],
        r"too large for dtype\('float32'\).*timepoint 7, parcel 3",
    ),
    "all zero": (lambda x: [x, x * 0], "recording 1 is all zero"),
    "all zero in float32": (lambda x: x.astype(float) * 1e-50, "recording 0 is all zero"),
    "different parcels": (
        lambda x: [x, x[:30, :9], x],
        r"differ in their number of parcels: 9 parcels: recordings 1; 12 parcels: recordings 0, 2. "
        "Extract all with one atlas",
    ),
    "more parcels than the first": (lambda x: [x[:, :9], x], "differ in their number of parcels"),
    "transposed, several lengths": (
        lambda x: [x.T, x[:30].T],
        r"All have 12 rows: if these are parcels, pass \[x.T for x in X\]",
    ),
}

CASES = {
    **{name: (*case, InvalidRecordingTypeError) for name, case in REFUSED_TYPES.items()},
    **{name: (*case, InvalidRecordingError) for name, case in REFUSED_VALUES.items()},
}


@pytest.mark.parametrize(("make", "words", "error"), CASES.values(), ids=CASES)
def test_refused(recording, make, words, error):
    with pytest.raises(error, match=words) as caught:
        check_recordings(make(recording))
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is error
    assert str(again) == str(caught.value)


def test_refused_for_numbers_that_are_expected(recording):
    def refused(X, words, **expected):
        with pytest.raises(InvalidRecordingError, match=re.escape(words)) as caught:
            check_recordings(X, estimator_name="Name", **expected)
        return str(caught.value)

    phrase = "X has 40 features, but Name is expecting 12 features as input"
    message = refused([recording, recording.T], phrase, n_parcels=12)
    assert "recording 1 has shape (12, 40); expected (n_timepoints, 12)" in message
    assert "It looks transposed, pass X[1].T." in message
    assert "pass X.T." in refused(recording.T, phrase, n_parcels=12)
    message = refused([recording[:5, :3]], "X has 3 features", n_parcels=12)
    assert "transposed" not in message
    long = np.random.default_rng(0).standard_normal((300, 40))
    check_recordings(long.T, n_parcels=300)
    assert "pass X.T." in refused(long, "X has 40 features", n_parcels=300)
    phrase = "X has 3 features, but Name is expecting 12 features as input"
    message = refused([recording[:, :3]], phrase, n_parcels=12)
    assert "keep_masked_labels" in message and "transposed" not in message
    refused(
        [recording, recording[:19]],
        "recording 1 has 19 timepoints; at least 20 timepoints",
        min_timepoints=20,
    )
    check_recordings([recording[:20]], min_timepoints=20)
    check_recordings([recording[:1]])
    for single in (pd.DataFrame(recording.T), pl.DataFrame(recording.T)):
        assert "pass X.T." in refused(single, "X has 40 features", n_parcels=12)
    for several in (recording.T[None], pd.Series([recording.T])):
        assert "pass X[0].T." in refused(several, "X has 40 features", n_parcels=12)


class Checked(LazySequence):
    """A sequence that says whether its values were looked at."""

    def __init__(self, recordings, has_checked_values):
        super().__init__(recordings)
        self.has_checked_values = has_checked_values


def test_values_are_looked_at_unless_they_were(recording):
    broken = [with_value(recording, np.nan)]
    for X in (broken, Checked(broken, False), Checked(broken, 1), Checked(broken, None)):
        with pytest.raises(InvalidRecordingError, match="contains NaN"):
            check_recordings(X)
        assert len(check_recordings(X, ensure_all_finite=False)) == 1
    assert check_recordings(Checked(broken, True))[0] is broken[0]


def test_a_path_is_named_where_there_is_one(tmp_path, recording):
    path = tmp_path / "sub-01.npy"
    np.save(path, with_value(recording, np.nan))
    with pytest.raises(InvalidRecordingError, match=re.escape(f"recording 0 ({path}): 1 values")):
        check_recordings([np.load(path, mmap_mode="r")])
    assert describe(3) == "recording 3"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("RecordingScaler", "make_pipeline(MultiNiftiLabelsMasker(labels_img), RecordingScaler())"),
        ("resample_recordings", "MultiNiftiLabelsMasker(labels_img).fit_transform(images) returns"),
    ],
)
def test_a_path_is_sent_to_a_masker_in_a_way_that_works(name, remedy):
    with pytest.raises(InvalidRecordingTypeError, match=re.escape(remedy)):
        check_recordings(["bold.nii.gz"], estimator_name=name)


def test_nan_is_found_beyond_the_first_block_of_rows():
    long = np.random.default_rng(0).standard_normal((3000, 200), dtype=np.float32)
    long[2900, 5] = np.nan
    with pytest.raises(InvalidRecordingError, match="timepoint 2900, parcel 5"):
        check_recordings(long)


def test_a_truncated_file_is_refused_before_it_kills_python(tmp_path):
    path = tmp_path / "run.npy"
    np.save(path, np.ones((4000, 20), dtype=np.float32))
    mapped = np.load(path, mmap_mode="r")
    with open(path, "r+b") as file:
        file.truncate(5000)
    with pytest.raises(StoreCorruptionError, match=r"run.npy\) is truncated.*5000 bytes"):
        check_recordings([mapped])


# --- what is warned about ------------------------------------------------------------------------


def test_constant_parcels_are_named_in_one_warning(recordings):
    recordings = [np.tile(recording, 12) for recording in recordings]  # 5% are seven parcels
    recordings[1][:, 4] = 0
    recordings[3][:, 2:9] = 5
    with pytest.warns(DataQualityWarning) as caught:
        check_recordings(recordings)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "constant, found in 2 of 6 recordings" in message
    assert "recording 1: 4; recording 3: 2, 3, 4, 5, 6 and 2 more" in message
    assert caught[0].filename == __file__
    check_recordings(recordings, warn_constant=False)


def test_many_constant_parcels_are_refused(recordings):
    recordings = [np.tile(recording, 12) for recording in recordings]
    recordings[3][:, 2:10] = 5
    words = r"recording 3 has 8 constant parcels of 144 \(2, 3, 4, 5, 6 and 3 more\); .* most 5%"
    with pytest.raises(InvalidRecordingError, match=words):
        check_recordings(recordings)
    check_recordings(recordings, warn_constant=False)


def test_constant_in_float32_is_constant(recording):
    flat = recording.astype(np.float64)
    flat[:, 0] = 1e8 + 1e-3 * flat[:, 0]
    with pytest.warns(DataQualityWarning, match="recording 0: 0"):
        check_recordings(flat)


def test_a_square_recording_that_looks_transposed_warns():
    steps = np.random.default_rng(0).standard_normal((40, 40))
    smooth = np.cumsum(steps, axis=0)
    check_recordings([smooth])
    with pytest.warns(DataQualityWarning, match=r"smoother over columns .*X\[0\].T"):
        check_recordings([smooth.T])


# --- names, coordinates and repetition times -----------------------------------------------------


def test_parcel_names(recording):
    names = [f"parcel {i}" for i in range(12)]
    frame = pd.DataFrame(recording, columns=names)
    assert check_parcel_names([recording]) is None
    assert check_parcel_names([pd.DataFrame(recording)]) is None
    assert list(check_parcel_names(frame)) == names
    assert list(check_parcel_names([recording, pl.DataFrame(recording, schema=names)])) == names
    other_order = frame[names[::-1]]
    with pytest.raises(AtlasMismatchError, match=r"recording 1: the parcel order differs.*'parcel"):
        check_parcel_names([frame, other_order])
    with pytest.raises(AtlasMismatchError, match=r"recording 0: .*given to fit it is 'parcel 0'"):
        check_parcel_names(other_order, np.array(names, dtype=object))
    renamed = frame.rename(columns={"parcel 3": "V1"})
    with pytest.raises(AtlasMismatchError, match="parcel names differ. Column 3 is 'V1'"):
        check_parcel_names([frame, renamed])


def test_parcel_coords(parcel_coords):
    checked = check_parcel_coords(pd.DataFrame(parcel_coords), 12)
    np.testing.assert_array_equal(checked, parcel_coords)
    assert checked.dtype == np.float64
    integers = check_parcel_coords([[1, 2, 3]])
    assert integers.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[:10], "parcel_coords has 10 rows, but recordings have 12 parcels"),
        (lambda c: c.T, r"shape \(3, 12\); expected \(n_parcels, 3\)"),
        (lambda c: c[:, 0], r"shape \(12,\)"),
        (lambda c: np.where(np.arange(12)[:, None] == 4, np.nan, c), "not finite at parcel 4"),
        (lambda c: [["a", "b", "c"]], "must be numbers"),
    ],
)
def test_parcel_coords_refused(parcel_coords, change, words):
    with pytest.raises(InvalidRecordingError, match=words):
        check_parcel_coords(change(parcel_coords), 12)


@pytest.mark.parametrize("t_r", [0.72, np.float32(2), 2, 60, None])
def test_t_r(t_r):
    assert check_t_r(t_r) == t_r


@pytest.mark.parametrize("t_r", [0, -1, np.nan])
def test_t_r_refused(t_r):
    with pytest.raises(InvalidRecordingError, match=rf"in seconds.*got {t_r}\.$"):
        check_t_r(t_r)


@pytest.mark.parametrize("t_r", [60.5, 735, np.inf])
def test_t_r_in_milliseconds_is_guessed(t_r):
    with pytest.raises(InvalidRecordingError, match=rf"got {t_r}\. Is it in milliseconds\?$"):
        check_t_r(t_r)


@pytest.mark.parametrize("t_r", ["0.72", [0.72, 2.0], np.array([1.0]), True, np.True_])
def test_t_r_is_one_number(t_r):
    with pytest.raises(InvalidRecordingTypeError, match=r"one number.*resample_recordings"):
        check_t_r(t_r)
