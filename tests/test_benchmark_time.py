"""The benchmark of time to quality: clocks, curves, the factor network, what is written."""

import csv

import numpy as np
import pandas as pd
import pytest
import torch
from benchmark_folders import import_script, write_folder

from sklearn_brainlm.masking import random_mask

_factor_network = import_script("_factor_network")
_milestones = import_script("_milestones")
_time_page = import_script("_time_page")
_variants = import_script("_variants")
gpu = import_script("gpu")
time_to_quality = import_script("time_to_quality")

COORDS = np.random.default_rng(0).uniform(-60, 60, (12, 3))
SMALL = {"window_length": 40, "patch_length": 10, "embed_dim": 8, "decoder_embed_dim": 8}


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "people", [f"sub-{i:02}" for i in range(10)], coords=COORDS)


# --- clocks ---


def test_training_is_scored_at_its_marks_and_stops_behind_the_last(monkeypatch):
    seconds = iter(range(10_000))
    monkeypatch.setattr(_milestones.time, "process_time", lambda: float(next(seconds)))
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((60, 5)) for _ in range(4)]
    sizes = {**SMALL, "validation_fraction": 0.0, "batch_size": 1}
    model = _variants.BrainLMTransformer(**sizes, prior=None, random_state=0)
    seen = []

    def score(model):
        seen.append(model.n_parcels_)
        return float(len(seen))

    _, rows = _milestones.train_by_the_clock(model, recordings, score, marks=[4.0, 8.0, 16.0])
    spent = rows["train_cpu_seconds"].to_numpy()
    assert rows["r2"].tolist() == list(range(1, 1 + len(rows)))
    assert (np.diff(spent) > 0).all()
    assert 12 <= spent[-1] <= 24  # the budget, as near as whole epochs come
    assert rows["n_windows_drawn"].iloc[-1] == rows["n_steps"].iloc[-1]
    assert rows["n_steps"].iloc[-1] % 4 == 0


# --- curves ---


def curve(seconds, r2, method="one", seed="0"):
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "train_cpu_seconds": np.asarray(seconds, dtype=float),
            "n_windows_drawn": np.asarray(seconds, dtype=float),
            "r2": r2,
        }
    )


def test_time_to_a_quality_is_read_off_the_line_between_two_marks():
    rows = curve([0, 10, 30], [0.0, 0.1, 0.2])
    assert _time_page.reached(rows, 0.15) == pytest.approx(20)
    assert _time_page.reached(rows, 0.2) == 30
    assert _time_page.reached(rows, 0.21) == np.inf
    assert _time_page.reached(curve([2, 5], [0.3, 0.2]), 0.15) == 2


def test_a_reference_that_did_not_get_there_gives_a_lower_bound():
    table = pd.concat([curve([0, 10], [0, 0.3], "new"), curve([0, 400], [0, 0.01], "old")])
    [said] = _time_page._compare(table, "new", "old", 0.15)
    assert "more than 80.0 times" in said
    assert "not reached it in 400" in said
    table = pd.concat([curve([0, 10], [0, 0.3], "new"), curve([0, 40], [0, 0.3], "old")])
    [said] = _time_page._compare(table, "new", "old", 0.15)
    assert "takes 4.0 times" in said
    assert _time_page._compare(table, "old", "none", 0.15) == []


# --- variants ---


def test_the_factor_network_is_the_conditional_mean_of_its_model():
    """Without updates and filters, what is hidden follows from what is visible in closed form."""
    rng = np.random.default_rng(0)
    loadings, noise = rng.standard_normal((6, 2)), rng.uniform(0.5, 1.5, 6)
    network = _factor_network.FactorNetwork(loadings, noise, patch_length=4).double()
    with torch.no_grad():
        network.step.zero_()
    signals = rng.standard_normal((1, 6, 4))
    ids_keep, ids_mask = np.array([[0, 2, 3, 5]]), np.array([[1, 4]])
    covariance = loadings @ loadings.T + np.diag(noise)
    seen, hidden = ids_keep[0], ids_mask[0]
    expected = covariance[np.ix_(hidden, seen)] @ np.linalg.solve(
        covariance[np.ix_(seen, seen)], signals[0, seen]
    )
    made = network(*map(torch.from_numpy, (signals, ids_keep, ids_mask)))
    np.testing.assert_allclose(made[0].detach().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "Released recipe",
        "Patches of 40 timepoints",
        "The same, and loadings as parcel embeddings",
        "Factor network",
    ],
)
def test_a_variant_sees_nothing_that_is_masked(name):
    setting = type("Setting", (), {"parcel_coords": COORDS, "t_r": 2.0})
    model = _variants.VARIANTS[name](setting, 0)
    model.set_params(max_epochs=1, embed_dim=8, decoder_embed_dim=8, n_heads=2, decoder_n_heads=2)
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((200, 12)).astype(np.float32) for _ in range(3)]
    model.fit(recordings)
    windows = np.stack(recordings[:1])
    masked = np.zeros(windows.shape, dtype=bool)
    masked[:, 40:80, 3] = masked[:, :40, 5] = True
    first = model.reconstruct_windows(windows, masked)
    second = model.reconstruct_windows(np.where(masked, 99.0, windows).astype(np.float32), masked)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[~masked], windows[~masked])


def test_loadings_are_the_first_parcel_embeddings():
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((60, 5)).cumsum(axis=0) for _ in range(3)]
    model = _variants.LoadingsFirst(**SMALL, prior=None, max_epochs=1, lr=1e-30, weight_decay=0.0)
    model.fit(recordings)
    table = model.net_.module_.positions.parcel_embedding.table.detach().numpy()
    np.testing.assert_allclose(table[:, :5] @ table[:, :5].T, model.likeness_, atol=1e-5)


# --- the scripts ---


def test_the_script_writes_its_tables_and_goes_on_from_them(folder, tmp_path, capsys):
    options = ["--recordings", str(folder), "--output", str(tmp_path / "out")]
    options += ["--budget", "0.6", "--reference-budget", "0.6", "--max-windows", "1"]
    monkeyed = pytest.MonkeyPatch()
    monkeyed.setattr(time_to_quality, "FIRST_MARK", 0.2)
    with monkeyed.context():
        names = ["BrainLM (no prior)", "Released recipe"]
        time_to_quality.main([*options, "--methods", *names])
        assert "seed 0: R2" in capsys.readouterr().out
        time_to_quality.main([*options, "--methods", *names])
        assert "seed 0: R2" not in capsys.readouterr().out
    monkeyed.undo()
    out = tmp_path / "out"
    tidy = pd.read_csv(out / "time_to_quality_people.csv")
    assert set(tidy["method"]) == {*names, "Gaussian", "Adaptive space-time Gaussian"}
    page = (out / "time_to_quality_people.md").read_text()
    assert "| Released recipe | 0 |" in page
    assert (out / "time_to_quality_people.png").stat().st_size > 10_000
    assert "sub-0" not in page


def test_the_gpu_script_counts_what_it_trains(tmp_path, capsys):
    options = ["--device", "cpu", "--seconds", "0", "--recordings", "8", "--batch-size", "2"]
    options += ["--n-parcels", "32", "--gemm-size", "64", "--presets", "111M"]
    assert gpu.main([*options, "--output", str(tmp_path)]) == 0
    with open(tmp_path / "gpu.csv", encoding="utf-8") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    per_second = float(rows["recordings_per_second"]["value"])
    hours = float(rows["gpu_hours_of_100_epochs"]["value"])
    assert hours == pytest.approx(100 * 61_038 / per_second / 3600, rel=1e-3)
    assert "111M" in (tmp_path / "gpu.md").read_text()
    assert "111M" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_gpu_script_says_so(capsys):
    assert gpu.main([]) == 1
    assert "No CUDA device" in capsys.readouterr().err


def test_matrix_products_are_counted_for_the_masks_that_are_drawn():
    model = _variants.BrainLMTransformer(**SMALL, prior=None, max_epochs=1, mask_ratio=0.75)
    model.fit([np.random.default_rng(0).standard_normal((60, 5))])
    ids_keep, ids_mask = random_mask(5, 4, 0.75, n_windows=1, rng=np.random.default_rng(0))
    assert gpu.window_flops(model) == gpu.forward_flops(
        model.get_params(),
        n_parcels=5,
        n_timepoints=40,
        n_visible=ids_keep.shape[1],
        n_decoded=ids_mask.shape[1],
    )
