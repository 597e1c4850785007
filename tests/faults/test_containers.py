"""Rows 18 to 28: other dtypes and layouts, files behind arrays, names, repetition times."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest

from faults.recordings import gaussian, make_recordings, regressor, target, transformer
from sklearn_brainlm import RecordingScaler
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.doctor import doctor
from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    InvalidRecordingError,
    InvalidRecordingTypeError,
    StoreCorruptionError,
)
from sklearn_brainlm.recordings import cut_window
from sklearn_brainlm.resampling import resample_recordings
from sklearn_brainlm.store_building import build_store

PARCELS = [f"parcel-{i:02d}" for i in range(24)]


@pytest.fixture(scope="module")
def fitted():
    """An estimator fitted on six recordings; not to be fitted again."""
    return gaussian().fit(make_recordings())


@pytest.mark.fault(18, "complex, object or string", "ValueError with the dtype")
@pytest.mark.parametrize(
    ("dtype", "match"),
    [
        (complex, "Complex data not supported: recording 1 has dtype complex128"),
        (object, "recording 1 has dtype object; expected real numbers"),
        (str, "recording 1 has dtype <U.*; expected real numbers"),
    ],
)
def test_fault_018_not_real_numbers(observe, fitted, dtype, match):
    X = make_recordings()
    X[1] = X[1].astype(dtype)
    for call in (gaussian().fit, fitted.score, RecordingScaler().fit, transformer().fit):
        with observe.raises(InvalidRecordingError, match=match):
            call(X)


@pytest.mark.fault(19, "big-endian", "as native")
@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
def test_fault_019_byte_order(observe, dtype):
    swapped = [np.rint(x).astype(dtype) for x in make_recordings()]
    native = [x.astype("f4") for x in swapped]
    one, other = (transformer().fit(X) for X in (swapped, native))
    np.testing.assert_array_equal(one.transform(swapped), other.transform(native))
    observe("bit-equal to native")


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "negative strides": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "slice": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
}


@pytest.mark.fault(20, "memory layout", "bit-equal to C-contiguous")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_fault_020_memory_layout(observe, layout):
    X = make_recordings()
    laid_out = [layout(x) for x in X]
    assert not any(x.flags.c_contiguous for x in laid_out)
    one, other = (transformer().fit(given) for given in (laid_out, X))
    np.testing.assert_array_equal(one.transform(laid_out), other.transform(X))
    observe("bit-equal")


@pytest.mark.fault(21, "read-only array or memory map", "works in silence, nothing is written")
@pytest.mark.parametrize("kind", ["flag", "memory map"])
def test_fault_021_read_only(observe, tmp_path, kind):
    X = make_recordings()
    if kind == "flag":
        for x in X:
            x.flags.writeable = False
        given = X
    else:
        given = joblib.load(joblib.dump(X, tmp_path / "X.joblib")[0], mmap_mode="r")
        assert all(isinstance(x, np.memmap) for x in given)
    with observe.leaves(tmp_path):
        found = transformer().fit(given).transform(given)  # a warning of torch would be an error
        regressor().fit(given, target(given)).predict(given)
    np.testing.assert_array_equal(found, transformer().fit(X).transform(X))
    observe(f"{kind}: as any array")


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
CUT = """
import sys
import numpy as np
from faults.recordings import gaussian, make_recordings
X = [np.load(path, mmap_mode="r") for path in sys.argv[1:]]
model = gaussian().fit(make_recordings())
with open(sys.argv[2], "r+b") as file:
    file.truncate(1000)
try:
    {call}
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.fault(22, "file behind a memory map truncated", "StoreCorruptionError, not SIGBUS")
@pytest.mark.parametrize("call", ["model.score(X)", "gaussian().fit(X)"])
def test_fault_022_truncated_memory_map(observe, tmp_path, call):
    paths = [tmp_path / f"run-{i}.npy" for i in range(6)]
    for path, x in zip(paths, make_recordings((4000, *[80] * 5)), strict=True):
        np.save(path, x)
    words = [sys.executable, "-c", CUT.format(call=call), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-300:]}"
    observe(done.stdout.strip().replace(str(tmp_path), "...")[:80])
    assert done.stdout.startswith("StoreCorruptionError recording 1 ")
    for words in (
        str(paths[1]),
        "truncated",
        "1000 bytes, the array needs",
        "Write the file again",
    ):
        assert words in done.stdout


@pytest.mark.fault(22, "file behind a memory map truncated", "StoreCorruptionError, not SIGBUS")
def test_fault_022_truncated_between_windows(observe, tmp_path):
    path = tmp_path / "run.npy"
    np.save(path, make_recordings((4000,))[0])
    mapped = np.load(path, mmap_mode="r")
    with open(path, "r+b") as file:
        file.truncate(1000)
    with observe.raises(StoreCorruptionError, match=r"run\.npy"):
        cut_window(mapped, 0, 40)


@pytest.mark.fault(23, "DataFrames", "2-D frames are recordings; else TypeError or ValueError")
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_fault_023_frames(observe, frame):
    X = make_recordings()
    frames = [frame(dict(zip(PARCELS, x.T, strict=True))) for x in X]
    model = transformer().fit(frames)
    assert model.feature_names_in_.tolist() == PARCELS
    np.testing.assert_array_equal(model.transform(frames), transformer().fit(X).transform(X))
    np.testing.assert_array_equal(model.transform(frames[0]), model.transform(frames[:1]))
    text = frame({"parcel": [1.0, 2.0], "subject": ["a", "b"]})
    with observe.raises(InvalidRecordingError, match="recording 0 has dtype object"):
        model.transform(text)
    with observe.raises(InvalidRecordingTypeError, match="dict; expected a list of arrays"):
        model.transform({"sub-01": frames[0]})


@pytest.mark.fault(24, "wrong number of parcels", "ValueError in the words of scikit-learn")
@pytest.mark.parametrize("n_parcels", [23, 25])
def test_fault_024_number_of_parcels(observe, fitted, n_parcels):
    X = make_recordings()[:2] + make_recordings((80,), n_parcels)
    for model in (fitted, transformer().fit(make_recordings())):
        name = type(model).__name__
        call = getattr(model, "transform", None) or model.score
        words = f"X has {n_parcels} features, but {name} is expecting 24 features as input"
        with observe.raises(InvalidRecordingError, match=f"{words}: recording 2 .*keep_masked_l"):
            call(X)


@pytest.mark.fault(25, "parcels in another order", "ValueError, parcel order differs")
def test_fault_025_names_in_another_order(observe):
    frames = [pd.DataFrame(x, columns=PARCELS) for x in make_recordings()]
    swapped = [frame[[*PARCELS[2:], *PARCELS[:2]]] for frame in frames]
    words = "recording 0: the parcel order differs. Column 0 is 'parcel-02', in the recordings gi"
    for model in (transformer(), gaussian(), RecordingScaler()):
        model.fit(frames)
        call = getattr(model, "transform", None) or model.score
        with observe.raises(AtlasMismatchError, match=words):
            call(swapped)
        with observe.raises(AtlasMismatchError, match="recording 5: the parcel order differs"):
            call([*frames[:5], swapped[5]])
    renamed = [frame.rename(columns={"parcel-00": "other"}) for frame in frames]
    with observe.raises(AtlasMismatchError, match="recording 0: parcel names differ"):
        model.transform(renamed)


@pytest.mark.fault(25, "parcels in another order", "ValueError, parcel order differs")
def test_fault_025_names_and_places_of_weights(observe):
    """Arrays carry no names: doctor is told them, and hashes of coordinates differ."""
    coords = np.random.default_rng(0).uniform(-60, 60, (24, 3))
    here = InputContract(
        n_parcels=24, window_length=40, patch_length=20, parcel_coords=coords, parcel_names=PARCELS
    )
    there = here.replace(parcel_coords=coords[::-1].copy(), parcel_names=PARCELS[::-1])
    assert here.parcel_hash != there.parcel_hash
    found = doctor(make_recordings(), here, parcel_names=PARCELS[::-1]).findings
    (about_names,) = [finding for finding in found if finding.kind == "parcel names"]
    assert about_names.is_error
    observe(f"doctor: {about_names.text}")


@pytest.mark.fault(26, "is the input changed?", "no bit of it")
def test_fault_026_input_is_left_alone(observe):
    X = make_recordings()
    X[0] = X[0].astype(np.float64)
    y = target(X)
    before = [joblib.hash(X), joblib.hash(y)]
    transformer(scaler="standard").fit(X).transform(X)
    regressor().fit(X, y).predict(X)
    model = gaussian().fit(X)
    model.impute(X, [np.arange(24) < 3 * np.ones((len(x), 1)) for x in X])
    RecordingScaler(clip=9.0).fit(X).inverse_transform(X)
    assert [joblib.hash(X), joblib.hash(y)] == before
    observe("hashes before and after are equal")


@pytest.mark.fault(27, "wrong repetition time", "ValueError above 1%, with resampling as remedy")
def test_fault_027_repetition_time_of_a_store(observe, tmp_path):
    """Decided: the parameter is t_r; estimators that do not depend on time do not require it."""
    X = make_recordings()
    store = build_store(tmp_path / "store", X, t_r=[0.735] * 5 + [2.0])
    words = r"recording 5 has a t_r of 2 s.*expects 0.735 s, within 1%.*resample_recordings"
    for model in (transformer(t_r=0.735), regressor(t_r=0.735)):
        with observe.raises(InvalidRecordingError, match=words):
            model.fit(store, target(X))
    model = transformer(t_r=0.74).fit(store[:5])  # as headers round
    assert transformer().fit(store).transform(store).shape == (6, model.transform(X).shape[1])
    frozen = transformer(weights=save(model, tmp_path / "weights"), max_epochs=0)
    with observe.raises(InvalidRecordingError, match=r"recording 5 has a t_r of 2 s"):
        frozen.fit(store)
    slow = [resample_recordings(x, t_r=0.74, new_t_r=2.0)[0] for x in X]
    brought = frozen.set_params(t_r=2.0, short="pad").fit(slow)  # the remedy
    assert np.isfinite(brought.transform(slow)).all()


def save(model, path):
    """Save a model, and return where."""
    model.save_pretrained(path)
    return str(path)


@pytest.mark.fault(28, "repetition time of 0 or in milliseconds", "ValueError, milliseconds?")
@pytest.mark.parametrize(
    ("t_r", "match"),
    [
        (-1.0, "t_r is the TR in seconds, above 0 and at most 60; got -1"),
        (0.0, "TR in seconds, above 0 and at most 60; got 0"),
        (735.0, r"TR in seconds.*got 735.0. Is it in milliseconds\?"),
        (float("nan"), "TR in seconds.*got nan"),
    ],
)
def test_fault_028_impossible_repetition_time(observe, t_r, match):
    X = make_recordings()
    with observe.raises(InvalidRecordingError, match=match):
        transformer(t_r=t_r).fit(X)
    with observe.raises(InvalidRecordingError, match=match):
        resample_recordings(X, t_r=t_r, new_t_r=1.0)
