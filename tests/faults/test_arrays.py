"""Rows 1 to 17: the shape, the values and the dtype of arrays of recordings."""

import numpy as np
import pytest

from faults.recordings import gaussian, make_recordings, regressor, transformer, with_value
from sklearn_brainlm import RecordingScaler
from sklearn_brainlm.doctor import doctor
from sklearn_brainlm.exceptions import DataQualityWarning, InvalidRecordingError
from sklearn_brainlm.store_building import build_store


@pytest.fixture(scope="module")
def fitted():
    """A transformer fitted on six recordings; not to be fitted again."""
    return transformer().fit(make_recordings())


def refused(observe, estimator, X, match):
    """Expect fit and transform to refuse X by the same words, and to leave it as it was."""
    before = [x.copy() for x in X]
    with observe.raises(InvalidRecordingError, match=match):
        transformer().fit(X)
    with observe.raises(InvalidRecordingError, match=match):
        estimator.transform(X)
    for x, old in zip(X, before, strict=True):
        np.testing.assert_array_equal(x, old)


@pytest.mark.fault(1, "0-D, 1-D, 4-D or 5-D array", "ValueError naming the shape")
@pytest.mark.parametrize(
    ("ndim", "match"),
    [
        (0, "Expected 2D array, got scalar array instead: X is one number"),
        (1, r"Expected 2D array, got 1D array instead: X has shape \(24,\).*\[x\]"),
        (4, r"Found array with dim 4.*shape \(1, 1, 80, 24\); expected \(n_recordings,"),
        (5, r"Found array with dim 5.*expected \(n_recordings, n_timepoints, n_parcels\)"),
    ],
)
def test_fault_001_number_of_dimensions(observe, fitted, ndim, match):
    """Decided: 3-D is not required; 1-D and more than 3-D are errors."""
    x = make_recordings()[0]
    X = {0: np.float32(3), 1: x[0], 4: x[None, None], 5: x[None, None, None]}[ndim]
    with observe.raises(InvalidRecordingError, match=match):
        transformer().fit(X)
    with observe.raises(InvalidRecordingError, match=match):
        fitted.transform(X)


@pytest.mark.fault(2, "a single 2-D recording as X", "one recording")
def test_fault_002_two_dimensions(observe, fitted):
    """Decided: a list is canonical and a 2-D array is one recording."""
    x = make_recordings()[0]
    found = fitted.transform(x)
    np.testing.assert_array_equal(found, fitted.transform([x]))
    np.testing.assert_array_equal(found, fitted.transform(x[None]))
    observe(f"one row of features, {found.shape}")
    with observe.raises(ValueError, match=r"inconsistent numbers of samples: \[1, 80\]"):
        regressor().fit(x, np.arange(80.0))  # rows are not samples


@pytest.mark.fault(3, "transposed recording", "ValueError that says to transpose; square: warning")
def test_fault_003_transposed(observe, fitted):
    X = make_recordings()
    X[2] = np.ascontiguousarray(X[2].T)
    words = r"recording 2 has shape \(24, 71\).* looks transposed, pass X\[2\].T"
    with observe.raises(InvalidRecordingError, match=words):
        fitted.transform(X)
    with observe.raises(InvalidRecordingError, match=words):
        transformer(n_parcels=24).fit(X)
    with observe.raises(InvalidRecordingError, match=r"\[x.T for x in X\]"):
        transformer().fit([x.T for x in make_recordings()])


@pytest.mark.fault(3, "transposed recording", "ValueError that says to transpose; square: warning")
def test_fault_003_square(observe):
    square = make_recordings((60,), 60)[0] - 100
    gaussian().fit([square])  # as it should be: silent, as warnings are errors
    with observe.warns(DataQualityWarning, match=r"recording 0.*may be transposed.*pass X\[0\].T"):
        gaussian().fit([square.T])


@pytest.mark.fault(4, "recordings of several lengths", "accepted, each as if it were alone")
def test_fault_004_ragged(observe):
    X = make_recordings((180, 200, 490))
    model = transformer(window_length=200).fit(X)
    together = model.transform(X)
    alone = np.concatenate([model.transform([x]) for x in X])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    padded = np.pad(X[0], ((0, 20), (0, 0)), mode="edge")  # what masks a pad is no value
    assert np.abs(model.transform([padded]) - together[:1]).max() > 1e-4
    observe(f"features {together.shape}, as of each recording alone")


@pytest.mark.fault(5, "one NaN", "ValueError with NaN, recording, timepoint, parcel, count")
def test_fault_005_nan(observe, fitted):
    X = make_recordings()
    X[3] = with_value(X[3], np.nan)
    words = r"Input X contains NaN. recording 3: 1 values are NaN .* timepoint 7, parcel 3. Interp"
    refused(observe, fitted, X, words)


@pytest.mark.fault(5, "one NaN", "ValueError with NaN, recording, timepoint, parcel, count")
def test_fault_005_nan_in_known_places(observe):
    """Decided: missing values are masked by `impute`, which is told where they are."""
    X = make_recordings()
    model = gaussian().fit(X)
    missing = np.zeros(X[0].shape, dtype=bool)
    missing[7, 3] = True
    filled = model.impute([with_value(X[0], np.nan)], [missing])[0]
    np.testing.assert_array_equal(filled[~missing], X[0][~missing])
    assert abs(filled[7, 3] - 100) < 20
    with observe.raises(InvalidRecordingError, match="NaN"):
        model.impute([with_value(X[0], np.nan)], [np.roll(missing, 1)])


@pytest.mark.fault(6, "infinity", "ValueError containing infinity")
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_fault_006_infinity(observe, fitted, value):
    X = make_recordings()
    X[1] = with_value(X[1], value)
    refused(observe, fitted, X, "Input X contains infinity.*recording 1.*timepoint 7, parcel 3")


@pytest.mark.fault(7, "constant parcel", "warning, scaled to 0; more than 5%: ValueError")
@pytest.mark.parametrize("value", [0.0, 5.0])
def test_fault_007_dead_parcel(observe, fitted, value):
    X = make_recordings()
    X[1][:, 4] = value
    with observe.warns(DataQualityWarning, match=r"constant.* 1 of 6 .*recording 1: 4\).*atlas"):
        assert np.isfinite(fitted.transform(X)).all()
    for x in X:
        x[:, 4] = value
    with observe.warns(DataQualityWarning, match=r"1 parcels have no spread.*\(4\)"):
        scaler = RecordingScaler().fit(X)
    assert np.flatnonzero(scaler.dead_parcels_).tolist() == [4]
    assert not any(scaled[:, 4].any() for scaled in scaler.transform(X))


@pytest.mark.fault(7, "constant parcel", "warning, scaled to 0; more than 5%: ValueError")
def test_fault_007_many_dead_parcels(observe, fitted, tmp_path):
    X = make_recordings()
    X[2][:, [4, 9]] = 0
    refused(observe, fitted, X, r"recording 2 has 2 constant parcels of 24 \(4, 9\).* at most 5%")
    assert [(f.kind, f.is_error) for f in doctor(X).findings] == [("dead parcels", True)]
    with observe.warns(DataQualityWarning, match="1 of 6 recordings were not stored.*2 constant"):
        assert len(build_store(tmp_path / "store", X)) == 5


@pytest.mark.fault(8, "all-zero recording", "ValueError, all zero")
def test_fault_008_all_zero(observe, fitted):
    X = make_recordings()
    X[4][:] = 0
    refused(observe, fitted, X, "recording 4 is all zero.*Remove it, or check")


@pytest.mark.fault(9, "no spread but spikes", "warning, never scaled to something huge")
def test_fault_009_no_spread_but_a_spike(observe):
    X = make_recordings()
    for x in X:
        x[:, 6] = 0
    X[0][30, 6] = 1e6
    with observe.warns(DataQualityWarning, match=r"no spread in the training recordings \(6\)"):
        scaled = RecordingScaler().fit_transform(X)
    assert max(np.abs(x).max() for x in scaled) < 50
    assert not scaled[0][:, 6].any()


@pytest.mark.fault(10, "extreme spike", "clipped at `clip`, the count reported")
@pytest.mark.filterwarnings("ignore:.* out of scale")  # so that the value is too large
def test_fault_010_spike(observe):
    X = make_recordings()
    X[2] = with_value(X[2], 1e30)
    scaler = RecordingScaler(clip=5.0).fit(make_recordings())
    with observe.warns(DataQualityWarning, match=r"1 values were clipped at 5.0 in 1 of 6 .*\(2;"):
        scaled = scaler.transform(X)
    assert max(np.abs(x).max() for x in scaled) == 5
    np.testing.assert_array_equal(scaled[0], scaler.transform(X[:1])[0])
    loud = transformer(scaler="robust").fit(make_recordings())
    X[2] = with_value(X[2], 3e38)  # finite before the scaling, and not after it
    loud.scaler_.scale_ /= 100
    with observe.raises(InvalidRecordingError, match="recording 2 has values too large.*set clip"):
        loud.transform(X)


@pytest.mark.fault(11, "shorter than a patch", "ValueError, at least 20 timepoints (one patch)")
@pytest.mark.parametrize("n_timepoints", [0, 1, 19])
def test_fault_011_shorter_than_a_patch(observe, fitted, n_timepoints):
    X = make_recordings()
    X[5] = X[5][:n_timepoints]
    words = r"recording 5 has \d+ timepoints; at least 20 timepoints \(one patch\) are needed"
    if not n_timepoints:
        words = r"0 sample\(s\).*minimum of 1 is required: recording 5"
    refused(observe, fitted, X, words)


@pytest.mark.fault(12, "length not a multiple of a patch", "no timepoint is lost in silence")
def test_fault_012_rest_of_a_patch(observe):
    X = make_recordings((207, 160))
    model = transformer(window_length=100).fit(X)
    before = model.transform(X)
    X[0][206] += 5  # the last timepoint of 207 counts
    assert np.abs(model.transform(X)[0] - before[0]).max() > 1e-4
    observe("every timepoint is seen: a last window lies flush with the end")


@pytest.mark.fault(13, "shorter than a window", "padded and masked, or ValueError by short='raise'")
def test_fault_013_shorter_than_a_window(observe):
    """Decided: padded and masked by default, refused with short='raise'."""
    X = [*make_recordings((200, 200)), make_recordings((100,))[0]]
    features = transformer(window_length=200).fit(X).transform(X)
    assert np.isfinite(features).all()
    observe(f"padded: {features.shape}")
    words = "recording 2 has 100 timepoints; window_length=200 needs at least 200"
    with observe.raises(InvalidRecordingError, match=words):
        transformer(window_length=200, short="raise").fit(X)


@pytest.mark.fault(14, "no recording", "ValueError, 0 sample(s), a minimum of 1 is required")
@pytest.mark.parametrize("make", [lambda x: x[None][:0], lambda x: []], ids=["3-D", "list"])
def test_fault_014_no_recording(observe, fitted, make):
    X = make(make_recordings()[0])
    words = r"0 sample\(s\).* while a minimum of 1 is required"
    for call in (transformer().fit, fitted.transform, RecordingScaler().fit):
        with observe.raises(InvalidRecordingError, match=words):
            call(X)


@pytest.mark.fault(15, "float16", "as float32 of the same values")
def test_fault_015_float16(observe):
    half = [x.astype(np.float16) for x in make_recordings()]
    single = [x.astype(np.float32) for x in half]
    one, other = (transformer().fit(X).transform(X) for X in (half, single))
    np.testing.assert_array_equal(one, other)
    observe(f"equal to float32, {one.dtype} out")


@pytest.mark.fault(16, "float64", "as float32; overflow is a ValueError")
def test_fault_016_float64(observe, fitted):
    double = [x.astype(np.float64) for x in make_recordings()]
    one, other = (transformer().fit(X).transform(X) for X in (double, make_recordings()))
    np.testing.assert_array_equal(one, other)
    assert one.dtype == np.float32
    double[1] = with_value(double[1], 1e39, dtype=np.float64)
    refused(observe, fitted, double, r"too large for dtype\('float32'\).*recording 1: .*parcel 3")


@pytest.mark.fault(17, "integers and bool", "integers are cast, bool is refused")
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_fault_017_integers(observe, dtype):
    """Decided: bool is refused; every other real dtype is accepted."""
    X = [np.rint(x).astype(dtype) for x in make_recordings()]
    assert X[0].std() > 1
    one, other = (transformer().fit(x).transform(x) for x in (X, [x.astype("f4") for x in X]))
    np.testing.assert_array_equal(one, other)
    observe("integers as float32")


@pytest.mark.fault(17, "integers and bool", "integers are cast, bool is refused")
def test_fault_017_bool(observe, fitted):
    """Decided: bool is refused; every other real dtype is accepted."""
    X = [x > 100 for x in make_recordings()]
    refused(observe, fitted, X, "recording 0 has dtype bool; expected real numbers")
