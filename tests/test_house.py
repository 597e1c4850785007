"""Rules of the repository that a program can check and ruff cannot.

What ruff, import-linter and numpydoc check (`make lint`) is not repeated here.
"""

import ast
import configparser
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGE_FILES = sorted((ROOT / "sklearn_brainlm").rglob("*.py"))
MAX_LINES = 330

# Brought along, and pinned, by the CUDA build of torch; the tests ran on the CPU build.
CUDA_NAMES = ("cuda", "nvidia", "triton")


def package_name(path):
    """Return the path of a package file as a test id."""
    return str(path.relative_to(ROOT))


def repository_files():
    """Return the files git tracks or would track, or skip outside a git checkout."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: the files of the repository cannot be listed")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def declared_requirements():
    """Return every requirement of pyproject.toml, build, core and extras, its own extras aside."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    lines = [*pyproject["build-system"]["requires"], *project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    requirements = [Requirement(line) for line in lines]
    return [req for req in requirements if canonicalize_name(req.name) != project["name"]]


def pins():
    """Return {canonical name: requirement} of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_only_ci_knows_where_recordings_lie():
    # Written in two parts, so that this file does not name the folder itself.
    folder = "../" + "shared"
    naming = [
        str(path.relative_to(ROOT))
        for path in repository_files()
        if folder.encode() in path.read_bytes()
    ]
    assert naming == [".ci/run"]


def test_constraints_pin_exact_versions():
    for requirement in pins().values():
        assert re.fullmatch(r"==[0-9][0-9.]*(post[0-9]+)?", str(requirement.specifier)), requirement
        assert requirement.url is None


def test_constraints_agree_with_pyproject():
    pinned = pins()
    for requirement in declared_requirements():
        pin = pinned[canonicalize_name(requirement.name)]
        (version,) = pin.specifier
        assert requirement.specifier.contains(version.version), (requirement, pin)


def test_constraints_pin_what_the_requirements_need():
    pinned = pins()
    if not pinned["scikit-learn"].specifier.contains(metadata.version("scikit-learn")):
        pytest.skip("other versions are installed than those of constraints.txt")
    waiting = [(req.name, tuple(req.extras)) for req in declared_requirements()]
    seen, unpinned = set(), set()
    while waiting:
        name, extras = waiting.pop()
        if (canonicalize_name(name), extras) in seen or name.startswith(CUDA_NAMES):
            continue
        seen.add((canonicalize_name(name), extras))
        if canonicalize_name(name) not in pinned:
            unpinned.add(name)
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here; its own pin has been looked for
        for requirement in map(Requirement, needed):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append((requirement.name, tuple(requirement.extras)))
    assert not unpinned


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=package_name)
def test_file_can_be_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=package_name)
def test_no_assert_and_no_pickled_arrays(path):
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), f"{where}: raise an error that says what to do"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            allowed = not (isinstance(node.value, ast.Constant) and node.value.value is False)
            assert not allowed, f"{where}: an array file must not run code"


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=package_name)
def test_public_classes_have_an_example(path):
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        if any(
            ast.unparse(base).endswith(("Error", "Exception", "Warning")) for base in node.bases
        ):
            continue  # an exception's example is the message it carries
        assert ">>> " in (ast.get_docstring(node) or ""), f"{path.name}: {node.name}"


def documented_defaults(docstring):
    """Yield the names of a line of Parameters, and the text of their default."""
    for names, default in re.findall(r"^(\w+(?:, \w+)*) : .*default=(.+)$", docstring, re.M):
        yield names.split(", "), default
    for names in re.findall(r"^(\w+(?:, \w+)*) : .*, optional$", docstring, re.M):
        yield names.split(", "), "None"


def value_of(text):
    """Return what an expression is worth, or its tree where it has names."""
    try:
        return eval(text, {"__builtins__": {"slice": slice}})
    except NameError:
        return ast.parse(text)


def functions_with_docstring(tree):
    """Yield functions, and constructors, which their class describes."""
    for node in ast.walk(tree):
        docstring = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if docstring:
            yield node, docstring
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                yield part, (ast.get_docstring(node) or "").partition("\nAttributes\n")[0]


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=package_name)
def test_defaults_are_those_of_the_docstring(path):
    for function, docstring in functions_with_docstring(ast.parse(path.read_text())):
        given = function.args
        assert not given.posonlyargs, f"{function.name}: every argument may be given by name"
        last = given.args[len(given.args) - len(given.defaults) :]
        nodes = [*zip(last, given.defaults, strict=True)]
        nodes += [pair for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True) if pair[1]]
        defaults = {argument.arg: value_of(ast.unparse(node)) for argument, node in nodes}
        for names, text in documented_defaults(docstring):
            if "..." in text:
                continue  # a long list, written short
            documented = value_of(text)
            if len(names) == 1 or not isinstance(documented, tuple):
                documented = [documented] * len(names)
            for name, value in zip(names, documented, strict=True):
                if not isinstance(defaults[name], ast.AST):  # which is worth what imports give it
                    assert defaults[name] == value, f"{path.name}: {name} of {function.name}"


def test_every_package_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    installed = set(setup["options"]["packages"].split())
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "sklearn_brainlm").rglob("__init__.py")
    }
    assert installed == packages | {"brainmarks.models"}
