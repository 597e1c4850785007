"""How a file made to do harm must be refused."""

import os
import time
import tracemalloc

import pytest
import torch

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import file_sha256
from sklearn_brainlm.weight_files import read_torch_file

PER_FILE_S = 3.0  # on a busy machine; what is refused is refused before it is read


class Payload:
    """What leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (open, (self.mark, "w"))


@pytest.fixture
def payload(tmp_path):
    """Return what writes the file "ran" when it is unpickled."""
    return Payload(tmp_path / "ran")


@pytest.fixture
def refuses(tmp_path):
    """Check that reading a file is refused in words, at once, in little memory, without traces."""

    def check(read, name, words, error=UntrustedFileError, max_memory=None):
        path = tmp_path / name
        before = sorted(os.listdir(tmp_path)), path.stat(), file_sha256(path)
        read_torch_file_once(tmp_path.parent)  # imports are not what is measured
        tracemalloc.start()
        started = time.perf_counter()
        try:
            with pytest.raises((UntrustedFileError, CheckpointError), match=words) as caught:
                read(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert time.perf_counter() - started < PER_FILE_S
        assert type(caught.value) is error
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 2000  # what a file says is not repeated at length
        assert peak < (max_memory or 2 * path.stat().st_size + (1 << 20))
        after = sorted(os.listdir(tmp_path)), path.stat(), file_sha256(path)
        assert [after[0], after[1].st_mtime_ns, after[2]] == [
            before[0],
            before[1].st_mtime_ns,
            before[2],
        ]

    return check


def read_torch_file_once(folder):
    """Read a harmless file, so that torch is there."""
    torch.save({"a": torch.ones(1)}, folder / "harmless.bin")
    read_torch_file(folder / "harmless.bin")
