"""The plug-in for Brainmarks, against the contract that the suite publishes for its models.

The suite itself brings sixty packages, and is stood in for by the two names that a plug-in uses.
"""

import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from released_files import write_checkpoint
from test_official import BRAINLM, VITMAE

PLUG_IN = (
    Path(__file__).parents[1] / "sklearn_brainlm/integrations/brainmarks/models/sklearn_brainlm.py"
)
A424 = np.random.RandomState(2).uniform(-70, 70, (424, 3))
CONFIGS = {
    "sklearn_brainlm_13m": {
        **BRAINLM,
        "num_brain_voxels": 424,
        "num_timepoints_per_voxel": 200,
        "timepoint_patching_size": 20,
    },
    "sklearn_brainlm_111m": VITMAE,
}


class Embeddings(NamedTuple):
    cls_embeds: torch.Tensor | None
    reg_embeds: torch.Tensor | None
    patch_embeds: torch.Tensor | None


@pytest.fixture
def registry(monkeypatch):
    """What the plug-in registers, by name."""
    registered = {}
    base, registry = ModuleType("brainmarks.models.base"), ModuleType("brainmarks.models.registry")
    base.Embeddings = Embeddings
    registry.register_model = lambda name: partial(registered.setdefault, name)
    for name, module in {
        "brainmarks": ModuleType("brainmarks"),
        "brainmarks.models": ModuleType("brainmarks.models"),
        base.__name__: base,
        registry.__name__: registry,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    specification = importlib.util.spec_from_file_location("plug_in", PLUG_IN)
    specification.loader.exec_module(importlib.util.module_from_spec(specification))
    return registered


def draw_sample(n_timepoints, seed):
    """A sample as the suite hands it over."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "tr": 1.0,
        "bold": torch.randn(n_timepoints, 424, generator=draw),
        "mean": torch.randn(1, 424, generator=draw),
        "std": torch.rand(1, 424, generator=draw) + 0.5,
    }


@pytest.mark.parametrize("n_timepoints", [16, 160])  # those of the suite's own test
@pytest.mark.parametrize("name", CONFIGS)
def test_model_follows_the_contract_of_the_suite(registry, name, n_timepoints, tmp_path):
    folder = write_checkpoint(tmp_path, CONFIGS[name], seed=3)
    transform, model = registry[name](weights=str(folder), parcel_coords=A424)
    assert model.__space__ == "a424"
    samples = [draw_sample(n_timepoints, seed) for seed in range(2)]
    transform.fit(samples)
    batch = torch.utils.data.default_collate([transform(sample) for sample in samples])
    cls_embeds, reg_embeds, patch_embeds = model(batch)
    assert cls_embeds.shape == (2, 1, 16) and reg_embeds is None
    assert patch_embeds.shape[0] == 2 and patch_embeds.shape[2] == 16
    assert not cls_embeds.requires_grad
    assert not torch.equal(cls_embeds[0], cls_embeds[1])


def test_recordings_come_back_in_their_units_and_time(registry, tmp_path):
    folder = write_checkpoint(tmp_path, CONFIGS["sklearn_brainlm_13m"], seed=3)
    transform, _ = registry["sklearn_brainlm_13m"](weights=str(folder), parcel_coords=A424)
    sample = draw_sample(300, 0)
    sample["tr"] = 0.735
    recording = (sample["bold"] * sample["std"] + sample["mean"]).numpy()
    transform.fit([sample])
    low, median, high = np.percentile(recording, [25, 50, 75], axis=0)
    expected = ((recording - median) / (high - low))[50:250]
    np.testing.assert_allclose(transform(sample)["bold"], expected, atol=1e-4)


def test_package_is_importable_without_the_suite():
    import sklearn_brainlm.integrations as integrations

    assert "brainmarks" not in sys.modules
    assert Path(integrations.__file__).parent.joinpath("brainmarks/models").is_dir()
