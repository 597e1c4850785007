"""Rows 66 to 75: weights made to do harm, or merely damaged.

Not here: other files (test_other_files.py); the many forms of each of these (tests/hostile).
"""

import ast
import json
import pickle
import struct
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile.conftest import Payload
from hostile.test_hostile_archives import FORCE, write_archive
from hostile.test_hostile_weights import entry, write_header
from released_files import draw_tensors
from safetensors.numpy import save_file
from test_official_arithmetic import BRAINLM

import sklearn_brainlm
from sklearn_brainlm import BrainLMTransformer, load_weights
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.files import torch_archives
from sklearn_brainlm.files.checked import file_sha256


def flip(path, place=0.5):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


# --- pickles and archives ------------------------------------------------------------------------


@pytest.mark.fault(66, "malicious pickle as .bin or .pt", "UntrustedFileError, nothing executed")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["new", "old", "plain"])
def test_fault_066_malicious_pickle(folder, refuses, kind, protocol):
    path, mark = folder / "pytorch_model.bin", folder.parent / "ran"
    bomb = {"a": torch.ones(2), "b": Payload(mark)}
    if kind == "plain":
        path.write_bytes(pickle.dumps(bomb["b"], protocol))
    else:
        new = kind == "new"
        torch.save(bomb, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    refuses(lambda _: load_weights(folder), path, "could run code|before 1.6")
    coords = np.random.default_rng(0).uniform(-50, 50, (BRAINLM["num_brain_voxels"], 3))
    read = partial(BrainLMTransformer.from_pretrained, folder, parcel_coords=coords)
    refuses(lambda _: read(), path, "could run code|before 1.6")
    refuses(load_weights, path.rename(folder / "model.pt"), "runs? code|could run code")
    assert not mark.exists()


@pytest.mark.fault(67, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1", "weights_only=True is always passed")
def test_fault_067_environment_that_allows_pickles(folder, refuses, monkeypatch):
    monkeypatch.setenv(FORCE, "1")
    path, mark = folder / "pytorch_model.bin", folder.parent / "ran"
    torch.save({"b": Payload(mark)}, path)
    refuses(lambda _: load_weights(folder), path, "could run code")
    # Without our own look at the pickle, torch is still told to run nothing.
    monkeypatch.setattr(torch_archives, "_check_pickle", lambda path, text: None)
    refuses(lambda _: load_weights(folder), path, "cannot be read as tensors alone")
    assert not mark.exists()
    with pytest.warns(UserWarning, match=FORCE):
        torch.load(path)["b"].close()  # the payload works, where torch is left to the environment
    assert mark.exists()


@pytest.mark.fault(67, "a call of torch.load", "one, with weights_only=True spelled out")
def test_fault_067_the_only_call_of_torch_load(observe):
    calls = []
    for path in Path(sklearn_brainlm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                calls.append((path.name, {k.arg: ast.unparse(k.value) for k in node.keywords}))
    observe(f"torch.load in {', '.join(name for name, _ in calls)}")
    assert [name for name, _ in calls] == ["torch_archives.py"]
    assert calls[0][1]["weights_only"] == "True"


@pytest.mark.fault(68, "legacy tar checkpoint", "UntrustedFileError")
def test_fault_068_tar(folder, refuses):
    import io
    import tarfile

    path, mark = folder / "pytorch_model.bin", folder.parent / "ran"
    with tarfile.open(path, "w") as tar:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(Payload(mark))
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    refuses(lambda _: load_weights(folder), path, "tar files")
    assert not mark.exists()


@pytest.mark.fault(69, "deflated zip bomb", "UntrustedFileError, before anything is unpacked")
def test_fault_069_zip_bomb(folder, refuses):
    def large(name, content):
        return (name, bytes(1 << 28) if name.endswith("data/0") else content)

    path = write_archive(folder / "pytorch_model.bin", large, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    words = "compressed, or larger than the file"
    refuses(lambda _: load_weights(folder), path, words, max_memory=1 << 22)


@pytest.mark.fault(69, "records that claim more than the file", "UntrustedFileError")
def test_fault_069_declared_sum(folder, refuses):
    path = write_archive(folder / "pytorch_model.bin")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\1\2")
    content[place + 20 : place + 28] = struct.pack("<LL", 1 << 31, 1 << 31)
    path.write_bytes(content)
    refuses(lambda _: load_weights(folder), path, "larger than the file", max_memory=1 << 22)


@pytest.mark.fault(70, "flipped byte in weights", "CheckpointError, SHA-256 mismatch")
@pytest.mark.parametrize("place", [0.01, 0.5, 0.999])
def test_fault_070_flipped_byte(own, refuses, place):
    path = own / "model.safetensors"
    right = json.loads((own / "config.json").read_text())["sha256"]
    flip(path, place)
    words = f"SHA-256 is {file_sha256(path)}, expected {right}"
    for read in (load_weights, BrainLMTransformer.from_pretrained):
        refuses(lambda _, read=read: read(own), path, words, CheckpointError)


@pytest.mark.fault(70, "flipped byte in released weights", "CheckpointError, SHA-256 mismatch")
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_fault_070_flipped_byte_of_released_weights(folder, refuses, name):
    arrays = draw_tensors(BRAINLM, 3)
    if name.endswith("bin"):
        torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, folder / name)
    else:
        save_file(arrays, folder / name)
    right = file_sha256(folder / name)
    load_weights(folder, sha256=right)
    flip(folder / name)
    words = f"SHA-256 is .*, expected {right}"
    refuses(lambda _: load_weights(folder, sha256=right), folder / name, words, CheckpointError)


# --- safetensors ---------------------------------------------------------------------------------

FAULTY = {
    "header of 2^63": ({"a": entry()}, b"1234", 1 << 63, "announced"),
    "header of 200 MB": ({"a": entry()}, b"1234", 200_000_000, "announced"),
    "not JSON": (b"{'a': 1}", b"", None, "not JSON"),
    "short": ({"a": entry()}, b"", 200, "announced"),
    "overlap": ({"a": entry(), "b": entry(offsets=(2, 6))}, b"123456", None, "'b' overlaps"),
    "hole": ({"a": entry(), "b": entry(offsets=(5, 9))}, b"1" * 9, None, "'b' leaves a hole"),
    "trailing": ({"a": entry()}, b"12345", None, "has 5 bytes after its header"),
    "truncated": ({"a": entry()}, b"123", None, "has 3 bytes after its header"),
    "shape overflow": ({"a": entry(shape=[2**62, 4])}, b"1234", None, "larger than any weights"),
    "product overflow": ({"a": entry(shape=[2**32, 2**32])}, b"1234", None, "larger than any"),
    "bad dtype": ({"a": entry("F7")}, b"1234", None, "of no dtype"),
    "negative offsets": ({"a": entry(offsets=(-4, 0))}, b"1234", None, "not two positions"),
    "offsets beyond": ({"a": entry(offsets=(1 << 40, (1 << 40) + 4))}, b"1234", None, "a hole"),
    "float shape": ({"a": entry(shape=[1.0])}, b"1234", None, "not a list of sizes"),
    "deep": (b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}", b"", None, "nested too deeply"),
    "empty": (b"", b"", None, "no safetensors file"),
}


@pytest.mark.fault(71, "safetensors of 16 crafted headers", "UntrustedFileError with the path")
@pytest.mark.parametrize("fault", FAULTY)
def test_fault_071_safetensors(folder, refuses, fault):
    header, content, length, words = FAULTY[fault]
    write_header(folder / "model.safetensors", header, content, length)
    refuses(lambda _: load_weights(folder), folder / "model.safetensors", words)


@pytest.mark.fault(71, "safetensors header of more than 100 MB", "UntrustedFileError, none read")
def test_fault_071_header_that_is_there_and_too_large(folder, refuses):
    path = folder / "model.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 101 << 20) + b'{"a":')
        file.truncate((101 << 20) + 8)  # sparse
    refuses(lambda _: load_weights(folder), path, "at most 16777216", max_memory=1 << 22)


@pytest.mark.fault(72, "safetensors of 150,000 empty tensors", "refused at once: at most 4096")
def test_fault_072_very_many_tensors(folder, refuses):
    header = {str(n): entry(shape=[0], offsets=(0, 0)) for n in range(150_000)}
    write_header(folder / "model.safetensors", header)
    words = "150000 arrays.*4096"
    path = folder / "model.safetensors"
    refuses(lambda _: load_weights(folder), path, words, max_memory=1 << 28)


@pytest.mark.fault(73, "safetensors with a name twice", "UntrustedFileError")
def test_fault_073_name_given_twice(folder, refuses):
    one = json.dumps(entry()).encode()
    text = b'{"a":' + one + b',"a":' + one + b"}"
    write_header(folder / "model.safetensors", text, b"1234")
    refuses(lambda _: load_weights(folder), folder / "model.safetensors", "'a' more than once")


@pytest.mark.fault(74, "NaN or infinity in weights", "CheckpointError non-finite weights in ...")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fault_074_weights_that_are_not_finite(folder, refuses, value):
    arrays = draw_tensors(BRAINLM, 3)
    name = sorted(arrays)[4]
    arrays[name].reshape(-1)[-1] = value
    save_file(arrays, folder / "model.safetensors")
    words = f"non-finite weights in .*model.safetensors: '{name}'"
    path = folder / "model.safetensors"
    refuses(lambda _: load_weights(folder), path, words, CheckpointError)


@pytest.mark.fault(75, "tensors missing, unexpected, mis-shaped", "CheckpointError listing them")
@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_fault_075_other_tensors(folder, observe, change):
    arrays = draw_tensors(BRAINLM, 3)
    first, second = sorted(arrays)[2:4]
    if change == "missing":
        del arrays[first], arrays[second]
    elif change == "unexpected":
        first, second = "backdoor", "backdoor.weight"
        arrays |= {first: np.ones(2, "f4"), second: np.ones(2, "f4")}
    else:
        arrays |= {name: np.ones((3, *arrays[name].shape), "f4") for name in (first, second)}
    save_file(arrays, folder / "model.safetensors")
    with observe.raises(CheckpointError) as caught:
        load_weights(folder)
    assert {first, second} <= {word.strip("',.:;()") for word in str(caught.value).split()}


@pytest.mark.fault(75, "a tensor of our own format dropped", "CheckpointError naming it")
@pytest.mark.parametrize("read", [load_weights, BrainLMTransformer.from_pretrained])
def test_fault_075_own_format(own, observe, read):
    from sklearn_brainlm.weight_files import read_safetensors, write_safetensors

    arrays, _ = read_safetensors(own / "model.safetensors")
    dropped = next(name for name in arrays if name.endswith("cls_token"))
    del arrays[dropped]
    config = json.loads((own / "config.json").read_text())
    config["sha256"] = write_safetensors(own / "model.safetensors", arrays)
    (own / "config.json").write_text(json.dumps(config))
    with observe.raises(CheckpointError, match=f"missing: {dropped}"):
        read(own)
    # Also where the list of arrays was made to agree.
    del config["arrays"][dropped]
    (own / "config.json").write_text(json.dumps(config))
    with observe.raises(CheckpointError, match="cls_token"):
        read(own)
