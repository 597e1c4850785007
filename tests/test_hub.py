"""Files of the hub, from a server on this machine that damages them: only the right bytes.

Not here: single files from elsewhere (test_downloads.py), and which files the released weights
need (test_official.py). No test but the last one reaches the network.
"""

import os
import socket
import subprocess
import sys

import pytest
from file_server import COMMIT, CONFIG, WEIGHTS, running_server, sha256

from sklearn_brainlm.catalogue import list_weights
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.hub import fetch

LICENCE = "CC BY-NC-ND 4.0"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_server() as server:
        yield server


@pytest.fixture
def repository(server, tmp_path, monkeypatch):
    """Point the client of the hub to the server, with an empty cache."""
    from huggingface_hub import constants, file_download

    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)

    def get(names=("config.json", "model.safetensors"), **options):
        return fetch(
            "owner/name", names, **{"subfolder": "old_13M", "endpoint": server.url, **options}
        )

    get.server, get.cache = server, cache
    get.weights = f"/owner/name/resolve/{COMMIT}/old_13M/model.safetensors"
    return get


def cached(repository):
    """Return the contents of all files in the cache."""
    blobs = repository.cache / "models--owner--name" / "blobs"
    return {path.read_bytes() for path in blobs.iterdir()} if blobs.exists() else set()


def test_fetch_gives_a_folder_with_the_files(repository):
    hashes = {"config.json": sha256(CONFIG), "model.safetensors": sha256(WEIGHTS)}
    folder = repository(sha256=hashes)
    assert folder.name == "old_13M" and folder.parent.name == COMMIT
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    # The second file is of the commit of the first one, whatever happens to the branch.
    assert ("GET", repository.weights) in repository.server.log
    before = len(repository.server.log)
    assert repository(revision=COMMIT, sha256=hashes) == folder
    assert len(repository.server.log) == before  # a commit that is there is not asked for


def test_fetch_of_files_in_other_places(repository):
    root = f"/owner/name/resolve/{COMMIT}/"
    repository.server.files |= {root + "a.json": CONFIG, root + "x/y/z/b.json": CONFIG}
    assert repository("a.json", subfolder=None, revision=COMMIT).name == COMMIT
    assert repository(["z/b.json"], subfolder="x/y", revision=COMMIT).parts[-3:] == (
        COMMIT,
        "x",
        "y",
    )
    assert repository("config.json", sha256=sha256(CONFIG)).name == "old_13M"


@pytest.mark.parametrize("fault", ["drop", "refuse", "no length"])
def test_fetch_gets_over_a_connection_that_breaks(repository, fault):
    repository.server.faults[repository.weights] = [fault]
    assert (repository() / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("known", [True, False])
def test_fetch_downloads_again_what_was_damaged_on_the_way(repository, known):
    # The client takes the flipped byte. Without a SHA-256, the one that the hub states is used.
    hashes = {"model.safetensors": sha256(WEIGHTS)} if known else None
    repository.server.faults[repository.weights] = ["flip"]
    assert (repository(sha256=hashes) / "model.safetensors").read_bytes() == WEIGHTS
    assert cached(repository) == {CONFIG, WEIGHTS}


def test_fetch_never_returns_what_stays_damaged(repository):
    repository.server.faults[repository.weights] = ["flip", "flip"]
    with pytest.raises(CheckpointError, match=rf"second download.*expected {sha256(WEIGHTS)}"):
        repository(sha256={"model.safetensors": sha256(WEIGHTS)})
    assert cached(repository) == {CONFIG}  # nor leaves it for the next one
    assert (repository() / "model.safetensors").read_bytes() == WEIGHTS


def test_fetch_refuses_another_file_than_was_asked_for(repository):
    with pytest.raises(CheckpointError, match=f"is {sha256(WEIGHTS)}, expected {'0' * 64}"):
        repository(sha256={"model.safetensors": "0" * 64})


def test_fetch_replaces_a_cached_file_that_was_damaged(repository):
    hashes = {"model.safetensors": sha256(WEIGHTS)}
    path = (repository() / "model.safetensors").resolve()
    path.write_bytes(WEIGHTS[:-1] + b"\0")
    folder = repository(revision=COMMIT, sha256=hashes)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("answers", [["truncate", "truncate"], ["drop"] * 9, [500] * 20])
def test_fetch_of_what_does_not_arrive(repository, answers):
    repository.server.faults[repository.weights] = answers
    with pytest.raises(CheckpointError, match=r"old_13M/model\.safetensors of owner/name on the"):
        repository()
    assert cached(repository) == {CONFIG}


def test_fetch_says_what_is_not_there(repository):
    with pytest.raises(CheckpointError, match="old_13M/other.bin of owner/name.*no such file"):
        repository(["other.bin"])
    with pytest.raises(CheckpointError, match=r"\(revision v9\) does not exist.*no such revision"):
        repository(revision="v9")
    with pytest.raises(ValueError, match="is no valid name"):
        fetch("owner/a--b", ["a.bin"], endpoint=repository.server.url)
    with pytest.raises(CheckpointError, match="a.bin of other/name.*no such repository"):
        fetch("other/name", ["a.bin"], endpoint=repository.server.url)


def test_fetch_without_a_connection(repository):
    folder = repository()
    repository.server.shutdown()
    repository.server.server_close()
    assert repository(["config.json"]) == folder
    with pytest.raises(CheckpointError, match="not in the cache, and the hub cannot be reached"):
        repository(["other.bin"])


@pytest.mark.parametrize("said", ["environment", "client"])
def test_fetch_offline(repository, monkeypatch, said):
    from huggingface_hub import constants

    hashes = {"model.safetensors": sha256(WEIGHTS)}
    folder = repository()
    before = len(repository.server.log)
    if said == "client":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert repository(sha256=hashes) == folder
    assert repository(revision=COMMIT) == folder
    with pytest.raises(CheckpointError, match="other.bin.*not in the cache, and HF_HUB_OFFLINE"):
        repository(["other.bin"])
    (folder / "model.safetensors").resolve().write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not the file.*Allow the net"):
        repository(sha256=hashes)
    assert len(repository.server.log) == before


def test_fetch_in_a_fresh_program_that_is_offline(repository):
    folder = repository()
    program = (
        "from sklearn_brainlm.hub import fetch\n"
        "print(fetch('owner/name', ['config.json'], subfolder='old_13M'))\n"
        "fetch('owner/name', ['config.json'], subfolder='new')\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(repository.cache)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == str(folder)
    assert run.returncode == 1
    assert "DownloadError: new/config.json of owner/name" in run.stderr
    assert "HF_HUB_OFFLINE is set" in run.stderr


def test_licence_is_printed_at_the_first_download_only(repository, capsys):
    with pytest.raises(CheckpointError):
        repository(["other.bin"], licence=LICENCE)
    assert LICENCE not in capsys.readouterr().err  # nothing was downloaded
    repository(licence=LICENCE)
    captured = capsys.readouterr()
    assert captured.err.count(f"owner/name on the Hugging Face hub: {LICENCE}") == 1
    assert captured.out == ""
    repository(licence=LICENCE)
    assert LICENCE not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["../../up.bin", "/etc/passwd", "a//b", "a\\..\\b", "a\0", "", "."]
)
def test_fetch_takes_no_names_that_lead_elsewhere(repository, name):
    for options in ({"names": [name]}, {"subfolder": name}):
        with pytest.raises(ValueError, match="is not the name of a file"):
            repository(**options)
    with pytest.raises(ValueError, match="named owner/name"):
        fetch(name, ["config.json"])
    assert not repository.server.log and not repository.cache.exists()


def test_fetch_of_nothing_and_with_no_sha256(repository):
    with pytest.raises(ValueError, match="No file of owner/name"):
        repository([])
    with pytest.raises(ValueError, match="'main' is no SHA-256"):
        repository(sha256={"config.json": "main"})


@pytest.mark.network
def test_the_released_weights_are_where_they_are_said_to_be(tmp_path, monkeypatch):
    """Needs the real hub; every other test here talks to a server of its own."""
    try:
        socket.create_connection(("huggingface.co", 443), timeout=3).close()
    except OSError as error:
        pytest.skip(f"the Hugging Face hub cannot be reached: {error}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for known in list_weights():
        folder = fetch(known.repository, ["config.json"], subfolder=known.subfolder)
        assert (folder / "config.json").is_file()
