"""Reading a store: indices, tables, pickles, estimators, readers in other processes.

Not here: building (test_store_building.py) and damage (test_store_verify.py).
"""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils import _safe_indexing

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor, RecordingScaler
from sklearn_brainlm._stored_values import StoredRecording, decode, encode
from sklearn_brainlm._validation import check_recordings
from sklearn_brainlm.baselines.connectivity import ConnectivityFeatures
from sklearn_brainlm.exceptions import InvalidRecordingError, StoreCorruptionError
from sklearn_brainlm.recordings import cut_window
from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store

DTYPES = ("float32", "float16", "int16")
WINDOWS = {"window_length": 40, "patch_length": 20}
TINY = {"embed_dim": 16, "depth": 1, "n_heads": 2, "decoder_depth": 1}
TINY |= {"decoder_embed_dim": 16, "decoder_n_heads": 2, "max_epochs": 1, "random_state": 0}


@pytest.fixture
def participants():
    return pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-1", "sub-2", "sub-2", "sub-3", "sub-3"],
            "recording": [f"run-{i}.npy" for i in range(6)],
            "age": [23.5, 23.5, np.nan, 41.25, 60.1, 1 / 3],
            "site": ["007", None, "None", "NA", "b c", "é"],
            "n_runs": range(6),
            "is_patient": [True, False] * 3,
        }
    )


@pytest.fixture(params=DTYPES)
def store(request, tmp_path, recordings, participants):
    """Return a store of four shards."""
    return build_store(
        tmp_path / "store",
        recordings,
        participants=participants,
        dtype=request.param,
        shard_bytes=12 * 160 * np.dtype(request.param).itemsize,
    )


def test_values_are_those_that_were_given(store, recordings):
    assert len(list((store.path / "shards").iterdir())) == 4
    for index, recording in enumerate(recordings):
        read = np.asarray(store[index])
        if store.dtype == "int16":
            np.testing.assert_array_equal(read, decode(*encode(recording, "int16")))
        else:
            np.testing.assert_array_equal(read, recording.astype(store.dtype))


def test_float_recordings_are_read_only_views_of_the_map(tmp_path, recordings):
    recording = build_store(tmp_path, recordings)[2]
    assert type(recording) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        recording[0, 0] = 1
    owner = recording
    while not isinstance(owner, np.memmap):
        owner = owner.base


def test_shape_and_sizes(store, recordings):
    lengths = [len(recording) for recording in recordings]
    assert store.shape == (6,) and len(store) == 6
    assert store.n_parcels == 12
    assert store.lengths.dtype == np.int64 and store.lengths.tolist() == lengths
    assert store.nbytes == sum(lengths) * 12 * store.dtype.itemsize
    assert store.dtype in (np.float32, np.float16, np.int16)
    assert "6" in repr(store) and str(store.path) in repr(store)


@pytest.mark.parametrize(
    "key",
    [
        slice(1, 5, 2),
        slice(None, None, -1),
        [4, 0, 0],
        np.array([5, -1]),
        np.array([True, False, True, False, False, True]),
        [False, True, False, False, False, False],
        pd.Series([2, 3]),
        range(2, 4),
        [],
        np.array([], dtype=int),
    ],
    ids=str,
)
def test_several_recordings_are_a_store_as_of_a_numpy_array(store, key):
    positions = np.arange(6)[np.asarray(key, dtype=int) if len_of(key) == 0 else index(key)]
    some = store[key]
    assert isinstance(some, RecordingStore)
    assert some.ids == [f"run-{i}.npy" for i in positions]
    assert some.participants["n_runs"].tolist() == positions.tolist()
    assert some.lengths.tolist() == store.lengths[positions].tolist()
    assert len(some.t_r) == len(some) == len(positions)
    for recording, position in zip(some, positions, strict=True):
        np.testing.assert_array_equal(np.asarray(recording), np.asarray(store[position]))


def len_of(key):
    return -1 if isinstance(key, slice) else len(key)


def index(key):
    return key if isinstance(key, slice) else np.asarray(key)


def test_a_store_of_a_store_counts_within_it(store):
    assert store[[5, 3, 1]][1:].ids == ["run-3.npy", "run-1.npy"]


@pytest.mark.parametrize("key", [6, -7, (0, 1), np.zeros((2, 2), int), "run-1.npy", 1.5, [9]])
def test_other_indices_are_refused(store, key):
    with pytest.raises(IndexError):
        store[key]


def test_tables_come_back_as_they_were(store, participants):
    expected = participants.assign(site=["007", np.nan, "None", "NA", "b c", "é"])
    pd.testing.assert_frame_equal(store.participants, expected, check_dtype=False)
    kinds = [dtype.kind for dtype in store.participants.dtypes]
    assert kinds == ["O", "O", "f", "O", "i", "b"]
    assert store.parcels is None and store.parcel_coords is None
    assert np.isnan(store.t_r).all()


def test_parcels_and_repetition_times(tmp_path, recordings, parcel_coords):
    parcels = pd.DataFrame(parcel_coords, columns=["x", "y", "z"]).assign(
        label=list("abcdefghijkl")
    )
    t_r = [0.72, 2, np.nan, 1, 1, 1]
    store = build_store(tmp_path, recordings, parcels=parcels, t_r=t_r)
    np.testing.assert_array_equal(store.parcel_coords, parcel_coords)
    assert store.parcels.columns.tolist() == ["index", "x", "y", "z", "label"]
    np.testing.assert_array_equal(store[1:3].t_r, [2, np.nan])


def test_a_pickle_is_a_path_and_a_selection(store):
    some = store[[3, 1]]
    pickled = pickle.dumps(some)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert again.ids == some.ids and again.path == some.path
    np.testing.assert_array_equal(np.asarray(again[0]), np.asarray(some[0]))


def test_a_pickle_of_a_store_that_was_built_anew_is_refused(tmp_path, recordings):
    pickled = pickle.dumps(build_store(tmp_path / "a", recordings))
    shutil.rmtree(tmp_path / "a")
    build_store(tmp_path / "a", recordings[::-1])
    with pytest.raises(StoreCorruptionError, match="built anew"):
        pickle.loads(pickled)


@pytest.mark.parametrize(
    ("estimator", "use"),
    [
        (BrainLMTransformer(**WINDOWS, **TINY), "transform"),
        (GaussianReconstructor(**WINDOWS), "score"),
        (RecordingScaler(), "transform"),
        (ConnectivityFeatures(), "transform"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_estimators_get_the_same_from_a_store_as_from_a_list(tmp_path, recordings, estimator, use):
    store = build_store(tmp_path, recordings, shard_bytes=9000)
    found, expected = (getattr(clone(estimator).fit(X), use)(X) for X in (store, recordings))
    if use == "score":
        found, expected = [found], [expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_estimators_take_16_bit_codes(tmp_path, recordings):
    store = build_store(tmp_path, recordings, dtype="int16")
    decoded = [np.asarray(recording) for recording in store]
    scaler = RecordingScaler("standard")
    for a, b in zip(scaler.fit_transform(store), scaler.fit_transform(decoded), strict=True):
        np.testing.assert_array_equal(a, b)
    gaussian = GaussianReconstructor(**WINDOWS)
    assert gaussian.fit(store).score(store) == gaussian.fit(decoded).score(decoded)


def test_checking_a_store_reads_no_values(store, monkeypatch):
    def refuse(*args):
        raise AssertionError("values were read")

    monkeypatch.setattr(StoredRecording, "__getitem__", refuse)
    monkeypatch.setattr(StoredRecording, "__array__", refuse)
    monkeypatch.setattr("sklearn_brainlm._validation.check_values", refuse)
    checked = check_recordings(store)
    assert [recording.shape for recording in checked] == [(n, 12) for n in store.lengths]
    with pytest.raises(InvalidRecordingError, match="expecting 13 features"):
        check_recordings(store, n_parcels=13)


def test_folds_are_stores(store):
    assert _safe_indexing(store, np.array([2, 0])).ids == ["run-2.npy", "run-0.npy"]
    assert _safe_indexing(store, slice(4, 6)).ids == ["run-4.npy", "run-5.npy"]


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_cross_validation_by_person_is_that_of_a_list(tmp_path, recordings, participants, n_jobs):
    store = build_store(tmp_path, recordings, participants=participants)
    y = np.arange(6.0)
    model = make_pipeline(ConnectivityFeatures(), Ridge())
    scores = [
        cross_validate(
            model,
            X,
            y,
            groups=store.participants["participant_id"],
            cv=GroupKFold(3),
            scoring="neg_mean_squared_error",
            n_jobs=jobs,
        )["test_score"]
        for X, jobs in ((store, n_jobs), (recordings, 1))
    ]
    np.testing.assert_array_equal(*scores)


def read_all(store, seed):
    """Read windows in a random order; return the sum of each recording."""
    sums = np.zeros(len(store))
    for i in np.random.default_rng(seed).permutation(len(store)):
        for start in range(0, int(store.lengths[i]), 20):
            sums[i] += cut_window(store[i], start, 20).sum(dtype=np.float64)
    return sums


@pytest.mark.slow
def test_several_processes_read_at_once(store):
    sums = Parallel(n_jobs=2)(delayed(read_all)(store, seed) for seed in range(4))
    expected = [np.sum(recording[:], dtype=np.float64) for recording in store]
    for each in sums:
        np.testing.assert_allclose(each, expected, rtol=1e-5)


def test_windows_are_float32(store):
    window = cut_window(store[1], 30, 40)
    assert window.dtype == np.float32 and window.shape == (40, 12)
    np.testing.assert_array_equal(window, np.asarray(store[1], dtype=np.float32)[30:70])


def test_a_shard_cut_short_is_an_error_and_not_the_end_of_python(store):
    # In a process of its own: without the check, it would die of SIGBUS.
    code = (
        "import os, pickle, sys\n"
        "from sklearn_brainlm.recordings import cut_window\n"
        "from sklearn_brainlm.exceptions import StoreCorruptionError\n"
        "from sklearn_brainlm.store import RecordingStore\n"
        "store = RecordingStore(sys.argv[1])\n"
        "recording = store[0]\n"
        "os.truncate(store.path / 'shards/00000.npy', 0)\n"
        "for read in (lambda: store[0], lambda: cut_window(recording, 0, 20)):\n"
        "    try:\n"
        "        read()\n"
        "    except StoreCorruptionError as error:\n"
        "        print('00000.npy was truncated' in str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store.path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\nTrue\n"), done.stderr


@pytest.mark.parametrize(
    "key",
    [3, slice(2, 9), np.array([1, 4]), (slice(None), 2), (slice(0, 3), slice(4)), (5, 1)],
    ids=str,
)
def test_a_stored_recording_is_indexed_like_its_decoded_array(recordings, key):
    codes, scales = encode(recordings[0], "int16")
    recording = StoredRecording(codes, scales)
    np.testing.assert_array_equal(recording[key], decode(codes, scales)[key])
    assert recording[key].dtype == np.float32


def test_a_stored_recording_computes_like_an_array(recordings):
    recording = StoredRecording(*encode(recordings[0], "int16"))
    array = np.asarray(recording)
    np.testing.assert_array_equal(recording - 1, array - 1)
    np.testing.assert_array_equal(np.float64(2) * recording, np.float64(2) * array)
    np.testing.assert_array_equal(recording.T, array.T)
    assert recording.sum(axis=0, dtype=np.float64).tolist() == array.sum(0, np.float64).tolist()
    assert recording.astype(np.float64).dtype == np.float64
    assert (len(recording), recording.size, recording.ndim) == (100, 1200, 2)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(recording, copy=False)
