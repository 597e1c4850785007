"""Quantiles from counts and from several passes, against numpy's.

Not here: what RecordingScaler makes of them, which is in test_preprocessing.py.
"""

import pickle

import numpy as np
import pytest

from sklearn_brainlm._statistics import RESOLUTION
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.quantiles import bins, blocks, histograms, passes
from sklearn_brainlm.quantiles.histograms import QUARTILES, ParcelHistograms
from sklearn_brainlm.quantiles.passes import stream_quantiles

TOLERANCE = 2e-4  # of the interquartile range
N_ROWS = 30_000


def bell(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


# Values of 4 parcels that are hard to count: name -> function of a generator.
HARD = {
    "raw BOLD": lambda rng: 10_000 + 50 * bell(rng, N_ROWS, 4),
    "far from zero": lambda rng: 10_000 + 0.2 * bell(rng, N_ROWS, 4),
    "very different units": lambda rng: bell(rng, N_ROWS, 4) * np.float32([1e-12, 1, 1e6, 1e25]),
    "heavy tails": lambda rng: rng.standard_cauchy((N_ROWS, 4)).astype(np.float32),
    "heavier tails": lambda rng: np.exp(15 * bell(rng, N_ROWS, 4)),
    "whole numbers": lambda rng: np.round(10_000 + 20 * bell(rng, N_ROWS, 4)),
    "two values": lambda rng: (bell(rng, N_ROWS, 4) > 0.3).astype(np.float32),
    "float16": lambda rng: bell(rng, N_ROWS, 4).astype(np.float16),
    "float64": lambda rng: 1e6 + rng.standard_normal((N_ROWS, 4)),
    "integers": lambda rng: np.round(1000 * bell(rng, N_ROWS, 4)).astype(np.int32),
    "steps of its own": lambda rng: np.round(7 * bell(rng, N_ROWS, 4)) / np.float32(7),
    "one side": lambda rng: rng.exponential(1, (N_ROWS, 4)).astype(np.float32) ** 3,
}


def cut(values, lengths=(5000, 1, 7000)):
    """Cut rows into recordings of several lengths."""
    return np.split(values, np.cumsum(lengths))


def exact(recordings, q=QUARTILES):
    return np.quantile(np.concatenate(recordings).astype(np.float64), q, axis=0)


def assert_close(found, expected, n_iqr=TOLERANCE):
    error = np.abs(found - expected) / (expected[-1] - expected[0])
    assert error.max() <= n_iqr, error.max()


@pytest.mark.parametrize("name", HARD)
def test_two_passes_are_numpys_to_the_last_bit(name):
    recordings = cut(HARD[name](np.random.default_rng(0)))
    np.testing.assert_array_equal(stream_quantiles(recordings), exact(recordings))


@pytest.mark.parametrize("name", HARD)
def test_one_pass_is_off_by_little(name):
    recordings = cut(HARD[name](np.random.default_rng(1)))
    assert_close(stream_quantiles(recordings, exact=False), exact(recordings))


def test_one_pass_suffices_where_values_are_smooth(monkeypatch):
    recordings = cut(HARD["raw BOLD"](np.random.default_rng(2)))
    monkeypatch.setattr(passes, "_gather", None)  # raises if a second one is asked for
    assert_close(stream_quantiles(recordings, exact=False), exact(recordings))


def test_constant_and_nearly_constant_parcels():
    rng = np.random.default_rng(0)
    values = np.zeros((N_ROWS, 6), np.float32)
    values[:, 1] = 4000.1
    values[5, 2] = 1e6  # a spike
    values[: N_ROWS // 5, 3] = bell(rng, N_ROWS // 5)  # zero but for a fifth
    values[:, 4] = np.float32(4000.1) + np.spacing(np.float32(4000.1)) * rng.integers(0, 2, N_ROWS)
    values[:, 5] = np.where(rng.random(N_ROWS) < 0.6, 0, 1e-30 * bell(rng, N_ROWS))
    for is_exact in (True, False):
        found = stream_quantiles([values], exact=is_exact)
        np.testing.assert_array_equal(found, exact([values]))
        iqr, level = found[2] - found[0], np.abs(found).max(axis=0)
        assert (iqr[:5] <= RESOLUTION * level[:5]).all()  # what makes a parcel dead


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("offset", [2, 1e5, 1e12])
def test_a_first_look_that_saw_something_else(monkeypatch, is_exact, offset):
    """The rows that are looked at are of another kind than the rest."""
    rng = np.random.default_rng(0)
    values = bell(rng, N_ROWS, 4) * np.float32(offset) ** np.float32(0.5)
    values[:, 1:] += np.float32(offset) * np.float32([1, -1, 0.5])
    values[:100] = 1e-3 * bell(rng, 100, 4)
    monkeypatch.setattr(histograms, "draw_rows", lambda X, n_rows: X[0][:100])
    found, expected = stream_quantiles([values], exact=is_exact), exact([values])
    assert_close(found, expected, 0 if is_exact else TOLERANCE)


def test_histograms_do_not_answer_what_they_cannot_know():
    recordings = cut(bell(np.random.default_rng(0), N_ROWS, 4))
    counted = ParcelHistograms([-1, -1, -0.5, 3], [1, 1, 1, 4])
    with pytest.raises(ValueError, match="Nothing has been counted"):
        counted.quantiles()
    counted.update(recordings)
    assert counted.covers().tolist() == [True, True, False, False]
    assert counted.covers([0.5]).tolist() == [True, True, True, False]
    with pytest.raises(
        ValueError, match="2 parcels lies outside their bins, the first is parcel 2"
    ):
        counted.quantiles()
    # What lies outside is counted, so ranks are right.
    assert (counted.counts.sum(axis=1) == N_ROWS).all()
    error = np.abs(counted.estimate([0.5]) - exact(recordings, [0.5]))[0, :3]
    assert (error <= counted.widths[:3]).all()
    np.testing.assert_array_equal(counted.maximum, np.concatenate(recordings).max(axis=0))


@pytest.mark.parametrize("q", [[0.5], [0.02, 0.98], [0, 1], [0.25, 0.3, 0.9]])
def test_other_quantiles(q):
    recordings = cut(HARD["one side"](np.random.default_rng(0)))
    np.testing.assert_array_equal(stream_quantiles(recordings, q), exact(recordings, q))


@pytest.mark.parametrize("n_rows", [1, 2, 3, 10, 301])
def test_few_timepoints(n_rows):
    recordings = [bell(np.random.default_rng(0), n_rows, 3)]
    np.testing.assert_array_equal(stream_quantiles(recordings), exact(recordings))
    if n_rows > 1:
        assert_close(stream_quantiles(recordings, exact=False), exact(recordings))


def test_bins_do_not_depend_on_blocks_or_order(monkeypatch):
    recordings = cut(HARD["raw BOLD"](np.random.default_rng(3)))
    look = ParcelHistograms.first_look(recordings)
    whole = pickle.loads(pickle.dumps(look)).update(recordings)
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(bins, "_GROUP_BINS", 1)
    parts = [pickle.loads(pickle.dumps(look)).update([each]) for each in recordings[::-1]]
    merged = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_array_equal(merged.quantiles(), whole.quantiles())
    assert merged.n_timepoints == N_ROWS
    np.testing.assert_array_equal(merged.minimum, whole.minimum)


def test_only_the_same_bins_add_up():
    first = ParcelHistograms([0, 0], [1, 1])
    for other in (ParcelHistograms([0, 0], [1, 2]), ParcelHistograms([0], [1], n_bins=16)):
        with pytest.raises(ValueError, match=r"The bins differ.*copy of one first look"):
            first.merge(other)


def test_counts_do_not_run_over():
    counted = ParcelHistograms([0], [1])
    counted.n_timepoints = 2**32 - 3
    counted.update([np.zeros((2, 1), np.float32)])
    with pytest.raises(OverflowError, match="Learn from a part"):
        counted.update([np.zeros((1, 1), np.float32)])


def test_processes_share_the_work():
    recordings = cut(HARD["raw BOLD"](np.random.default_rng(4)))
    for is_exact in (True, False):
        together = stream_quantiles(recordings, exact=is_exact, n_jobs=2)
        alone = stream_quantiles(recordings, exact=is_exact)
        np.testing.assert_array_equal(together, alone)


def test_state_is_small():
    assert ParcelHistograms(np.zeros(424), np.ones(424)).nbytes < 20e6
    assert len(pickle.dumps(ParcelHistograms(np.zeros(424), np.ones(424)))) < 20e6


def test_crowded_bins_are_counted_again(monkeypatch):
    """Two peaks so narrow that a bin between the quartiles holds thousands of values."""
    rng = np.random.default_rng(0)
    values = 1e-5 * bell(rng, N_ROWS, 3) + rng.integers(0, 2, (N_ROWS, 3)).astype(np.float32)
    monkeypatch.setattr(passes, "_MAX_GATHERED", 50)
    monkeypatch.setattr(passes, "_N_PENDING", 100)
    np.testing.assert_array_equal(stream_quantiles([values]), exact([values]))


def test_values_that_float32_cannot_tell_apart(monkeypatch):
    """There is nothing left to zoom into: what comes out is right to float32."""
    values = 1e9 + np.random.default_rng(0).standard_normal((N_ROWS, 2))
    monkeypatch.setattr(passes, "_MAX_GATHERED", 50)
    np.testing.assert_allclose(stream_quantiles([values]), exact([values]), rtol=1e-7)


def test_values_beyond_all_bins_are_named(monkeypatch):
    values = np.float32([[-3.3e38], [3.3e38]] * 50)
    monkeypatch.setattr(histograms, "draw_rows", lambda X, n_rows: X[0][:1])
    with pytest.raises(InvalidRecordingError, match="Parcel 0 has values from -3.3e"):
        stream_quantiles([values])


class RowsOnly:
    """What a compressed store gives: float32 rows on demand, and no array."""

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(self, values):
        self.scale = np.float32(np.abs(values).max() / 32767)
        self.values = np.round(values / self.scale).astype(np.int16)
        self.shape, self.largest = values.shape, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        read = self.values[rows] * self.scale
        self.largest = max(self.largest, len(read))
        return read


def test_recordings_are_read_in_parts(monkeypatch):
    recordings = [RowsOnly(each) for each in cut(bell(np.random.default_rng(0), N_ROWS, 8))]
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 2**15)
    found = stream_quantiles(recordings)
    assert max(each.largest for each in recordings) <= 2**15 / 4 / 8
    np.testing.assert_array_equal(found, exact([each[:] for each in recordings]))


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["hcp30_glasser360", "hcp100_dk68", "abide1_cc200"])
def test_real_recordings(recordings_folder, dataset):
    files = sorted((recordings_folder / dataset).glob("**/*.npy"))
    if not files:
        pytest.skip(f"{recordings_folder} has no {dataset}")
    recordings = [np.load(file, mmap_mode="r") for file in files]
    recordings = [each for each in recordings if each.ndim == 2]
    whole, few = exact(recordings), np.linspace(0, recordings[0].shape[1] - 1, 5).astype(int)
    alive = whole[2] > whole[0]
    assert_close(stream_quantiles(recordings, exact=False)[:, alive], whole[:, alive])
    found = stream_quantiles([each[:, few] for each in recordings])
    np.testing.assert_array_equal(found, whole[:, few])
