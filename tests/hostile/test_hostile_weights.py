"""Files of weights and settings made to do harm: each is refused by the right error, at once.

Each test makes its own file, and its name carries the number of the fault: `pytest -k fault_071`.
Not here: what `torch.save` writes (test_hostile_archives.py), and files that are merely another
set of weights (test_weight_files.py).
"""

import json
import struct
import tracemalloc

import numpy as np
import pytest
import torch

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import read_json
from sklearn_brainlm.weight_files import read_safetensors, read_torch_file


def write_header(path, header, content=b"", length=None):
    """Write a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes(struct.pack("<Q", length) + text + content)


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    """Describe an array as the header does."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


# --- safetensors ---

SOUND = {"a": entry()}
HEADERS = {
    "length 2^63": (SOUND, b"1234", 1 << 63, "announced"),
    "length 200 MB": (SOUND, b"1234", 200_000_000, "announced"),
    "length 1 too many": (SOUND, b"", 200, "announced"),
    "not JSON": (b"{'a': 1}", b"", None, "no safetensors file.*not JSON"),
    "not an object": (b"[1, 2]", b"", None, "header is no JSON object"),
    "not UTF-8": (b'{"\xff": 1}', b"", None, "not JSON"),
    "deep": (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", b"", None, "nested too deeply"),
    "very deep": (b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}", b"", None, "nested too deeply"),
    "overlap": ({"a": entry(), "b": entry(offsets=(2, 6))}, b"123456", None, "'b' overlaps"),
    "same bytes": ({"a": entry(), "b": entry()}, b"1234", None, "'b' overlaps"),
    "hole": ({"a": entry(), "b": entry(offsets=(5, 9))}, b"1" * 9, None, "'b' leaves a hole"),
    "hole at the start": ({"a": entry(offsets=(4, 8))}, b"1" * 8, None, "leaves a hole"),
    "trailing": (SOUND, b"12345", None, "has 5 bytes after its header, which describes 4"),
    "truncated": (SOUND, b"123", None, "has 3 bytes after its header, which describes 4"),
    "no arrays, bytes": ({}, b"1", None, "has 1 bytes after its header"),
    "backwards": ({"a": entry(offsets=(4, 0))}, b"1234", None, "needs 4 bytes; it has -4"),
    "shape overflow": ({"a": entry(shape=[2**62, 4])}, b"1234", None, "larger than any weights"),
    "empty and large": ({"a": entry(shape=[0, 2**62, 8], offsets=(0, 0))}, b"", None, "larger"),
    "shape and bytes": ({"a": entry(shape=[2])}, b"1234", None, "needs 8 bytes; it has 4"),
    "40 dimensions": ({"a": entry(shape=[1] * 40)}, b"1234", None, "not a list of sizes"),
    "negative size": ({"a": entry(shape=[-1, -1])}, b"1234", None, "not a list of sizes"),
    "true for one": ({"a": entry(shape=[True])}, b"1234", None, "not a list of sizes"),
    "1.0 for one": ({"a": entry(shape=[1.0])}, b"1234", None, "not a list of sizes"),
    "text for a shape": ({"a": {**entry(), "shape": "1"}}, b"1234", None, "not a list of sizes"),
    "three offsets": ({"a": entry(offsets=(0, 2, 4))}, b"1234", None, "not two positions"),
    "unknown dtype": ({"a": entry("F8_E4M3", offsets=(0, 1))}, b"1", None, "of no dtype"),
    "list for a dtype": ({"a": entry(["F32"])}, b"1234", None, "of no dtype"),
    "more keys": ({"a": entry(code="x")}, b"1234", None, "nothing else"),
    "fewer keys": ({"a": {"dtype": "F32"}}, b"1234", None, "nothing else"),
    "no description": ({"a": 3}, b"", None, "nothing else"),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, b"", None, "texts by name"),
    "metadata of lists": ({"__metadata__": ["a"]}, b"", None, "texts by name"),
    "NaN": (b'{"a": NaN}', b"", None, "no finite number"),
    "bool of 2": ({"a": entry("BOOL", offsets=(0, 1))}, b"\2", None, "BOOL holds other values"),
    "long name": ({"x" * 10**5: 3}, b"", None, "array 'x+\\.\\.\\.' must"),
}


@pytest.mark.parametrize("fault", HEADERS)
def test_fault_071_headers(tmp_path, refuses, fault):
    header, content, length, words = HEADERS[fault]
    write_header(tmp_path / "w.safetensors", header, content, length)
    refuses(read_safetensors, "w.safetensors", words, max_memory=1 << 26)


@pytest.mark.parametrize("content", [b"", b"1234567", bytes(8), struct.pack("<Q", 1) + b"{"])
def test_fault_071_short(tmp_path, refuses, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    refuses(read_safetensors, "w.safetensors", "no safetensors file")


def test_fault_071_header_of_more_than_the_limit(tmp_path, refuses):
    # A sound header, but for its length: the file is sparse, and none of it is read.
    path = tmp_path / "w.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 101 << 20) + b'{"a":')
        file.truncate((101 << 20) + 8)
    refuses(read_safetensors, path.name, "at most 16777216", max_memory=1 << 20)


def test_fault_072_too_many_arrays(tmp_path, refuses):
    header = {str(n): entry(shape=[0], offsets=(0, 0)) for n in range(4097)}
    write_header(tmp_path / "w.safetensors", header)
    refuses(read_safetensors, "w.safetensors", "4097 arrays.*than 4096", max_memory=1 << 26)
    del header["4096"]
    write_header(tmp_path / "w.safetensors", header)
    assert len(read_safetensors(tmp_path / "w.safetensors")[0]) == 4096


def test_fault_072_too_many_tensors(tmp_path, refuses):
    torch.save(dict.fromkeys(map(str, range(4097)), torch.ones(0)), tmp_path / "w.bin")
    refuses(read_torch_file, "w.bin", "4097 tensors.*At most 4096", max_memory=1 << 26)


def test_fault_073_names_given_twice(tmp_path, refuses):
    one = json.dumps(entry()).encode()
    write_header(tmp_path / "w.safetensors", b'{"a":' + one + b',"a":' + one + b"}", b"1234")
    refuses(read_safetensors, "w.safetensors", "'a' more than once")
    text = b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    write_header(tmp_path / "w.safetensors", text, b"1234")
    refuses(read_safetensors, "w.safetensors", "'dtype' more than once")
    many = b",".join(b'"%d":0' % (n // 2) for n in range(10**5))
    write_header(tmp_path / "w.safetensors", b"{" + many + b"}")
    refuses(read_safetensors, "w.safetensors", "and 49990 more more than once", max_memory=1 << 26)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_fault_074_values_that_are_not_finite(tmp_path, refuses, value, dtype):
    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    tensor = torch.ones((3, 2), dtype=getattr(torch, names[dtype]))
    tensor[2, 1] = value
    torch.save({"fine": torch.ones(2), "broken": tensor}, tmp_path / "w.bin")
    content = tensor.view(torch.uint8).numpy().tobytes()
    header = {"broken": entry(dtype, (3, 2), (0, len(content)))}
    write_header(tmp_path / "w.safetensors", header, content)
    for name, read in (("w.bin", read_torch_file), ("w.safetensors", read_safetensors)):
        words = f"non-finite weights in .*{name}: 'broken'"
        refuses(read, name, words, error=CheckpointError)


# --- settings ---

SETTINGS = {
    "NaN": (b'{"a": NaN}', "holds NaN, which is no finite"),
    "infinity": (b'{"a": [-Infinity]}', "holds -Infinity"),
    "overflow": (b'{"a": 1e999}', "holds 1e999"),
    "long overflow": (b'{"a": ' + b"9" * 10**5 + b"e999}", "holds 9+, which"),
    "twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "holds 'c' more than once"),
    "33 deep": (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "nested too deeply: at most 32"),
    "10^5 deep": (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, "nested too deeply"),
    "10^5 lists deep": (b"[" * 10**5 + b"]" * 10**5, "nested too deeply"),
}


@pytest.mark.parametrize("fault", SETTINGS)
def test_fault_076_settings(tmp_path, refuses, fault):
    text, words = SETTINGS[fault]
    (tmp_path / "config.json").write_bytes(text)
    refuses(read_json, "config.json", words, max_memory=1 << 26)


def test_fault_076_settings_at_the_limit_are_read(tmp_path):
    (tmp_path / "config.json").write_bytes(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    assert list(read_json(tmp_path / "config.json")) == ["a"]


def test_fault_076_settings_of_a_gigabyte(tmp_path):
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(1 << 30)  # sparse: it takes no space
    tracemalloc.start()
    try:
        with pytest.raises(UntrustedFileError, match=r"config\.json has 1073741824 bytes; at most"):
            read_json(tmp_path / "config.json")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_fault_076_number_of_very_many_digits(tmp_path, refuses):
    (tmp_path / "config.json").write_bytes(b'{"a": ' + b"9" * 10**5 + b"}")
    refuses(read_json, "config.json", "not JSON", error=CheckpointError, max_memory=1 << 26)


# --- other formats ---


def test_fault_083_formats_that_hold_objects(tmp_path, refuses, payload):
    import joblib

    joblib.dump(payload, tmp_path / "w.joblib")
    np.save(tmp_path / "w.npy", np.array([payload], object), allow_pickle=True)
    np.savez(tmp_path / "w.npz", a=np.array([payload], object))
    for name in ("w.joblib", "w.npy", "w.npz"):
        refuses(read_torch_file, name, "no archive of tensors|does not write for them")
        refuses(read_safetensors, name, "no safetensors file")
        refuses(read_json, name, "not JSON", error=CheckpointError)
    assert not (tmp_path / "ran").exists()
