"""Rows 29 to 41: files of images that are damaged, or are no 4-D image of a run."""

import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from fmriprep_tree import LABELS, make_volumes, write_run
from nilearn.maskers import NiftiLabelsMasker

from faults.images import (
    NAME,
    extract,
    make_image,
    move,
    patch_header,
    prepare_one,
    write_one,
    write_packed,
)
from sklearn_brainlm.doctor import doctor
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.preparation.bold_images import read_bold

UNPACKED = make_image().to_bytes()
PACKED = gzip.compress(UNPACKED, 1)


def flip(content, position):
    """Return bytes with one bit changed."""
    changed = bytearray(content)
    changed[position] ^= 4
    return bytes(changed)


def refused(observe, folder, content, match, name="bold.nii.gz"):
    """Expect the reader, and prepare, to refuse a file and name it; nothing must be written."""
    path = folder / name
    path.write_bytes(content)
    with observe.leaves(folder), observe.raises(InvalidRecordingError, match=match) as caught:
        read_bold(path)
    assert str(path) in str(caught.value)
    assert "again" in str(caught.value), "no remedy"


def quarantined(folder, match):
    """Expect prepare to store nothing, and to say why; the image must stay as it is."""
    with pytest.raises(InvalidRecordingError, match=match) as caught:
        prepare_one(folder)
    assert NAME in str(caught.value)
    assert not (folder / "store" / "manifest.json").exists()


@pytest.mark.fault(29, "truncated .nii.gz", "InvalidRecordingError, truncated, with the path")
def test_fault_029_truncated_gzip(observe, tmp_path):
    refused(observe, tmp_path, PACKED[: len(PACKED) // 2], "is truncated.*Copy it again")
    write_one(tmp_path, content=PACKED[: len(PACKED) // 2])
    quarantined(tmp_path, "is truncated")


@pytest.mark.fault(30, "truncated .nii", "InvalidRecordingError, truncated, with the path")
def test_fault_030_truncated(observe, tmp_path):
    half = UNPACKED[: len(UNPACKED) // 2]
    words = f"is truncated: it has {len(half)} bytes, its header announces {len(UNPACKED)}"
    refused(observe, tmp_path, half, words, "bold.nii")
    refused(observe, tmp_path, gzip.compress(half, 1), "is truncated: it unpacks to")


@pytest.mark.fault(31, "flipped byte inside .nii.gz", "InvalidRecordingError, checksum or deflate")
def test_fault_031_flipped_byte(observe, tmp_path):
    stored = gzip.compress(UNPACKED, 0)  # blocks that are not packed: only the checksum tells
    refused(observe, tmp_path, flip(stored, len(stored) // 2), "is damaged: gzip CRC mismatch")
    for position in np.linspace(20, len(PACKED) - 20, 15).astype(int):
        refused(observe, tmp_path, flip(PACKED, position), "is damaged|is truncated")
    write_one(tmp_path, content=flip(PACKED, len(PACKED) // 2))
    quarantined(tmp_path, "is damaged|is truncated")


@pytest.mark.fault(32, "wrong checksum at the end of .nii.gz", "InvalidRecordingError, gzip CRC")
def test_fault_032_wrong_checksum(observe, tmp_path):
    refused(observe, tmp_path, flip(PACKED, -6), "is damaged: gzip CRC mismatch")
    refused(observe, tmp_path, flip(PACKED, -2), "is damaged|is truncated")  # the length
    write_one(tmp_path, content=flip(PACKED, -6))
    quarantined(tmp_path, "gzip CRC mismatch")


@pytest.mark.fault(33, "flipped byte in .nii", "found where git-annex kept a checksum")
@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_fault_033_checksum_of_git_annex(observe, tmp_path, digest):
    key = f"{digest.upper()}E-s{len(UNPACKED)}--{hashlib.new(digest, UNPACKED).hexdigest()}.nii"
    (tmp_path / "objects").mkdir()
    (tmp_path / "bold.nii").symlink_to(tmp_path / "objects" / key)
    (tmp_path / "objects" / key).write_bytes(UNPACKED)
    read_bold(tmp_path / "bold.nii")
    (tmp_path / "objects" / key).write_bytes(flip(UNPACKED, 4000))
    words = rf"bold.nii is damaged: its {digest.upper()} is .*git-annex.*'datalad get'"
    with observe.raises(InvalidRecordingError, match=words):
        read_bold(tmp_path / "bold.nii")


@pytest.mark.fault(34, "no gzip, or a web page", "InvalidRecordingError that says what it is")
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (UNPACKED, "is damaged: it is not a gzip file"),
        (b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>", "is a web page.*Download"),
        (b"\n <HTML><head>", "is a web page"),
    ],
)
def test_fault_034_not_gzip(observe, tmp_path, content, match):
    refused(observe, tmp_path, content, match)


@pytest.mark.fault(35, "empty file", "InvalidRecordingError, empty")
@pytest.mark.parametrize("name", ["bold.nii.gz", "bold.nii"])
def test_fault_035_empty(observe, tmp_path, name):
    refused(observe, tmp_path, b"", "is empty. Copy or write it again", name)


@pytest.mark.fault(36, "missing file or dangling link", "FileNotFoundError, datalad get")
def test_fault_036_missing(observe, tmp_path):
    with observe.raises(FileNotFoundError, match=r"gone.nii.gz does not exist. Check the path"):
        read_bold(tmp_path / "gone.nii.gz")
    (tmp_path / "bold.nii.gz").symlink_to(tmp_path / ".git/annex/objects/MD5E-s9--0a.nii.gz")
    with observe.raises(FileNotFoundError, match=r"bold.nii.gz is a link .*'datalad get bold.nii"):
        read_bold(tmp_path / "bold.nii.gz")
    image, _ = write_one(tmp_path)
    image.unlink()
    image.symlink_to("nowhere.nii.gz")
    quarantined(tmp_path, "datalad get")


@pytest.mark.fault(37, "unreadable file", "PermissionError with the path")
def test_fault_037_unreadable(observe):
    folder = tempfile.TemporaryDirectory()  # that of pytest is closed to others
    os.chmod(folder.name, 0o755)
    path = Path(folder.name) / "bold.nii.gz"
    path.write_bytes(PACKED)
    path.chmod(0o000)
    lines = "import os, sys\nfrom sklearn_brainlm.preparation.bold_images import read_bold\n"
    if os.geteuid() == 0:  # nothing is unreadable to root
        lines += "import nibabel\nos.setgid(65534); os.setuid(65534)\n"
    lines += "try:\n    read_bold(sys.argv[1])\nexcept Exception as error:\n"
    lines += "    print(type(error).__name__, error)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", lines, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    folder.cleanup()
    if done.returncode:
        pytest.skip(f"cannot run here: no process of another user ({done.stderr[-80:]})")
    observe(done.stdout.strip())
    assert done.stdout.startswith("PermissionError ")
    assert str(path) in done.stdout


@pytest.mark.fault(38, "3-D instead of 4-D", "ValueError, a 4-D BOLD run is needed")
def test_fault_038_three_dimensions(observe, tmp_path):
    image = make_image(make_volumes(0)[..., 0])
    image.to_filename(tmp_path / "bold.nii.gz")
    words = r"bold.nii.gz has shape \(8, 9, 8\); expected a 4-D image .* Give the BOLD run"
    with observe.raises(InvalidRecordingError, match=words):
        read_bold(tmp_path / "bold.nii.gz")
    _, atlas = write_one(tmp_path)
    signals = NiftiLabelsMasker(atlas, standardize=None).fit_transform(image)
    assert signals.shape == (len(LABELS),)  # what a masker says nothing about
    with observe.raises(InvalidRecordingError, match="A masker returns this for a 3-D image"):
        doctor(signals)


@pytest.mark.fault(39, "5-D image", "ValueError, a 4-D image is needed")
def test_fault_039_five_dimensions(observe, tmp_path):
    values = np.stack([make_volumes(0)] * 2, axis=4)
    make_image(values).to_filename(tmp_path / "bold.nii")
    with observe.raises(InvalidRecordingError, match=r"shape \(8, 9, 8, 60, 2\); expected a 4-D"):
        read_bold(tmp_path / "bold.nii")


@pytest.mark.fault(40, "4-D image of one volume or none", "ValueError, too short")
@pytest.mark.parametrize("n_volumes", [0, 1])
def test_fault_040_too_few_volumes(observe, tmp_path, n_volumes):
    content = patch_header(40, np.array([4, 8, 9, 8, n_volumes], "<i2"))
    path = write_packed(tmp_path / "bold.nii.gz", content)
    words = rf"shape \(8, 9, 8, {n_volumes}\); expected a 4-D image of two timepoints or more"
    with observe.raises(InvalidRecordingError, match=words):
        read_bold(path)


@pytest.mark.fault(41, "image outside the atlas", "AtlasMismatchError")
def test_fault_041_outside_the_atlas(observe, tmp_path):
    write_one(tmp_path, affine=move(5000))
    words = r"in 4 of the 4 labels of .*atlas.nii.gz: '2 2 \(0%\)', '5 5 \(0%\)'.*leave the"
    with observe.raises(AtlasMismatchError, match=words):
        extract(tmp_path)
    quarantined(tmp_path, "in 4 of the 4 labels")


@pytest.mark.fault(41, "image outside the atlas", "AtlasMismatchError")
def test_fault_041_the_others_go_on(observe, tmp_path):
    write_one(tmp_path, affine=move(5000))
    write_run(tmp_path / "fmriprep", "sub-02_task-rest", make_volumes(1))
    with pytest.warns(UserWarning, match="1 of 2 recordings were not stored"):
        prepared = prepare_one(tmp_path)
    assert prepared.store.ids == ["sub-02_task-rest"]
    assert nibabel.load(tmp_path / "atlas.nii.gz").shape == (16, 18, 16)
    text = (prepared.store.path / "quarantine.tsv").read_text()
    assert f"{NAME}\t0\tAtlasMismatchError: " in text
    observe("named in quarantine.tsv, the others are stored")
