"""Archives and pickles made to do harm, where `torch.save` writes tensors.

Each test makes its own file, and its name carries the number of the fault: `pytest -k fault_069`.
Not here: safetensors and settings (test_hostile_weights.py).
"""

import copy
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files import torch_archives
from sklearn_brainlm.files.checked import file_sha256
from sklearn_brainlm.weight_files import read_safetensors, read_torch_file, write_safetensors

FORCE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def write_archive(
    path, change=lambda name, content: (name, content), compression=zipfile.ZIP_STORED
):
    """Write what torch.save writes for one tensor, with records changed."""
    buffer = io.BytesIO()
    torch.save({"a": torch.arange(6.0)}, buffer)
    with zipfile.ZipFile(buffer) as given, zipfile.ZipFile(path, "w", compression) as archive:
        for name in given.namelist():
            changed = change(name, given.read(name))
            if changed is not None:
                archive.writestr(*changed)
    return path


# --- pickles ---


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("forced", [False, True])
def test_fault_066_067_malicious_pickle(tmp_path, refuses, payload, monkeypatch, protocol, forced):
    if forced:
        monkeypatch.setenv(FORCE, "1")
    mark = tmp_path / "ran"
    bomb = {"a": torch.ones(2), "b": payload}
    torch.save(bomb, tmp_path / "new.bin", pickle_protocol=protocol)
    torch.save(
        bomb,
        tmp_path / "old.bin",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=False,
    )
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(bomb["b"], protocol))
    refuses(read_torch_file, "new.bin", "could run code.*(open|STACK_GLOBAL)")
    refuses(read_torch_file, "old.bin", "before 1.6, tar files and plain pickles")
    refuses(read_torch_file, "plain.bin", "before 1.6, tar files and plain pickles")
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.bin").read_bytes()).close()
    assert mark.exists()  # the payload does work


def test_fault_067_torch_itself_is_told_to_run_nothing(tmp_path, payload, monkeypatch):
    # Should the look at the pickle miss something, torch stands behind it.
    monkeypatch.setenv(FORCE, "1")
    monkeypatch.setattr(torch_archives, "_check_pickle", lambda path, text: None)
    torch.save({"b": payload}, tmp_path / "w.bin")
    with pytest.raises(UntrustedFileError, match=r"w\.bin cannot be read as tensors alone"):
        read_torch_file(tmp_path / "w.bin")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["os system", "builtins bytearray", "torch._utils _rebuild_sparse_tensor", "torch load"]
)
def test_fault_066_names_that_torch_may_allow_are_not_asked_for(tmp_path, refuses, name):
    # torch allows bytearray: bytearray(10**11) takes 100 GB.
    call = b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n\x8a\x05\x00\xe8\x76\x48\x17\x85R."
    write_archive(tmp_path / "w.bin", lambda n, text: (n, call if n.endswith("data.pkl") else text))
    refuses(read_torch_file, "w.bin", f"could run code: '{name}'")


@pytest.mark.parametrize("text", [b"", b"\x80\x02", b"\xff" * 50, b"\x80\x02cos\nsys"])
def test_fault_066_broken_pickle(tmp_path, refuses, text):
    write_archive(tmp_path / "w.bin", lambda n, t: (n, text if n.endswith("data.pkl") else t))
    refuses(read_torch_file, "w.bin", "broken list of tensors")


def test_fault_068_tar(tmp_path, refuses, payload):
    with tarfile.open(tmp_path / "w.bin", "w") as tar:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(payload)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    refuses(read_torch_file, "w.bin", "before 1.6, tar files")
    assert not (tmp_path / "ran").exists()


# --- archives ---


def test_fault_069_compressed_records(tmp_path, refuses):
    def large(name, content):
        return (name, bytes(1 << 26) if name.endswith("data/0") else content)

    write_archive(tmp_path / "w.bin", large, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "w.bin").stat().st_size < 1 << 20
    refuses(read_torch_file, "w.bin", "compressed, or larger than the file")


def test_fault_069_records_that_lie_over_one_another(tmp_path, refuses):
    # Many entries of the directory that stand for the same bytes.
    path = write_archive(tmp_path / "w.bin", lambda n, t: (n, t * 500 if "data/" in n else t))
    with zipfile.ZipFile(path, "a") as archive:
        (record,) = [r for r in archive.infolist() if r.filename.endswith("data/0")]
        for number in range(1, 10):
            again = copy.copy(record)
            again.filename = again.orig_filename = f"{record.filename[:-1]}{number}"
            archive.filelist.append(again)
        archive._didModify = True  # so that it writes its directory
    refuses(read_torch_file, "w.bin", "compressed, or larger than the file")


def test_fault_069_large_numbers_in_the_directory(tmp_path, refuses):
    path = write_archive(tmp_path / "w.bin")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\1\2")  # the last record claims 2 GB
    content[place + 20 : place + 28] = struct.pack("<LL", 1 << 31, 1 << 31)
    path.write_bytes(content)
    refuses(read_torch_file, "w.bin", "compressed, or larger than the file")


def test_fault_069_numbers_in_the_pickle(tmp_path, refuses):
    # 24576 elements where the record has 6: torch must not read beyond its end.
    write_archive(tmp_path / "w.bin", lambda n, t: (n, t.replace(b"K\x06tq", b"M\x00\x60tq")))
    refuses(read_torch_file, "w.bin", "cannot be read as tensors alone")


def test_fault_069_a_small_storage_seen_as_a_large_tensor(tmp_path, refuses):
    torch.save({"a": torch.ones(1).expand(10**5, 10**5)}, tmp_path / "w.bin")
    refuses(read_torch_file, "w.bin", "tensors of 40000000000 bytes, and the file has")


def test_fault_069_two_directories(tmp_path, refuses):
    # The long record says something else than the one that points to it would find.
    torch.save({"a": torch.ones(2)}, tmp_path / "w.bin")
    content = bytearray((tmp_path / "w.bin").read_bytes())
    struct.pack_into("<Q", content, len(content) - 34, 0)
    (tmp_path / "w.bin").write_bytes(content)
    refuses(read_torch_file, "w.bin", "no archive of tensors, or cut off")
    for extra in (b"#!/bin/sh\n", b""):
        path = write_archive(tmp_path / "more.bin")
        path.write_bytes(extra + path.read_bytes() + (b"" if extra else b"\0" * 30))
        refuses(read_torch_file, "more.bin", "no archive of tensors, or cut off")


def test_fault_069_too_many_records(tmp_path, refuses):
    path = write_archive(tmp_path / "w.bin")
    with zipfile.ZipFile(path, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        for number in range(1, 8192):
            archive.writestr(f"{folder}/data/{number}", b"")
    refuses(read_torch_file, "w.bin", "has 819[0-9] records", max_memory=1 << 25)


@pytest.mark.parametrize("cut", [0, 1, 30, 0.5, -1, -40])
def test_fault_069_archive_cut_off(tmp_path, refuses, cut):
    path = write_archive(tmp_path / "whole.bin")
    content = path.read_bytes()
    (tmp_path / "w.bin").write_bytes(content[: int(cut * len(content)) if cut == 0.5 else cut])
    refuses(read_torch_file, "w.bin", "no archive of tensors, or cut off")


@pytest.mark.parametrize(
    "name", ["constants.pkl", "code/model.py", "../../ran", "/ran", "data/../1"]
)
def test_fault_078_records_that_torch_does_not_write(tmp_path, refuses, name):
    path = write_archive(tmp_path / "w.bin")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name if "ran" in name else "archive/" + name, b"print()")
    refuses(read_torch_file, "w.bin", "records that torch.save does not write")
    assert not (tmp_path.parent.parent / "ran").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile warns its writer
def test_fault_078_records_of_one_name(tmp_path, refuses):
    path = write_archive(tmp_path / "w.bin")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"")
    refuses(read_torch_file, "w.bin", "writes once")


def test_fault_078_079_nothing_is_ever_unpacked():
    import sklearn_brainlm

    folder = os.path.dirname(sklearn_brainlm.__file__)
    for root, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(root, name), encoding="utf-8") as file:
                    text = file.read()
                text = text.replace(".str.extract(", "")  # pandas, of columns of text
                for word in ("extractall", "unpack_archive", "tarfile", ".extract("):
                    assert word not in text, (name, word)


def test_fault_078_no_list_of_tensors_or_a_long_one(tmp_path, refuses):
    write_archive(tmp_path / "w.bin", lambda n, t: None if n.endswith("data.pkl") else (n, t))
    refuses(read_torch_file, "w.bin", "no usable list of tensors")
    long = b"\x80\x02" + b"N0" * (9 << 20) + b"N."
    write_archive(tmp_path / "w.bin", lambda n, t: (n, long if n.endswith("data.pkl") else t))
    refuses(read_torch_file, "w.bin", "no usable list of tensors")


def test_fault_071_bool_of_2(tmp_path, refuses):
    torch.save({"a": torch.tensor([2, 1], dtype=torch.uint8).view(torch.bool)}, tmp_path / "w.bin")
    refuses(read_torch_file, "w.bin", "'a' of dtype bool holds other values")


# --- damage ---


def test_fault_070_flipped_byte(tmp_path, refuses):
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "w.bin")
    write_safetensors(tmp_path / "w.safetensors", {"a": np.arange(1000.0)})
    for name, read in (("w.bin", read_torch_file), ("w.safetensors", read_safetensors)):
        path = tmp_path / name
        right = file_sha256(path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        refuses(
            lambda path, read=read, right=right: read(path, sha256=right),
            name,
            f"SHA-256 is {file_sha256(path)}, expected {right}",
            error=CheckpointError,
        )
    # Torch does not look at the checksums of an archive. Without a SHA-256, this does.
    refuses(read_torch_file, "w.bin", "damaged: the checksum of .*data/0", error=CheckpointError)
