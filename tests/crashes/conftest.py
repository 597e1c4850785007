"""Workers, small disks and folders that are closed; and a table of how often what was killed.

CRASH_KILLS is how often each is killed: 50, unless it says otherwise.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from crashes import killing

FOLDER = Path(__file__).resolve().parent
KINDS = ("kills", "inside a write", "recovered")


def pytest_collection_modifyitems(items):
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    if killing.tally:
        terminalreporter.section("crashes")
        for name, counts in sorted(killing.tally.items()):
            said = ", ".join(f"{kind}: {n}" for kind, n in counts.items())
            terminalreporter.write_line(f"{name}: {said}")


@pytest.fixture
def start():
    """Return a function that starts a worker; those that still live are killed in the end."""
    started = []
    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
        patch.setenv("PYTHONPATH", path)
        patch.setenv("OMP_NUM_THREADS", "1")

        def begin(*args, **kwargs):
            started.append(killing.Worker(*args, **kwargs))
            return started[-1]

        yield begin
    for worker in started:
        worker.kill()


@pytest.fixture
def disk(tmp_path):
    """Return a disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot run here: no file system may be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def open_folder():
    """Return a folder that anybody may write to, until `killing.close_folder` closes it."""
    parent = Path(tempfile.mkdtemp())
    parent.chmod(0o755)
    folder = parent / "folder"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    killing.open_again(folder)
    shutil.rmtree(parent)
