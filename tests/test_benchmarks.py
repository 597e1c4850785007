"""The benchmark of reconstruction: the protocol, the intervals, the methods, resumed runs.

Who is tested is in test_benchmark_cohorts.py. What the benchmark says of real recordings is not
tested, and the estimators of the package have files of their own.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from benchmark_folders import N_PARCELS, import_script, write_folder
from scipy import stats

from sklearn_brainlm import InvalidRecordingError
from sklearn_brainlm.masking import n_masked_tokens

_cohorts = import_script("_cohorts")
_comparison = import_script("_comparison")
_methods = import_script("_methods")
_protocol = import_script("_protocol")
_runs = import_script("_runs")
reconstruction = import_script("reconstruction")

PROTOCOL = _protocol.Protocol(window_length=40, patch_length=10)
SMALL = ["--window-length", "40", "--patch-length", "10"]


@pytest.fixture
def folder(tmp_path):
    """Return a folder of ten people with two recordings each."""
    return write_folder(tmp_path / "people", [f"sub-{i // 2:02}" for i in range(20)])


@pytest.fixture
def sides(folder):
    """Return the train and test side of the folder in the units of the comparison."""
    return _cohorts.prepare(*_cohorts.split(_cohorts.load_cohort(folder)))


class Watcher:
    """Method that remembers what it was given and fills in zeros."""

    def __init__(self):
        self.seen = []

    def reconstruct_windows(self, windows, masked):
        self.seen.append((windows.copy(), masked.copy()))
        return np.zeros_like(windows)


class Clairvoyant:
    """Method that has seen the windows: it fills in the truth, or the mean of what is masked."""

    def __init__(self, mean=False):
        self.mean = mean

    def see_recording(self, recording, windows):
        self.windows = windows

    def reconstruct_windows(self, windows, masked):
        if not self.mean:
            return self.windows
        means = np.array([w[m].mean() for w, m in zip(self.windows, masked, strict=True)])
        return np.where(masked, means[:, None, None], windows)


# --- the protocol ---


def test_all_methods_fill_in_the_same_values_and_see_none_of_them(sides):
    watchers = Watcher(), Watcher()
    for watcher in watchers:
        _protocol.score(watcher, sides[1], PROTOCOL, 0.75)
    # Two windows each, three draws of each recording.
    assert len(watchers[0].seen) == PROTOCOL.n_draws * len(sides[1])
    for (windows, masked), (other_windows, other_masked) in zip(
        watchers[0].seen, watchers[1].seen, strict=True
    ):
        np.testing.assert_array_equal(masked, other_masked)
        np.testing.assert_array_equal(windows, other_windows)
        assert not windows[masked].any()
        assert windows[~masked].all()
        patches = masked.reshape(len(masked), -1, PROTOCOL.patch_length, N_PARCELS)
        assert (patches == patches[:, :, :1]).all()
        n_tokens = patches.shape[1] * N_PARCELS
        assert (patches[:, :, 0].sum(axis=(1, 2)) == n_masked_tokens(n_tokens, 0.75)).all()
    masks = [masked.tobytes() for _, masked in watchers[0].seen]
    assert len(set(masks)) == len(masks)


def test_masks_do_not_depend_on_who_else_is_tested(sides):
    alone, together = Watcher(), Watcher()
    _protocol.score(together, sides[1], PROTOCOL, 0.2)
    _protocol.score(alone, sides[1].take([2]), PROTOCOL, 0.2)
    for k, (_, masked) in enumerate(alone.seen):
        np.testing.assert_array_equal(masked, together.seen[2 * PROTOCOL.n_draws + k][1])


def test_truth_scores_one_and_the_mean_scores_zero(sides):
    perfect = _protocol.score(Clairvoyant(), sides[1], PROTOCOL, 0.9)
    np.testing.assert_array_equal(perfect.sse, 0)
    mean = _protocol.score(Clairvoyant(mean=True), sides[1], PROTOCOL, 0.9)
    np.testing.assert_allclose(mean.sse, mean.ss, rtol=1e-5)


def test_sums_are_kept_by_subject(sides):
    test = sides[1]
    together = _protocol.score(_methods.MeanReconstructor(), test, PROTOCOL, 0.2)
    names = np.unique(test.subjects)
    for k, name in enumerate(names):
        own = test.take(test.subjects == name)
        alone = _protocol.score(_methods.MeanReconstructor(), own, PROTOCOL, 0.2)
        assert (alone.sse[0], alone.ss[0]) == (together.sse[k], together.ss[k])
        n_windows = PROTOCOL.n_draws * sum(len(r) // 40 for r in own.recordings)
        assert together.n_windows[k] == n_windows


def test_recordings_shorter_than_a_window(sides):
    short = replace(sides[1].take([0]), recordings=[sides[1].recordings[0][:33]])
    watcher = Watcher()
    sums = _protocol.score(watcher, short, PROTOCOL, 0.75)
    assert watcher.seen[0][0].shape == (1, 33, N_PARCELS)
    assert sums.n_windows.tolist() == [PROTOCOL.n_draws]
    with pytest.raises(InvalidRecordingError, match="33 timepoints"):
        _protocol.score(watcher, short, replace(PROTOCOL, short="raise"), 0.75)


def test_oracle_knows_the_covariance_of_the_person():
    # In the group parcels do not vary together, in the rest of this recording they are one: with
    # as many timepoints of both, the covariance mixes them half and half.
    oracle = _methods.PersonOracle(patch_length=10)
    oracle.mean_, oracle.covariance_, oracle.n_group = np.zeros(2), np.eye(2), 45
    rest = np.repeat(np.random.default_rng(0).standard_normal((45, 1)), 2, axis=1)
    variance = (rest[:, 0] ** 2).mean()
    windows = np.stack([np.ones((40, 2)), rest[:40]]).astype(np.float32)
    oracle.see_recording(np.concatenate([windows[0], rest]), windows)
    masked = np.zeros((2, 40, 2), dtype=bool)
    masked[:, :, 1] = True
    filled = oracle.reconstruct_windows(np.where(masked, 0, 1).astype(np.float32), masked)
    expected = (0.5 * variance) / (0.5 + 0.5 * variance + oracle.ridge)
    np.testing.assert_allclose(filled[0, :, 1], expected, rtol=1e-5)


# --- intervals ---


def test_interval_agrees_with_scipy():
    rng = np.random.default_rng(0)
    ss = rng.uniform(50, 150, 25)
    sse = ss * rng.uniform(0.4, 0.8, 25)
    value, low, high = _comparison.r2_with_interval(sse, ss)
    theirs = stats.bootstrap(
        (sse, ss), lambda a, b, axis: 1 - a.sum(axis=axis) / b.sum(axis=axis), paired=True,
        method="percentile", rng=rng, vectorized=True,
    ).confidence_interval  # fmt: skip
    assert value == pytest.approx(1 - sse.sum() / ss.sum())
    assert (low, high) == pytest.approx(theirs, abs=0.004)


def test_interval_holds_the_true_difference_as_often_as_it_says():
    # Two methods whose R2 vary by .1 between subjects, and together: on average .02 apart.
    rng = np.random.default_rng(1)
    ss, hits = np.ones(40), 0
    for _ in range(150):
        shared = rng.normal(0.6, 0.1, 40)
        gain = rng.normal(0.02, 0.01, 40)
        value, low, high = _comparison.difference_with_interval(shared - gain, shared, ss)
        hits += low <= 0.02 <= high
        assert high - low < 0.02  # paired: what the methods share does not widen it
    assert stats.binomtest(hits, 150, 0.95).pvalue > 0.001


def test_the_same_gain_everywhere_has_no_width():
    ss = np.array([10.0, 20.0, 30.0])
    interval = _comparison.difference_with_interval(0.5 * ss - 0.01 * ss, 0.5 * ss, ss)
    assert interval == pytest.approx((0.01, 0.01, 0.01))
    assert np.isnan(_comparison.r2_with_interval(ss[:1], ss[:1])[1:]).all()


def test_seeds_are_averaged_within_subject(tmp_path):
    runs = _runs.Runs(tmp_path / "sums.csv", "p")
    ss = np.array([10.0, 10.0])
    cost = {
        "n_train": 3, "n_test": 2, "fit_cpu_seconds": 1.0, "n_windows_drawn": np.nan,
        "n_parameters": 4, "device": "cpu",
    }  # fmt: skip

    def add(method, seed, sse):
        sums = _protocol.Sums(np.array(sse), ss, np.array([1, 1]), 0.1)
        runs.add(method, seed, "", 0.2, sums, cost)

    add("reference", "", [6.0, 6.0])
    add("learned", "0", [6.0, 4.0])
    add("learned", "1", [4.0, 6.0])
    tidy = _comparison.compare(runs.table, ["reference"], {})
    difference = tidy[tidy["metric"] == "r2 minus reference"].iloc[0]
    assert tuple(difference[["value", "ci_low", "ci_high"]]) == pytest.approx((0.1, 0.1, 0.1))
    r2 = tidy[(tidy["metric"] == "r2") & (tidy["method"] == "learned")]
    assert dict(zip(r2["seed"], r2["value"], strict=True)) == pytest.approx(
        {"0": 0.5, "1": 0.5, "mean": 0.5}
    )
    with pytest.raises(ValueError, match="same values"):
        ss = np.array([10.0, 11.0])
        add("other", "", [6.0, 4.0])
        _comparison.compare(runs.table, ["reference"], {})


# --- the script ---


def test_script_writes_table_page_and_figure(folder, tmp_path, capsys):
    output = tmp_path / "results"
    reconstruction.main(
        ["--recordings", str(folder), "--output", str(output), "--methods", "Mean", *SMALL]
    )
    tidy = pd.read_csv(output / "reconstruction_people.csv")
    assert list(tidy.columns) == _comparison.TIDY_COLUMNS
    r2 = tidy[tidy["metric"] == "r2"]
    assert list(r2["setting"]) == ["mask_ratio=0.2", "mask_ratio=0.75", "mask_ratio=0.9"]
    assert (r2["value"] < 0.05).all() and (r2["n_train"] == 14).all() and (r2["n_test"] == 6).all()
    page = (output / "reconstruction_people.md").read_text()
    assert page in capsys.readouterr().out
    assert "| Mean |" in page and str(folder) not in page
    assert (output / "reconstruction_people.png").read_bytes().startswith(b"\x89PNG")


def test_run_is_resumed(folder, tmp_path, monkeypatch):
    fits = []

    class Counted(_methods.MeanReconstructor):
        def __init__(self, seed, level):
            self.seed, self.level = seed, level

        def get_params(self):
            return {"level": self.level}

        def fit(self, recordings):
            fits.append(self.seed)
            return super().fit(recordings)

        def reconstruct_windows(self, windows, masked):
            return super().reconstruct_windows(windows, masked) + self.level * masked

    def run(*more, level=0.1):
        entry = _methods.Entry(lambda setting, seed: Counted(seed, level), seeded=True)
        monkeypatch.setitem(reconstruction.METHODS, "Counted", entry)
        fits.clear()
        reconstruction.main([
            "--recordings", str(folder), "--output", str(tmp_path / "r"), *SMALL,
            "--methods", "Counted", "--ratios", "0.2", "--seeds", *more,
        ])  # fmt: skip
        return list(fits)

    monkeypatch.setitem(reconstruction.METHODS, "Counted", None)
    assert run("0", "1") == [0, 1]
    written = (tmp_path / "r" / "reconstruction_people.csv").read_bytes()
    assert run("0", "1") == []
    assert (tmp_path / "r" / "reconstruction_people.csv").read_bytes() == written
    assert run("0", "1", "2") == [2]
    assert run("0", "1", "--fresh") == [0, 1]
    assert run("0", level=0.2) == [0]  # other parameters: measured anew, and not mixed with the old
    tidy = pd.read_csv(tmp_path / "r" / "reconstruction_people.csv", keep_default_na=False)
    assert set(tidy["seed"]) == {"", "0", "mean"}
    with pytest.raises(ValueError, match="another protocol"):
        run("0", "--patch-length", "20")


def test_untrained_network_stays_as_it_was_drawn(recordings):
    setting = _methods.Setting(None, None, window_length=40, patch_length=10, short="pad")
    weights = []
    for n_epochs in (1, 2):
        model = _methods.METHODS["BrainLM (random init)"].build(setting, 0)
        model.set_params(max_epochs=n_epochs, depth=1, mlp_dim=8).fit(recordings)
        weights.append(model.net_.get_weights())
    for name, first in weights[0].items():
        np.testing.assert_allclose(first, weights[1][name], rtol=0, atol=1e-20)
    assert _methods.n_windows_drawn(model) == 0


@pytest.mark.parametrize("name", _methods.METHODS)
def test_every_method_keeps_to_the_interface(sides, name):
    pytest.importorskip("sklearn_brainlm.gaussian", reason="the closed forms are not there")
    entry = _methods.METHODS[name]
    setting = _methods.Setting(None, 1.0, window_length=40, patch_length=10, short="pad", epochs=1)
    train, test = sides
    model = entry.build(setting, 0 if entry.seeded else None).fit(train.recordings)
    sums = _protocol.score(model, test.take([0, 2]), PROTOCOL, 0.75)
    assert np.isfinite(sums.sse).all()
    if "Gaussian" in name or "oracle" in name:
        assert sums.sse.sum() < 0.8 * sums.ss.sum()  # four fifths of the variance are shared
    assert _methods.budget(model) == _methods.budget(entry.build(setting, 1))
