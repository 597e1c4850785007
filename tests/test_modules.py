"""The masked autoencoder and its parts, each against torch's own layers or plain algebra.

The numbers of the released models are in test_official.py; training is not tested here.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_brainlm.masking import random_mask
from sklearn_brainlm.modules import (
    Attention,
    Block,
    CrossBlock,
    FactorisedBlock,
    MaskedAutoencoder,
    ParcelEmbedding,
    TokenPositions,
    image_code,
    patchify,
    put_tokens,
    take_tokens,
    time_code,
    unpatchify,
)
from sklearn_brainlm.modules.attention import token_convolution

SMALL = {
    "n_parcels": 7,
    "patch_length": 5,
    "embed_dim": 16,
    "depth": 2,
    "n_heads": 4,
    "mlp_dim": 24,
    "decoder_embed_dim": 16,
    "decoder_depth": 2,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 24,
}
FAMILIES = {
    "13M": {"norm": "post", "token_conv": 9, "head": "mlp"},
    "111M": {"position": "image", "parcels_per_patch": 2, "head": "linear"},
    "cross": {"decoder": "cross", "parcel_embedding": "both"},
}


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(params=FAMILIES)
def autoencoder(request):
    return build(request.param)


def build(family, **changes):
    coords = torch.randn(SMALL["n_parcels"], 3, generator=torch.Generator().manual_seed(1))
    return MaskedAutoencoder(**{**SMALL, "parcel_coords": coords, **FAMILIES[family], **changes})


def draw_batch(autoencoder, n_timepoints=30, n_windows=2, mask_ratio=0.5):
    """Return windows and a mask of tensors."""
    n_columns = -(-n_timepoints // autoencoder.patch_length)
    ids = random_mask(
        autoencoder.n_rows,
        n_columns,
        mask_ratio,
        n_windows=n_windows,
        rng=np.random.default_rng(0),
    )
    signals = torch.randn(n_windows, autoencoder.n_parcels, n_timepoints)
    return signals, *(torch.from_numpy(side) for side in ids)


# patches and tokens


@pytest.mark.parametrize("parcels_per_patch", [1, 2, 3])
@pytest.mark.parametrize("n_timepoints", [20, 23])
def test_unpatchify_undoes_patchify(parcels_per_patch, n_timepoints):
    signals = torch.randn(2, 7, n_timepoints)
    patches = patchify(signals, 5, parcels_per_patch)
    again = unpatchify(patches, 7, n_timepoints, 5, parcels_per_patch)
    assert torch.equal(again, signals)
    # What fills the last patches up is zero.
    torch.testing.assert_close(patches.pow(2).sum(), signals.pow(2).sum())


def test_tokens_are_parcel_major():
    patches = patchify(torch.arange(2 * 4 * 6.0).reshape(2, 4, 6), 3, parcels_per_patch=2)
    assert patches.shape == (2, 4, 6)
    # Second window, second row (parcels 2 and 3), first column (timepoints 0 to 2).
    np.testing.assert_array_equal(patches[1, 2], [36, 37, 38, 42, 43, 44])


def test_tokens_taken_are_put_back():
    tokens = torch.randn(2, 6, 3)
    ids = torch.tensor([[4, 0, 3], [1, 2, 5]])
    taken = take_tokens(tokens, ids)
    np.testing.assert_array_equal(taken[0], tokens[0, [4, 0, 3]])
    filled = put_tokens(taken, ids, 6, torch.full((1, 1, 3), 7.0))
    expected = torch.full_like(tokens, 7.0)
    for window, places in enumerate(ids):
        expected[window, places] = tokens[window, places]
    assert torch.equal(filled, expected)


# positions


def test_time_code_is_the_formula_at_any_length():
    code = time_code(6000, 8).numpy()
    for column in (0, 1, 9, 5999):
        for i in range(4):
            angle = column * 10000 ** (-2 * i / 8)
            np.testing.assert_allclose(
                code[column, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6
            )
    assert torch.equal(time_code(3, 8), time_code(6000, 8)[:3])


def test_image_code_tells_the_column_first_and_then_the_row():
    code = image_code(3, 4, 16).reshape(3, 4, 16).numpy()
    angles = lambda position: position * 10000 ** (-np.arange(4) / 4)  # noqa: E731
    for row, column in [(0, 0), (2, 1), (1, 3)]:
        expected = [f(angles(place)) for place in (column, row) for f in (np.sin, np.cos)]
        np.testing.assert_allclose(code[row, column], np.concatenate(expected), atol=1e-6)


def test_parcel_embedding_is_linear_in_the_coordinates_plus_a_table():
    coords = torch.randn(5, 3) * 40
    rows = torch.tensor([[4, 0], [2, 2]])
    both = ParcelEmbedding(8, coords, "both", xyz_scale=0.01)
    nn.init.normal_(both.xyz.bias)
    expected = F.linear(coords[rows] * 0.01, both.xyz.weight, both.xyz.bias) + both.table[rows]
    torch.testing.assert_close(both(rows), expected)
    learned = ParcelEmbedding(8, kind="learned", n_rows=5)
    assert torch.equal(learned(rows), learned.table[rows])


@pytest.mark.parametrize(
    ("embed_dim", "embedding"), [(3, ParcelEmbedding(3, torch.zeros(2, 3))), (6, None)]
)
def test_dimension_that_sines_and_cosines_do_not_fill_is_refused(embed_dim, embedding):
    with pytest.raises(ValueError, match=f"dimension of {embed_dim} is no multiple of"):
        TokenPositions(embed_dim, n_rows=2, parcel_embedding=embedding)


def test_parcel_embedding_says_what_is_missing():
    with pytest.raises(ValueError, match="needs parcel_coords"):
        ParcelEmbedding(8, None, "xyz")
    with pytest.raises(ValueError, match="needs n_rows"):
        ParcelEmbedding(8, None, "learned")
    with pytest.raises(ValueError, match="'abc' is unknown"):
        ParcelEmbedding(8, None, "abc")


# attention and blocks


@pytest.mark.parametrize("bias_kind", [None, "additive", "boolean"])
@pytest.mark.parametrize("token_conv", [None, 5])
def test_fast_and_explicit_attention_agree(bias_kind, token_conv):
    attention = Attention(16, 4, token_conv)
    x = torch.randn(2, 9, 16)
    attn_bias = torch.randn(4, 9, 9) if bias_kind == "additive" else None
    if bias_kind == "boolean":
        attn_bias = (torch.rand(9, 9) < 0.5) | torch.eye(9, dtype=torch.bool)
    fast = attention(x, attn_bias=attn_bias)
    explicit, weights = attention(x, attn_bias=attn_bias, return_attention=True)
    torch.testing.assert_close(fast, explicit, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(3), torch.ones(2, 4, 9))
    if bias_kind == "boolean":
        assert not weights[~attn_bias.expand_as(weights)].any()


def test_attention_is_torchs_multi_head_attention():
    ours, theirs = Attention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    nn.init.normal_(ours.qkv.bias)
    _copy_attention(ours, theirs)
    x, context = torch.randn(2, 6, 16), torch.randn(2, 9, 16)
    for keys in (None, context):
        expected, expected_weights = theirs(
            x, x if keys is None else keys, x if keys is None else keys, average_attn_weights=False
        )
        attended, weights = ours(x, keys, return_attention=True)
        torch.testing.assert_close(attended, expected)
        torch.testing.assert_close(weights, expected_weights)


@pytest.mark.parametrize("bias", [True, False])
def test_attending_to_oneself_is_self_attention(bias):
    attention = Attention(16, 4, token_conv=5, bias=bias)
    assert (attention.qkv.bias is not None) == bias
    x = torch.randn(2, 9, 16)
    places = torch.arange(9).expand(2, -1)
    torch.testing.assert_close(attention(x, x, places), attention(x))


def _copy_attention(ours, theirs):
    """Give torch's multi-head attention the weights of ours."""
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_block_is_torchs_encoder_layer(norm):
    block = Block(16, 4, 24, norm)
    theirs = nn.TransformerEncoderLayer(
        16,
        4,
        24,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=1e-12,
        batch_first=True,
        norm_first=norm == "pre",
    )
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    _copy_attention(block.attention, theirs.self_attn)
    theirs.norm1.load_state_dict(block.attention_norm.state_dict())
    theirs.norm2.load_state_dict(block.mlp_norm.state_dict())
    theirs.linear1.load_state_dict(block.mlp[0].state_dict())
    theirs.linear2.load_state_dict(block.mlp[2].state_dict())
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(block(x), theirs(x))


@pytest.mark.parametrize("n_tokens", [3, 128, 300])
def test_token_convolution_is_torchs_conv2d(n_tokens):
    v = torch.randn(2, 3, n_tokens, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 65, dtype=torch.float64, requires_grad=True)
    # In double precision, because oneDNN's single-precision weight gradient is wrong here.
    expected = F.conv2d(v, weight[:, None, :, None], padding=(32, 0), groups=3)
    convolved = token_convolution(v, weight)
    torch.testing.assert_close(convolved, expected)
    upstream = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(convolved, (v, weight), upstream),
        torch.autograd.grad(expected, (v, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("token_conv", [None, 5])
def test_wanted_tokens_come_out_as_if_all_were_computed(norm, token_conv):
    block = Block(16, 4, 24, norm, token_conv)
    x = torch.randn(2, 9, 16)
    wanted = torch.tensor([[8, 0, 3], [1, 2, 5]])
    everything, all_weights = block(x, return_attention=True)
    some, weights = block(x, wanted, return_attention=True)
    torch.testing.assert_close(some, take_tokens(everything, wanted))
    torch.testing.assert_close(block(x, wanted), some, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights[1], all_weights[1][:, wanted[1]])


def test_impossible_attention_is_refused():
    with pytest.raises(ValueError, match="n_heads=3 does not divide embed_dim=16"):
        Attention(16, 3)
    with pytest.raises(ValueError, match="must be odd"):
        Attention(16, 4, token_conv=4)
    with pytest.raises(ValueError, match="norm='middle'"):
        Block(16, 4, 24, norm="middle")
    with pytest.raises(ValueError, match="places"):
        Attention(16, 4, token_conv=5)(torch.zeros(1, 2, 16), torch.zeros(1, 3, 16))


def test_queries_of_a_cross_block_never_see_one_another():
    block = CrossBlock(16, 4, 24)
    x, context = torch.randn(2, 6, 16), torch.randn(2, 9, 16)
    torch.testing.assert_close(block(x[:, 2:4], context), block(x, context)[:, 2:4])


def test_factorised_block_ignores_hidden_tokens():
    block = FactorisedBlock(16, 4, 24)
    x = torch.randn(2, 5, 4, 16)
    visible = torch.rand(2, 5, 4) < 0.5
    visible[0, :, 1] = False  # a moment and
    visible[1, 3] = False  # a parcel with nothing visible
    parcel_bias = torch.randn(4, 5, 5)
    changed = torch.where(visible[..., None], x, torch.randn_like(x) * 100)
    for bias in (None, parcel_bias):
        out, out_changed = block(x, visible, bias), block(changed, visible, bias)
        assert torch.equal(out[visible], out_changed[visible])
        assert torch.isfinite(out_changed).all()
    hidden_input = x.clone().requires_grad_()
    block(hidden_input, visible, parcel_bias)[visible].sum().backward()
    assert not hidden_input.grad[~visible].any()
    assert hidden_input.grad[visible].abs().sum() > 0


def test_factorised_block_attends_over_parcels_and_then_over_time():
    block = FactorisedBlock(16, 4, 24)
    x, visible = torch.randn(1, 5, 4, 16), torch.ones(1, 5, 4, dtype=torch.bool)
    parcel_bias = torch.randn(4, 5, 5)
    expected = x.clone()
    normed = block.parcel_norm(x)
    for column in range(4):
        expected[:, :, column] += block.parcel_attention(
            normed[:, :, column], attn_bias=parcel_bias
        )
    normed = block.time_norm(expected)
    for row in range(5):
        expected[:, row] = expected[:, row] + block.time_attention(normed[:, row])
    expected = expected + block.mlp(block.mlp_norm(expected))
    torch.testing.assert_close(block(x, visible, parcel_bias), expected, atol=1e-6, rtol=1e-5)


# the autoencoder


def test_masked_values_cannot_reach_visible_tokens(autoencoder):
    signals, ids_keep, ids_mask = draw_batch(autoencoder)
    masked = put_tokens(
        torch.ones(2, ids_mask.shape[1], autoencoder.patchify(signals).shape[2]),
        ids_mask,
        autoencoder.n_rows * 6,
        torch.zeros(1),
    )
    n_rows = autoencoder.n_rows * autoencoder.parcels_per_patch
    masked = unpatchify(masked, n_rows, 30, 5, autoencoder.parcels_per_patch)[:, :7].bool()
    changed = torch.where(masked, torch.full_like(signals, 1e6), signals)
    latent = autoencoder.forward_encoder(signals, ids_keep)
    assert torch.equal(latent, autoencoder.forward_encoder(changed, ids_keep))
    predicted = autoencoder(signals, ids_keep, ids_mask)
    assert torch.equal(predicted, autoencoder(changed, ids_keep, ids_mask))
    signals.requires_grad_()
    autoencoder(signals, ids_keep, ids_mask).pow(2).sum().backward()
    assert not signals.grad[masked].any()
    assert signals.grad[~masked].all()


def test_attention_can_be_looked_at_without_changing_the_latent(autoencoder):
    signals, ids_keep, _ = draw_batch(autoencoder)
    latent, attentions = autoencoder.forward_encoder(signals, ids_keep, return_attention=True)
    n_tokens = 1 + ids_keep.shape[1]
    assert [attention.shape for attention in attentions] == [(2, 4, n_tokens, n_tokens)] * 2
    expected = autoencoder.forward_encoder(signals, ids_keep)
    torch.testing.assert_close(latent, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_some_masked_tokens_are_predicted_as_among_all(family):
    autoencoder = build(family)
    signals, ids_keep, ids_mask = draw_batch(autoencoder)
    everything = autoencoder(signals, ids_keep, ids_mask)
    some = autoencoder(signals, ids_keep, ids_mask[:, 3:6])
    torch.testing.assert_close(some, everything[:, 3:6], atol=1e-5, rtol=1e-5)


def test_windows_of_a_batch_are_independent_of_one_another(autoencoder):
    signals, ids_keep, ids_mask = draw_batch(autoencoder)
    together = autoencoder(signals, ids_keep, ids_mask)
    alone = autoencoder(signals[1:], ids_keep[1:], ids_mask[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n_timepoints", [10, 33, 505])
def test_windows_of_any_length_are_accepted(autoencoder, n_timepoints):
    signals, ids_keep, ids_mask = draw_batch(autoencoder, n_timepoints)
    predicted = autoencoder(signals, ids_keep, ids_mask)
    assert predicted.shape == (2, ids_mask.shape[1], 5 * autoencoder.parcels_per_patch)
    assert torch.isfinite(autoencoder.forward_loss(signals, predicted, ids_mask))


def test_order_of_visible_tokens_matters_to_the_convolution_only():
    for token_conv in (None, 9):
        autoencoder = build("13M", token_conv=token_conv)
        signals, ids_keep, ids_mask = draw_batch(autoencoder)
        first = autoencoder(signals, ids_keep, ids_mask)
        same = torch.allclose(first, autoencoder(signals, ids_keep.flip(1), ids_mask), atol=1e-5)
        assert same == (token_conv is None)


def test_gradient_checkpointing_gives_equal_gradients(autoencoder):
    signals, ids_keep, ids_mask = draw_batch(autoencoder)
    gradients = []
    for gradient_checkpointing in (False, True):
        autoencoder.gradient_checkpointing = gradient_checkpointing
        autoencoder.decoder.gradient_checkpointing = gradient_checkpointing
        autoencoder.zero_grad()
        predicted = autoencoder(signals, ids_keep, ids_mask)
        autoencoder.forward_loss(signals, predicted, ids_mask).backward()
        gradients.append([parameter.grad.clone() for parameter in autoencoder.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)


def test_every_parameter_is_trained(autoencoder):
    for parameter in autoencoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    signals, ids_keep, ids_mask = draw_batch(autoencoder)
    predicted = autoencoder(signals, ids_keep, ids_mask)
    autoencoder.forward_loss(signals, predicted, ids_mask).backward()
    assert [name for name, p in autoencoder.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("n_timepoints", [30, 28])
@pytest.mark.parametrize("n_observed", [None, 26])
def test_loss_counts_masked_and_recorded_values_only(autoencoder, n_timepoints, n_observed):
    signals, ids_keep, ids_mask = draw_batch(autoencoder, n_timepoints)
    observed = None
    if n_observed is not None:
        observed = torch.arange(n_timepoints).expand(2, -1) < n_observed
    predicted = autoencoder(signals, ids_keep, ids_mask)
    loss = autoencoder.forward_loss(signals, predicted, ids_mask, observed)
    ppp = autoencoder.parcels_per_patch
    errors = []
    for window in range(2):
        for token, patch in zip(ids_mask[window].tolist(), predicted[window], strict=True):
            for (i, j), value in np.ndenumerate(patch.reshape(ppp, 5).detach().numpy()):
                parcel, timepoint = token // 6 * ppp + i, token % 6 * 5 + j
                if parcel < 7 and timepoint < (n_observed or n_timepoints):
                    errors.append(value - signals[window, parcel, timepoint].item())
    assert loss.item() == pytest.approx(np.mean(np.square(errors)), rel=1e-5)


def test_parcel_order_is_the_same_as_reordered_input():
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    coords = torch.randn(7, 3)
    plain = build("111M", position="parcel", parcel_coords=coords[order])
    ordered = build("111M", position="parcel", parcel_coords=coords, parcel_order=order)
    ordered.load_state_dict(plain.state_dict())
    signals, ids_keep, ids_mask = draw_batch(plain)
    predicted = plain(signals[:, order], ids_keep, ids_mask)
    assert torch.equal(ordered(signals, ids_keep, ids_mask), predicted)
    mean_of_first_row = coords[order][:2].mean(0)
    torch.testing.assert_close(ordered.positions.parcel_embedding.coords[0], mean_of_first_row)


def test_dropout_acts_in_training_only():
    autoencoder = build("13M", dropout=0.5)
    batch = draw_batch(autoencoder)
    assert not torch.equal(autoencoder(*batch), autoencoder(*batch))
    autoencoder.eval()
    assert torch.equal(autoencoder(*batch), autoencoder(*batch))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "half"}, "decoder='half'"),
        ({"position": "word"}, "position='word'"),
        ({"head": "tail"}, "head='tail'"),
        ({"parcel_coords": torch.zeros(6, 3)}, r"\(6, 3\), expected \(7, 3\)"),
    ],
)
def test_unknown_choices_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build("13M", **change)


def test_wrong_number_of_parcels_is_named(autoencoder):
    with pytest.raises(ValueError, match="6 parcels, the model has 7"):
        autoencoder.patchify(torch.zeros(1, 6, 10))


def test_weights_start_as_the_release_starts_them():
    autoencoder = build("13M", embed_dim=64, decoder_embed_dim=64)
    bound = (6 / (64 + 64)) ** 0.5
    qkv = autoencoder.encoder[0].attention.qkv
    assert 0.95 * bound < qkv.weight.abs().max() <= bound
    assert not qkv.bias.any()
    assert 0.01 < autoencoder.decoder.mask_token.std() < 0.03


def count(**sizes):
    """Count parameters without making them."""
    with torch.device("meta"):
        return MaskedAutoencoder(n_parcels=424, **sizes).n_parameters


@pytest.mark.parametrize(
    ("embed_dim", "released", "n_dead"), [(512, 13_429_292, 393_984), (256, 5_047_724, 197_376)]
)
def test_single_parcel_sizes_are_the_released_ones(embed_dim, released, n_dead):
    n_parameters = count(
        patch_length=20,
        embed_dim=embed_dim,
        depth=4,
        n_heads=4,
        mlp_dim=1024,
        decoder_embed_dim=embed_dim,
        decoder_depth=2,
        decoder_n_heads=4,
        decoder_mlp_dim=1024,
        norm="post",
        token_conv=65,
        parcel_coords=torch.zeros(424, 3),
    )
    # The release carries a layer of 768 outputs that it never uses.
    assert n_dead == 768 * (embed_dim + 1)
    assert n_parameters + n_dead == released


@pytest.mark.parametrize(
    ("patch_length", "embed_dim", "depth", "n_heads", "released"),
    [(16, 768, 12, 12, 111_655_680), (14, 1280, 32, 16, 656_613_964)],
    ids=["111M", "650M"],
)
def test_image_sizes_are_the_released_ones(patch_length, embed_dim, depth, n_heads, released):
    n_parameters = count(
        patch_length=patch_length,
        parcels_per_patch=patch_length,
        embed_dim=embed_dim,
        depth=depth,
        n_heads=n_heads,
        mlp_dim=4 * embed_dim,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_n_heads=16,
        decoder_mlp_dim=2048,
        position="image",
        head="linear",
    )
    # The release sees the same plane three times, as the colours of an image; positions are not
    # trained in either.
    patch_size = patch_length**2
    two_more_channels = 2 * patch_size * (embed_dim + 512 + 1)
    assert n_parameters + two_more_channels == released
