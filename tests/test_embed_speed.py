"""The plain forward pass of benchmarks/, against the released numbers and against ours."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_folders import import_script
from released_files import draw_tensors
from test_official import BRAINLM, COORDS, VITMAE

from sklearn_brainlm.official.networks import build_module, family_of

plain = import_script("_plain")
FOLDER = os.environ.get("BRAINLM_FIXTURES")
NAMES = sorted(path.name for path in Path(FOLDER).iterdir() if path.is_dir()) if FOLDER else []


def encode(family, tensors, config, signals, coords, ids_keep):
    tensors = {name: torch.tensor(array) for name, array in tensors.items()}
    with torch.inference_mode():
        if family == "brainlm":
            return plain.embed_brainlm(tensors, config, signals, coords, ids_keep)
        return plain.embed_vitmae(tensors, config, signals, ids_keep)


@pytest.mark.skipif(FOLDER is None, reason="BRAINLM_FIXTURES is not set: no released outputs")
@pytest.mark.parametrize(
    "name",
    # Folders of heads hold no hidden state, and those of last frames another order of ties.
    [n for n in NAMES if not any(word in n for word in ("big_", "nystrom", "last", "finetune"))],
)
def test_plain_pass_computes_what_was_released(name):
    folder = Path(FOLDER) / name
    config = json.loads((folder / "config.json").read_text())
    arrays = np.load(folder / "data.npz", allow_pickle=False)
    tensors = draw_tensors(config, json.loads((folder / "notes.json").read_text())["seed"])
    family, ids_keep = family_of(config), torch.tensor(arrays["ids_keep"])
    for window in range(len(ids_keep)):
        key = "signal_vectors" if family == "brainlm" else "signals"
        coords = torch.tensor(arrays["xyz_vectors"][window]) if family == "brainlm" else None
        signals = torch.tensor(arrays[key][[window]])
        found = encode(family, tensors, config, signals, coords, ids_keep[[window]])
        expected = arrays["last_hidden_state"][window]
        np.testing.assert_allclose(found[0], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["brainlm", "vitmae"])
def test_plain_pass_is_ours(family):
    config = {"brainlm": BRAINLM, "vitmae": VITMAE}[family]
    shape = (2, 7, 40) if family == "brainlm" else (1, 424, 200)
    n_tokens = 28 if family == "brainlm" else 729
    signals = torch.tensor(np.random.default_rng(0).standard_normal(shape), dtype=torch.float32)
    ids = torch.tensor(np.random.default_rng(1).permutation(n_tokens)[None]).expand(shape[0], -1)
    coords = COORDS if family == "brainlm" else None
    module, _ = build_module(config, draw_tensors(config, seed=3), coords)
    places = torch.tensor(COORDS, dtype=torch.float32)
    found = encode(family, draw_tensors(config, seed=3), config, signals, places, ids)
    with torch.inference_mode():
        expected = module.forward_encoder(signals, ids)
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-4)


def test_script_measures_and_compares(tmp_path, monkeypatch, capsys):
    script = import_script("embed_speed")
    small = {**BRAINLM, "num_brain_voxels": 424, "num_timepoints_per_voxel": 200}
    small |= {"timepoint_patching_size": 20, "num_hidden_layers": 1}
    monkeypatch.setitem(script.CONFIGS, "13M", small)
    monkeypatch.setattr(script, "BATCH_SIZES", (1,))
    script.main(["--output", str(tmp_path), "--repeats", "1", "--sizes", "13M"])
    assert "times cheaper" in capsys.readouterr().out
    assert "| 13M | 1 |" in (tmp_path / "embed_speed.md").read_text()
    monkeypatch.setattr(script, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="differ by"):
        script.main(["--output", str(tmp_path), "--repeats", "1", "--sizes", "13M"])
