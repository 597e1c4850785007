"""Embeddings of parcels by masked networks: the VAE and the GCN of Table 3.

The contract of all estimators is in test_common.py.
"""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from sklearn_brainlm.baselines.graph import correlation_graph
from sklearn_brainlm.baselines.masked_gcn import MaskedGCN
from sklearn_brainlm.baselines.masked_networks import GraphAutoencoder, VariationalAutoencoder
from sklearn_brainlm.baselines.vae import MaskedVAE

SMALL = {"window_length": 20, "patch_length": 5, "max_epochs": 1, "random_state": 0}
ESTIMATORS = [
    MaskedVAE(**SMALL, embed_dim=3, hidden_dim=8),
    MaskedGCN(**SMALL, n_neighbors=2, hidden_dim=3, depth=2),
]


def vae(**changes):
    """Return a small VAE for windows of 20 timepoints."""
    torch.manual_seed(0)
    sizes = {"hidden_dim": 16, "embed_dim": 4, "depth": 3, "kl_weight": 1.0}
    return VariationalAutoencoder(20, 5, **(sizes | changes))


# --- the networks ---


def test_masked_values_are_never_seen():
    for network in (vae().eval(), GraphAutoencoder(torch.eye(3), 20, 5, **GRAPH).eval()):
        signals = torch.randn(2, 3, 20)
        ids = torch.stack([torch.randperm(12) for _ in range(2)])
        ids_keep, ids_mask = ids[:, :4], ids[:, 4:]
        before, _ = network(signals, ids_keep, ids_mask)
        hidden = network.patchify(signals).scatter(
            1, ids_mask[..., None].expand(-1, -1, 5), torch.full((2, 8, 5), 99.0)
        )
        after, _ = network(network.unpatchify(hidden, 3, 20), ids_keep, ids_mask)
        torch.testing.assert_close(after, before)


GRAPH = {"hidden_dim": 8, "depth": 4, "dropout": 0.0}


def test_the_vae_has_three_layers_on_either_side_and_parcels_go_alone():
    network = vae()
    for side in (network.encoder, network.decoder):
        assert sum(isinstance(layer, torch.nn.Linear) for layer in side) == 3
    signals = torch.randn(1, 3, 20)
    torch.testing.assert_close(network.embed(signals)[:, 1:], network.embed(signals[:, 1:]))


def test_the_penalty_is_the_divergence_that_torch_knows():
    network, signals = vae(kl_weight=0.5).eval(), torch.randn(4, 3, 20)
    mean, log_variance = network.encoder(signals).chunk(2, dim=2)
    own = Normal(mean, (0.5 * log_variance).exp())
    divergence = kl_divergence(own, Normal(torch.zeros(()), torch.ones(()))).sum(2).mean()
    torch.testing.assert_close(network.predict(signals)[1], 0.5 * divergence / 20)


def test_embeddings_are_drawn_in_training_only():
    network, signals = vae(), torch.randn(1, 3, 20)
    assert not torch.equal(network.predict(signals)[0], network.predict(signals)[0])
    network.eval()
    torch.testing.assert_close(network.predict(signals)[0], network.predict(signals)[0])


def test_graph_layers_are_those_of_kipf_and_welling():
    adjacency = torch.rand(3, 3)
    network = GraphAutoencoder(adjacency, 20, 5, **GRAPH).eval()
    signals = torch.randn(2, 3, 20)
    features = signals
    for layer in network.layers:
        features = torch.relu(torch.einsum("pq,bqt->bpt", adjacency, layer(features)))
    torch.testing.assert_close(network.embed(signals), features)
    assert len(network.layers) == 4


def test_the_loss_counts_masked_and_recorded_values_only():
    network = GraphAutoencoder(torch.eye(2), 20, 5, **GRAPH).eval()
    signals, ids_mask = torch.randn(1, 2, 20), torch.tensor([[0, 7]])
    observed = torch.arange(20)[None] < 18
    predicted = torch.randn(1, 2, 5)
    true = network.patchify(signals)[:, ids_mask[0]]
    error = torch.cat([(predicted - true)[0, 0], (predicted - true)[0, 1, :3]])
    loss = network.forward_loss(signals, (predicted, torch.tensor(0.25)), ids_mask, observed)
    torch.testing.assert_close(loss, (error**2).mean() + 0.25)


def test_short_windows_are_filled_up_with_zeros():
    network = vae().eval()
    short = torch.randn(1, 3, 10)
    torch.testing.assert_close(network.fill_up(short), F.pad(short, (0, 10)))
    predicted, _ = network(short, torch.tensor([[0, 2]]), torch.tensor([[1, 3, 5]]))
    assert predicted.shape == (1, 3, 5)


# --- the estimators ---


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_training_lowers_the_loss_on_masked_values(estimator):
    phases = np.random.default_rng(0).uniform(0, 6, (6, 1, 1)) + np.arange(12) // 4
    waves = np.sin(np.arange(80)[:, None] / 6 + phases)  # what is masked follows from the rest
    model = type(estimator)(
        window_length=40, patch_length=10, hidden_dim=32, max_epochs=60, batch_size=6, lr=0.01,
        mask_ratio=0.5, validation_fraction=0.2, random_state=0,
    ).fit(waves)  # fmt: skip
    losses = [row["train_loss"] for row in model.history_]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert len(model.validation_indices_) == 1


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_recordings_are_embedded_by_the_mean_of_their_windows(estimator, recordings):
    model = estimator.fit(recordings)
    profiles = model.embed_parcels(recordings)
    rows = model.transform(recordings)
    assert rows.shape == (6, 12 * 3)
    assert profiles[0].shape == (12, 5 * 3)  # 100 timepoints are five windows
    for row, profile in zip(rows, profiles, strict=True):
        np.testing.assert_allclose(
            row.reshape(12, 3), profile.reshape(12, -1, 3).mean(axis=1), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_array_equal(model.embed_parcels(recordings[0])[0], profiles[0])
    assert len(model.get_feature_names_out()) == 36


def test_embeddings_are_those_of_the_network(recordings):
    model = ESTIMATORS[0].fit(recordings)
    window = model.scaler_.transform(recordings)[2][:20]
    expected = model.net_.module_.embed(torch.as_tensor(window.T[None].copy()))[0]
    np.testing.assert_allclose(
        model.embed_parcels(recordings)[2][:, :3], expected.detach(), rtol=1e-4, atol=1e-5
    )


def test_the_graph_is_that_of_the_recordings_of_fit(recordings):
    model = ESTIMATORS[1].fit(recordings)
    np.testing.assert_array_equal(model.adjacency_, correlation_graph(recordings, 2))


def test_nobody_is_on_both_sides(recordings):
    model = MaskedVAE(**SMALL, hidden_dim=8, validation_fraction=0.4)
    model.fit(recordings, groups=["a", "a", "b", "b", "c", "c"])
    assert len(model.validation_indices_) == 2
    assert model.validation_indices_[0] // 2 == model.validation_indices_[1] // 2


@pytest.mark.parametrize(
    "parameters", [{"kl_weight": -1.0}, {"embed_dim": 0}, {"depth": 0}, {"mask_ratio": 1.0}]
)
def test_illegal_parameters_are_refused(parameters, recordings):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        MaskedVAE(**SMALL).set_params(**parameters).fit(recordings)
