"""Rows 77 to 82: foreign code, archives, names and images made to do harm.

Not here: weights and their settings (test_files.py).
"""

import ast
import gzip
import io
import json
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import write_folder
from fmriprep_tree import AFFINE
from hostile.test_hostile_archives import write_archive
from released_files import write_checkpoint
from test_official_arithmetic import BRAINLM

import sklearn_brainlm
from sklearn_brainlm import build_store, load_weights
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.exceptions import (
    InvalidRecordingError,
    StoreCorruptionError,
    UntrustedFileError,
)
from sklearn_brainlm.preparation.bold_images import read_bold
from sklearn_brainlm.readers import read_recording
from sklearn_brainlm.store import RecordingStore

HOSTILE_IDS = ["../../ran", "/etc/passwd", "a\0b", "..", ".hidden", "a/b", "a\\b", "", "a\nb"]


@pytest.fixture
def recordings():
    """Return three recordings (30, 2)."""
    return list(np.random.default_rng(0).normal(size=(3, 30, 2)))


def sources():
    """Yield the syntax tree of every file of the package."""
    for path in Path(sklearn_brainlm.__file__).parent.rglob("*.py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


# --- foreign code --------------------------------------------------------------------------------


@pytest.mark.fault(77, "unknown model_type", "UntrustedFileError, a ValueError, listing known ones")
@pytest.mark.parametrize("named", ["llama", ["vit_mae"], None, "os.system"])
def test_fault_077_unknown_model_type(tmp_path, observe, named):
    folder = write_checkpoint(tmp_path / "weights", BRAINLM, seed=3)
    (folder / "config.json").write_text(json.dumps({**BRAINLM, "model_type": named}))
    with observe.raises(UntrustedFileError, match="known are 'brainlm_mae', 'vit_mae'") as caught:
        load_weights(folder)
    assert isinstance(caught.value, ValueError)
    assert str(folder / "config.json") in str(caught.value)


@pytest.mark.fault(77, "auto_map, remote code", "UntrustedFileError, nothing imported")
@pytest.mark.parametrize("field", ["auto_map", "trust_remote_code"])
def test_fault_077_remote_code(tmp_path, observe, field):
    folder = write_checkpoint(tmp_path / "weights", BRAINLM, seed=3)
    (folder / "model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    asked = {"AutoModel": "model.Model"} if field == "auto_map" else True
    (folder / "config.json").write_text(json.dumps({**BRAINLM, field: asked}))
    with observe.leaves(tmp_path), observe.raises(UntrustedFileError, match="never run"):
        load_weights(folder)


@pytest.mark.fault(77, "trust_remote_code=True", "nowhere in the package")
def test_fault_077_never_trusts(observe):
    passed = [
        path.name
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code"
    ]
    observe(f"passed in {passed or 'no file'}")
    assert not passed


# --- archives ------------------------------------------------------------------------------------


@pytest.mark.fault(78, "zip slip", "UntrustedFileError, nothing written")
@pytest.mark.parametrize("name", ["../../ran", "/tmp/ran-fault-078", "archive/../../ran"])
def test_fault_078_zip_slip_of_weights(tmp_path, observe, name):
    folder = tmp_path / "deep" / "weights"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(BRAINLM))
    path = write_archive(folder / "pytorch_model.bin")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"ran")
    with observe.leaves(tmp_path), observe.raises(UntrustedFileError, match="does not write"):
        load_weights(folder)
    assert not Path("/tmp/ran-fault-078").exists()


@pytest.mark.fault(78, "zip slip of an .npz", "read in memory, nothing written")
def test_fault_078_zip_slip_of_recordings(tmp_path, observe, recordings):
    path = tmp_path / "deep" / "er" / "rest.npz"
    path.parent.mkdir(parents=True)
    content = io.BytesIO()
    np.save(content, recordings[0])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../ran.npy", content.getvalue())
    with observe.leaves(tmp_path):
        np.testing.assert_array_equal(read_recording(path), recordings[0])
    observe("nothing was written")


@pytest.mark.fault(79, "tar traversal", "UntrustedFileError, nothing is ever unpacked")
@pytest.mark.parametrize("name", ["weights.tar", "pytorch_model.bin"])
def test_fault_079_tar_traversal(tmp_path, observe, name):
    folder = tmp_path / "deep" / "weights"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(BRAINLM))
    with tarfile.open(folder / name, "w") as tar:
        for member in ("../../ran", "/tmp/ran-fault-079"):
            tar.addfile(tarfile.TarInfo(member), io.BytesIO(b""))
    with observe.leaves(tmp_path), observe.raises(UntrustedFileError, match=name):
        load_weights(folder / name)
    assert not Path("/tmp/ran-fault-079").exists()


@pytest.mark.fault(79, "calls that unpack archives", "none in the package")
def test_fault_079_nothing_unpacks(observe):
    words = {"extractall", "unpack_archive", "tarfile", "_extract_member"}
    found = [
        (path.name, name)
        for path, tree in sources()
        for node in ast.walk(tree)
        for name in [getattr(node, "attr", None) or getattr(node, "name", None)]
        if name in words and isinstance(node, ast.Attribute | ast.alias)
    ]
    observe(f"unpacked by {found or 'nobody'}")
    assert not found


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.fault(80, "path traversal in ids", "InvalidRecordingError, nothing written")
@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_fault_080_ids_of_a_store(tmp_path, observe, recordings, name):
    """Decided: ids hold letters, digits, '-', '_' and '.', no separators, no leading dot."""
    ids = {"recording": ["one", name, "sub-01_run.2"]}
    with observe.leaves(tmp_path), observe.raises(InvalidRecordingError, match="recording 1 is"):
        build_store(tmp_path / "store", recordings, participants=ids)
    ids["recording"][1] = "two"
    assert build_store(tmp_path / "store", recordings, participants=ids).ids == ids["recording"]


@pytest.mark.fault(80, "path traversal in participants.tsv", "InvalidRecordingError, file not read")
@pytest.mark.parametrize("name", ["../secret.npy", "{outside}", "..", ".secret.npy", "a/../s.npy"])
def test_fault_080_recordings_of_a_folder(tmp_path, observe, name):
    folder = write_folder(tmp_path / "folder")
    np.save(tmp_path / "secret.npy", np.zeros((90, 6)))
    name = name.format(outside=tmp_path / "secret.npy")
    table = folder / "participants.tsv"
    table.write_text(table.read_text().replace("sub-03.npy", name))
    with observe.raises(InvalidRecordingError, match="not the name of a file in this folder"):
        load_recordings_folder(folder)


@pytest.mark.fault(80, "path traversal in a store of somebody else", "StoreCorruptionError")
@pytest.mark.parametrize("name", ["../../ran", "/etc/passwd", ".hidden", "=cmd()", "<script>"])
def test_fault_080_ids_in_a_hostile_store(tmp_path, observe, recordings, name):
    import hashlib

    from sklearn_brainlm.storage.files import pack_manifest

    store = build_store(tmp_path / "store", recordings, participants={"recording": list("abc")})
    # All hashes are made to agree, as who wants to harm would.
    manifest = json.loads((store.path / "manifest.json").read_text())
    for table in ("recordings.tsv", "participants.tsv"):
        lines = (store.path / table).read_text().split("\n")
        cells = lines[1].split("\t")
        lines[1] = "\t".join(name if cell == "a" else cell for cell in cells)
        text = "\n".join(lines).encode()
        (store.path / table).write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        manifest["tables"][table] |= {"bytes": len(text), "sha256": digest}
    (store.path / "manifest.json").write_bytes(pack_manifest(manifest))
    with observe.raises(StoreCorruptionError, match="is no id.*letters, digits"):
        RecordingStore(store.path)


@pytest.mark.fault(80, "path traversal in a store's manifest", "StoreCorruptionError")
@pytest.mark.parametrize("part", ["arrays", "tables"])
def test_fault_080_files_of_a_hostile_store(tmp_path, observe, recordings, part):
    from sklearn_brainlm.storage.files import pack_manifest

    store = build_store(tmp_path / "deep" / "store", recordings)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    manifest = json.loads((store.path / "manifest.json").read_text())
    entry = next(iter(manifest[part].values()))
    manifest[part] = {**manifest[part], "../../secret": {**entry, "bytes": 6}}
    (store.path / "manifest.json").write_bytes(pack_manifest(manifest))
    with observe.raises(StoreCorruptionError, match="../../secret"):
        RecordingStore(store.path)


# --- images --------------------------------------------------------------------------------------


def write_image(path, *, dims=(5, 6, 5, 8), change=(), content=None):
    """Write an image, bytes of its header changed."""
    image = nibabel.Nifti1Image(np.ones(dims, dtype=np.float32), AFFINE)
    raw = bytearray(image.to_bytes())
    for offset, values in change:
        raw[offset : offset + values.nbytes] = values.tobytes()
    raw = bytes(raw) if content is None else bytes(raw[:352])
    packed = gzip.compress(raw) if path.suffix == ".gz" else raw
    path.write_bytes(packed + (content or b""))
    return path


def refuse_image(path, observe, words):
    """Check that an image is refused at once, in little memory."""
    tracemalloc.start()
    started = time.perf_counter()
    with observe.leaves(path.parent), observe.raises(InvalidRecordingError, match=words) as caught:
        read_bold(path)
    assert time.perf_counter() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    assert str(path) in str(caught.value)


@pytest.mark.fault(81, "gzip bomb as an image", "InvalidRecordingError before it is unpacked")
def test_fault_081_gzip_bomb(tmp_path, observe):
    # 9.6 GB of zeros in 9.5 MB, as the header says.
    zeros = gzip.compress(bytes(1 << 26)) * 143
    dims = np.array([4, 200, 200, 200, 300], "<i2")
    path = write_image(tmp_path / "bold.nii.gz", change=[(40, dims)], content=zeros)
    assert path.stat().st_size < 10e6
    refuse_image(path, observe, "announces 9600000352")


@pytest.mark.fault(81, "image larger than allowed", "InvalidRecordingError naming the limit")
def test_fault_081_max_bytes(tmp_path, observe):
    path = write_image(tmp_path / "bold.nii.gz")
    assert read_bold(path).values.shape == (5, 6, 5, 8)
    with observe.raises(InvalidRecordingError, match="announces 5152, .*1000 that are read"):
        read_bold(path, max_bytes=1000)


HEADERS = {
    "dims 32767^4": (40, np.array([4, 32767, 32767, 32767, 32767], "<i2"), "announces|truncated"),
    "negative dim": (40, np.array([4, 5, -6, 5, 8], "<i2"), "4-D|header that cannot"),
    "dim[0] = 200": (40, np.array([200, 5, 6, 5, 8], "<i2"), "NIfTI|header that cannot|4-D"),
    "unknown datatype": (70, np.array([999], "<i2"), "header that cannot be used"),
    "vox_offset 1e9": (108, np.array([1e9], "<f4"), "truncated|announces"),
    "vox_offset NaN": (108, np.array([np.nan], "<f4"), "header that cannot be used"),
    "negative vox_offset": (108, np.array([-352], "<f4"), "header that cannot be used|4-D"),
}


@pytest.mark.fault(82, "image header that lies", "InvalidRecordingError with the path")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("fault", HEADERS)
def test_fault_082_headers(tmp_path, observe, fault, suffix):
    offset, values, words = HEADERS[fault]
    path = write_image(tmp_path / f"bold{suffix}", change=[(offset, values)])
    refuse_image(path, observe, words)
