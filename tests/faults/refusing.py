"""Folders of weights that may be damaged, and how reading them must be refused."""

import json
import shutil
import time
import tracemalloc

import numpy as np
import pytest
from test_official_arithmetic import BRAINLM

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.exceptions import UntrustedFileError

AT_ONCE_S = 3.0  # of the processor, which others use too


@pytest.fixture
def folder(tmp_path):
    """Return a folder with config.json of a released network, and no weights yet."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text(json.dumps(BRAINLM))
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder of weights in our own format."""
    recordings = [np.random.default_rng(i).standard_normal((30, 4)) for i in range(3)]
    model = BrainLMTransformer(window_length=20, patch_length=5, embed_dim=8, max_epochs=1)
    return model.fit(recordings).save_pretrained(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def own(saved, tmp_path):
    """Return a copy of it that may be damaged."""
    return shutil.copytree(saved, tmp_path / "own")


@pytest.fixture
def refuses(observe):
    """Return a check that reading is refused at once, in little memory, by name, leaving all be."""

    def check(read, path, words, error=UntrustedFileError, max_memory=1 << 26):
        with observe.leaves(path.parent):
            started = time.process_time()
            with pytest.raises(error):  # once for the time, which tracing multiplies
                read(path)
            seconds = time.process_time() - started
            tracemalloc.start()
            try:
                with observe.raises(error, match=words) as caught:
                    read(path)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 3000
        assert seconds < AT_ONCE_S
        assert peak < max_memory

    return check
