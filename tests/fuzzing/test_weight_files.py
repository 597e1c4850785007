"""Weights, their settings and checkpoints, changed at random: read as they are, or refused."""

import json
import shutil
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from released_files import write_checkpoint
from test_official_arithmetic import BRAINLM, VITMAE

from fuzzing.attempts import attempt
from fuzzing.changes import changed_bytes, changed_json
from sklearn_brainlm import BrainLMTransformer, load_weights
from sklearn_brainlm.files.checked import read_json
from sklearn_brainlm.weight_files import read_safetensors, read_torch_file

SMALL = {
    "window_length": 20, "patch_length": 5, "embed_dim": 8, "n_heads": 2, "mlp_dim": 8,
    "decoder_embed_dim": 8, "decoder_n_heads": 2, "decoder_mlp_dim": 8, "random_state": 0,
}  # fmt: skip


def learn(**parameters):
    """Fit a small transformer."""
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((40, 6)).astype(np.float32) for _ in range(6)]
    return BrainLMTransformer(**{**SMALL, "max_epochs": 1, **parameters}).fit(recordings)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder of sound weights of each family."""
    root = tmp_path_factory.mktemp("weights")
    learn(prior=None).save_pretrained(root / "own")
    learn(prior="gaussian").save_pretrained(root / "prior")
    write_checkpoint(root / "brainlm", BRAINLM, seed=0)
    write_checkpoint(root / "vitmae", VITMAE, seed=0)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def sound(folders):
    """The content of every file of the folders."""
    return {
        (name, file.name): file.read_bytes()
        for name, folder in folders.items()
        for file in folder.iterdir()
    }


@pytest.mark.parametrize("family", ["own", "prior", "brainlm", "vitmae"])
@given(data=st.data())
def test_config(folders, sound, family, data):
    file = folders[family] / "config.json"
    content = data.draw(changed_json(json.loads(sound[family, "config.json"])))
    file.write_text(json.dumps(content))
    try:
        with attempt(f"config.json ({family})"):
            load_weights(folders[family])
    finally:
        file.write_bytes(sound[family, "config.json"])


@given(data=st.data())
def test_safetensors_header(folders, sound, tmp_path_factory, data):
    content = sound["own", "model.safetensors"]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    made = json.dumps(data.draw(changed_json(header))).encode()
    announced = data.draw(st.just(len(made)) | st.integers(0, 2**64 - 1))
    file = tmp_path_factory.getbasetemp() / "header.safetensors"
    file.write_bytes(struct.pack("<Q", announced) + made + content[8 + length :])
    with attempt("safetensors header"):
        read_safetensors(file)


@pytest.mark.parametrize("family", ["own", "brainlm"])
@given(data=st.data())
def test_bytes_of_weights(folders, sound, family, data):
    name = data.draw(st.sampled_from(sorted(n for f, n in sound if f == family)))
    file = folders[family] / name
    file.write_bytes(data.draw(changed_bytes(sound[family, name])))
    try:
        with attempt(f"bytes of a weights folder ({family})"):
            load_weights(folders[family])
    finally:
        file.write_bytes(sound[family, name])


@given(data=st.data())
def test_bytes_of_a_torch_archive(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "archive.bin"
    torch.save({"a": torch.ones(3, 4), "b": torch.arange(5)}, file)
    file.write_bytes(data.draw(changed_bytes(file.read_bytes())))
    with attempt("bytes of a torch archive"):
        read_torch_file(file)


@given(content=st.binary(max_size=200))
def test_any_bytes(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "anything"
    file.write_bytes(content)
    for read in (read_json, read_safetensors, read_torch_file):
        with attempt(f"any bytes to {read.__name__}"):
            read(file)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The checkpoint folder of a finished training, which nobody changes."""
    folder = tmp_path_factory.mktemp("run") / "sound"
    learn(prior=None, max_epochs=2, checkpoint_dir=folder)
    return folder


@given(data=st.data())
def test_bytes_of_a_checkpoint(run, data):
    copy = run.with_name("changed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    file = copy / data.draw(st.sampled_from(names))
    file.write_bytes(data.draw(changed_bytes(file.read_bytes())))
    with attempt("bytes of a checkpoint folder"):
        learn(prior=None, max_epochs=2, checkpoint_dir=copy, resume=True)
