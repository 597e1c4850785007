"""The autoencoder around the closed form, and its factorised encoder.

Not here: the closed form itself (test_prior.py), the autoencoder without it (test_modules.py).
"""

import numpy as np
import pytest
import torch

from sklearn_brainlm.masking import random_mask
from sklearn_brainlm.modules import (
    FactorisedBlock,
    FactorisedEncoder,
    GaussianPrior,
    InformedAutoencoder,
    patchify,
    take_tokens,
)
from sklearn_brainlm.preprocessing import standardize_recordings
from sklearn_brainlm.stationary import fit_statistics

P, L, C = 12, 10, 4
ORDER = [7, 0, 3, 9, 1, 11, 2, 8, 5, 4, 10, 6]
SIZES = {
    "n_parcels": P,
    "patch_length": L,
    "embed_dim": 8,
    "depth": 2,
    "n_heads": 2,
    "mlp_dim": 12,
    "decoder_embed_dim": 8,
    "decoder_depth": 2,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 12,
    "parcel_embedding": "learned",
}
LAYOUTS = {
    "cross": {"decoder": "cross"},
    "full": {"decoder": "full"},
    "factorised": {"decoder": "cross", "attention": "factorised"},
    "pairs": {"parcels_per_patch": 2, "parcel_order": ORDER},
    "fives": {"parcels_per_patch": 5, "parcel_order": ORDER, "attention": "factorised"},
}


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def statistics(recordings):
    return vars(fit_statistics(standardize_recordings(recordings)[:4]))


@pytest.fixture(params=LAYOUTS)
def autoencoder(request, statistics):
    return build(statistics, request.param)


def build(statistics, layout="cross", **changes):
    correlation = torch.from_numpy(np.corrcoef(statistics["covariance"]))
    parameters = {**SIZES, **LAYOUTS[layout], "parcel_similarity": correlation, **changes}
    return InformedAutoencoder(statistics, **parameters).eval()


@pytest.fixture
def signals(recordings):
    return torch.from_numpy(
        np.stack([x[: L * C].T for x in standardize_recordings(recordings)[4:]])
    )


def draw_mask(autoencoder, mask_ratio=0.6):
    ids = random_mask(autoencoder.n_rows, C, mask_ratio, n_windows=2, rng=np.random.default_rng(0))
    return [torch.from_numpy(side) for side in ids]


def hidden_values(autoencoder, ids_mask):
    """Mark the values (B, P, T) of masked tokens, by the words of the layout."""
    hidden = torch.zeros(2, P, L * C, dtype=torch.bool)
    order = range(P) if autoencoder.parcel_order is None else ORDER
    for window, token in np.ndindex(ids_mask.shape):
        row, column = divmod(int(ids_mask[window, token]), C)
        for place in range(P):
            if place // autoencoder.parcels_per_patch == row:
                hidden[window, order[place], column * L : (column + 1) * L] = True
    return hidden


def train(autoencoder, signals, ids, n_steps=2):
    """Take steps of training; the gate, which is closed, opens at the first."""
    optimizer = torch.optim.AdamW(autoencoder.train().parameters(), lr=1e-3)
    for _ in range(n_steps):
        optimizer.zero_grad()
        autoencoder.forward_loss(signals, autoencoder(signals, *ids), ids[1]).backward()
        optimizer.step()
    return autoencoder.eval()


# --- the closed form, and what is learned beyond it ----------------------------------------------


def test_untrained_is_the_closed_form_exactly(autoencoder, statistics, signals):
    ids_keep, ids_mask = draw_mask(autoencoder)
    hidden = hidden_values(autoencoder, ids_mask)
    visible = ~hidden[:, :, ::L]
    with torch.no_grad():
        predicted = autoencoder(signals, ids_keep, ids_mask)
        filled = GaussianPrior(statistics).eval()(signals, visible)
    order = slice(None) if autoencoder.parcel_order is None else ORDER
    expected = patchify(filled[:, order], L, autoencoder.parcels_per_patch)
    assert torch.equal(predicted, take_tokens(expected, ids_mask))


def test_closed_form_goes_by_values_of_patches_that_are_hidden(autoencoder, statistics, signals):
    """Also when no patch is left whole, and only where it is said that they are seen."""
    every = torch.arange(autoencoder.n_rows * C).expand(2, -1)
    ids_keep, ids_mask = every[:, :0], every
    seen = torch.ones(signals.shape, dtype=torch.bool)
    seen[:, :, 3::10] = False  # a timepoint of each patch column
    seen[0, 5] = False
    with torch.no_grad():
        predicted = autoencoder(signals, ids_keep, ids_mask, seen=seen)
        filled = GaussianPrior(statistics).eval()(signals, seen)
    order = slice(None) if autoencoder.parcel_order is None else ORDER
    assert torch.equal(predicted, patchify(filled[:, order], L, autoencoder.parcels_per_patch))
    ids_keep, ids_mask = draw_mask(autoencoder)
    whole = ~hidden_values(autoencoder, ids_mask)
    train(autoencoder, signals, (ids_keep, ids_mask))
    with torch.no_grad():
        by_patch = autoencoder(signals, ids_keep, ids_mask)
        by_value = autoencoder(signals, ids_keep, ids_mask, seen=whole)
    torch.testing.assert_close(by_value, by_patch)


def test_close_takes_back_what_training_added(autoencoder, signals):
    ids = draw_mask(autoencoder)
    with torch.no_grad():
        closed_form = autoencoder(signals, *ids)
    train(autoencoder, signals, ids)
    with torch.no_grad():
        trained = autoencoder(signals, *ids)
        assert (trained - closed_form).abs().max() > 1e-3
        autoencoder.close(adaptation=False)
        adapted = autoencoder(signals, *ids)
        filled = autoencoder.prior(signals, ~hidden_values(autoencoder, ids[1])[:, :, ::L])
        assert torch.equal(adapted, take_tokens(autoencoder.patchify(filled), ids[1]))
        assert not torch.equal(adapted, trained)
        assert not torch.equal(adapted, closed_form)
        autoencoder.close()
        assert torch.equal(autoencoder(signals, *ids), closed_form)


def test_residual_alone_is_kept_when_the_adaptation_is_closed(statistics, signals):
    autoencoder = build(statistics)
    ids = draw_mask(autoencoder)
    train(autoencoder, signals, ids)
    gate = autoencoder.gate.clone()
    autoencoder.close(residual=False)
    assert gate != 0
    assert torch.equal(autoencoder.gate, gate)
    fresh = GaussianPrior(statistics)
    for name, table in autoencoder.prior.named_parameters():
        if not name.startswith("spectral_adaptation.0"):  # what the zeros after it make idle
            assert torch.equal(table, fresh.get_parameter(name)), name


def test_masked_values_cannot_reach_the_prediction(autoencoder, signals):
    ids = draw_mask(autoencoder)
    hidden = hidden_values(autoencoder, ids[1])
    train(autoencoder, signals, ids)
    with torch.no_grad():
        expected = autoencoder(signals, *ids)
        assert torch.equal(autoencoder(torch.where(hidden, 9.0, signals), *ids), expected)
        other = autoencoder(torch.where(hidden, signals, -signals), *ids)
    assert not torch.equal(other, expected)


@pytest.mark.parametrize("layout", ["cross", "full"])
def test_hints_reach_the_decoder_each_its_own_token(statistics, signals, layout):
    autoencoder = build(statistics, layout, decoder_depth=1)
    ids_keep, ids_mask = draw_mask(autoencoder)
    with torch.no_grad():
        latent = autoencoder.forward_encoder(signals, ids_keep)
        hints = torch.zeros(*ids_mask.shape, 8)
        without = autoencoder.decoder(latent, ids_keep, ids_mask, C)
        torch.testing.assert_close(
            autoencoder.decoder(latent, ids_keep, ids_mask, C, hints=hints), without
        )
        hints[1, 2] = 3.0
        changed = autoencoder.decoder(latent, ids_keep, ids_mask, C, hints=hints) != without
    assert changed[1, 2].any()
    assert not changed[0].any()
    if layout == "cross":  # masked tokens do not see one another
        assert changed.any(2).sum() == 1


def test_folds_and_recorded_timepoints_reach_the_prior(statistics, recordings, signals):
    autoencoder = build(statistics)
    ids = draw_mask(autoencoder)
    others = vars(fit_statistics(standardize_recordings(recordings)[2:]))
    recorded = (torch.arange(L * C) < 35).expand(2, -1)
    with torch.no_grad(), autoencoder.prior.cross_fitted([others]):
        expected = build(others)(signals, *ids)
        by_fold = autoencoder(signals, *ids, fold=torch.tensor([-1, 0]))
        assert torch.equal(by_fold[1], expected[1])
        assert torch.equal(by_fold[0], autoencoder(signals, *ids)[0])
        assert not torch.equal(by_fold[0], expected[0])
        short = autoencoder(signals, *ids, observed=recorded)
    assert not torch.equal(short, autoencoder(signals, *ids))


def test_state_dict_holds_what_is_learned_only(autoencoder):
    assert set(autoencoder.state_dict()) == {name for name, _ in autoencoder.named_parameters()}
    assert autoencoder.n_parameters == sum(p.numel() for p in autoencoder.parameters())


def test_every_parameter_is_trained_once_the_gate_is_open(autoencoder, signals):
    ids = draw_mask(autoencoder)
    train(autoencoder, signals, ids, n_steps=1)
    loss = autoencoder.train().forward_loss(signals, autoencoder(signals, *ids), ids[1])
    autoencoder.zero_grad()
    loss.backward()
    for name, parameter in autoencoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_prior_computes_in_float32_under_autocast(statistics, signals):
    autoencoder = build(statistics)
    ids = draw_mask(autoencoder)
    with torch.no_grad():
        expected = autoencoder(signals, *ids)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = autoencoder(signals, *ids)
    assert torch.equal(predicted.float(), expected)


# --- the factorised encoder ----------------------------------------------------------------------


def encode(encoder, tokens, ids_keep, **options):
    cls_token = torch.linspace(-1, 1, 8).view(1, 1, 8)
    return encoder(cls_token, tokens, ids_keep, n_rows=3, n_columns=C, **options)


def test_encoder_is_its_blocks_on_the_grid_with_a_cls_row():
    """Hidden places hold anything: they are not attended to."""
    similarity = torch.randn(3, 3)
    encoder = FactorisedEncoder(8, 2, 2, 12, similarity)
    ids_keep = torch.tensor([[5, 0, 11, 2, 6], [1, 9, 10, 3, 8]])
    tokens = torch.randn(2, 5, 8)
    grid = torch.full((2, 4, C, 8), 50.0)  # hidden tokens that are not empty
    visible = torch.zeros(2, 4, C, dtype=torch.bool)
    grid[:, 0], visible[:, 0] = torch.linspace(-1, 1, 8), True
    for window, token in np.ndindex(2, 5):
        row, column = divmod(int(ids_keep[window, token]), C)
        grid[window, 1 + row, column] = tokens[window, token]
        visible[window, 1 + row, column] = True
    bias = torch.zeros(2, 4, 4)
    bias[:, 1:, 1:] = similarity
    with torch.no_grad():
        for block in encoder:
            assert isinstance(block, FactorisedBlock)
            grid = block(grid, visible, bias)
        encoded = encode(encoder, tokens, ids_keep)
    torch.testing.assert_close(encoded[:, 0], grid[:, 0].mean(1))
    for window, token in np.ndindex(2, 5):
        row, column = divmod(int(ids_keep[window, token]), C)
        torch.testing.assert_close(encoded[window, 1 + token], grid[window, 1 + row, column])


def test_order_of_visible_tokens_is_that_of_the_output():
    encoder = FactorisedEncoder(8, 1, 2, 12)
    ids_keep, tokens = torch.tensor([[5, 0, 11, 2]]), torch.randn(1, 4, 8)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        encoded = encode(encoder, tokens, ids_keep)
        permuted = encode(encoder, tokens[:, order], ids_keep[:, order])
    torch.testing.assert_close(permuted[:, 1:], encoded[:, 1:][:, order])
    torch.testing.assert_close(permuted[:, 0], encoded[:, 0])


def test_similarity_draws_attention_as_far_as_a_head_learned():
    similarity = 5 * torch.eye(3)
    encoder = FactorisedEncoder(8, 1, 2, 12, similarity)
    ids_keep, tokens = torch.arange(12)[None], torch.randn(1, 12, 8)
    with torch.no_grad():
        encoded = encode(encoder, tokens, ids_keep)
        encoder.slope.zero_()
        flat = encode(encoder, tokens, ids_keep)
        encoder.parcel_similarity = None
        without = encode(encoder, tokens, ids_keep)
    assert (encoded - flat).abs().max() > 1e-2
    torch.testing.assert_close(flat, without)


@pytest.mark.parametrize("layout", ["full", "factorised"])
def test_checkpointing_gives_equal_gradients(statistics, signals, layout):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        autoencoder = build(statistics, layout, gradient_checkpointing=checkpointing).train()
        ids = draw_mask(autoencoder)
        with torch.no_grad():
            autoencoder.gate.fill_(0.01)
        autoencoder(signals, *ids).square().sum().backward()
        gradients.append([parameter.grad for parameter in autoencoder.parameters()])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_attention_weights_of_a_factorised_encoder_are_refused(statistics, signals):
    autoencoder = build(statistics, "factorised")
    ids_keep, _ = draw_mask(autoencoder)
    with pytest.raises(ValueError, match="attention='factorised' has no weights over all pairs"):
        autoencoder.forward_encoder(signals, ids_keep, return_attention=True)


def test_similarity_of_rows_is_the_mean_over_their_parcels(statistics):
    similarity = torch.randn(P, P)
    similarity = similarity + similarity.T
    autoencoder = build(statistics, "fives", parcel_similarity=similarity)
    rows = [ORDER[:5], ORDER[5:10], ORDER[10:]]
    expected = [[similarity[a][:, b].mean() for b in rows] for a in rows]
    found = autoencoder.encoder.parcel_similarity
    torch.testing.assert_close(found[1:, 1:], torch.tensor(expected))
    assert not found[0].any() and not found[:, 0].any()
