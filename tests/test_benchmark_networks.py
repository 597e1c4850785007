"""The benchmark of functional networks: profiles that are its own, pairs, tests, what is written.

The probe is in test_probing.py, who is tested in test_benchmark_cohorts.py.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from benchmark_folders import import_script, write_folder
from scipy.spatial.distance import pdist

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.probing import network_probe

_network_page = import_script("_network_page")
_network_profiles = import_script("_network_profiles")
networks = import_script("networks")

NETWORKS = np.array(list("aaabbbcccddd") * 2)
SMALL = ["--timepoints", "40", "--patch-length", "10", "--n-splits", "4", "--epochs", "1",
         "--baseline-epochs", "1"]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Write eight people of 24 parcels, twelve pairs of homologues."""
    left = np.random.default_rng(0).uniform(5, 60, (12, 3)) * [-1, 1, 1]
    coords = np.concatenate([left, left * [-1, 1, 1]])
    made = write_folder(tmp_path / "people", [f"sub-{i:02}" for i in range(8)], coords=coords)
    table = pd.read_csv(made / "parcels.tsv", sep="\t")
    table["label"] = [f"{side}_{i}_ROI" for side in "LR" for i in range(12)]
    table["yeo7"] = NETWORKS
    table.to_csv(made / "parcels.tsv", sep="\t", index=False)
    return made


@pytest.fixture(scope="module")
def model():
    """Return a small transformer of recordings without their global signal."""
    rng = np.random.default_rng(0)
    recordings = rng.standard_normal((4, 60, 3)) @ rng.standard_normal((3, 8))
    recordings = recordings + rng.standard_normal((4, 60, 8))
    recordings = [_network_profiles.remove_global_signal(x) for x in recordings]
    sizes = {"window_length": 40, "patch_length": 10, "embed_dim": 8, "mlp_dim": 8, "n_heads": 2}
    small = {"decoder_embed_dim": 8, "decoder_n_heads": 2, "decoder_mlp_dim": 8}
    return BrainLMTransformer(**sizes, **small, max_epochs=1, random_state=0).fit(recordings)


@pytest.fixture
def window():
    return np.random.default_rng(5).standard_normal((40, 8)).astype(np.float32)


# --- profiles ---


def test_the_global_signal_is_gone(window):
    left = _network_profiles.remove_global_signal(window)
    np.testing.assert_allclose(left.mean(axis=1), 0, atol=1e-6)


def test_unit_rows_turn_euclidean_into_cosine_and_correlation_distance():
    profile = np.random.default_rng(0).standard_normal((6, 9))
    for centred, metric in ((False, "cosine"), (True, "correlation")):
        made = _network_profiles.unit_rows(profile, centred=centred)
        np.testing.assert_allclose(pdist(made) ** 2 / 2, pdist(profile, metric))


def test_loadings_give_the_connectivity_back(window):
    made = _network_profiles.loadings(window, n_components=8)
    trusted = np.corrcoef(_network_profiles.remove_global_signal(window).T)
    np.testing.assert_allclose(made @ made.T, trusted, atol=1e-6)


def test_all_components_of_a_group_give_its_connectivity_back(window):
    other = np.random.default_rng(6).standard_normal((50, 8))
    made = _network_profiles.group_components([window, other], n_components=8)
    removed = [_network_profiles.remove_global_signal(x) for x in (window, other)]
    trusted = np.mean([np.corrcoef(x.T) for x in removed], axis=0)
    np.testing.assert_allclose(made @ made.T, trusted, atol=1e-6)


def test_coordinates_add_squared_distances_that_are_one_on_average():
    rng = np.random.default_rng(0)
    profile, coords = rng.standard_normal((10, 4)), rng.uniform(-60, 60, (10, 3))
    made = _network_profiles.with_coordinates(profile, coords, weight=0.5)
    squared = pdist(made, "sqeuclidean")
    parts = [pdist(x, "sqeuclidean") for x in (profile, _network_profiles.mirrored(coords))]
    scaled = [part / (2 * part.sum() / 100) for part in parts]  # over all pairs, selves included
    np.testing.assert_allclose(squared, scaled[0] + 0.5 * scaled[1])
    np.testing.assert_array_equal(_network_profiles.mirrored(coords * [-1, 1, 1])[:, 0] >= 0, True)


def test_attention_is_that_of_the_encoder(model, window):
    """Rows add up to what is left beside the CLS token; scores of nothing are the same for all."""
    made = _network_profiles.attention(model, window)
    assert made.shape == (8, 16)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1)
    layer = model.net_.module_.encoder[-1].parcel_attention
    weight = layer.qkv.weight.detach().clone()
    slope = model.net_.module_.encoder.slope.detach().clone()
    with torch.no_grad():
        layer.qkv.weight.zero_()
        model.net_.module_.encoder.slope.zero_()
    flat = _network_profiles.attention(model, window)
    np.testing.assert_allclose(flat, np.full((8, 16), 0.25), atol=1e-6)
    with torch.no_grad():
        layer.qkv.weight.copy_(weight)
        model.net_.module_.encoder.slope.copy_(slope)


def test_a_person_of_few_timepoints_is_taken_for_the_group(model, window):
    """The closed form moves from the group to the person with the timepoints that it sees."""
    group = model.prior_["colouring"]
    moved = []
    for repeated in (1, 20):
        long = np.tile(window, (repeated, 1))
        moved.append(np.linalg.norm(_network_profiles.adapt(model, long)[0] - group))
    assert 0 < moved[0] < moved[1]


def test_components_before_adapting_are_those_of_the_prior(model):
    made = _network_profiles.components(model, n_components=3)
    leading = model.prior_["colouring"][:, :3]
    np.testing.assert_allclose(made, leading / np.linalg.norm(leading, axis=1, keepdims=True))


def test_reconstruction_weights_solve_the_ridge_regression(model, window):
    mixing, ridge = _network_profiles.adapt(model, window)
    covariance = mixing @ mixing.T
    weights = covariance @ np.linalg.inv(covariance + ridge * np.eye(8))
    trusted = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    np.testing.assert_allclose(_network_profiles.reconstruction_weights(model, window), trusted)


# --- pairs, tests and the page ---


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        (["L_V1_ROI", "R_V1_ROI", "L_LO1_ROI", "R_LO1_ROI"], [1, 1, 0, 0]),
        (["lh-bank", "rh-bank", "stem"], [0, 0, 1]),
        (["Insula L", "Insula R", "Rest"], [0, 0, 1]),
    ],
)
def test_homologues_are_found_by_name(labels, pairs):
    assert networks.homologous_pairs(labels).tolist() == pairs


def test_differences_are_paired_and_tested_twice():
    rng = np.random.default_rng(0)
    good = np.repeat(np.eye(4), 6, axis=0) + 0.3 * rng.standard_normal((10, 24, 4))
    bad = rng.standard_normal((10, 24, 4))
    labels = np.repeat(list("abcd"), 6)
    probes = [{"random parcels": network_probe(x, labels, n_splits=20)} for x in (good, bad)]
    measured = {"Raw series": (probes[1], 0.0)}
    measured |= {method: (probes[0], 0.0) for method in _network_page.ON_TRIAL}
    options = type("Options", (), {"seed": 0, "timepoints": 40})
    about = {"benchmark": "networks", "dataset": "x"}
    tidy = _network_page.tabulate(measured, about, 20, [f"s{i}" for i in range(10)], options)
    own = tidy[tidy["method"] == "BrainLM (attention)"].set_index("metric")["value"]
    gain = probes[0]["random parcels"].accuracy - probes[1]["random parcels"].accuracy
    assert own["accuracy minus Raw series"] == pytest.approx(gain)
    assert own["p_value over people (accuracy minus Raw series)"] == pytest.approx(2 / 2**10)
    better, tied, worse = _network_page._sort_out(own)
    assert (better, tied, worse) == (["Raw series"], [], [])
    swapped = own * 1.0
    swapped["accuracy minus Raw series"] *= -1
    assert _network_page._sort_out(swapped) == ([], [], ["Raw series"])
    swapped["p_corrected over splits (accuracy minus Raw series)"] = 0.2
    assert _network_page._sort_out(swapped) == ([], ["Raw series"], [])


@pytest.mark.slow
def test_the_benchmark_writes_its_table_page_and_figure(folder, tmp_path, capsys):
    networks.main(["--recordings", str(folder), "--output", str(tmp_path), *SMALL])
    tidy = pd.read_csv(tmp_path / "networks_people.csv")
    page = (tmp_path / "networks_people.md").read_text()
    assert (tmp_path / "networks_people.png").stat().st_size > 10_000
    scores = tidy[tidy["metric"] == "accuracy"]
    assert set(scores["task"]) == {"random parcels", "homologous pairs"}
    assert scores["value"].between(0, 1).all()
    assert "BrainLM (person components)" in page
    assert "12 pairs of homologues" in page
    assert set(tidy["n_train"]) == {6}
    # Homologues share a place here up to the side: coordinates tell them.
    told = scores.set_index(["method", "task"])["value"]
    assert told["Coordinates", "random parcels"] > 0.6
    assert "networks" in capsys.readouterr().out
