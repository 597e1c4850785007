"""Damage to a store: whatever changes in its folder is found.

Not here: what reading and building do with a sound store.
"""

import os
import shutil

import numpy as np
import pytest

from sklearn_brainlm.exceptions import DataQualityWarning, StoreCorruptionError
from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store
from sklearn_brainlm.store_checks import StoreFinding, verify_store

FILES = ["manifest.json", "recordings.tsv", "participants.tsv", "parcels.tsv", "quarantine.tsv"]
FILES += ["shards/00000.npy", "shards/00001.npy", "scales/00000.npy", "scales/00001.npy"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the folder of a tiny store of two shards and a quarantine."""
    rng = np.random.default_rng(0)
    recordings = [rng.normal(size=(n, 2)) for n in (6, 5, 7)] + [np.full((4, 2), np.nan)]
    folder = tmp_path_factory.mktemp("stores") / "sound"
    with pytest.warns(DataQualityWarning, match="not stored"):
        build_store(
            folder, recordings, parcels={"label": ["a", "b"]}, dtype="int16", shard_bytes=50
        )
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    """Return a copy that may be damaged."""
    return shutil.copytree(sound, tmp_path / "store")


def test_a_sound_store_has_no_findings(sound):
    assert sorted(FILES) == sorted(
        path.relative_to(sound).as_posix() for path in sound.rglob("*") if path.is_file()
    )
    store = RecordingStore(sound)
    assert store.verify() == [] and store[:1].verify() == []


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_of_every_file_is_found(folder, name):
    path = folder / name
    content = path.read_bytes()
    with open(path, "r+b") as file:
        for position, byte in enumerate(content):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position)
            # The checksum of a recording covers its scales too.
            found = {finding.file.replace("scales", "shards") for finding in verify_store(folder)}
            assert name.replace("scales", "shards") in found, position
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert verify_store(folder) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["delete", "empty", "shorten", "lengthen", "folder"])
def test_files_that_are_not_whole_are_found_and_refused(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "delete":
        path.write_bytes(
            {"empty": b"", "shorten": content[:-1], "lengthen": content + b"\n"}[damage]
        )
    assert name in {finding.file for finding in verify_store(folder)}
    with pytest.raises(StoreCorruptionError, match=os.path.basename(name)):
        RecordingStore(folder)


@pytest.mark.parametrize("name", FILES[:4])
def test_a_changed_table_is_refused_when_a_store_is_opened(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3] + b"x" + content[-2:])
    with pytest.raises(StoreCorruptionError, match=name):
        RecordingStore(folder)


def test_a_changed_header_is_refused_when_a_recording_is_read(folder):
    store = RecordingStore(folder)
    with open(folder / "shards/00001.npy", "r+b") as file:
        os.pwrite(file.fileno(), file.read(128).replace(b"<i2", b">i2"), 0)
    store[0]
    with pytest.raises(StoreCorruptionError, match=r"header of .*00001.npy"):
        store[2]
    assert [finding.kind for finding in store.verify()] == ["header"]


def test_a_finding_names_the_recording(folder):
    with open(folder / "shards/00000.npy", "r+b") as file:
        os.pwrite(file.fileno(), b"!", 128 + 7 * 4)  # timepoint 1 of the second recording
    (finding,) = verify_store(folder)
    assert isinstance(finding, StoreFinding)
    assert (finding.file, finding.recording) == ("shards/00000.npy", "recording-000001")
    assert finding.kind == "changed" and "CRC-32" in finding.text
    with open(folder / "scales/00001.npy", "r+b") as file:
        os.pwrite(file.fileno(), b"!", 140)
    assert {finding.recording for finding in verify_store(folder)} == {
        "recording-000001",
        "recording-000002",
    }


@pytest.mark.parametrize("name", ["notes.txt", "shards/00002.npy", "more/a.npy", ".hidden"])
def test_files_of_others_are_found(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    found = [finding.file for finding in verify_store(folder) if finding.kind == "unlisted"]
    assert name in found


def test_two_shards_that_were_exchanged_are_found(tmp_path):
    rng = np.random.default_rng(0)
    build_store(tmp_path / "store", list(rng.normal(size=(2, 6, 2))), shard_bytes=50)
    shards = tmp_path / "store" / "shards"
    os.rename(shards / "00000.npy", tmp_path / "first")
    os.rename(shards / "00001.npy", shards / "00000.npy")
    os.rename(tmp_path / "first", shards / "00001.npy")
    assert len(verify_store(tmp_path / "store")) == 2


def test_a_manifest_of_another_version_is_not_guessed_at(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(StoreCorruptionError, match="format version 2"):
        RecordingStore(folder)
    path.write_text('{"format": "something else"}')
    with pytest.raises(StoreCorruptionError, match="does not say"):
        RecordingStore(folder)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a folder"):
        RecordingStore(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="not a folder"):
        verify_store(tmp_path / "none")
