"""The front door opens fast: what importing the package and asking for help may load.

The commands of the command line are tested in test_cli.py.
"""

import subprocess
import sys

import pytest

import sklearn_brainlm

HEAVY = {"matplotlib", "nilearn", "pandas", "scipy", "skorch", "sklearn", "torch"}
LIMIT_S = 0.3


def import_times(*arguments):
    """Return {module: cumulative seconds} of a fresh interpreter run with `arguments`."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    times = {}
    for line in run.stderr.splitlines():
        _, separator, row = line.partition("import time:")
        columns = row.split("|")
        if separator and len(columns) == 3 and columns[1].strip().isdigit():
            times[columns[2].strip()] = int(columns[1]) / 1e6
    return times


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import sklearn_brainlm"), ("-m", "sklearn_brainlm.cli", "--help")],
    ids=["import", "help"],
)
def test_heavy_packages_are_not_loaded(arguments):
    loaded = {name.partition(".")[0] for name in import_times(*arguments)}
    assert "sklearn_brainlm" in loaded  # the table was read
    assert loaded.isdisjoint(HEAVY), sorted(loaded & HEAVY)


def test_import_is_fast():
    # The best of three: what else the machine does is not the package's doing.
    best = min(import_times("-c", "import sklearn_brainlm")["sklearn_brainlm"] for _ in range(3))
    assert best < LIMIT_S


def test_help_names_the_demo():
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_brainlm.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "demo" in run.stdout


@pytest.mark.parametrize("name", sklearn_brainlm.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(sklearn_brainlm)
    assert getattr(sklearn_brainlm, name) is not None


def test_lazy_names_are_the_public_ones():
    assert set(sklearn_brainlm._LAZY_NAMES) <= set(sklearn_brainlm.__all__)
    assert len(sklearn_brainlm.__all__) == len(set(sklearn_brainlm.__all__))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'BrainLMTransfomer'"):
        sklearn_brainlm.BrainLMTransfomer  # noqa: B018  (looking it up is the test)
