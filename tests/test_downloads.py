"""Single files, from a server on this machine that damages them: the right bytes, or nothing.

Not here: files of the Hugging Face hub (test_hub.py). No test reaches the network.
"""

import os
import socket

import pytest
from file_server import WEIGHTS, running_server, sha256

from sklearn_brainlm import hub
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.hub import download


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(hub, "_WAIT_S", 0.0)
    with running_server() as server:
        yield server


@pytest.mark.parametrize(
    "answers",
    [[], ["drop"], ["truncate"], ["flip"], ["refuse"], ["no length"], [503, 429, "drop"]],
    ids=str,
)
def test_download_gets_the_file(server, tmp_path, answers):
    server.faults["/atlas.nii"] = list(answers)
    path = tmp_path / "deep" / "atlas.nii"
    assert download(server.url + "/atlas.nii", str(path), sha256=sha256(WEIGHTS).upper()) == path
    assert path.read_bytes() == WEIGHTS
    assert os.listdir(path.parent) == ["atlas.nii"]
    assert len(server.log) == max(1, len(answers) + (answers != ["no length"] and answers != []))
    server.log.clear()
    download(server.url + "/atlas.nii", path, sha256=sha256(WEIGHTS))
    assert not server.log  # what is there and right is not downloaded again


@pytest.mark.parametrize(
    ("answers", "n_requests", "error", "words"),
    [
        (["drop"] * 4, 4, ConnectionError, "384000 of 768000 bytes came"),
        (["refuse"] * 4, 4, ConnectionError, "could not be downloaded"),
        ([503] * 4, 4, ConnectionError, "503"),
        ([404], 1, ConnectionError, "404"),
        (["flip", "flip"], 2, CheckpointError, "SHA-256"),  # the same twice is another file
        (["flip", "flip elsewhere"] * 2, 4, CheckpointError, "SHA-256"),
    ],
)
@pytest.mark.parametrize("old", [None, b"old"])
def test_download_leaves_things_as_they_are(
    server, tmp_path, answers, n_requests, error, words, old
):
    server.faults["/atlas.nii"] = list(answers)
    path = tmp_path / "atlas.nii"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error, match=words) as caught:
        download(server.url + "/atlas.nii", path, sha256=sha256(WEIGHTS))
    assert type(caught.value) is error
    for part in (server.url + "/atlas.nii", str(path), sha256(WEIGHTS)):
        assert part in str(caught.value)
    assert len(server.log) == n_requests
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if old is None else [old])


def test_download_waits_no_longer_than_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(ConnectionError, match="timed out"):
            download(url, tmp_path / "a", sha256="0" * 64, timeout=0.1, retries=0)


def test_download_stops_where_no_end_is_announced(server, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_MAX_BYTES", 1000)
    server.faults["/atlas.nii"] = ["no length"]
    with pytest.raises(ConnectionError, match="more than 1000 bytes"):
        download(server.url + "/atlas.nii", tmp_path / "a", sha256=sha256(WEIGHTS), retries=0)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "/etc/hostname"])
def test_download_takes_only_the_web(tmp_path, url):
    with pytest.raises(ValueError, match="not an address of http"):
        download(url, tmp_path / "a", sha256="0" * 64)
    with pytest.raises(ValueError, match="no SHA-256"):
        download("https://127.0.0.1/a", tmp_path / "a", sha256=None)


def test_download_says_when_the_disk_is_the_matter(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        download(server.url + "/atlas.nii", tmp_path / "file" / "a", sha256=sha256(WEIGHTS))
    assert not server.log
