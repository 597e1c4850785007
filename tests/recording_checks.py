"""What every estimator that takes recordings does: the checks that scikit-learn's cannot be.

A check is a function ``check(name, estimator)``. It says which kinds of estimator it applies to and
is generated for no other (see `kinds_of`). Use::

    @pytest.mark.parametrize(("estimator", "check"), recording_checks(RecordingScaler()))
    def test_recordings(estimator, check):
        check(type(estimator).__name__, estimator)

The estimators given must be small: windows of at most 40 timepoints, and few epochs.
"""

import copy
import inspect
import pickle
import random
import re
import sys
import tempfile
from pathlib import Path

import joblib
import nibabel
import numpy as np
import pandas as pd
import polars as pl
import pytest
from nilearn.connectome import ConnectivityMeasure
from nilearn.maskers import MultiNiftiLabelsMasker
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_brainlm.exceptions import BrainLMError

ALL = frozenset({"scaler", "transformer", "reconstructor", "predictor", "forecaster"})
N_PARCELS = 12
LENGTHS = (60, 48, 55, 60, 52, 41)
N_RECORDINGS = len(LENGTHS)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # sums in another order, in float32

CHECKS = {}  # name -> (check, kinds it applies to, marks)


def applies_to(*kinds, marks=()):
    """Register a check for the kinds of estimator it applies to."""

    def register(check):
        CHECKS[check.__name__] = (check, frozenset(kinds), marks)
        return check

    return register


def kinds_of(estimator):
    """Return what an estimator is and has, as a set of words.

    What it is: "scaler" (recordings in, recordings out), "transformer" (features out),
    "reconstructor" (fills in recordings), "predictor" (needs y), "forecaster" (says what follows
    them). What it has: "windowed"
    (refuses or pads short recordings), "fixed parcels" (a parameter n_parcels), "network" (goes
    on training), "workers" (worker processes may read its batches).
    """
    parameters = estimator.get_params()
    kinds = set()
    if is_regressor(estimator) or is_classifier(estimator):
        kinds.add("predictor")
    elif hasattr(estimator, "backtest"):
        kinds.add("forecaster")
    elif hasattr(estimator, "inverse_transform"):
        kinds.add("scaler")
    elif hasattr(estimator, "transform"):
        kinds.add("transformer")
    if hasattr(estimator, "impute"):
        kinds.add("reconstructor")
    if {"window_length", "patch_length", "short"} <= set(parameters):
        kinds.add("windowed")
    if "n_parcels" in parameters:
        kinds.add("fixed parcels")
    if hasattr(estimator, "partial_fit"):
        kinds.add("network")
    if "net_params" in parameters:
        kinds.add("workers")
    return kinds


def recording_checks(*estimators):
    """Return the checks that apply to estimators, as parameters (estimator, check) for pytest."""
    return [
        pytest.param(estimator, check, marks=marks, id=f"{type(estimator).__name__}-{name}")
        for estimator in estimators
        for name, (check, kinds, marks) in CHECKS.items()
        if kinds & kinds_of(estimator)
    ]


# --- data, fitting and outputs, whatever the estimator -------------------------------------------


def cohort(lengths=LENGTHS, n_parcels=N_PARCELS, seed=0):
    """Return autocorrelated float32 recordings of parcels that share a signal."""
    rng = np.random.default_rng(seed)
    made = []
    for n_timepoints in lengths:
        noise = rng.standard_normal((n_timepoints + 5, n_parcels + 1))
        smooth = sum(noise[i : n_timepoints + i] for i in range(5))
        made.append((3 + smooth[:, 1:] + smooth[:, :1]).astype(np.float32))
    return made


def target(estimator, n_recordings):
    """Return a y for predictors, None for others."""
    if "predictor" not in kinds_of(estimator):
        return None
    y = np.arange(n_recordings)
    return y % 2 if is_classifier(estimator) else y.astype(float)


def fit(estimator, X, n_recordings=None, **parameters):
    """Fit a clone of an estimator."""
    fitted = clone(estimator).set_params(**parameters)
    return fitted.fit(X, target(fitted, len(X) if n_recordings is None else n_recordings))


def output(fitted, X, like=None):
    """Return what an estimator makes of recordings, as a list of one array a recording.

    `like` holds the recordings of X as a list, where X is another container.
    """
    kinds = kinds_of(fitted)
    if kinds & {"predictor", "forecaster"}:
        return list(fitted.predict(X))
    if kinds & {"transformer", "scaler"}:
        return list(fitted.transform(X))
    missing = [np.zeros(np.shape(recording), dtype=bool) for recording in like or X]
    for mask in missing:
        mask[10:14, :3] = True
    return list(fitted.impute(X, missing))


def assert_same(found, expected, **tolerance):
    """Compare two outputs."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or CLOSE))


def assert_refused(estimator, X, error, words, n_recordings=N_RECORDINGS):
    """Expect fit, and what comes after fit, to refuse X with the same error."""
    with pytest.raises(error, match=words):
        fit(estimator, X, n_recordings)
    fitted = fit(estimator, cohort())
    with pytest.raises(error, match=words):
        output(fitted, X, like=cohort())


def object_array(recordings):
    array = np.empty(len(recordings), dtype=object)
    array[:] = recordings
    return array


class Store:
    """A sequence that holds no list, as one on disk would be."""

    def __init__(self, recordings):
        self.recordings = recordings
        self.shape = (len(recordings),)

    def __len__(self):
        return len(self.recordings)

    def __getitem__(self, index):
        return self.recordings[index]


# --- what X may be -------------------------------------------------------------------------------


@applies_to(*ALL)
def check_rec_input_kinds_equivalent(name, estimator):
    X = [recording[:41] for recording in cohort()]
    fitted = fit(estimator, X)
    expected = output(fitted, X)
    kinds = (tuple, np.stack, object_array, pd.Series, Store)
    for kind in kinds:
        assert_same(output(fitted, kind(X), like=X), expected)
    for kind in kinds[1:3]:
        assert_same(output(fit(estimator, kind(X)), X), expected)


@applies_to(*ALL)
def check_rec_variable_length(name, estimator):
    X = cohort()
    found = output(fit(estimator, X), X)
    assert len(found) == len(X)
    assert all(np.isfinite(values).all() for values in found)


@applies_to(*ALL)
def check_rec_single_2d_is_one(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    assert_same(output(fitted, X[0], like=X[:1]), output(fitted, X[:1]))
    if "predictor" not in kinds_of(estimator):
        assert_same(output(fit(estimator, X[0]), X[1:2]), output(fit(estimator, X[:1]), X[1:2]))


@applies_to(*ALL)
def check_rec_dataframe_is_2d(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    expected = output(fitted, X[:1])
    names = [f"parcel {i}" for i in range(N_PARCELS)]
    for frame in (pd.DataFrame(X[0], columns=names), pl.DataFrame(X[0], schema=names)):
        assert_same(output(fitted, frame, like=X[:1]), expected)
        assert_same(output(fitted, [frame], like=X[:1]), expected)


@applies_to(*ALL)
def check_rec_float64_int_float16(name, estimator):
    X = [np.round(20 * recording) for recording in cohort()]  # exact in all these
    expected = output(fit(estimator, X), X)
    for dtype in ("float64", "int16", "float16", ">f4"):
        typed = [recording.astype(dtype) for recording in X]
        assert_same(output(fit(estimator, typed), typed), expected)


@applies_to(*ALL)
def check_rec_readonly_memmap(name, estimator):
    X = cohort()
    expected = output(fit(estimator, X), X)
    with tempfile.TemporaryDirectory() as folder:
        mapped = []
        for i, recording in enumerate(X):
            np.save(Path(folder) / f"{i}.npy", recording)
            mapped.append(np.load(Path(folder) / f"{i}.npy", mmap_mode="r"))
        assert_same(output(fit(estimator, mapped), mapped), expected)
        del mapped


@applies_to(*ALL)
def check_rec_fortran_noncontiguous(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    expected = output(fitted, X)
    for view in (np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x[::-1]):
        other = [view(recording) for recording in X]
        if view is not np.asfortranarray:
            assert not other[0].flags.c_contiguous
        copies = [np.ascontiguousarray(recording) for recording in other]
        assert_same(output(fitted, other), output(fitted, copies))
    assert_same(output(fit(estimator, [np.asfortranarray(x) for x in X]), X), expected)


@applies_to(*ALL)
def check_rec_input_not_modified(name, estimator):
    X = cohort()
    before = copy.deepcopy(X)
    output(fit(estimator, X), X)
    assert_same(X, before, rtol=0, atol=0)


# --- what X may not be ---------------------------------------------------------------------------


@applies_to(*ALL)
def check_rec_nan_inf_message(name, estimator):
    for value, words in ((np.nan, "Input X contains NaN"), (np.inf, "Input X contains infinity")):
        X = cohort()
        X[2][7, 3] = value
        assert_refused(estimator, X, ValueError, f"{words}.*recording 2.*timepoint 7, parcel 3")


@applies_to(*ALL)
def check_rec_float32_overflow(name, estimator):
    X = [recording.astype(np.float64) for recording in cohort()]
    X[1][7, 3] = 1e39
    assert_refused(estimator, X, ValueError, r"too large for dtype\('float32'\).*recording 1")


@applies_to(*ALL)
def check_rec_empty(name, estimator):
    words = (
        r"Found array with 0 (sample|feature)\(s\) \(shape=.*\) while a minimum of 1 is required"
    )
    X = cohort()
    for empty in ([], np.empty((0, 60, N_PARCELS)), [X[0][:0]] * 6, [X[0][:, :0]] * 6):
        assert_refused(estimator, empty, ValueError, words, len(empty))


@applies_to(*ALL)
def check_rec_1d_4d(name, estimator):
    X = cohort()
    assert_refused(estimator, X[0][0], ValueError, "Expected 2D array, got 1D array instead")
    assert_refused(estimator, [x[0] for x in X], ValueError, "Expected 2D array, got 1D array inst")
    assert_refused(estimator, np.stack([X[0]] * 6)[None], ValueError, "Found array with dim 4")


@applies_to(*ALL)
def check_rec_complex_object_sparse(name, estimator):
    X = cohort()
    assert_refused(estimator, [x + 0j for x in X], ValueError, "Complex data not supported")
    assert_refused(estimator, [x.astype(object) for x in X], ValueError, "dtype object")
    assert_refused(estimator, [x.astype(str) for x in X], ValueError, "dtype <U")
    assert_refused(estimator, [x > 0 for x in X], ValueError, "dtype bool")
    assert_refused(estimator, sparse.csr_array(X[0]), TypeError, "Sparse data was passed", 60)


@applies_to("windowed")
def check_rec_too_short(name, estimator):
    patch, window = estimator.patch_length, estimator.window_length
    X = cohort()
    X[2] = X[2][: patch - 1]
    words = f"recording 2 has {patch - 1} timepoints.*at least {patch} timepoints"
    assert_refused(estimator, X, ValueError, re.escape(words).replace(r"\.\*", ".*"))
    X = cohort((window, window, window - 1))
    words = f"recording 2 has {window - 1} timepoints; window_length={window} needs"
    with pytest.raises(ValueError, match=words):
        fit(estimator, X, short="raise")
    found = output(fit(estimator, X, short="pad"), X)
    assert all(np.isfinite(values).all() for values in found)


@applies_to(*ALL)
def check_rec_transposed_hint(name, estimator):
    X = cohort()
    words = r"recording 1 has shape \(12, 48\); expected \(n_timepoints, 12\).*pass X\[1\].T"
    with pytest.raises(ValueError, match=words):
        output(fit(estimator, X), [X[0], X[1].T], like=X[:2])
    if "fixed parcels" in kinds_of(estimator):
        with pytest.raises(ValueError, match=r"recording 0 has shape \(12, 60\).*pass X\[0\].T"):
            fit(estimator, [recording.T for recording in X], n_parcels=N_PARCELS)


@applies_to(*ALL)
def check_rec_wrong_n_parcels_fit_transform(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    words = f"X has 9 features, but {name} is expecting 12 features as input"
    with pytest.raises(ValueError, match=words):
        output(fitted, [recording[:, :9] for recording in X])
    with pytest.raises(ValueError, match="(?s)9 parcels: recordings 5|recording 5 has shape"):
        fit(estimator, [*X[:5], X[5][:, :9]])
    if "fixed parcels" in kinds_of(estimator):
        words = f"X has 12 features, but {name} is expecting 13 features as input"
        coords = {"parcel_coords": None} if "parcel_coords" in estimator.get_params() else {}
        with pytest.raises(ValueError, match=words):
            fit(estimator, X, n_parcels=13, **coords)


@applies_to(*ALL)
def check_rec_path_or_image_typeerror(name, estimator):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2, 60), dtype=np.float32), np.eye(4))
    words = rf"make_pipeline\(MultiNiftiLabelsMasker\(labels_img\), {name}\(\)\)"
    for X in ("run.nii.gz", Path("run.nii.gz"), ["run.nii.gz"] * 6, image, [image] * 6):
        assert_refused(estimator, X, TypeError, words)


@applies_to(*ALL)
def check_rec_generator_typeerror(name, estimator):
    X = cohort()
    for lazy in ((recording for recording in X), iter(X), dict(enumerate(X))):
        assert_refused(estimator, lazy, TypeError, "expected a list of arrays")


@applies_to("predictor")
def check_rec_y_length_nan_none(name, estimator):
    X = cohort()
    y = target(estimator, len(X))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(estimator).fit(X, y[:-1])
    with pytest.raises(ValueError, match="(?i)requires y to be passed|y cannot be None"):
        clone(estimator).fit(X, None)
    with pytest.raises(ValueError, match="(?i)infinity|too large|label"):
        clone(estimator).fit(X, np.where(np.arange(len(X)) == 2, np.inf, y))


@applies_to("predictor")
def check_rec_multioutput_y(name, estimator):
    X = cohort()
    y = np.column_stack([target(estimator, len(X)), target(estimator, len(X))[::-1]])
    if is_classifier(estimator):
        with pytest.raises(ValueError, match="y should be a 1d array"):
            clone(estimator).fit(X, y)
        return
    assert np.shape(clone(estimator).fit(X, y).predict(X)) == (len(X), 2)


@applies_to(*ALL)
def check_rec_exceptions_picklable(name, estimator):
    X = cohort()
    for wrong in (
        [],
        "run.nii",
        [x * np.nan for x in X],
        [x.astype(str) for x in X],
        [X[0].T, X[1]],
    ):
        with pytest.raises(BrainLMError) as caught:
            fit(estimator, wrong, 2)
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is type(caught.value)
        assert str(again) == str(caught.value)


# --- what does not change the result -------------------------------------------------------------


@applies_to(*ALL)
def check_rec_sample_order_invariance(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    assert_same(output(fitted, X[::-1]), output(fitted, X)[::-1])


@applies_to(*ALL)
def check_rec_subset_and_batch_size_invariance(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    expected = output(fitted, X)
    alone = [output(fitted, [recording])[0] for recording in X]
    assert_same(alone, expected)
    if "micro_batch_size" in fitted.get_params():
        assert_same(output(fitted.set_params(micro_batch_size=1), X), expected)


@applies_to(*ALL)
def check_rec_fit_idempotent_same_seed(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    expected = output(fitted, X)
    again = fitted.fit(X, target(fitted, len(X)))
    assert again is fitted
    assert_same(output(fitted, X), expected, rtol=0, atol=0)
    assert_same(output(fit(estimator, X), X), expected, rtol=0, atol=0)


@applies_to(*ALL)
def check_rec_global_rng_untouched(name, estimator):
    torch = sys.modules.get("torch")

    def states():
        numpy_state = np.random.get_state()
        state = [random.getstate(), numpy_state[1].tolist(), numpy_state[2]]
        return [*state, torch.get_rng_state().tolist()] if torch else state

    X = cohort()
    before, legacy = states(), np.random.get_state()
    first = output(fit(estimator, X), X)
    assert states() == before
    try:  # not read either: another state, the same result
        np.random.seed(2)
        if torch:
            torch.manual_seed(2)
        assert_same(output(fit(estimator, X), X), first, rtol=0, atol=0)
    finally:
        np.random.set_state(legacy)
        if torch:
            torch.set_rng_state(torch.tensor(before[-1], dtype=torch.uint8))


@applies_to("workers", marks=pytest.mark.slow)
def check_rec_num_workers_invariance(name, estimator):
    X = cohort()
    expected = output(fit(estimator, X), X)
    workers = {"iterator_train__num_workers": 1, "iterator_train__multiprocessing_context": "spawn"}
    net_params = (estimator.net_params or {}) | workers
    assert_same(output(fit(estimator, X, net_params=net_params), X), expected)


# --- what scikit-learn and nilearn do with estimators --------------------------------------------


@applies_to(*ALL)
def check_rec_clone_pickle_joblib_equal(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    expected = output(fitted, X)
    assert_same(output(copy.deepcopy(fitted), X), expected)
    assert_same(output(pickle.loads(pickle.dumps(fitted)), X), expected)
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(fitted, Path(folder) / "estimator.joblib")
        assert_same(output(joblib.load(Path(folder) / "estimator.joblib"), X), expected)
    again = clone(fitted)
    assert not [attribute for attribute in vars(again) if attribute.endswith("_")]
    assert_same(output(fit(again, X), X), expected)


@applies_to(*ALL)
def check_rec_n_features_in_names_out_set_output(name, estimator):
    X = cohort()
    fitted = fit(estimator, X)
    assert fitted.n_features_in_ == N_PARCELS
    if "transformer" in kinds_of(estimator):
        embeddings = fitted.transform(X)
        assert embeddings.dtype == np.float32
        names = fitted.get_feature_names_out()
        assert embeddings.shape == (len(X), len(names))
        assert len(set(names)) == len(names)
        frame = fitted.set_output(transform="pandas").transform(X)
        assert list(frame.columns) == list(names)
        np.testing.assert_allclose(frame, embeddings, **CLOSE)
    if "scaler" in kinds_of(estimator):
        assert len(fitted.get_feature_names_out()) == N_PARCELS
        pandas_out = fitted.set_output(transform="pandas").transform(X)
        assert all(type(recording) is np.ndarray for recording in pandas_out)


@applies_to(*ALL)
def check_rec_pipeline_masker_images_paths(name, estimator):
    labels = np.zeros((4, 4, 2), dtype=np.int32)
    labels.flat[:N_PARCELS] = np.arange(1, N_PARCELS + 1)
    images = []
    for recording in cohort():
        volume = np.zeros((*labels.shape, len(recording)), dtype=np.float32)
        volume[labels > 0] = recording.T
        images.append(nibabel.Nifti1Image(volume, np.eye(4)))
    labels_img = nibabel.Nifti1Image(labels, np.eye(4))
    y = target(estimator, len(images))
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"sub-{i}.nii.gz") for i in range(len(images))]
        for image, path in zip(images, paths, strict=True):
            nibabel.save(image, path)
        expected = output(fit(estimator, cohort()), cohort())
        for given in (images, paths):
            pipe = make_pipeline(
                MultiNiftiLabelsMasker(labels_img, standardize=None), clone(estimator)
            )
            pipe.fit(given, y)
            recordings = pipe[:-1].transform(given)
            assert_same(output(pipe[-1], recordings), expected, rtol=1e-3, atol=1e-4)
            one = pipe[:-1].transform(given[0])
            assert one.ndim == 2
            found = output(pipe[-1], one, like=recordings[:1])
            assert_same(found, expected[:1], rtol=1e-3, atol=1e-4)


@applies_to(*ALL, marks=pytest.mark.slow)
def check_rec_gridsearch_njobs2_equals_njobs1(name, estimator):
    X = cohort()
    kinds = kinds_of(estimator)
    model, y = clone(estimator), target(estimator, len(X))
    if kinds & {"scaler", "transformer"}:
        steps = [ConnectivityMeasure(kind="covariance", vectorize=True)] * ("scaler" in kinds)
        model, y = make_pipeline(model, *steps, Ridge()), np.arange(len(X), dtype=float)
    scores = [
        GridSearchCV(model, {}, cv=2, n_jobs=n_jobs, error_score="raise")
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    np.testing.assert_allclose(scores[0], scores[1], **CLOSE)


# --- training ------------------------------------------------------------------------------------


@applies_to("network")
def check_rec_warm_start_partial_fit_history(name, estimator):
    X = cohort()
    y = target(estimator, len(X))
    fitted = fit(estimator, X, max_epochs=1)
    assert len(fitted.history_) == 1
    before = output(fitted, X)
    assert len(fitted.fit(X, y).history_) == 1
    assert_same(output(fitted, X), before)
    assert len(fitted.partial_fit(X, y).history_) == 2
    assert not all(np.array_equal(a, b) for a, b in zip(output(fitted, X), before, strict=True))
    warm = fit(estimator, X, max_epochs=1, warm_start=True)
    assert len(warm.fit(X, y).history_) == 2
    started = clone(estimator).set_params(max_epochs=1).partial_fit(X, y)
    assert len(started.history_) == 1


@applies_to("windowed")
def check_rec_one_token_no_nan(name, estimator):
    X = [recording[: estimator.patch_length, :1] for recording in cohort()]
    loose = {"parcel_coords": None, "n_parcels": None}
    loose = {key: value for key, value in loose.items() if key in estimator.get_params()}
    try:
        fitted = fit(estimator, X, **loose)
    except ValueError as error:
        assert re.search("token", str(error)), error
    else:
        assert all(np.isfinite(values).all() for values in output(fitted, X))


def _all_registered():
    """Return the names of the checks in this file."""
    here = sys.modules[__name__]
    return {name for name, _ in inspect.getmembers(here) if name.startswith("check_rec_")}


if _all_registered() != set(CHECKS):
    raise RuntimeError("a check of this file does not say what it applies to")
