"""Weights by name, path and hub: which files are taken, and what is refused.

Not here: the released numbers (test_official.py), estimators (test_released.py), downloads
(test_hub.py), hostile files (hostile/).
"""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from released_files import write_checkpoint
from test_official import BRAINLM, COORDS

from sklearn_brainlm import BrainLMTransformer, list_weights, load_weights, weights
from sklearn_brainlm.catalogue import RELEASED_LICENCE
from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError


@pytest.fixture
def released(tmp_path):
    return write_checkpoint(tmp_path / "released", BRAINLM, seed=3)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    recordings = [np.random.default_rng(i).standard_normal((30, 4)) for i in range(3)]
    model = BrainLMTransformer(window_length=20, patch_length=5, embed_dim=8, max_epochs=1)
    return model.fit(recordings), model.save_pretrained(tmp_path_factory.mktemp("own"))


def test_names_say_what_is_known():
    known = {entry.name: entry for entry in list_weights()}
    assert known["brainlm-13M"].subfolder == "old_13M"
    assert all(entry.t_r == 0.735 and "CC BY-NC-ND" in entry.licence for entry in known.values())


def test_folder_subfolder_and_file_are_the_same_weights(released):
    found = [
        load_weights(released),
        load_weights(released.parent, subfolder="released"),
        load_weights(str(released / "model.safetensors")),
    ]
    assert {entry.sha256 for entry in found} == {found[0].sha256}
    assert found[0].family == "brainlm" and found[0].contract.n_parcels == 7


def test_own_weights_build_the_same_network(own):
    model, folder = own
    loaded = load_weights(folder)
    assert loaded.family == "sklearn_brainlm" and loaded.contract == model.contract_
    state = model.net_.module_.state_dict()
    assert all(torch.equal(state[name], w) for name, w in loaded.module.state_dict().items())
    signals, ids = torch.randn(1, 4, 20), torch.arange(16)[None]
    with torch.inference_mode():
        arguments = (signals, ids[:, :9], ids[:, 9:])
        assert torch.equal(loaded.module(*arguments), model.net_.module_.eval()(*arguments))


def test_digest_that_is_asked_for_is_compared(released, own):
    for folder in (released, own[1]):
        digest = load_weights(folder).sha256
        for said in (digest, digest.upper()):
            assert load_weights(folder, sha256=said).sha256 == digest
            BrainLMTransformer.from_pretrained(folder, sha256=said, parcel_coords=COORDS)
        with pytest.raises(CheckpointError, match="expected " + "0" * 64):
            load_weights(folder, sha256="0" * 64)
        with pytest.raises(CheckpointError, match="expected " + "0" * 64):
            BrainLMTransformer.from_pretrained(folder, sha256="0" * 64, parcel_coords=COORDS)


@pytest.mark.parametrize("source", ["nowhere", "no/where/at/all", "brainlm-12M"])
def test_what_is_nowhere_is_named(source):
    with pytest.raises(CheckpointError, match=f"{source} is neither.*brainlm-13M"):
        load_weights(source)


def test_folder_without_weights_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin.*It holds: notes\.txt"):
        load_weights(tmp_path)


def test_config_of_another_program_is_named(released):
    config = json.loads((released / "config.json").read_text())
    (released / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(UntrustedFileError, match=r"'llama'.*known are 'brainlm_mae', 'vit_mae'"):
        load_weights(released)


def test_own_folder_that_names_a_strange_network_is_refused(own, tmp_path):
    folder = shutil.copytree(own[1], tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["network"]["class"] = "os.system"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="without a network"):
        load_weights(folder)


def test_parcels_in_another_order_than_vouched_for_are_refused(own, tmp_path):
    recordings = [np.random.default_rng(i).standard_normal((30, 7)) for i in range(3)]
    model = BrainLMTransformer(
        window_length=20, patch_length=5, embed_dim=8, max_epochs=1, parcel_coords=COORDS
    )
    folder = model.fit(recordings).save_pretrained(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    coords = config["fitted"]["contract_"]["contract"]["parcel_coords"]
    coords[0], coords[1] = coords[1], coords[0]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((CheckpointError, ValueError), match="another order"):
        BrainLMTransformer.from_pretrained(folder)


def test_pickles_are_not_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "config.json").write_text(json.dumps(BRAINLM))
    for name in ("model.pkl", "pytorch_model.bin", "model.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(UntrustedFileError):
            load_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_hub_is_asked_for_each_kind_of_file(released, monkeypatch):
    asked, terms = [], {}

    def fetch(repository, names, **where):
        asked.append((repository, names[-1], where["subfolder"]))
        terms[repository] = where["licence"]
        if names[-1] != "pytorch_model.safetensors":
            raise CheckpointError("not there")
        shutil.copy(released / "model.safetensors", released / "pytorch_model.safetensors")
        return released

    monkeypatch.setattr(weights, "fetch", fetch)
    assert load_weights("brainlm-13M").family == "brainlm"
    assert asked == [
        ("vandijklab/brainlm", "model.safetensors", "old_13M"),
        ("vandijklab/brainlm", "pytorch_model.safetensors", "old_13M"),
    ]
    assert load_weights("some/body", subfolder="x").family == "brainlm"
    assert asked[-1] == ("some/body", "pytorch_model.safetensors", "x")
    # Nobody here knows under which terms somebody publishes.
    assert terms == {"vandijklab/brainlm": RELEASED_LICENCE, "some/body": None}
