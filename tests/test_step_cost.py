"""The count of operations in benchmarks/step_cost.py, against torch's own counter.

Not here: what is measured with it, which only a run of the benchmark can show.
"""

import importlib
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sklearn_brainlm.masking import random_mask
from sklearn_brainlm.modules import MaskedAutoencoder

with pytest.MonkeyPatch.context() as patch:
    # Benchmarks are scripts: they find one another by lying in one folder.
    patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    step_cost = importlib.import_module("step_cost")
    forward_flops = importlib.import_module("_flops").forward_flops

WINDOW = {"n_parcels": 7, "n_timepoints": 22}
NETWORK = {
    "patch_length": 5,
    "parcels_per_patch": 1,
    "embed_dim": 16,
    "depth": 2,
    "n_heads": 4,
    "mlp_dim": 24,
    "decoder": "full",
    "decoder_embed_dim": 12,
    "decoder_depth": 3,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 20,
    "position": "parcel",
    "parcel_embedding": "xyz",
    "head": "mlp",
}
FAMILIES = {
    "13M": {},
    "111M": {"position": "image", "parcels_per_patch": 2, "head": "linear"},
    "cross": {"decoder": "cross"},
    "learned": {"parcel_embedding": "learned"},
}


def set_up(decoded_fraction=1.0, **changes):
    """Return a network, its parameters, a window, its mask and the count to test."""
    network = {**NETWORK, **changes}
    coords = torch.randn(WINDOW["n_parcels"], 3)
    module = MaskedAutoencoder(n_parcels=WINDOW["n_parcels"], parcel_coords=coords, **network)
    ids = random_mask(module.n_rows, 5, 0.6, n_windows=1, rng=0)
    ids_keep, ids_mask = map(torch.from_numpy, ids)
    ids_mask = ids_mask[:, : round(decoded_fraction * ids_mask.shape[1])]
    signals = torch.randn(1, WINDOW["n_parcels"], WINDOW["n_timepoints"])
    sizes = {"n_visible": ids_keep.shape[1], "n_decoded": ids_mask.shape[1]}
    flops = forward_flops(network, **WINDOW, **sizes)
    return module, (signals, ids_keep, ids_mask), flops


@pytest.mark.parametrize("decoded_fraction", [1.0, 0.25])
@pytest.mark.parametrize("family", FAMILIES)
def test_forward_flops_are_those_torch_counts(family, decoded_fraction):
    module, inputs, flops = set_up(decoded_fraction, **FAMILIES[family])
    # Torch's counter does not know the fast attention of a CPU, but knows plain products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module(*inputs)
    assert counter.get_total_flops() == flops


@pytest.mark.parametrize("decoder", ["full", "cross"])
def test_backward_is_twice_the_forward(decoder):
    module, (signals, *ids), flops = set_up(decoder=decoder, parcel_embedding="learned")
    # With a gradient of the signals too, every product has two gradients.
    signals.requires_grad_()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module(signals, *ids).sum().backward()
    assert counter.get_total_flops() == 3 * flops


def test_exact_full_decoder_counts_more_than_a_cross_decoder():
    flops = [set_up(decoder=decoder)[-1] for decoder in ("full", "cross")]
    assert flops[0] > flops[1]


def test_report_says_when_an_aim_is_missed():
    """The verdicts follow the numbers: shares of one half, speed-ups of 1, 2, 2 and 4."""
    seconds = dict(zip(step_cost.SETTINGS, ([8.0], [8.0], [4.0], [2.0]), strict=True))
    flops = dict.fromkeys(seconds, 40e9)
    memory = {s: [(100.0, 1.0), (200.0, 1.0), (320.0, 1.0)] for s in list(seconds)[:2]}
    rows = step_cost.make_rows([10.0], seconds, flops, ([0.003], [0.002]), memory)
    report = step_cost.write_report(rows)
    assert "full decoder: 0.50, the aim was at least 0.55: **MISSED**" in report
    assert "times cheaper: 4.00, the aim was at least 2.5: **reached**" in report
    assert "110 MB" in report
