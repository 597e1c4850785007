"""Rows 112 to 116: networks that cut off, damage and are not there; clocks; homes that are full.

No test reaches the network: a server on this machine does what is asked of it.
"""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from file_server import COMMIT, CONFIG, WEIGHTS, running_server, sha256
from skorch.callbacks import Callback
from training_run import make_model, make_recordings, names

import sklearn_brainlm
from faults.conftest import listing
from sklearn_brainlm import hub
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.hub import DownloadError, download, fetch

WEIGHTS_URL = f"/owner/name/resolve/{COMMIT}/old_13M/model.safetensors"


@pytest.fixture
def server(monkeypatch):
    """Return a server, and clients that do not wait between attempts."""
    from huggingface_hub import constants, file_download

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    waits = []
    monkeypatch.setattr(file_download.time, "sleep", waits.append)
    with running_server() as server:
        server.waits = waits
        yield server


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Return a function that fetches weights into an empty cache."""
    monkeypatch.setenv("BRAINLM_HOME", str(tmp_path / "home"))

    def get(names=("config.json", "model.safetensors"), **options):
        where = {"subfolder": "old_13M", "endpoint": server.url}
        return fetch("owner/name", list(names), **where | options)

    return get


def cached(tmp_path):
    """Return the contents of all files that the cache keeps."""
    return {p.read_bytes() for p in (tmp_path / "home").rglob("blobs/*") if p.is_file()}


# --- network -------------------------------------------------------------------------------------


@pytest.mark.fault(112, "network cut in a download", "tried again; then DownloadError with a hint")
@pytest.mark.parametrize("fault", ["drop", "refuse"])
def test_fault_112_hub(server, get, tmp_path, observe, fault):
    server.faults[WEIGHTS_URL] = [fault]
    assert (get() / "model.safetensors").read_bytes() == WEIGHTS
    shutil.rmtree(tmp_path / "home")
    server.faults[WEIGHTS_URL] = [fault] * 40
    with observe.raises(DownloadError, match="old_13M/model.safetensors of owner/name") as caught:
        get()
    assert isinstance(caught.value, ConnectionError) and isinstance(caught.value, CheckpointError)
    assert "HF_HUB_OFFLINE=1" in str(caught.value) and "pass a folder" in str(caught.value)
    assert cached(tmp_path) == {CONFIG}  # no part of it is taken for the file


@pytest.mark.fault(112, "network cut in a download of a file", "backoff; then ConnectionError")
def test_fault_112_file(server, tmp_path, monkeypatch, observe):
    waits = []
    monkeypatch.setattr(hub.time, "sleep", waits.append)
    given = {"sha256": sha256(WEIGHTS)}
    server.faults["/atlas.nii"] = ["drop", 503]
    path = download(server.url + "/atlas.nii", tmp_path / "atlas.nii", **given)
    assert path.read_bytes() == WEIGHTS
    assert len(waits) == 2 and waits[1] == 2 * waits[0] > 0
    path.unlink()
    server.faults["/atlas.nii"] = ["drop"] * 4
    with observe.leaves(tmp_path), observe.raises(ConnectionError, match="of 768000 bytes came"):
        download(server.url + "/atlas.nii", path, **given)
    server.faults["/atlas.nii"] = ["drop"] * 4
    with pytest.raises(ConnectionError, match="Check the connection .* or get the file elsewhere"):
        download(server.url + "/atlas.nii", path, **given)


@pytest.mark.fault(113, "download damaged on the way", "SHA-256 compared, once more, then refused")
def test_fault_113_damaged(server, get, tmp_path, observe):
    hashes = {"model.safetensors": sha256(WEIGHTS)}
    server.faults[WEIGHTS_URL] = ["flip"]
    assert (get(sha256=hashes) / "model.safetensors").read_bytes() == WEIGHTS
    assert server.log.count(("GET", WEIGHTS_URL)) == 2
    assert cached(tmp_path) == {CONFIG, WEIGHTS}
    shutil.rmtree(tmp_path / "home")
    server.faults[WEIGHTS_URL] = ["flip", "flip"]
    with observe.raises(CheckpointError, match=f"second download.*expected {sha256(WEIGHTS)}"):
        get(sha256=hashes)
    assert cached(tmp_path) == {CONFIG}


@pytest.mark.fault(113, "damaged, no SHA-256 was given", "that which the hub states is compared")
def test_fault_113_stated(server, get, tmp_path, observe):
    server.faults[WEIGHTS_URL] = ["flip", "flip"]
    with observe.raises(CheckpointError, match="is not the file it should be"):
        get()
    assert cached(tmp_path) == {CONFIG}
    assert (get() / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.fault(114, "offline", "from the cache; else DownloadError: weights download")
def test_fault_114_offline(server, get, monkeypatch, observe):
    """Decided: the command is `sklearn-brainlm weights download`."""
    folder = get()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = len(server.log)
    assert get() == folder
    words = (
        r"not in the cache.*run `sklearn-brainlm weights download owner/name --subfolder old_13M"
    )
    with observe.raises(DownloadError, match=words):
        get(["other.bin"])
    assert len(server.log) == before


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.fault(115, "clock jumps while training", "checkpoints come by the monotonic clock")
@pytest.mark.parametrize("jump", [-3e8, 3e8])
def test_fault_115_clock_jumps(tmp_path, monkeypatch, observe, jump):
    class Jump(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            monkeypatch.setattr(time, "time", lambda: true_time() + jump)

    true_time = time.time
    saving = {"callbacks": [Jump()], "callbacks__checkpoint__every_seconds": 300}
    model = make_model(tmp_path, net_params=saving).fit(make_recordings())
    monkeypatch.undo()
    assert names(tmp_path) == ["step-16-end"]  # five minutes have not passed
    assert len(model.history_) == 4
    observe("no checkpoint too many, none too few")


@pytest.mark.fault(115, "weights written anew at the same time", "read anew: time is not all")
def test_fault_115_time_of_files(tmp_path, observe):
    from sklearn_brainlm import BrainLMTransformer

    made = [make_model(max_epochs=1, random_state=seed) for seed in (0, 1)]
    X = make_recordings()
    features = []
    for model in made:
        model.fit(X).set_params(net_params=None).save_pretrained(tmp_path / "weights")
        for path in (tmp_path / "weights").iterdir():
            os.utime(path, (1e9, 1e9))
        user = BrainLMTransformer(weights=tmp_path / "weights", max_epochs=0).fit(X)
        features.append(user.transform(X))
    assert abs(features[0] - features[1]).max() > 1e-3
    observe("the new weights are used")


@pytest.mark.fault(115, "logic on the time of day", "none: durations are monotonic")
def test_fault_115_static(observe):
    found = []
    for path in Path(sklearn_brainlm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                text = ast.unparse(node)
                ordered = any(
                    isinstance(op, ast.Lt | ast.Gt | ast.LtE | ast.GtE) for op in node.ops
                )
                if ordered and any(word in text for word in ("mtime", "time.time", "utcnow")):
                    found.append(f"{path.name}: {text}")
    observe(f"compared: {found or 'no time of day, no time of a file'}")
    assert not found


# --- homes ---------------------------------------------------------------------------------------

NOBODY = """
import os, sys
from sklearn_brainlm.hub import fetch
given = {"subfolder": "old_13M", "endpoint": sys.argv[1]}
fetch("owner/name", ["config.json", "model.safetensors"], **given)  # all is imported
os.environ["BRAINLM_HOME"] = sys.argv[2]
os.setgid(65534); os.setuid(65534)
try:
    print(fetch("owner/name", ["config.json", "model.safetensors"], **given))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.fault(116, "cache that is read-only", "PermissionError naming BRAINLM_HOME")
def test_fault_116_read_only(server, tmp_path, observe):
    if os.geteuid():
        pytest.skip("cannot run here: only root may become somebody else")
    home = Path("/tmp") / f"fault-116-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        environment = {**os.environ, "BRAINLM_HOME": str(tmp_path / "elsewhere")}
        environment |= {"no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment["HF_HOME"] = str(home)  # where the client looks for who one is
        run = [sys.executable, "-c", NOBODY, server.url, str(home)]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)
        observe(done.stdout.strip()[:80])
        assert done.stdout.startswith("PermissionError "), done.stdout + done.stderr
        assert f"{home}/hub" in done.stdout and "Set BRAINLM_HOME" in done.stdout
        assert listing(home) == {}
        # What is there already can be used by those who may not write.
        shutil.copytree(tmp_path / "elsewhere", home, dirs_exist_ok=True, symlinks=True)
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)
        assert done.stdout.startswith(f"{home}/hub/"), done.stdout + done.stderr
    finally:
        shutil.rmtree(home)


@pytest.mark.fault(116, "BRAINLM_HOME", "what is downloaded goes there, and is found there")
def test_fault_116_brainlm_home(get, tmp_path, monkeypatch, observe):
    from sklearn_brainlm._a424 import list_folders

    assert (tmp_path / "home") in get().parents
    assert tmp_path / "home" / "a424" in list_folders()
    elsewhere = list_folders(tmp_path / "elsewhere")
    assert all(tmp_path / "home" not in folder.parents for folder in elsewhere)
    observe("weights and atlas are kept there")
