"""The documentation is complete, and says what the committed results say.

It is built by ``make doc``, with warnings as errors; that it builds is not tested here.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sklearn_brainlm
import sklearn_brainlm.baselines
import sklearn_brainlm.datasets
import sklearn_brainlm.metrics
import sklearn_brainlm.plotting

ROOT = Path(__file__).parents[1]
DOC = ROOT / "doc"
MODULES = [
    sklearn_brainlm,
    sklearn_brainlm.baselines,
    sklearn_brainlm.datasets,
    sklearn_brainlm.metrics,
    sklearn_brainlm.plotting,
]
BUILT = {"_build", "generated", "_templates"}
PAGES = sorted(
    page.relative_to(DOC).with_suffix("").as_posix()
    for page in DOC.rglob("*.rst")
    if not BUILT & set(page.relative_to(DOC).parts)
)
COMPARING = DOC / "user_guide" / "comparing_honestly.rst"
RESULTS_PAGE = re.compile(r"benchmarks/results/\w+\.md")


def _listed(module):
    """Names that the API page lists under a module."""
    here = None
    names = []
    in_list = False
    for line in (DOC / "api.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule::"):
            here = line.split("::")[1].strip()
        elif line.startswith(".. data::") and here == module:
            names.append(line.split("::")[1].strip())
        if line.strip() and not line.startswith(" "):
            in_list = line.startswith(".. autosummary::")
        elif in_list and here == module and re.fullmatch(r" +\w+", line):
            names.append(line.strip())
    return names


def _toctree(page):
    """Pages that the toctrees of a page name, from the root of the documentation."""
    text = (DOC / f"{page}.rst").read_text(encoding="utf-8")
    folder = Path(page).parent
    for block in re.findall(r"^\.\. toctree::\n((?:(?: .*)?\n)+)", text + "\n", flags=re.M):
        for entry in block.split("\n"):
            if entry.strip() and not entry.strip().startswith(":"):
                yield (folder / entry.strip()).as_posix()


def _quoted_rows():
    """Rows of the tables on the comparing page: results page, row, its figures as written."""
    source = None
    in_table = False
    for line in COMPARING.read_text(encoding="utf-8").splitlines():
        for match in RESULTS_PAGE.findall(line):
            source = match
        if line.strip() and not line.startswith(" "):
            in_table = line.startswith(".. csv-table::")
        elif in_table and line.startswith('   "'):
            name, figures = re.fullmatch(r'   "([^"]+)", (.+)', line).groups()
            yield source, name, figures.split(", ")


@pytest.mark.parametrize("module", MODULES)
def test_the_api_page_lists_every_public_name_once(module):
    assert sorted(_listed(module.__name__)) == sorted(module.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_and_class_has_an_example(module):
    public = [(name, getattr(module, name)) for name in module.__all__]
    lacking = [name for name, value in public if callable(value) and ">>> " not in value.__doc__]
    assert not lacking


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_of_public_names_lack_nothing_that_numpydoc_knows(module):
    lacking = {}
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):
            value = getattr(value, name)  # a module that is called like its function
        if callable(value):
            found = validate(f"{value.__module__}.{value.__qualname__}")["errors"]
            lacking |= {f"{name} {code}": text for code, text in found}
    assert not lacking


@pytest.mark.parametrize("name", ["doctor", "prepare"])
def test_a_module_called_like_its_function_is_documented_like_it(name):
    module = importlib.import_module(f"sklearn_brainlm.{name}")
    assert module.__doc__ == getattr(module, name).__doc__


def test_every_page_is_reached_from_the_index():
    reached, to_read = set(), ["index"]
    while to_read:
        page = to_read.pop()
        if BUILT & set(Path(page).parts):
            continue  # the build makes it
        assert page in PAGES, f"a toctree names {page}, which is no page"
        if page not in reached:
            reached.add(page)
            to_read += _toctree(page)
    assert sorted(reached) == PAGES


def test_figures_are_those_of_the_committed_results():
    rows = list(_quoted_rows())
    assert len(rows) > 40
    for source, name, figures in rows:
        lines = [
            line
            for line in (ROOT / source).read_text(encoding="utf-8").splitlines()
            if line.startswith(f"| {name} |")
        ]
        assert lines, f"{source} has no row {name}"
        words = [set(re.split(r"[ |]+", line)) for line in lines]
        assert any(set(figures) <= row for row in words), f"{source}: {name} is not {figures}"


@pytest.mark.parametrize("page", PAGES)
def test_code_is_python_and_imports_what_there_is(page):
    text = (DOC / f"{page}.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", text, flags=re.M)
    assert len(blocks) == text.count("code-block:: python")
    for block in blocks:
        tree = ast.parse("\n".join(line[3:] for line in block.splitlines()))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn_brainlm"):
                module = __import__(node.module, fromlist=["_"])
                assert all(hasattr(module, name.name) for name in node.names)


def test_no_address_of_a_machine():
    for page in PAGES:
        text = (DOC / f"{page}.rst").read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.:/<])/(home|work|tmp|root|Users)/", text), page
