"""Row 76: settings of weights that are wrong, or made to do harm.

Not here: the weights themselves (test_files.py).
"""

import json
import tracemalloc

import numpy as np
import pytest
from released_files import write_checkpoint
from safetensors.numpy import save_file
from test_official_arithmetic import BRAINLM

from sklearn_brainlm import BrainLMTransformer, load_weights
from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError

SETTINGS = {
    "hidden_size of 10^9": ({"hidden_size": 10**9}, "hidden_size=1000000000 is not"),
    "-1 layers": ({"num_hidden_layers": -1}, "num_hidden_layers=-1 is not"),
    "text for a number": ({"hidden_size": "16"}, "hidden_size='16' is not a int"),
    "true for a number": ({"num_hidden_layers": True}, "num_hidden_layers=True is not"),
    "larger than the file": ({"intermediate_size": 65536, "hidden_size": 16384}, "expected|not"),
    "unknown field": ({"run_this": "os.system"}, "unknown fields 'run_this'"),
}


@pytest.mark.fault(76, "config.json out of range", "CheckpointError, before memory is taken")
@pytest.mark.parametrize("fault", SETTINGS)
def test_fault_076_settings_of_released_weights(tmp_path, observe, fault):
    change, words = SETTINGS[fault]
    folder = write_checkpoint(tmp_path / "weights", BRAINLM, seed=3)
    load_weights(folder)
    (folder / "config.json").write_text(json.dumps({**BRAINLM, **change}))
    tracemalloc.start()
    with observe.leaves(folder), observe.raises(CheckpointError, match=words) as caught:
        load_weights(folder)
    assert str(folder / "config.json") in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


TEXTS = {
    "NaN": (b'{"a": NaN}', UntrustedFileError, "holds NaN"),
    "10^5 deep": (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, UntrustedFileError, "too deeply"),
    "not JSON": (b"\xff\xfe", CheckpointError, "is not JSON"),
    "a list": (b"[]", CheckpointError, "not a JSON object"),
}


@pytest.mark.fault(76, "config.json that is none", "UntrustedFileError or CheckpointError")
@pytest.mark.parametrize("fault", TEXTS)
def test_fault_076_texts(folder, refuses, fault):
    text, error, words = TEXTS[fault]
    (folder / "config.json").write_bytes(text)
    save_file({"a": np.ones(1, "f4")}, folder / "model.safetensors")
    refuses(lambda _: load_weights(folder), folder / "config.json", words, error)


@pytest.mark.fault(76, "config.json of 1 GB", "UntrustedFileError, none of it read: at most 1 MB")
def test_fault_076_a_gigabyte(folder, observe):
    save_file({"a": np.ones(1, "f4")}, folder / "model.safetensors")
    with open(folder / "config.json", "wb") as file:
        file.truncate(1 << 30)  # sparse
    tracemalloc.start()
    with observe.raises(UntrustedFileError, match=r"config\.json has 1073741824 bytes; at most 10"):
        load_weights(folder)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.fault(76, "own config.json of a huge network", "CheckpointError, none of it built")
@pytest.mark.parametrize("name", ["embed_dim", "mlp_dim", "depth", "patch_length", "n_parcels"])
@pytest.mark.parametrize("value", [10**9, 20_000, -1, "8", True])
def test_fault_076_own_format(own, observe, monkeypatch, name, value):
    config = json.loads((own / "config.json").read_text())
    for part in (config["parameters"], config["network"]["parameters"]):
        part[name] = value
    (own / "config.json").write_text(json.dumps(config))

    def build(*args, **kwargs):
        raise AssertionError("something was built")

    monkeypatch.setattr("torch.nn.Linear.__init__", build)
    for read in (load_weights, BrainLMTransformer.from_pretrained):
        with observe.raises(CheckpointError, match=f"config.json says {name}={value!r}"):
            read(own)
