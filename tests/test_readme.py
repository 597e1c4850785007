"""README and documentation keep their word: code runs, commands exist, links lead somewhere.

Code runs on small simulated recordings and images, for one epoch in place of fifteen and with few
resamples, and weights that would be downloaded are a local folder. Figures and names are tested in
test_documentation.py; whether pages refer to each other rightly is seen by Sphinx, which stops at a
warning.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
import warnings
from pathlib import Path

import cloudpickle
import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import MultiNiftiLabelsMasker

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMForecaster,
    BrainLMRegressor,
    BrainLMTransformer,
)
from sklearn_brainlm.cli import _build_parser

ROOT = Path(__file__).parents[1]
MARKDOWN = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md"]
GUIDE = [*(ROOT / "doc").glob("*.rst"), *(ROOT / "doc" / "user_guide").glob("*.rst")]
PAGES = [*MARKDOWN, *sorted(page.relative_to(ROOT).as_posix() for page in GUIDE)]
QUICK = {"README.md", "doc/quickstart.rst"}  # the others are slow
# Longer than a minute; its functions have examples of their own, and gallery pages that are run.
NOT_RUN = {"doc/user_guide/attention.rst"}
N_PARCELS, N_RECORDINGS, N_TIMEPOINTS = 8, 16, 240
ONE_EPOCH = [BrainLMClassifier, BrainLMForecaster, BrainLMRegressor, BrainLMTransformer]
PROGRAMS = ("make", "python", "sklearn-brainlm", "torchrun")


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page):
    """Return the literal blocks of a page: their language ("" where none is said), their text."""
    text = read(page) + "\n"
    if page.endswith(".md"):
        fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
        text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        return fenced + [("", block) for block in re.findall(r"(?<=\n\n)((?: {4}.*\n)+)", text)]
    found = re.findall(
        r"^(?:\.\. code-block:: (\w+)|.*::)\n\n((?:(?: {3}.*)?\n)+)", text, flags=re.M
    )
    return [
        (language, "\n".join(line[3:] for line in block.splitlines())) for language, block in found
    ]


def python_of(page):
    """Return the Python of a page, block by block; what only imports goes before the others."""
    found = [block for language, block in blocks_of(page) if language == "python"]
    imports = (ast.Import, ast.ImportFrom)
    return sorted(
        found,
        key=lambda block: not all(isinstance(node, imports) for node in ast.parse(block).body),
    )


def commands_of(page):
    """Yield the commands of a page as words, and whether each is part of a sentence."""
    lines = [
        line for language, block in blocks_of(page) if not language for line in block.split("\n")
    ]
    quoted = r"``([^`]+)``" if page.endswith(".rst") else r"`([^`]+)`"
    named = re.findall(quoted, re.sub(r"^```.*?^```$", "", read(page), flags=re.M | re.S))
    for line, is_named in [*((line, False) for line in lines), *((line, True) for line in named)]:
        line = re.sub(r"^\s*(srun +|\.venv/bin/)?", "", line)
        if re.match(rf"({'|'.join(PROGRAMS)}) +\S", line):
            yield tuple(shlex.split(line, comments=True)), is_named


COMMANDS = {command: is_named for page in PAGES for command, is_named in commands_of(page)}


def commands_that_call(program):
    return [
        pytest.param(words[1:], is_named, id=" ".join(words))
        for words, is_named in sorted(COMMANDS.items())
        if words[0] == program
    ]


# --- code ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated():
    """Return recordings of parcels that share a signal, by the names that pages use."""
    rng = np.random.default_rng(0)
    age = np.linspace(20.0, 60.0, N_RECORDINGS)
    made = []
    for spread in 1 + age / 40:
        noise = rng.standard_normal((N_TIMEPOINTS + 4, N_PARCELS + 1))
        smooth = sum(noise[lag : N_TIMEPOINTS + lag] for lag in range(5))
        made.append((100 + smooth[:, :1] + spread * smooth[:, 1:]).astype(np.float32))
    subjects = np.array([f"sub-{number:02d}" for number in range(N_RECORDINGS)])
    table = pd.DataFrame({"participant_id": subjects, "recording": subjects, "age": age})
    return {
        "recordings": made,
        "new_recordings": [recording[::-1].copy() for recording in made[:3]],
        "task_recordings": made[:6],
        "rest_recordings": made[6:12],
        "who": subjects[:6],
        "subjects": subjects,
        "participant_id": subjects,
        "site": np.arange(N_RECORDINGS) % 5,
        "age": age,
        "table": table,
        "visual_parcels": [0, 1],
    }


@pytest.fixture
def given(simulated, tmp_path, monkeypatch):
    """Return what a page takes for granted, in an empty folder that holds images and weights."""
    monkeypatch.chdir(tmp_path)
    for estimator in ONE_EPOCH:
        monkeypatch.setitem(estimator.__init__.__kwdefaults__, "max_epochs", 1)
    labels = np.arange(1, N_PARCELS + 1, dtype=np.int32).reshape(2, 2, 2)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(labels, affine), "atlas.nii.gz")
    images = [
        nibabel.Nifti1Image(recording.T.reshape(2, 2, 2, -1), affine)
        for recording in simulated["recordings"]
    ]
    model = BrainLMTransformer(t_r=2.0, random_state=0).fit(simulated["recordings"])
    model.save_pretrained("weights")
    made = {"images": images, "new_images": images[:2], "model": model}
    return {**simulated, **made, "masker": MultiNiftiLabelsMasker(labels_img="atlas.nii.gz")}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page in QUICK else pytest.mark.slow)
        for page in PAGES
        if python_of(page) and page not in NOT_RUN
    ],
)
def test_code_runs(page, given, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    # A module of its own, so that what a page defines can be pickled, for workers too.
    module = types.ModuleType("code_of_a_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cloudpickle.register_pickle_by_value(module)
    vars(module).update(given)
    with warnings.catch_warnings():
        # Of so few recordings, and of simple methods that win. Deprecations are still errors.
        warnings.simplefilter("ignore", UserWarning)
        # Of a default of nilearn's own; goes with nilearn 0.15.
        warnings.filterwarnings("ignore", "boolean values for 'standardize'", FutureWarning)
        for number, block in enumerate(python_of(page)):
            code = re.sub(r'"(brainlm-13M|path/to/weights)"', '"weights"', block)
            code = re.sub(r"n_null=\d+", "n_null=5", code)
            exec(compile(code, f"{page}, block {number}", "exec"), vars(module))
    cloudpickle.unregister_pickle_by_value(module)
    pyplot.close("all")


# --- commands ------------------------------------------------------------------------------------


def parses(words):
    """Return whether the command line takes the words after its name."""
    try:
        _build_parser()[0].parse_args(words)
    except SystemExit as ending:
        return ending.code == 0
    return True


@pytest.mark.parametrize(("words", "is_named"), commands_that_call("sklearn-brainlm"))
def test_commands_are_taken(words, is_named, capsys):
    # In a sentence, what a command works on may be left out.
    assert parses(words) or (is_named and parses([*words, "--help"])), capsys.readouterr().err


def test_commands_that_are_not_there_are_noticed(capsys):
    assert not parses(["store", "verify", "STORE", "--mend"])
    assert not parses(["pretend", "STORE"])


@pytest.mark.parametrize(("words", "is_named"), commands_that_call("torchrun"))
def test_several_processes(words, is_named):
    run = pytest.importorskip("torch.distributed.run")
    options = run.parse_args(words)
    assert options.module and options.training_script == "sklearn_brainlm.cli"
    command = [word for word in options.training_script_args if word != "..."]
    assert parses(command or ["--help"])


@pytest.mark.parametrize(("words", "is_named"), commands_that_call("make"))
def test_targets_of_make(words, is_named):
    done = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("words", "is_named"), commands_that_call("python"))
def test_scripts_are_there(words, is_named):
    assert words[0] == "-m" or (ROOT / words[0]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("words", "is_named"), commands_that_call("python"))
def test_scripts_know_their_options(words, is_named):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, words[0], "--help"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {word for word in words if word.startswith("--")} <= set(
        re.findall(r"--[\w-]+", done.stdout)
    )


def test_extras_that_are_named_are_there():
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    named = re.findall(r'"(?:\.|sklearn-brainlm)\[(\w+)\]"', "".join(map(read, PAGES)))
    table = read("doc/install.rst").split("===\n")[3]
    named += re.findall(r"^``(\w+)``", table, flags=re.M)
    assert len(named) > 4
    assert set(named) <= set(extras)


# --- links ---------------------------------------------------------------------------------------


def anchors_of(page):
    """Return what the headings of a page of Markdown can be linked by."""
    headings = re.findall(r"^#+ (.+)$", read(page), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if not re.match(r"https?:|mailto:", target):
            name, _, anchor = target.partition("#")
            linked = (ROOT / page).parent.joinpath(name) if name else ROOT / page
            assert linked.exists(), f"{page} links to {target}"
            assert not anchor or anchor in anchors_of(linked.relative_to(ROOT)), target


@pytest.mark.parametrize("page", PAGES)
def test_scripts_and_tests_that_are_named_are_there(page):
    quoted = r"`([^`\s]+\.py)`"
    for name in re.findall(quoted, read(page)):
        places = [ROOT, ROOT / "sklearn_brainlm", (ROOT / page).parent]
        assert any((place / name).is_file() for place in places), f"{page} names {name}"
