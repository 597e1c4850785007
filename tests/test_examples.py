"""Every example runs to its end, without a warning, and reads as a story.

`make doc` runs them all and keeps their figures. Here each runs as a reader would run it.
"""

import ast
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_brainlm.datasets import make_cohort

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("plot_*.py"))
QUICK = {"plot_01_zero_shot", "plot_12_stores"}  # under 8 CPU-seconds, the others are slow

each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@pytest.fixture
def run_example(monkeypatch, capsys):
    """Run an example as a script, beside its neighbours, and return what it printed."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delenv("BRAINLM_RECORDINGS_FOLDER", raising=False)
    backend = pyplot.get_backend()
    pyplot.switch_backend("agg")
    yield lambda path: (runpy.run_path(str(path), run_name="__main__"), capsys.readouterr().out)[1]
    pyplot.close("all")
    pyplot.switch_backend(backend)
    sys.modules.pop("_recordings", None)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem in QUICK else pytest.mark.slow, id=path.stem)
        for path in EXAMPLES
    ],
)
def test_example_runs(path, run_example):
    assert run_example(path)


def test_numbers_give_the_reading_order():
    numbers = [int(re.match(r"plot_(\d\d)_", path.stem)[1]) for path in EXAMPLES]
    assert numbers == list(range(1, len(EXAMPLES) + 1))


@each
def test_example_has_a_title_and_sections(path):
    text = path.read_text(encoding="utf-8")
    title, line = ast.get_docstring(ast.parse(text)).splitlines()[:2]
    assert line == "=" * len(title)
    sections = re.findall(r"^# %%\n# (.+)\n# (-+)$", text, flags=re.M)
    assert len(sections) >= 3
    assert all(len(name) == len(line) for name, line in sections)
    if path.stem != "plot_01_zero_shot":  # of use before there is anything to conclude
        assert sections[-1][0] == "What to take away"


@each
def test_what_simple_methods_win_is_computed(path):
    """No sentence on who wins stands there whatever comes out: it is under a condition."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Expr):
            assert "wins" not in ast.unparse(node)


@pytest.fixture
def recordings_module(monkeypatch):
    """Return the module that the examples take their recordings from."""
    monkeypatch.syspath_prepend(FOLDER)
    yield __import__("_recordings")
    sys.modules.pop("_recordings", None)


def test_recordings_of_a_folder(tmp_path, monkeypatch, recordings_module):
    cohort = make_cohort(n_subjects=6, n_timepoints=50, atlas=12)
    lines = ["participant_id\trecording\tage\tsex\ttr_s"]
    for number, recording in enumerate(cohort.recordings):
        np.save(tmp_path / f"{number}.npy", recording)
        age = "n/a" if number == 2 else f"{cohort.age[number]:.1f}"
        lines.append(f"s{number}\t{number}.npy\t{age}\t{'FM'[number % 2]}\t{1 + number % 2}")
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")
    rows = [f"{index}\tparcel {index}" for index in range(12)]
    (tmp_path / "parcels.tsv").write_text("\n".join(["index\tlabel", *rows]) + "\n")
    monkeypatch.setenv("BRAINLM_RECORDINGS_FOLDER", str(tmp_path))
    opened = recordings_module.open_recordings(4, 30, needs=["age", "group", "t_r"])
    assert len(opened.recordings) == len(opened.age) == len(set(opened.subjects)) == 4
    assert "s2" not in opened.subjects  # nobody knows the age
    assert all(recording.shape[1] == 12 and len(recording) <= 30 for recording in opened.recordings)
    np.testing.assert_allclose([x.std(axis=0) for x in opened.recordings], 1, rtol=1e-4)
    for subject, sex in zip(opened.subjects, opened.group, strict=True):
        assert sex == "FM"[int(subject[1:]) % 2]
    with pytest.raises(SystemExit, match="needs parcel_coords, which"):
        recordings_module.open_recordings(4, 30, needs=["parcel_coords"])


def test_recordings_are_simulated_without_a_folder(monkeypatch, recordings_module):
    monkeypatch.delenv("BRAINLM_RECORDINGS_FOLDER", raising=False)
    opened = recordings_module.open_recordings(3, 40, n_parcels=12, needs=["age", "group"])
    truth = make_cohort(3, 40, atlas=12)
    for found, simulated in zip(opened.recordings, truth.recordings, strict=True):
        np.testing.assert_array_equal(found, simulated)
    assert list(opened.group == "task") == list(truth.task)
