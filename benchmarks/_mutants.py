"""Files with one small change each, and whether tests notice it: support for mutations.py."""

import ast
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "sklearn_brainlm"
# Read once, before the process is forked for each mutant: reading them takes longer than tests.
_READ_ONCE = (
    "joblib nibabel nilearn.surface pandas scipy.signal scipy.stats sklearn.calibration "
    "sklearn.decomposition sklearn.ensemble sklearn.linear_model sklearn.model_selection "
    "sklearn.pipeline sklearn.preprocessing sklearn.svm sklearn.utils.estimator_checks safetensors "
    "skorch skorch.callbacks torch torch.utils.data"
).split()
_NOT_NOTICED, _MEMORY = 0, 16 << 30


@dataclass(frozen=True)
class Mutant:
    """A file with one change: the line, what stood there, what stands there now."""

    file: str
    operator: str
    line: int
    was: str
    becomes: str
    source: str = field(repr=False)

    @property
    def key(self):
        """What stays the same when lines move."""
        return self.file, self.was, self.becomes


def make_mutants(file):
    """Return all mutants of a file that compile and are not the same to Python."""
    # Here, as nothing else needs what is not a requirement of the package.
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / PACKAGE / file).read_text(encoding="utf-8")
    seen, mutants = {ast.dump(ast.parse(source))}, []
    for name in sorted(operator_names()):
        try:
            operator = get_operator(name)()
        except TypeError:  # replaces variables that one has to name
            continue
        nodes = ast_nodes(get_ast(source))
        for occurrence in range(sum(len(list(operator.mutation_positions(n))) for n in nodes)):
            changed = mutate_code(source, operator, occurrence)
            try:
                tree = ast.dump(ast.parse(changed))
            except (SyntaxError, TypeError):  # such as the * before arguments that are named
                continue
            if tree not in seen:
                seen.add(tree)
                mutants.append(_describe(file, name.rpartition("/")[2], source, changed))
    return sorted(mutants, key=lambda mutant: (mutant.line, mutant.operator, mutant.becomes))


def _describe(file, operator, source, changed):
    """Find the line that was changed."""
    lines = zip(source.splitlines(), changed.splitlines(), strict=True)
    line, was, becomes = next((i, a, b) for i, (a, b) in enumerate(lines, 1) if a != b)
    return Mutant(file, operator, line, was.strip(), becomes.strip(), changed)


class Bench:
    """A copy of the tree in which files are changed, one at a time, and tested."""

    def __init__(self, folder):
        self.root = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".git", "__pycache__", "results", "doc", "build", ".venv")
        shutil.copytree(ROOT, self.root, ignore=ignored)
        for name in _READ_ONCE:
            importlib.import_module(name)

    def check(self, tests):
        """Make sure that tests pass before anything is changed, and return their seconds."""
        began = time.monotonic()
        code = self._run(tests, None)
        if code != _NOT_NOTICED:
            raise RuntimeError(f"{' '.join(tests)}: exit code {code} without a change.")
        return time.monotonic() - began

    def is_noticed(self, mutant, tests, timeout):
        """Say whether tests fail, or take longer than `timeout` seconds, with a mutant."""
        path = self.root / PACKAGE / mutant.file
        former = path.read_text(encoding="utf-8")
        # Compiled files are compared by second and size, and mutants have few of either.
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(mutant.source, encoding="utf-8")
        try:
            return self._run(tests, timeout) != _NOT_NOTICED
        finally:
            path.write_text(former, encoding="utf-8")

    def _run(self, tests, timeout):
        """Run tests in a fork, and return the exit code; None when time ran out."""
        child = os.fork()
        if not child:
            self._test(tests, is_writing=timeout is None)
        until = time.monotonic() + (timeout or float("inf"))
        code = None
        while code is None and time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if done else None
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # and what the tests have started
        if code is None:
            os.waitpid(child, 0)
        return code

    def _test(self, tests, is_writing):
        """Run tests in this process, which ends with them."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        output = os.open(self.root.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(self.root)
        sys.path.insert(0, str(self.root))
        sys.dont_write_bytecode = not is_writing
        os.environ["PYTHONDONTWRITEBYTECODE"] = "" if is_writing else "1"
        os.environ["PYTHONPATH"] = str(self.root)
        base = f"--basetemp={self.root.parent / 'temporary'}"
        quick = "not slow and not fault and not fuzz"
        code = 1
        try:
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", base, "-m", quick, *tests])
            if is_writing and sys.modules[PACKAGE].__path__ != [str(self.root / PACKAGE)]:
                code = 99  # another installation was tested
        finally:
            os._exit(code)


def draw(mutants, n, seed):
    """Return `n` mutants at random, or all of them when there are no more."""
    if n is None or n >= len(mutants):
        return mutants
    chosen = set(random.Random(seed).sample(range(len(mutants)), n))
    return [mutant for index, mutant in enumerate(mutants) if index in chosen]
