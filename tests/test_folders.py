"""A folder of recordings is read as its tables say, and refused with the file and a remedy.

Folders are written by the tests. What happens to the arrays afterwards is in test_validation.py.
"""

import numpy as np
import pytest

from sklearn_brainlm.datasets import load_recordings_folder, read_folder_tables
from sklearn_brainlm.exceptions import InvalidRecordingError

PARTICIPANTS = (
    "participant_id\trecording\tage\tsex\tgroup\tsite\tn_timepoints\ttr_s\n"
    "007\tsub-007.npy\t24.5\tF\tNone\tNYU\t30\t2.0\n"
    "008\tsub-008.npy\tn/a\tM\tpatient\tUCLA\t25\tn/a\n"
)
PARCELS = "index\tlabel\tx\ty\tz\n0\tV1\t-10\t-82\t2\n1\tM1\t-30.5\t-20\t55\n2\tACC\t0\t30\t20\n"


@pytest.fixture
def folder(tmp_path):
    """A folder of two recordings, 30 and 25 timepoints, 3 parcels."""
    rng = np.random.default_rng(0)
    (tmp_path / "participants.tsv").write_text(PARTICIPANTS)
    (tmp_path / "parcels.tsv").write_text(PARCELS)
    for name, n_timepoints in (("sub-007", 30), ("sub-008", 25)):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((n_timepoints, 3)).astype("f2"))
    return tmp_path


def test_arrays_and_tables_come_back(folder):
    loaded = load_recordings_folder(folder)
    for name, recording in zip(("sub-007", "sub-008"), loaded.recordings, strict=True):
        assert isinstance(recording, np.memmap)
        np.testing.assert_array_equal(recording, np.load(folder / f"{name}.npy"))
    assert loaded.n_parcels == 3
    np.testing.assert_array_equal(loaded.parcel_coords[1], [-30.5, -20, 55])
    np.testing.assert_array_equal(loaded.t_r, [2.0, np.nan])
    np.testing.assert_array_equal(loaded.participants["age"], [24.5, np.nan])
    assert list(loaded.parcels["label"]) == ["V1", "M1", "ACC"]


def test_names_stay_text_and_none_is_a_name(folder):
    participants = load_recordings_folder(folder).participants
    assert list(participants["participant_id"]) == ["007", "008"]
    assert participants["group"][0] == "None"


def test_missing_coordinates_and_t_r(folder):
    (folder / "parcels.tsv").write_text(PARCELS.replace("-82", "n/a"))
    (folder / "participants.tsv").write_text(PARTICIPANTS.replace("tr_s", "other"))
    loaded = load_recordings_folder(folder)
    assert loaded.parcel_coords is None
    assert np.isnan(loaded.t_r).all()
    (folder / "parcels.tsv").write_text("index\tlabel\n0\ta\n1\tb\n2\tc\n")
    assert load_recordings_folder(folder).parcel_coords is None


def test_one_atlas_of_several(folder):
    table = "participant_id\trecording\tatlas\na\tsub-007.npy\tsmall\nb\tother.npy\tlarge\n"
    (folder / "participants.tsv").write_text(table)
    (folder / "parcels_small.tsv").write_text(PARCELS)
    loaded = load_recordings_folder(folder, atlas="small")
    assert list(loaded.participants["participant_id"]) == ["a"]
    with pytest.raises(InvalidRecordingError, match=r"Pass atlas=, one of \['large', 'small'\]"):
        load_recordings_folder(folder)
    with pytest.raises(InvalidRecordingError, match=r"no recording of atlas 'medium'"):
        load_recordings_folder(folder, atlas="medium")
    with pytest.raises(InvalidRecordingError, match="is not a name"):
        load_recordings_folder(folder, atlas="../small")


def test_atlas_asked_of_a_folder_without(folder):
    with pytest.raises(InvalidRecordingError, match="no column 'atlas'"):
        load_recordings_folder(folder, atlas="small")


@pytest.mark.parametrize(
    "name", ["../sub-007.npy", ".hidden.npy", "a/b.npy", "a\\b.npy", "n/a", "/x.npy"]
)
def test_recording_names_stay_in_the_folder(folder, name):
    (folder / "participants.tsv").write_text(PARTICIPANTS.replace("sub-007.npy", name))
    with pytest.raises(InvalidRecordingError, match=r"participants\.tsv.*no\s+separators"):
        load_recordings_folder(folder)


def test_other_files_are_for_readers_and_stores(folder):
    table = PARTICIPANTS.replace("sub-007.npy", "sub-007.txt")
    (folder / "participants.tsv").write_text(table)
    with pytest.raises(InvalidRecordingError, match=r"'sub-007.txt' of 007 .*readers.*store"):
        load_recordings_folder(folder)
    participants, parcels = read_folder_tables(folder)
    assert "sub-007.txt" in set(participants["recording"])
    assert len(parcels)
    (folder / "participants.tsv").write_text(table.replace("sub-007.txt", "../sub-007.txt"))
    with pytest.raises(InvalidRecordingError, match="no separators"):
        read_folder_tables(folder)


@pytest.mark.parametrize("name", ["participants.tsv", "parcels.tsv", "sub-008.npy"])
def test_missing_files_are_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_recordings_folder(folder)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not a folder.*participants\.tsv"):
        load_recordings_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("participants.tsv", "recording", "file", r"no column \['recording'\]"),
        ("participants.tsv", "\t30\t", "\t31\t", r"sub-007\.npy has 30 timepoints.*says 31"),
        ("participants.tsv", "2.0", "2000", r"tr_s of 007 is 2000.*milliseconds"),
        ("participants.tsv", "2.0", "two", r"tr_s must be numbers"),
        ("parcels.tsv", "\n2\t", "\n3\t", r"parcels\.tsv: column 'index'"),
        ("parcels.tsv", "-82", "left", r"parcels\.tsv: columns x, y, z"),
        ("parcels.tsv", "\n2\tACC\t0\t30\t20", "", r"has shape \(30, 3\).*lists 2 parcels"),
    ],
)
def test_contradictions_name_the_file(folder, name, old, new, message):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    with pytest.raises(InvalidRecordingError, match=message):
        load_recordings_folder(folder)


def test_table_without_rows(folder):
    (folder / "participants.tsv").write_text(PARTICIPANTS.partition("\n")[0] + "\n")
    with pytest.raises(InvalidRecordingError, match=r"participants\.tsv has no rows"):
        load_recordings_folder(folder)


def test_table_that_is_no_text(folder):
    (folder / "parcels.tsv").write_bytes(b"\xff\xfe\x00index")
    with pytest.raises(InvalidRecordingError, match=r"parcels\.tsv cannot be read"):
        load_recordings_folder(folder)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 30)), "looks transposed"),
        (np.zeros(30), r"has shape \(30,\)"),
        (np.array([{"a": 1}], dtype=object), "cannot be opened"),
    ],
)
def test_wrong_arrays_are_refused(folder, array, message):
    np.save(folder / "sub-007.npy", array)
    with pytest.raises(InvalidRecordingError, match=message) as caught:
        load_recordings_folder(folder)
    assert "sub-007.npy" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_truncated_file(folder):
    (folder / "sub-007.npy").write_bytes((folder / "sub-007.npy").read_bytes()[:100])
    with pytest.raises(InvalidRecordingError, match=r"sub-007\.npy cannot be opened"):
        load_recordings_folder(folder)
