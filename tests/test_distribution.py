"""What users install: wheel and sdist, their size and contents, and the main job from the wheel."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_BYTES = 2_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build wheel and sdist from a copy of the tree, as setuptools leaves files beside it."""
    folder = tmp_path_factory.mktemp("build")
    tree = folder / "tree"
    kept = ["README.md", "LICENSE", "pyproject.toml", "setup.cfg", "sklearn_brainlm"]
    tree.mkdir()
    for name in kept:
        subprocess.run(["cp", "-r", ROOT / name, tree / name], check=True)
    # The first build writes over sys.argv.
    setup = "from setuptools import build_meta as b; import sys; _, folder = sys.argv; "
    setup += "b.build_wheel(folder); b.build_sdist(folder)"
    run = subprocess.run(
        [sys.executable, "-c", setup, folder], cwd=tree, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Install the wheel into a folder of its own, without what it depends on."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", folder, built[0]], check=True)
    return folder


def run_installed(installed, *arguments, cwd, timeout=300):
    """Run Python with the installed wheel, and without the tree of this repository."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def test_the_wheel_is_small_and_holds_the_package_only(built):
    wheel, _ = built
    assert wheel.stat().st_size < MAX_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "sklearn_brainlm", "brainmarks",
    }  # fmt: skip
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "sklearn_brainlm").rglob("*.py")}
    plug_in = "sklearn_brainlm/integrations/brainmarks/"
    missing = {name for name in ours - set(names) if not name.startswith(plug_in)}
    assert not missing
    assert "sklearn_brainlm/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_builds_the_same_package(built):
    _, sdist = built
    assert sdist.stat().st_size < MAX_BYTES
    names = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert {"pyproject.toml", "setup.cfg", "README.md", "LICENSE"} <= names
    assert "sklearn_brainlm/transformer.py" in names


def test_the_main_job_runs_from_the_wheel(installed, tmp_path):
    where = "import sklearn_brainlm; print(sklearn_brainlm.__file__)"
    found = run_installed(installed, "-c", where, cwd=tmp_path)
    assert Path(found.stdout.strip()).is_relative_to(installed), found.stderr
    demo = run_installed(installed, "-m", "sklearn_brainlm.cli", "demo", cwd=tmp_path)
    assert demo.returncode == 0, demo.stderr[-2000:]
    assert "BrainLM" in demo.stdout
    assert list(tmp_path.rglob("*.png"))
