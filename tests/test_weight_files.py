"""Arrays and settings in files: what is written comes back, read once, and exactly.

Not here: files made to do harm (hostile/test_hostile_weights.py), and what weights need besides
arrays (test_weights.py).
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from safetensors.torch import save as save_tensors

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import file_sha256, read_json
from sklearn_brainlm.files.durable import write_bytes_atomically
from sklearn_brainlm.weight_files import read_safetensors, read_torch_file, write_safetensors

ARRAYS = {
    "float64": np.array([np.pi, -0.0]),
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float16": np.array([[1.5], [65504.0]], np.float16),
    "int64": np.array([[1], [2**62]]),
    "int32": np.array([-5], np.int32),
    "int16": np.array([300], np.int16),
    "int8": np.array([-128], np.int8),
    "uint8": np.array([[[255]]], np.uint8),
    "bool": np.array([True, False, True]),
    "scalar": np.array(0.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "Grüße": np.zeros(1),
}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.c_contiguous
        assert found[name].flags.writeable


def test_safetensors_reads_what_the_library_wrote(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(ARRAYS, {"format": "np"}))
    arrays, digest = read_safetensors(str(path))
    assert_same(arrays, ARRAYS)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == file_sha256(path)


def test_safetensors_writes_what_the_library_writes(tmp_path):
    path = tmp_path / "w.safetensors"
    digest = write_safetensors(str(path), ARRAYS)
    assert path.read_bytes() == save(ARRAYS)
    assert digest == file_sha256(path)
    assert os.listdir(tmp_path) == ["w.safetensors"]  # and nothing half written
    assert_same(load(path.read_bytes()), ARRAYS)


def test_order_of_arrays_and_metadata_does_not_matter(tmp_path):
    metadata = {"t_r": "0.735", "atlas": "a424"}
    first = write_safetensors(tmp_path / "1", ARRAYS, metadata)
    second = write_safetensors(
        tmp_path / "2", dict(reversed(ARRAYS.items())), dict(reversed(metadata.items()))
    )
    assert first == second != write_safetensors(tmp_path / "3", ARRAYS)
    assert_same(read_safetensors(tmp_path / "2")[0], ARRAYS)
    write_safetensors(tmp_path / "none", {})
    assert read_safetensors(tmp_path / "none")[0] == {}


def test_arrays_laid_out_in_other_ways_are_written_in_order(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    given = {"columns": np.asfortranarray(array), "big": array.astype(">f4"), "cut": array[::2, 1:]}
    write_safetensors(tmp_path / "w", given)
    assert_same(
        read_safetensors(tmp_path / "w")[0],
        {"big": array, "columns": array, "cut": np.ascontiguousarray(array[::2, 1:])},
    )


@pytest.mark.parametrize("shape", [(), (0, 2), (3, 5)])
def test_bfloat16_comes_back_as_float32(tmp_path, shape):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    (tmp_path / "w.safetensors").write_bytes(save_tensors({"b": tensor}))
    torch.save({"b": tensor}, tmp_path / "w.bin")
    expected = {"b": tensor.float().numpy()}
    assert_same(read_safetensors(tmp_path / "w.safetensors")[0], expected)
    assert_same(read_torch_file(tmp_path / "w.bin")[0], expected)


def test_arrays_come_in_the_order_of_the_file(tmp_path):
    header = {  # in JSON in another order than on the disk
        "last": {"dtype": "U8", "shape": [1], "data_offsets": [2, 3]},
        "first": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "w").write_bytes(len(text).to_bytes(8, "little") + text + b"\1\2\3")
    arrays, _ = read_safetensors(tmp_path / "w")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "first": [1, 2],
        "last": [3],
    }
    assert list(arrays) == ["first", "last"]


@pytest.mark.parametrize("dtype", [np.complex64, np.uint16, object, "U3", np.longdouble])
def test_arrays_that_the_format_does_not_know(tmp_path, dtype):
    with pytest.raises(TypeError, match="cannot hold 'odd'"):
        write_safetensors(tmp_path / "w", {"odd": np.zeros(2, dtype)})
    with pytest.raises(TypeError, match="cannot hold '__metadata__'"):
        write_safetensors(tmp_path / "w", {"__metadata__": np.zeros(2)})
    with pytest.raises(TypeError, match="cannot hold 3"):
        write_safetensors(tmp_path / "w", {3: np.zeros(2)})
    with pytest.raises(TypeError, match="texts by name"):
        write_safetensors(tmp_path / "w", {}, {"t_r": 0.735})
    assert not os.listdir(tmp_path)


def test_values_that_are_not_finite_are_not_written(tmp_path):
    arrays = {"fine": np.ones(2), "one": np.array([np.inf]), "two": np.array([1.0, np.nan])}
    with pytest.raises(CheckpointError, match=r"non-finite weights in .*w: 'one', 'two'\."):
        write_safetensors(tmp_path / "w", arrays)
    assert not os.listdir(tmp_path)


def test_long_lists_in_messages_are_cut(tmp_path):
    arrays = {f"{n:02}" + "x" * 100: np.array([np.nan]) for n in range(12)}
    with pytest.raises(CheckpointError, match=r"'09x+\.\.\.' and 2 more\.$") as caught:
        write_safetensors(tmp_path / "w", arrays)
    assert "'11x" not in str(caught.value)


def test_torch_file_gives_what_was_saved(tmp_path):
    tensors = OrderedDict((n, torch.from_numpy(a.copy())) for n, a in ARRAYS.items())
    tensors["parameter"] = torch.nn.Parameter(torch.ones(2, 2))
    tensors["transposed"] = torch.arange(6.0).reshape(2, 3).T
    tensors["part"] = torch.arange(100.0)[40:42]
    torch.save(tensors, tmp_path / "w.bin")
    arrays, digest = read_torch_file(str(tmp_path / "w.bin"))
    assert_same(arrays, {name: tensor.detach().numpy() for name, tensor in tensors.items()})
    assert digest == file_sha256(tmp_path / "w.bin")
    assert all(type(array) is np.ndarray for array in arrays.values())


def test_torch_file_of_a_module(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(module.state_dict(), tmp_path / "w.bin")
    arrays, _ = read_torch_file(tmp_path / "w.bin", sha256=file_sha256(tmp_path / "w.bin"))
    assert list(arrays) == list(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy(), strict=True)


def test_torch_file_does_not_follow_the_file(tmp_path):
    path = tmp_path / "w.bin"
    torch.save({"a": torch.ones(5000)}, path)
    arrays, _ = read_torch_file(path)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert (arrays["a"] == 1).all()


def test_torch_file_with_other_things_is_no_dictionary_of_tensors(tmp_path):
    path = tmp_path / "w.bin"
    torch.save({"model": {"a": torch.ones(2)}, "epoch": 3, "b": torch.ones(2)}, path)
    with pytest.raises(
        CheckpointError, match=r"w\.bin must hold tensors.*: 'model', 'epoch'\. Save"
    ):
        read_torch_file(path)
    torch.save([torch.ones(2)], path)
    with pytest.raises(CheckpointError, match="holds a list"):
        read_torch_file(path)
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, path)
    with pytest.raises(UntrustedFileError, match="torch ComplexFloatStorage"):
        read_torch_file(path)


def test_tensors_that_share_memory_are_refused_not_multiplied(tmp_path):
    shared = torch.ones(5000)
    torch.save({"a": shared, "b": shared}, tmp_path / "w.bin")
    with pytest.raises(UntrustedFileError, match="share their memory"):
        read_torch_file(tmp_path / "w.bin")


@pytest.mark.parametrize("read", [read_safetensors, read_torch_file])
def test_sha256(tmp_path, read):
    path = tmp_path / "w"
    write_safetensors(path, ARRAYS)
    if read is read_torch_file:
        torch.save({"a": torch.ones(3)}, path)
    right = file_sha256(path)
    assert read(path, sha256=right)[1] == right
    assert read(path, sha256=right.upper())[1] == right
    with pytest.raises(CheckpointError, match=rf"{path}.*SHA-256 is {right}, expected {'0' * 64}"):
        read(path, sha256="0" * 64)


def test_a_known_file_that_is_damaged_is_called_damaged(tmp_path):
    # Whatever the damage does to the structure, also where that alone would look hostile.
    path = tmp_path / "w"
    digest = write_safetensors(path, ARRAYS)
    content = path.read_bytes()
    for position in (0, 7, 9, 100, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="SHA-256"):
            read_safetensors(path, sha256=digest)
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_safetensors(path, sha256=digest)


@pytest.mark.parametrize("read", [read_safetensors, read_torch_file, read_json, file_sha256])
def test_what_is_no_file(tmp_path, read):
    with pytest.raises(CheckpointError, match=r"nowhere.*No such file"):
        read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="is a folder"):
        read(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UntrustedFileError, match="pipe is not a regular file"):
            read(tmp_path / "pipe")  # and does not wait for somebody to write to it


@pytest.mark.parametrize("read", [read_safetensors, read_torch_file, read_json])
def test_larger_than_allowed(tmp_path, read):
    (tmp_path / "w").write_bytes(b"{" * 101)
    with pytest.raises(UntrustedFileError, match="w has 101 bytes; at most 100"):
        read(tmp_path / "w", max_bytes=100)


def test_links_are_followed_when_reading_and_replaced_when_writing(tmp_path):
    blob, link = tmp_path / "blob", tmp_path / "link"
    digest = write_safetensors(blob, ARRAYS)
    link.symlink_to(blob)  # as in the cache of the hub
    assert_same(read_safetensors(link, sha256=digest)[0], ARRAYS)
    write_safetensors(link, {"other": np.ones(2)})
    assert not link.is_symlink() and file_sha256(blob) == digest


def test_json(tmp_path):
    content = {"a": [1, 2.5, None, True, "NaN", {"b": {}}], "ä": -1e-3, "[[[": "]"}
    (tmp_path / "c.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert read_json(str(tmp_path / "c.json")) == content


@pytest.mark.parametrize("text", [b"", b'{"a": ', b"{'a': 1}", b'{"a": 1} x', b'{"a": "\xff"}'])
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "c.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"c\.json is not JSON"):
        read_json(tmp_path / "c.json")


@pytest.mark.parametrize("text", ["[1]", "3", '"text"', "null"])
def test_json_that_is_no_object(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"c\.json holds a .*, not a JSON object"):
        read_json(tmp_path / "c.json")


def test_bytes_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_bytes_atomically(str(path), b"old")

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    for write in (
        lambda: write_bytes_atomically(path, b"new"),
        lambda: write_safetensors(path, {}),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["f"]
    monkeypatch.undo()
    write_bytes_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        write_bytes_atomically(tmp_path / "no" / "folder", b"")


PEAK = """
import sys
from sklearn_brainlm import weight_files

def peak():  # of this program alone: getrusage counts the one that started it, too
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) << 10

read = getattr(weight_files, sys.argv[3])
read(sys.argv[2])  # so that what the first call imports is there
before = peak()
arrays, _ = read(sys.argv[1])
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "read", [read_safetensors, pytest.param(read_torch_file, marks=pytest.mark.slow)]
)
def test_weights_are_in_memory_once(tmp_path, read):
    path, small = tmp_path / "w", tmp_path / "small"
    tensors = {str(n): torch.ones(1024, 1024) for n in range(9)} | {"large": torch.ones(3, 1 << 20)}
    if read is read_torch_file:
        torch.save(tensors, path)
        torch.save({}, small)
    else:
        write_safetensors(small, {})
        write_safetensors(path, {name: tensor.numpy() for name, tensor in tensors.items()})
    command = [sys.executable, "-c", PEAK, path, small, read.__name__]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    size = path.stat().st_size
    assert 0.9 * size < int(run.stdout) < 1.25 * size
