"""Files of recordings are read as they were written, and hostile ones are refused.

What a store does with recordings is in test_store_building.py, the folders of this package's own
layout in test_datasets.py. CIFTI and Arrow have test_cifti.py and test_arrow_datasets.py.
"""

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from sklearn_brainlm import readers
from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    InvalidRecordingError,
    UntrustedFileError,
)
from sklearn_brainlm.readers import read_arrow, read_dat, read_recording

N_TIMEPOINTS, N_PARCELS = 9, 4
NAMES = ["V1", "V2", "M1", "S1"]


class Trap:
    """A pickle of this makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def recording():
    """Values that text has to carry exactly."""
    return np.random.default_rng(0).standard_normal((N_TIMEPOINTS, N_PARCELS)) * 1e3


def write(path, recording):
    """Write a recording as a file of the kind its name says."""
    suffix = path.name.partition(".")[2]
    if suffix == "npy":
        np.save(path, recording)
    elif suffix == "npz":
        np.savez_compressed(path, recording)
    else:
        separator = {"tsv": "\t", "tsv.gz": "\t", "csv": ","}.get(suffix, " ")
        np.savetxt(path, recording, delimiter=separator, fmt="%.17g")
    return path


KINDS = ["npy", "npz", "tsv", "tsv.gz", "csv", "1D", "dat", "txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_values_come_back_exactly(tmp_path, recording, kind):
    path = write(tmp_path / f"rest.{kind}", recording)
    np.testing.assert_array_equal(read_recording(path, n_parcels=N_PARCELS), recording)
    turned = write(tmp_path / f"turned.{kind}", recording.T)
    np.testing.assert_array_equal(read_recording(turned, parcels="rows"), recording)
    with pytest.raises(AtlasMismatchError, match=r"turned\..*has 9 parcels.*expected 4.*'rows'"):
        read_recording(turned, n_parcels=N_PARCELS)


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("index", [True, False])
def test_frames_written_by_pandas(tmp_path, recording, separator, index):
    path = tmp_path / ("rest.tsv" if separator == "\t" else "rest.csv")
    pd.DataFrame(recording, columns=NAMES).to_csv(path, sep=separator, index=index)
    read = readers.read_text(path)
    assert read.parcel_names == NAMES
    np.testing.assert_array_equal(read.recording, recording)
    assert read.t_r is None


def test_comments_of_afni_and_names_of_cpac(tmp_path):
    path = tmp_path / "rois.1D"
    path.write_text("# 3dROIstats -mask cc200\n#2001\t#2002\n1\t2\n# bad volume\n3\t4\n")
    read = readers.read_text(path)
    assert read.parcel_names == ["2001", "2002"]
    np.testing.assert_array_equal(read.recording, [[1, 2], [3, 4]])


def test_float16_memory_map_stays_mapped(tmp_path, recording):
    path = write(tmp_path / "rest.npy", recording.astype(np.float16))
    read = read_recording(path)
    assert isinstance(read, np.memmap) and read.dtype == np.float16 and not read.flags.writeable


def test_key_of_an_archive(tmp_path, recording):
    path = tmp_path / "runs.npz"
    np.savez(path, first=recording, second=recording + 1)
    np.testing.assert_array_equal(read_recording(path, key="second"), recording + 1)
    for key in (None, "third"):
        with pytest.raises(InvalidRecordingError, match=r"runs.npz holds 'first', 'second'"):
            read_recording(path, key=key)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_objects_are_refused_and_not_run(tmp_path, kind):
    trapped = np.empty((2, 2), dtype=object)
    trapped[:] = Trap(tmp_path / "ran")
    path = tmp_path / f"trap.{kind}"
    np.save(path, trapped) if kind == "npy" else np.savez(path, trapped)
    with pytest.raises(UntrustedFileError, match="trap"):
        read_recording(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickle_is_refused_and_not_run(tmp_path, protocol):
    path = tmp_path / "trap.npy"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "ran"), protocol=protocol))
    with pytest.raises(UntrustedFileError, match="trap.npy is a pickle"):
        read_recording(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["npy", "npz", "tsv.gz"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_truncated(tmp_path, kind, kept):
    recording = np.random.default_rng(0).standard_normal((200, N_PARCELS))
    path = write(tmp_path / f"rest.{kind}", recording)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InvalidRecordingError, match=rf"rest\.{kind}"):
        read_recording(path)


@pytest.mark.parametrize("kind", ["npz", "tsv.gz"])
def test_flipped_byte_of_a_compressed_file(tmp_path, recording, kind):
    path = write(tmp_path / f"rest.{kind}", recording)
    content = bytearray(path.read_bytes())
    # The archive ends with its list of members, the gzip file with its checksum.
    content[len(content) // 2 if kind == "npz" else -6] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidRecordingError, match=rf"rest\.{kind}.*damaged"):
        read_recording(path)


def test_header_that_promises_too_much(tmp_path):
    path = tmp_path / "rest.npy"
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 424)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(InvalidRecordingError, match="rest.npy is truncated"):
        read_recording(path)


def test_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_brainlm.readers.arrays._MAX_BYTES", 1000)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, np.zeros((100, 100)))
    with pytest.raises(UntrustedFileError, match="bomb.npz: arr_0 unpacks to"):
        read_recording(path)
    monkeypatch.setattr("sklearn_brainlm.readers.text._MAX_BYTES", 1000)
    path = tmp_path / "bomb.tsv.gz"
    path.write_bytes(gzip.compress(b"0\t0\n" * 1000))
    with pytest.raises(UntrustedFileError, match=r"bomb.tsv.gz holds more than 1000 bytes"):
        read_recording(path)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("page.npy", b"<!DOCTYPE html><html>404</html>", InvalidRecordingError, "is a web page"),
        ("page.tsv", b"\n<html>404</html>", InvalidRecordingError, "is a web page"),
        ("page.dtseries.nii", b"<html>404</html>", InvalidRecordingError, "is a web page"),
        ("empty.1D", b"", InvalidRecordingError, "is empty"),
        ("noise.npy", b"\x93NUMPZ" + bytes(80), InvalidRecordingError, "not an .npy file"),
        (
            "code.npy",
            b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
            InvalidRecordingError,
            "malformed",
        ),
        ("bytes.1D", b"\xff\xfe1 2\n", InvalidRecordingError, "is not text"),
        ("zeros.dat", bytes(100), InvalidRecordingError, "holds no text"),
        ("notes.1D", b"# only\n# comments\n", InvalidRecordingError, "holds no numbers"),
        ("names.tsv", b"V1\tV2\n", InvalidRecordingError, "holds no numbers"),
        ("words.tsv", b"a\tb\n1\tx\n", InvalidRecordingError, "not a table of numbers"),
        ("ragged.1D", b"1 2 3\n4 5\n", InvalidRecordingError, "columns changed from 3 to 2"),
        ("missing.tsv", b"1\t2\nn/a\t3\n", InvalidRecordingError, "n/a.*interpolate missing"),
        ("wave.nii.gz", b"\x1f\x8b", InvalidRecordingError, "wave.nii.gz is of no kind.*masker"),
        ("table.xlsx", b"PK", InvalidRecordingError, "table.xlsx is of no kind.*numpy.save"),
        ("wave.ptseries.nii", bytes(600), InvalidRecordingError, "is not a CIFTI file"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, content, error, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error, match=f"(?s)({name}.*{message}|{message})") as refused:
        read_recording(path)
    assert name in str(refused.value)


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((2, 3, 4)), np.zeros((3, 3), complex)])
def test_arrays_that_are_no_recording(tmp_path, values):
    np.save(tmp_path / "rest.npy", values)
    with pytest.raises(InvalidRecordingError, match=r"rest\.npy holds"):
        read_recording(tmp_path / "rest.npy")


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.npy does not exist"):
        read_recording(tmp_path / "gone.npy")
    (tmp_path / "annexed.1D").symlink_to(tmp_path / ".git" / "annex" / "objects")
    with pytest.raises(FileNotFoundError, match=r"datalad get annexed\.1D"):
        read_recording(tmp_path / "annexed.1D")
    with pytest.raises(InvalidRecordingError, match="is a folder"):
        (tmp_path / "folder.npy").mkdir()
        read_recording(tmp_path / "folder.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(UntrustedFileError, match=r"pipe\.npy is not a regular file"):
        read_recording(tmp_path / "pipe.npy")


def test_folder_of_dat_files(tmp_path):
    recordings = np.random.default_rng(0).standard_normal((3, 7, 424))
    names = ["1000017_20227", "1000025_20227", "1000033_20249"]
    for name, values in zip(names, recordings, strict=True):
        np.savetxt(tmp_path / f"{name}.dat", values, delimiter="\t")
    (tmp_path / "A424_Coordinates.dat").write_text("1 2 3 4\n")
    found = read_dat(tmp_path)
    assert found.participants["recording"].tolist() == names
    for read, values in zip(found.recordings, recordings, strict=True):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(read))(), values)
    assert len(read_dat(tmp_path / f"{names[0]}.dat").recordings) == 1
    (tmp_path / f"{names[0]}.dat").write_text("1 2\n")
    with pytest.raises(AtlasMismatchError, match=f"{names[0]}.dat has 2 parcels.*expected 424"):
        found.recordings[0]()


def test_names_in_a_folder(tmp_path):
    for name in ("sub-02/ses-1/a b.npy", "sub-01/rest.npy", "sub-01.rest.npy", "sub-01_rest.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / name, np.ones((3, 2)))
    found = readers.list_recordings(tmp_path, "**/*.npy")
    names = found.participants["recording"].tolist()
    assert len(set(names)) == 4
    assert not [name for name in names if "/" in name or " " in name]
    assert sorted(found.participants["participant_id"]) == ["sub-01"] * 3 + ["sub-02"]
    with pytest.raises(InvalidRecordingError, match=r"holds no file \*\.1D"):
        readers.list_recordings(tmp_path, "*.1D")
    with pytest.raises(FileNotFoundError, match="gone is not a folder"):
        readers.list_recordings(tmp_path / "gone", "*.npy")


def test_zip_that_is_no_archive_of_arrays(tmp_path):
    path = tmp_path / "rest.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(InvalidRecordingError, match=r"rest\.npz: notes\.txt"):
        read_recording(path)
    content = io.BytesIO()
    np.save(content, np.ones((40, 3)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("short.npy", content.getvalue()[:-100])
    with pytest.raises(InvalidRecordingError, match=r"rest\.npz: short is not a whole array"):
        read_recording(path)


def test_arrow_needs_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.arrow").write_bytes(b"ARROW1")
    with pytest.raises(ImportError, match=r"sklearn-brainlm\[bigdata\]"):
        read_arrow(tmp_path)
