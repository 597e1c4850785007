"""Files of weights that are replaced together: what is read when that is interrupted.

Not here: processes that are killed (crashes/test_weights.py).
"""

import os

import numpy as np
import pytest

from sklearn_brainlm import _replaced_weights, weight_folders
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.storage.lock import StoreLock, StoreLockedError
from sklearn_brainlm.weight_folders import read_weights, save_weights

NAMES = ["README.md", "config.json", "model.safetensors"]


def save(folder, generation):
    """Write weights whose configuration and arrays say the same."""
    config, arrays = {"generation": generation}, {"generation": np.array(generation)}
    return save_weights(folder, config, arrays, card=f"# {generation}\n")


def read(folder):
    """Return what configuration and arrays say."""
    config, arrays = read_weights(folder)
    return config["generation"], int(arrays["generation"])


@pytest.mark.parametrize("n_calls", range(8))
def test_interrupted_at_each_move(tmp_path, monkeypatch, n_calls):
    save(tmp_path, 1)
    n_left, move = n_calls, os.replace

    def interrupted(*args):
        nonlocal n_left
        if not n_left:
            raise OSError("cut")
        n_left -= 1
        move(*args)

    monkeypatch.setattr(os, "replace", interrupted)
    if n_calls < 6:  # each of three files is moved twice
        with pytest.raises(OSError, match="cut"):
            save(tmp_path, 2)
    else:
        save(tmp_path, 2)
    monkeypatch.setattr(os, "replace", move)
    assert read(tmp_path) == ((1, 1) if n_calls < 3 else (2, 2))
    assert n_calls >= 3 or sorted(os.listdir(tmp_path)) == sorted(NAMES)
    save(tmp_path, 3)
    assert read(tmp_path) == (3, 3)
    assert sorted(os.listdir(tmp_path)) == NAMES


def test_leftovers_that_nothing_vouches_for_are_not_read(tmp_path):
    save(tmp_path, 1)
    (tmp_path / ".new-model.safetensors").write_bytes(b"half")
    (tmp_path / ".new-config.json.0123abcd.part").write_bytes(b"half")
    assert read(tmp_path) == (1, 1)
    save(tmp_path, 2)
    assert sorted(os.listdir(tmp_path)) == NAMES


def test_replaced_while_it_is_read(tmp_path, monkeypatch):
    save(tmp_path, 1)
    read_json, n_read = weight_folders.read_json, 0

    def slow(path):
        nonlocal n_read
        n_read += 1
        config = read_json(path)
        if n_read < 3:
            save(tmp_path, n_read + 1)
        return config

    monkeypatch.setattr(weight_folders, "read_json", slow)
    assert read(tmp_path) == (3, 3)
    monkeypatch.setattr(_replaced_weights, "_MAX_READINGS", 2)
    n_read = 0
    with pytest.raises(CheckpointError, match="written to all the time"):
        read(tmp_path)


def test_a_writer_that_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_replaced_weights, "_MAX_WAIT", 0.05)
    save(tmp_path, 1)
    with StoreLock(tmp_path):  # of checkpoints
        save(tmp_path, 1)
    held = StoreLock(tmp_path, _replaced_weights._LOCK)
    with held, pytest.raises(StoreLockedError, match="is being written by"):
        save(tmp_path, 2)
    assert read(tmp_path) == (1, 1)
