"""Maps of what an encoder attends to, against softmax by hand.

Gradients, occlusion and shuffled weights are in test_attribution.py, contrasts of maps in
test_contrasts.py, the networks themselves in test_modules.py.
"""

import warnings

import numpy as np
import pytest
import torch
from released_files import write_checkpoint
from sklearn.frozen import FrozenEstimator
from test_official import BRAINLM, COORDS, VITMAE
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMRegressor,
    BrainLMTransformer,
    GaussianReconstructor,
)
from sklearn_brainlm.attention import (
    attention_matrix,
    attention_rollout,
    parcel_attention,
)
from sklearn_brainlm.exceptions import DataQualityWarning
from sklearn_brainlm.modules import MaskedAutoencoder, attended
from sklearn_brainlm.modules.attended import cls_attention, rollout, row_attention

SMALL = {
    "window_length": 40,
    "patch_length": 10,
    "embed_dim": 16,
    "mlp_dim": 24,
    "depth": 2,
    "n_heads": 2,
    "decoder_embed_dim": 16,
    "decoder_mlp_dim": 24,
    "decoder_n_heads": 2,
    "prior": None,
    "max_epochs": 1,
    "random_state": 0,
}
FAMILIES = {
    "full": {"attention": "full"},
    "13M": {"attention": "full", "norm": "post", "token_conv": 5, "decoder": "full"},
    "image": {"attention": "full", "position": "image", "parcels_per_patch": 5, "head": "linear"},
    "factorised": {"attention": "factorised"},
}


@pytest.fixture(params=FAMILIES)
def model(request, recordings):
    return train(recordings, **FAMILIES[request.param])


@pytest.fixture
def plain(recordings):
    return train(recordings, attention="full")


def train(recordings, **changes):
    made = BrainLMTransformer(**{**SMALL, **changes}).fit(recordings)
    enlarge(made)
    return made


def enlarge(model):
    """Make weights so large that attention is not all the same."""
    with torch.no_grad():
        for name, weight in model.net_.module_.named_parameters():
            if "qkv" in name and weight.ndim == 2:
                weight.mul_(6)


def softmax_by_hand(attention, x, bias=0.0):
    """Weights (h, N, M) of tokens (N, D) among themselves."""
    weight, shift = attention.qkv.weight.double(), attention.qkv.bias.double()
    q, k, _ = (x.double() @ weight.T + shift).chunk(3, dim=1)
    h = attention.n_heads
    q, k = (part.view(len(x), h, -1).transpose(0, 1) for part in (q, k))
    scores = q @ k.transpose(1, 2) / np.sqrt(k.shape[2]) + bias
    scores = (scores - scores.amax(2, keepdim=True)).exp()
    return scores / scores.sum(2, keepdim=True)


def inputs_of_blocks(module, signals):
    """What each block was given."""
    found = []
    with torch.no_grad():
        attended.encode_all(module, signals, lambda *block: found.append(block), cls_only=False)
    return found


def explicit(module, signals):
    """Row of the CLS token (n_blocks, h, 1 + N) of one window, all weights materialised."""
    rows = []
    for block, tokens, *bias in inputs_of_blocks(module, signals):
        if not bias:
            x = block.attention_norm(tokens[0]) if block.norm == "pre" else tokens[0]
            rows.append(softmax_by_hand(block.attention, x)[:, 0])
            continue
        grid = block.parcel_norm(tokens[0])  # (1 + R, C, D)
        bias = 0.0 if bias[0] is None else bias[0].double()
        weights = [softmax_by_hand(block.parcel_attention, grid[:, c], bias)[:, 0]
                   for c in range(grid.shape[1])]  # fmt: skip
        weights = torch.stack(weights, dim=2) / grid.shape[1]  # (h, 1 + R, C)
        rows.append(torch.cat([weights[:, :1].sum(2), weights[:, 1:].flatten(1)], dim=1))
    return torch.stack(rows)


def draw(n_windows=1, n_parcels=12, n_timepoints=40):
    return torch.randn(
        n_windows, n_parcels, n_timepoints, generator=torch.Generator().manual_seed(0)
    )


def test_cls_row_is_softmax_by_hand(model):
    module = model.net_.module_.eval()
    signals = draw()
    found, by_hand = cls_attention(module, signals)[0].detach(), explicit(module, signals).detach()
    np.testing.assert_allclose(found, by_hand, atol=1e-5)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)
    assert found.max() > 3 * found.median()


def test_map_is_the_mean_over_heads_patches_and_windows(model, recordings):
    module, grid = model.net_.module_, model._grid
    two = [recordings[1], recordings[4]]  # 80 and 71 timepoints: the last window overlaps
    maps = []
    for recording, starts in zip(two, [(0, 40), (0, 31)], strict=True):
        own = []
        for start in starts:
            window = model.scaler_.scale_window(recording[start : start + 40])
            signals = torch.tensor(np.ascontiguousarray(window.T))[None]
            row = explicit(module, signals)[:, :, 1:].unflatten(2, (grid.n_rows, -1)).mean(3)
            own.append(row.detach().numpy())
        maps.append(np.mean(own, axis=0))
    maps = np.stack(maps)  # (2, n_blocks, h, R)
    if grid.parcels_per_patch > 1:
        of_parcel = np.arange(12) // 5
        maps = maps[..., of_parcel] / np.bincount(of_parcel)[of_parcel]
    found = parcel_attention(model, two, layer="all", head="all")
    np.testing.assert_allclose(found, maps, atol=1e-5)
    np.testing.assert_allclose(parcel_attention(model, two), maps[:, -1].mean(1), atol=1e-5)
    np.testing.assert_allclose(parcel_attention(model, two, layer=0, head=1), maps[:, 0, 1],
                               atol=1e-5)  # fmt: skip


def test_relative_weights_are_those_over_the_cls_token(model, recordings):
    module, grid = model.net_.module_, model._grid
    window = recordings[0][:40]
    signals = torch.tensor(model.scaler_.scale_window(window).T.copy())[None]
    row = explicit(module, signals).detach()
    rows = row[:, :, 1:].unflatten(2, (grid.n_rows, -1)).mean(3)
    rows, cls = (weights.clamp_min(torch.finfo().tiny).log() for weights in (rows, row[:, :, :1]))
    expected = (rows - cls)[..., grid._row_of_parcel()]
    found = parcel_attention(model, [window], layer="all", head="all", relative=True)[0]
    np.testing.assert_allclose(found, expected, atol=0.02)
    of_heads = parcel_attention(model, [window], relative=True)[0]
    np.testing.assert_allclose(of_heads, found[-1].mean(0), atol=1e-5)


def test_relative_weights_of_the_first_block_depend_on_the_parcel_alone(plain, recordings):
    changed = recordings[0][:40].copy()
    changed[:, 3] += 5
    pair = [recordings[0][:40], changed]
    for relative in (True, False):
        before, after = parcel_attention(plain, pair, layer=0, relative=relative)
        moved = np.abs(after / before - 1) > 1e-4
        assert moved[3]
        assert (moved.sum() == 1) == relative


def test_a_short_recording_counts_the_patches_it_has(plain, recordings):
    found = parcel_attention(plain, [recordings[0][:25]])
    window = plain.scaler_.scale_window(recordings[0][:25])
    signals = torch.zeros(1, 12, 30)
    signals[0, :, :25] = torch.tensor(window.T.copy())
    row = explicit(plain.net_.module_, signals)[-1].mean(0)[1:].view(12, 3).mean(1)
    np.testing.assert_allclose(found[0], row.detach(), atol=1e-5)


@pytest.mark.parametrize("limit", [1, 2**22])
def test_rollout_is_the_product_of_all_matrices(plain, limit, monkeypatch):
    monkeypatch.setattr(attended, "MAX_WEIGHTS", limit)
    module, signals = plain.net_.module_, draw()
    product = torch.eye(49, dtype=torch.float64)
    with torch.no_grad():
        for block, tokens in inputs_of_blocks(module, signals):
            weights = softmax_by_hand(block.attention, block.attention_norm(tokens[0])).mean(0)
            product = (weights + torch.eye(49)) / 2 @ product
        found = rollout(module, signals)[0]
    np.testing.assert_allclose(found, product[0], atol=1e-5)


def test_rollout_of_factorised_blocks_is_that_of_their_two_matrices(recordings):
    module, signals = train(recordings, attention="factorised").net_.module_, draw()
    n_rows, n_columns = 13, 4
    product = torch.eye(n_rows * n_columns, dtype=torch.float64)
    with torch.no_grad():
        for block, tokens, bias in inputs_of_blocks(module, signals):
            columns = block.parcel_norm(tokens).transpose(1, 2)[0]
            parcels = torch.zeros(n_rows, n_columns, n_rows, n_columns, dtype=torch.float64)
            for c in range(n_columns):
                parcels[:, c, :, c] = softmax_by_hand(block.parcel_attention, columns[c]).mean(0)
            moved = block.parcel_attention(columns, attn_bias=bias).transpose(0, 1)
            lines = block.time_norm(tokens[0] + moved)
            times = torch.zeros_like(parcels)
            for r in range(n_rows):
                times[r, :, r] = softmax_by_hand(block.time_attention, lines[r]).mean(0)
            for matrix in (parcels, times):
                flat = matrix.reshape(n_rows * n_columns, -1)
                product = (flat + torch.eye(len(flat))) / 2 @ product
        found = rollout(module, signals)[0]
    by_hand = product[:n_columns].mean(0)  # the CLS embedding is the mean over its places
    np.testing.assert_allclose(found[1:], by_hand[n_columns:], atol=1e-5)
    np.testing.assert_allclose(found[0], by_hand[:n_columns].sum(), atol=1e-5)


@pytest.mark.parametrize("limit", [1, 2**22])
def test_matrix_is_the_mean_over_pairs_of_patches(plain, limit, monkeypatch):
    monkeypatch.setattr(attended, "MAX_WEIGHTS", limit)
    module, signals = plain.net_.module_, draw()
    with torch.no_grad():
        block, tokens = inputs_of_blocks(module, signals)[-1]
        weights = softmax_by_hand(block.attention, block.attention_norm(tokens[0]))[:, 1:, 1:]
        weights = weights.view(2, 12, 4, 12, 4)[:, :, 1:, :, 1:].mean((2, 4))
        found = row_attention(module, signals, torch.arange(1, 4))[0]
    np.testing.assert_allclose(found, weights, atol=1e-5)


def test_matrix_of_parcels(model, recordings):
    found = attention_matrix(model, recordings[:2], head="all")
    assert found.shape == (2, 2, 12, 12)
    np.testing.assert_allclose(attention_matrix(model, recordings[:2]), found.mean(1))
    assert (found.sum(3) < 1 / 4 + 1e-6).all()  # the CLS token has the rest of a patch's weights


def test_no_operation_makes_a_matrix_of_all_pairs_of_tokens():
    """424 parcels and 200 timepoints: 4240 tokens."""

    class Watch(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, (tuple, list)) else [made]:
                if isinstance(tensor, torch.Tensor):
                    Watch.largest = max(Watch.largest, tensor.numel())
            return made

    sizes = {"embed_dim": 16, "depth": 2, "n_heads": 2, "mlp_dim": 16}
    sizes |= {f"decoder_{name}": value for name, value in sizes.items()}
    module = MaskedAutoencoder(
        n_parcels=424, patch_length=20, parcel_embedding="learned", **sizes
    ).eval()
    signals = draw(1, 424, 200)
    with torch.no_grad(), Watch():
        row = cls_attention(module, signals)
        largest_of_row, Watch.largest = Watch.largest, 0
        flowed = rollout(module, signals)
    assert row.shape == (1, 2, 2, 4241)
    assert flowed.shape == (1, 4241)
    assert largest_of_row < 10 * 4241 * 16
    assert Watch.largest <= attended.MAX_WEIGHTS < 4241**2


@pytest.mark.parametrize("config", [BRAINLM, VITMAE], ids=["13M", "111M"])
def test_released_weights(config, tmp_path):
    coords = COORDS if config is BRAINLM else np.random.RandomState(2).uniform(-70, 70, (424, 3))
    folder = write_checkpoint(tmp_path / "released", config, seed=3)
    rng = np.random.default_rng(0)
    n_timepoints = 80 if config is BRAINLM else 200
    X = [rng.standard_normal((n_timepoints, len(coords)), dtype=np.float32) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        model = BrainLMTransformer(weights=str(folder), parcel_coords=coords, max_epochs=0).fit(X)
    enlarge(model)
    found = parcel_attention(model, X)
    grid, length = model._grid, model._setting("window_length")
    rows = []
    for recording in X:
        windows = np.split(recording, len(recording) // length)
        rows.append(np.mean([row_by_hand(model, window) for window in windows], axis=0))
    rows = np.stack(rows)
    of_parcel = grid._row_of_parcel()
    shared = rows[:, of_parcel] / np.bincount(of_parcel, minlength=grid.n_rows)[of_parcel]
    np.testing.assert_allclose(found, shared, atol=1e-6)
    assert found.shape == (2, len(coords))
    assert np.ptp(found) > 0.05 * found.mean()


def row_by_hand(model, window):
    """Mean weight of each row of patches that hold timepoints, margins of pictures left out."""
    grid = model._grid
    signals = torch.tensor(model.scaler_.scale_window(window).T.copy())[None]
    tokens = explicit(model.net_.module_, signals)[-1].mean(0)[1:].view(grid.n_rows, -1)
    # Of the 432 timepoints of a picture the window is 116 to 315.
    columns = slice(7, 20) if tokens.shape[1] == 27 else slice(None)
    return tokens[:, columns].mean(1).detach().numpy()


@pytest.mark.parametrize("kind", [BrainLMRegressor, BrainLMClassifier])
def test_predictors_show_their_encoder(kind, plain, recordings):
    y = np.arange(6) % 2
    predictor = kind(
        weights=FrozenEstimator(plain), pooling="cls", max_epochs=1, random_state=0, device="cpu"
    ).fit(recordings, y)
    np.testing.assert_allclose(
        parcel_attention(predictor, recordings), parcel_attention(predictor.encoder_, recordings)
    )
    assert not np.allclose(
        parcel_attention(predictor, recordings), parcel_attention(plain, recordings), atol=1e-7
    )


def test_estimators_without_attention_are_refused(recordings, plain):
    with pytest.raises(TypeError, match="GaussianReconstructor has no attention"):
        parcel_attention(GaussianReconstructor(window_length=40).fit(recordings), recordings)
    with pytest.raises(TypeError, match="is no estimator"):
        attention_rollout("model", recordings)
    with pytest.raises(ValueError, match="layer=2: this encoder has 2"):
        parcel_attention(plain, recordings, layer=2)
    with pytest.raises(ValueError, match="head=True"):
        parcel_attention(plain, recordings, head=True)
    with pytest.raises(ValueError, match="one layer at a time"):
        attention_matrix(plain, recordings, layer="all")
