"""Large weights are read into memory once: the 111M architecture, from its file to an embedding."""

import json
import subprocess
import sys

import pytest
from benchmark_folders import import_script
from released_files import write_checkpoint
from safetensors.numpy import save_file
from test_official import VITMAE

# Prints what loading and then embedding add to the peak memory, in kB.
_LOAD = """
import sys
import warnings

import numpy as np

from sklearn_brainlm import BrainLMTransformer


def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


warnings.simplefilter("ignore")
coords = np.random.default_rng(0).uniform(-70, 70, (424, 3))
recording = np.random.default_rng(1).standard_normal((200, 424), dtype=np.float32)
small = BrainLMTransformer.from_pretrained(sys.argv[2], parcel_coords=coords)
small.transform([recording])  # loads what the interpreter needs in any case
before = peak()
model = BrainLMTransformer.from_pretrained(sys.argv[1], parcel_coords=coords)
loaded = peak()
assert np.isfinite(model.transform([recording])).all()
print(loaded - before, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_the_111m_model_is_in_memory_once(tmp_path):
    script = import_script("embed_speed")
    config = script.CONFIGS["111M"]
    large, small = tmp_path / "large", write_checkpoint(tmp_path / "small", VITMAE, seed=0)
    large.mkdir()
    (large / "config.json").write_text(json.dumps(config))
    save_file(script.draw_weights(config), large / "model.safetensors")
    size = (large / "model.safetensors").stat().st_size / 1024  # kB
    output = subprocess.run(
        [sys.executable, "-c", _LOAD, str(large), str(small)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    loaded, embedded = map(int, output.split())
    assert loaded < 1.15 * size, f"{loaded} kB for a file of {size:.0f} kB"
    assert embedded < 1.6 * size  # the activations of one window
