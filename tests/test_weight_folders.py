"""Weights on disk: what is written comes back, and what does not belong is refused.

Not here: what an estimator puts into a folder (test_transformer.py).
"""

import json

import numpy as np
import pytest

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.weight_folders import check_names, read_weights, save_weights

CONFIG = {"class": "Something", "parameters": {"depth": 2, "names": ["a", "b"]}}
ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float64": np.array([np.pi]),
    "bool": np.array([True, False]),
    "int64": np.array([[1], [2]]),
    "scalar": np.array(0.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}


@pytest.fixture
def folder(tmp_path):
    return save_weights(tmp_path / "deep" / "weights", CONFIG, ARRAYS, card="# Card\n")


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_round_trip(folder):
    config, arrays = read_weights(str(folder))
    assert {name: config[name] for name in CONFIG} == CONFIG
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays[name], array)
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["README.md", "config.json", "model.safetensors"]  # and nothing half written


def test_saving_again_replaces(folder):
    save_weights(folder, CONFIG, {"one": np.ones(2)})
    assert list(read_weights(folder)[1]) == ["one"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing.*holds: .*README.md"):
        read_weights(folder)


def test_not_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match="not a folder"):
        read_weights(tmp_path / "nowhere")


@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_changed_byte_is_noticed(folder, position):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_weights(folder)


def test_file_that_is_no_safetensors(folder):
    import hashlib

    content = b"not arrays"
    (folder / "model.safetensors").write_bytes(content)
    edit_config(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(UntrustedFileError, match=r"model\.safetensors"):
        read_weights(folder)


def test_config_that_is_not_json_or_not_ours(folder):
    path = folder / "config.json"
    path.write_text('{"format": ')
    with pytest.raises(CheckpointError, match="not JSON"):
        read_weights(folder)
    path.write_text('{"model_type": "other"}')
    with pytest.raises(CheckpointError, match="does not say"):
        read_weights(folder)
    path.write_text('{"format": "sklearn_brainlm weights", "format_version": 1}')
    with pytest.raises(CheckpointError, match="lacks arrays, sha256"):
        read_weights(folder)


def test_later_format(folder):
    edit_config(folder, format_version=2)
    with pytest.raises(CheckpointError, match="format version 2.*Upgrade"):
        read_weights(folder)


def test_arrays_other_than_described_are_listed(folder):
    described = json.loads((folder / "config.json").read_text())["arrays"]
    del described["bool"]
    described["more"] = ["float32", [1]]
    described["int64"] = ["int64", [3]]
    edit_config(folder, arrays=described)
    with pytest.raises(CheckpointError) as caught:
        read_weights(folder)
    for part in ("missing: more", "unexpected: bool", "different: int64"):
        assert part in str(caught.value)


def test_check_names_is_silent_when_all_is_there():
    check_names({"a": 1}, {"a": 1}, "it")


def test_values_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not finite: broken"):
        save_weights(tmp_path / "w", {}, {"fine": np.ones(2), "broken": np.array([1.0, np.nan])})
    assert not (tmp_path / "w").exists()


def test_nothing_is_written_when_the_config_cannot_be(tmp_path):
    with pytest.raises(TypeError):
        save_weights(tmp_path / "w", {"thing": object()}, ARRAYS)
    assert not (tmp_path / "w").exists()
