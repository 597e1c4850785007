"""Parameters and X of every public estimator, at random: it works, or says in words why not."""

import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier, is_regressor

import sklearn_brainlm
from fuzzing.attempts import attempt
from sklearn_brainlm import baselines

SMALL = {
    "window_length": 12, "patch_length": 4, "embed_dim": 4, "n_heads": 1, "mlp_dim": 4,
    "decoder_embed_dim": 4, "decoder_n_heads": 1, "decoder_mlp_dim": 4, "max_epochs": 1,
    "context_length": 8, "horizon": 4, "hidden_dim": 4, "n_components": 2, "order": 2,
    "hidden_dims": (4,), "latent_dim": 2, "random_state": 0,
}  # fmt: skip
# Where a folder, weights or threads are named, or how it is said: tried elsewhere.
LEFT_OUT = {"checkpoint_dir", "net_params", "verbose", "weights", "n_jobs", "device"}
N_PARCELS = 4


def public_estimators():
    """Return one small estimator of each public class."""
    made = []
    for module in (sklearn_brainlm, baselines):
        for name in module.__all__:
            kind = getattr(module, name)
            if inspect.isclass(kind) and hasattr(kind, "fit") and hasattr(kind, "get_params"):
                if name == "TargetScaler":
                    continue  # takes no recordings
                taken = set(inspect.signature(kind).parameters)
                made.append(kind(**{key: SMALL[key] for key in taken & set(SMALL)}))
    return made


ESTIMATORS = {type(estimator).__name__: estimator for estimator in public_estimators()}
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 5, 24, True, False, -0.5, 0.0, 0.1, 0.5, 1.0, 1e-30])
ODD = st.sampled_from(
    [None, "", "auto", "cls", "none", "random", float("nan"), float("inf"), -np.inf, (), (1,), [],
     [0.5, 0.5], {}, object, np.float32(0.5), np.int64(2), np.ones((N_PARCELS, 3)), b"x", 1j]
)  # fmt: skip


def recordings(n=6, n_timepoints=24):
    """Return small recordings."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n_timepoints, N_PARCELS)).astype("f4") for _ in range(n)]


def use(estimator, X):
    """Fit an estimator, and let it do what it is for."""
    n = len(X) if isinstance(X, list | tuple) else 1
    y = None
    if is_classifier(estimator):
        y = np.arange(n) % 2
    elif is_regressor(estimator) and not hasattr(estimator, "backtest"):
        y = np.arange(n, dtype=float)
    estimator.fit(X, y) if y is not None else estimator.fit(X)
    for method in ("transform", "predict"):
        if hasattr(estimator, method):
            getattr(estimator, method)(X)
            return


@pytest.mark.parametrize("name", ESTIMATORS)
@given(data=st.data())
def test_parameters(name, data):
    estimator = clone(ESTIMATORS[name])
    names = sorted(set(estimator.get_params(deep=False)) - LEFT_OUT)
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    estimator.set_params(**{key: data.draw(NUMBERS | ODD) for key in chosen})
    with attempt(f"parameters of {name}", ours_only=False):
        use(estimator, recordings())


@st.composite
def odd_recording(draw):
    """Draw something in the place of a recording."""
    shape = draw(st.lists(st.integers(0, 30), max_size=4).map(tuple))
    dtype = draw(st.sampled_from(["f2", "f4", "f8", ">f4", "i1", "u8", "?", "c8", "O", "U3"]))
    if draw(st.booleans()):
        shape = (draw(st.sampled_from([1, 4, 11, 12, 24, 25])), draw(st.integers(1, 5)))
    made = np.random.default_rng(draw(st.integers(0, 9))).standard_normal(shape)
    scale = draw(st.sampled_from([1, 1, 1, 0, 1e-40, 1e30, 1e38, 1e300, np.inf, np.nan]))
    with np.errstate(all="ignore"):
        made = np.asarray(made * scale)
        made = made.astype(dtype) if dtype not in ("c8",) else made + 1j
    if made.size and dtype in ("f2", "f4", "f8", ">f4") and draw(st.booleans()):
        made.flat[draw(st.integers(0, made.size - 1))] = draw(
            st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 6e4])
        )
    wrap = draw(st.sampled_from(["array", "array", "list", "frame", "readonly", "strided"]))
    if wrap == "list":
        return made.tolist()
    if wrap == "frame" and made.ndim == 2:
        return pd.DataFrame(made)
    if wrap == "readonly":
        made.setflags(write=False)
    return made[::-1] if wrap == "strided" and made.ndim else made


@st.composite
def odd_recordings(draw):
    """Draw something in the place of X."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(odd_recording())
    if kind == 1:
        return draw(
            st.sampled_from([None, "x.nii", b"x", 3, {}, [], (), iter([]), object(), [None]])
        )
    X = recordings()
    for _ in range(draw(st.integers(1, 3))):
        X[draw(st.integers(0, len(X) - 1))] = draw(odd_recording())
    return tuple(X) if draw(st.booleans()) else X


@pytest.mark.parametrize("name", ESTIMATORS)
@given(data=st.data())
def test_x(name, data):
    X = data.draw(odd_recordings())
    with attempt(f"X of {name}", ours_only=False):
        use(clone(ESTIMATORS[name]), X)
