"""GaussianReconstructor: its conditional means against dense algebra, and what each switch adds.

Not here: what X may be (recording_checks.py, through test_common.py), masks (test_masking.py), and
how reconstruct and score lay windows out, which the network shares (test_transformer.py).
"""

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import linalg
from sklearn.exceptions import NotFittedError

from sklearn_brainlm import DataQualityWarning, GaussianReconstructor, InvalidRecordingError
from sklearn_brainlm.conditioning import adapt_mixing, complete_timepoints, visible_patterns

SMALL = {"window_length": 40, "patch_length": 10}
SWITCHES = list(itertools.product([False, True], repeat=2))


def small(temporal=True, adaptive=True, **parameters):
    return GaussianReconstructor(**{**SMALL, **parameters}, temporal=temporal, adaptive=adaptive)


def patch_mask(rng, n_timepoints, n_parcels, ratio, patch_length=10):
    """Return a mask (n_timepoints, n_parcels) of whole patches, the last one cut short."""
    n_columns = -(-n_timepoints // patch_length)
    hidden = rng.random((n_columns, n_parcels)) < ratio
    return np.repeat(hidden, patch_length, axis=0)[:n_timepoints]


@pytest.fixture
def window(recordings):
    """A scaled window (40, 12) of a recording that the models below were not fitted on."""
    scaler = small().fit(recordings[:4]).scaler_
    return scaler.transform(recordings[5][:40])[0]


# --- against dense algebra -----------------------------------------------------------------------


def test_plain_is_the_textbook_conditional_mean(recordings, window):
    model = small(temporal=False, adaptive=False).fit(recordings[:4])
    masked = patch_mask(np.random.default_rng(0), 40, 12, 0.5)
    filled = model.reconstruct_windows(window[None], masked[None])[0]
    scaled = np.concatenate(model.scaler_.transform(recordings[:4])).astype(np.float64)
    covariance = scaled.T @ scaled / len(scaled)
    for t in range(40):
        h, v = masked[t], ~masked[t]
        noisy = covariance[np.ix_(v, v)] + 0.15 * np.eye(v.sum())
        expected = covariance[np.ix_(h, v)] @ np.linalg.solve(noisy, window[t, v])
        np.testing.assert_allclose(filled[t, h], expected, atol=1e-5)
    np.testing.assert_array_equal(filled[~masked], window[~masked])


def dense_covariance(statistics, mixing, n_timepoints, cross_gain):
    """Return the covariance (T * P, T * P) of a window, laid out timepoint by timepoint."""
    auto, cross = statistics.autocorrelation, statistics.cross_correlation
    n_parcels, n_cross = len(mixing), cross.shape[1]
    blocks = np.zeros((n_timepoints, n_timepoints, n_parcels, n_parcels))
    for t, s in np.ndindex(n_timepoints, n_timepoints):
        lag = abs(t - s)
        between = np.diag(auto[lag]).astype(np.float64) if lag < len(auto) else np.zeros(())
        between = np.broadcast_to(between, (n_parcels, n_parcels)).copy()
        if lag < len(cross):
            lagged = cross[lag] if t >= s else cross[lag].T
            between[:n_cross, :n_cross] += cross_gain * lagged
        blocks[t, s] = mixing @ between @ mixing.T
    return blocks.transpose(0, 2, 1, 3).reshape(n_timepoints * n_parcels, -1)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("cross_spectra", [False, True])
def test_space_time_is_the_dense_conditional_mean(recordings, window, adaptive, cross_spectra):
    parameters = {"n_lags": 8, "n_cross_lags": 4, "n_cross_components": 3, "n_iterations": 200}
    model = small(adaptive=adaptive, cross_spectra=cross_spectra, **parameters).fit(recordings[:4])
    window = window[:20]
    masked = patch_mask(np.random.default_rng(1), 20, 12, 0.6, patch_length=5)
    masked[5:10] = True  # and no parcel is visible for a while
    filled = model.reconstruct_windows(window[None], masked[None])[0]
    mixing = model.statistics_.colouring
    if adaptive:
        mixing = adapt_mixing(model.statistics_, window, visible_patterns(~masked), 0.15)
    whole = dense_covariance(model.statistics_, mixing, 20, 0.7 * cross_spectra)
    h, v = np.flatnonzero(masked), np.flatnonzero(~masked)
    noisy = whole[np.ix_(v, v)] + 0.15 * np.eye(len(v))
    expected = whole[np.ix_(h, v)] @ linalg.solve(noisy, window.ravel()[v], assume_a="pos")
    np.testing.assert_allclose(filled.ravel()[h], expected, atol=1e-4)
    np.testing.assert_array_equal(filled[~masked], window[~masked])


def test_two_steps_of_expectation_maximisation(recordings, window):
    """To first order in the weight of the window, (w C + T S) / (w + T) with the dense E-step."""
    statistics = small().fit(recordings[:4]).statistics_
    masked = patch_mask(np.random.default_rng(2), 40, 12, 0.4)
    mixing = adapt_mixing(
        statistics, window, visible_patterns(~masked), 0.15, prior_weight=1e5, n_steps=1
    )
    group = statistics.covariance.astype(np.float64)
    moment = np.zeros((12, 12))
    for x, h in zip(window.astype(np.float64), masked, strict=True):
        noisy = group[np.ix_(~h, ~h)] + 0.15 * np.eye((~h).sum())
        gain = np.linalg.solve(noisy, group[np.ix_(~h, h)]).T
        x = x.copy()
        x[h] = gain @ x[~h]
        moment += np.outer(x, x)
        moment[np.ix_(h, h)] += group[np.ix_(h, h)] - gain @ group[np.ix_(~h, h)]
    change = mixing.astype(np.float64) @ mixing.T - group
    expected = 40 / (1e5 + 40) * (moment / 40 - group)
    np.testing.assert_allclose(change, expected, atol=0.02 * np.abs(expected).max())


def test_agrees_with_the_prior_of_the_network(recordings, window):
    torch = pytest.importorskip("torch")
    from sklearn_brainlm.modules import GaussianPrior

    model = small().fit(recordings[:4])
    prior = GaussianPrior(vars(model.statistics_)).eval()
    for ratio in (0.2, 0.75):
        masked = patch_mask(np.random.default_rng(3), 40, 12, ratio)
        filled = model.reconstruct_windows(window[None], masked[None])[0]
        signals = torch.from_numpy(window.T[None].copy())
        visible = torch.from_numpy(~masked[::10].T[None].copy())  # (1, P, C)
        with torch.no_grad():
            expected = prior(signals, visible)[0].numpy().T
        np.testing.assert_allclose(filled, expected, atol=1e-4)


# --- what each switch adds -----------------------------------------------------------------------


def test_all_four_beat_the_mean_and_time_helps():
    """On 20 recordings of two autocorrelated networks, 5 of them held out; the mean scores 0."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((20, 204, 12))
    signals = sum(noise[:, i : 200 + i] for i in range(5)) / np.sqrt(5)
    X = signals[:, :, :10] + np.repeat(signals[:, :, 10:], 5, axis=2)
    scores = {switches: small(*switches).fit(X[:15]).score(X[15:]) for switches in SWITCHES}
    assert min(scores.values()) > 0.1
    assert scores[True, False] > scores[False, False] + 0.01
    assert scores[True, True] > scores[False, True] + 0.01
    without = small(cross_spectra=False).fit(X[:15])
    assert without.score(X[15:]) != scores[True, True]
    assert without.set_params(cross_spectra=True).score(X[15:]) == scores[True, True]


def test_cross_spectra_help_where_parcels_follow_each_other():
    rng = np.random.default_rng(0)
    leader = rng.standard_normal((15, 203, 2))
    X = np.concatenate([leader[:, 3:], leader[:, :-3]], axis=2)  # three timepoints later
    X = X + 0.3 * rng.standard_normal(X.shape)
    parameters = {"mask_ratio": 0.3, "masking": "parcel", "adaptive": False}
    scores = [
        small(cross_spectra=cross_spectra, **parameters).fit(X[:10]).score(X[10:])
        for cross_spectra in (False, True)
    ]
    assert scores[1] > scores[0] + 0.1


@pytest.mark.parametrize("temporal", [False, True])
def test_adapting_helps_with_people_who_differ(temporal):
    rng = np.random.default_rng(0)
    common = rng.standard_normal((8, 2))
    people = [
        rng.standard_normal((200, 2)) @ (common + 1.5 * rng.standard_normal((8, 2))).T
        + 0.3 * rng.standard_normal((200, 8))
        for _ in range(12)
    ]
    parameters = {"window_length": 200, "prior_weight": 200, "mask_ratio": 0.5}
    group = small(temporal, adaptive=False, **parameters).fit(people[:8])
    person = small(temporal, adaptive=True, **parameters).fit(people[:8])
    assert person.score(people[8:]) > group.score(people[8:]) + 0.05
    stubborn = person.set_params(prior_weight=1e9)  # the group counts for everything
    assert stubborn.score(people[8:]) == pytest.approx(group.score(people[8:]), abs=1e-3)


@pytest.mark.parametrize(("temporal", "adaptive"), SWITCHES)
def test_permuting_parcels_permutes_the_answer(recordings, window, temporal, adaptive):
    order = np.random.default_rng(4).permutation(12)
    masked = patch_mask(np.random.default_rng(5), 40, 12, 0.5)
    parameters = {"n_iterations": 100}
    model = small(temporal, adaptive, **parameters).fit(recordings[:4])
    other = small(temporal, adaptive, **parameters).fit([x[:, order] for x in recordings[:4]])
    filled = model.reconstruct_windows(window[None], masked[None])
    permuted = other.reconstruct_windows(window[None, :, order], masked[None, :, order])
    np.testing.assert_allclose(permuted, filled[:, :, order], atol=1e-3)


@pytest.mark.parametrize(("temporal", "adaptive"), SWITCHES)
def test_no_visible_parcel_at_a_timepoint(recordings, window, temporal, adaptive):
    model = small(temporal, adaptive).fit(recordings[:4])
    masked = np.zeros(window.shape, bool)
    masked[10:14] = True
    filled = model.reconstruct_windows(window[None], masked[None])[0]
    if temporal:  # its neighbours in time say something
        error = np.mean((filled - window)[masked] ** 2)
        assert error < 0.9 * np.mean(window[masked] ** 2)
    else:
        np.testing.assert_array_equal(filled[masked], 0)


def test_dead_parcel_is_filled_with_its_value(recordings):
    X = [recording.copy() for recording in recordings]
    for recording in X:
        recording[:, 3] = 7
    with pytest.warns(DataQualityWarning):
        model = small().fit(X)
    missing = np.zeros(X[0].shape, bool)
    missing[20:30, 3] = True
    with pytest.warns(DataQualityWarning, match="constant"):
        model.score(X)
    filled = model.impute(X[:1], [missing])[0]
    np.testing.assert_allclose(filled[20:30, 3], 7, atol=1e-4)


# --- windows and recordings ----------------------------------------------------------------------


def test_masked_values_are_not_looked_at(recordings, window):
    masked = np.random.default_rng(6).random(window.shape) < 0.5
    for switches in SWITCHES:
        model = small(*switches).fit(recordings[:4])
        expected = model.reconstruct_windows(window[None], masked[None])
        for hidden in (np.nan, 1e6):
            other = np.where(masked, hidden, window)[None].astype(np.float32)
            np.testing.assert_array_equal(model.reconstruct_windows(other, masked[None]), expected)


def test_reconstruct_fills_windows_as_they_are(recordings):
    """A recording shorter than a window is its own window, without padding."""
    model = small().fit(recordings[:4])
    made = model.reconstruct([recordings[4][:35], recordings[5][:40]])
    for one in made:
        expected = model.reconstruct_windows(one.true[None], one.masked[None])[0]
        np.testing.assert_array_equal(one.predicted, expected)
        assert one.masked.mean() == pytest.approx(0.75, abs=0.1)


def test_impute_fills_any_values_and_leaves_the_rest(recordings):
    model = small().fit(recordings[:4])
    X = [recordings[4].astype(np.float64), recordings[5]]
    rng = np.random.default_rng(7)
    missing = [rng.random(x.shape) < 0.3 for x in X]
    missing[1][20:24] = True
    holes = [np.where(gaps, np.nan, x) for x, gaps in zip(X, missing, strict=True)]
    for x, gaps, filled in zip(X, missing, model.impute(holes, missing), strict=True):
        np.testing.assert_array_equal(filled[~gaps], x[~gaps])
        error = ((filled - x)[gaps] ** 2).sum()
        assert error < 0.5 * ((x - model.scaler_.center_)[gaps] ** 2).sum()
    # Value by value, in units of the recording:
    scaled = model.scaler_.transform(X[0][:40])
    made = model.reconstruct_windows(np.stack(scaled), missing[0][None, :40])
    expected = model.scaler_.inverse_transform(made)[0]
    filled = model.impute(holes[:1], missing[:1])[0]
    gaps = missing[0][:31]  # 71 timepoints: the last window begins at 31
    np.testing.assert_allclose(filled[:31][gaps], expected[:31][gaps], rtol=1e-5)


def test_impute_with_nothing_to_go_by(recordings):
    model = small().fit(recordings[:4])
    missing = np.zeros(recordings[5].shape[0], bool)
    missing[:40] = True
    with pytest.warns(DataQualityWarning, match="nothing to go by in 1 windows"):
        filled = model.impute([recordings[5]], [missing])[0]
    assert np.isfinite(filled).all()
    everything = np.ones((1, 40, 12), bool)
    np.testing.assert_array_equal(
        model.reconstruct_windows(np.full((1, 40, 12), np.nan), everything), 0
    )


@pytest.mark.parametrize(
    ("windows", "masked", "message"),
    [
        (np.zeros((40, 12)), np.zeros((40, 12), bool), r"shape \(40, 12\); expected \(n_windows"),
        (np.zeros((1, 40, 9)), np.zeros((1, 40, 9), bool), r"\(1, 40, 9\).*12\)"),
        (np.zeros((1, 40, 12)), np.zeros((1, 40, 12)), "dtype float64; expected.*bool"),
        (np.zeros((1, 40, 12)), np.zeros((1, 30, 12), bool), r"shape \(1, 30, 12\)"),
        (np.full((1, 40, 12), np.inf), np.zeros((1, 40, 12), bool), "window 0 is not finite at"),
    ],
)
def test_windows_that_do_not_fit(recordings, windows, masked, message):
    with pytest.raises(InvalidRecordingError, match=message):
        small().fit(recordings).reconstruct_windows(windows, masked)


def test_not_fitted_and_wrong_parameters(recordings):
    with pytest.raises(NotFittedError):
        small().reconstruct_windows(np.zeros((1, 40, 12)), np.zeros((1, 40, 12), bool))
    with pytest.raises(ValueError, match="'ridge' parameter"):
        small(ridge=0).fit(recordings)
    with pytest.raises(ValueError, match="'temporal' parameter"):
        small(temporal="yes").fit(recordings)


def test_pickle(recordings):
    model = small().fit(recordings)
    again = pickle.loads(pickle.dumps(model))
    assert again.score(recordings) == model.score(recordings)
    np.testing.assert_array_equal(again.statistics_.covariance, model.statistics_.covariance)


def test_needs_no_network():
    script = (
        "import sys, numpy as np; from sklearn_brainlm import GaussianReconstructor\n"
        "X = np.random.default_rng(0).standard_normal((3, 40, 4))\n"
        "GaussianReconstructor(window_length=20, patch_length=5).fit(X).score(X)\n"
        "sys.exit(bool({'torch', 'skorch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# --- the pieces ----------------------------------------------------------------------------------


def test_visible_patterns_partition_a_window():
    visible = np.random.default_rng(8).random((15, 3)) < 0.5
    patterns = visible_patterns(visible)
    assert sorted(t for timepoints, _, _ in patterns for t in timepoints) == list(range(15))
    assert len(patterns) == len(np.unique(visible, axis=0))
    for timepoints, shown, hidden in patterns:
        assert visible[np.ix_(timepoints, shown)].all()
        assert not visible[np.ix_(timepoints, hidden)].any()
        assert len(shown) + len(hidden) == 3


def test_moment_of_a_window_with_nothing_hidden_is_its_own(window):
    patterns = visible_patterns(np.ones(window.shape, bool))
    filled, moment = complete_timepoints(
        np.eye(12, dtype=np.float32), window, patterns, 0.15, with_moment=True
    )
    np.testing.assert_array_equal(filled, window)
    np.testing.assert_allclose(moment, window.T @ window / 40, rtol=1e-5)
