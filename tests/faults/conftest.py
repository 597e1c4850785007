"""What every fault of the matrix met: `observe` keeps it, the end of the session prints it."""

import hashlib
import os
import re
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.refusing import folder, own, refuses, saved  # noqa: F401 - fixtures

N_ROWS = 132
N_OBSERVED = 2
OBSERVED_LENGTH = 150
# The folders of a path: those of a test say nothing, and would take the whole line.
FOLDERS = re.compile(r"(?<![\w.])/(?:[^/\s]+/)+")
FOLDER = Path(__file__).resolve().parent

_collected = pytest.StashKey[set]()
_deselected = pytest.StashKey[bool]()


class Observation:
    """What came out of the tests of a row, for the table; called with a text or an exception."""

    def __init__(self, properties):
        self._properties = properties

    def __call__(self, observed):
        if isinstance(observed, BaseException | Warning):
            observed = f"{type(observed).__name__}: {observed}"
        text = " ".join(FOLDERS.sub("", str(observed)).split())
        self._properties.append(("observed", text[:OBSERVED_LENGTH]))

    @contextmanager
    def raises(self, error, match=None):
        """Like pytest.raises, for exactly this class and none derived from it."""
        with pytest.raises(error, match=match) as caught:
            yield caught
        self(caught.value)
        assert type(caught.value) is error, f"{type(caught.value).__name__}, not {error.__name__}"

    @contextmanager
    def warns(self, category, match=None):
        """Like pytest.warns, for exactly this class and none derived from it."""
        with pytest.warns(category, match=match) as caught:
            yield caught
        found = [
            warning
            for warning in caught
            if warning.category is category and re.search(match or "", str(warning.message))
        ]
        assert found, f"no warning is exactly a {category.__name__}"
        self(found[0].message)

    @contextmanager
    def leaves(self, place):
        """Fail when a file below `place` appears, vanishes or changes within the block."""
        before = listing(place)
        yield
        assert listing(place) == before, f"{place} was written to"


def listing(place):
    """The files below a place, with the digest of each; a link, with where it leads."""
    found = {}
    for path in sorted(Path(place).rglob("*")):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "not a file"
    return found


@pytest.fixture
def observe(request):
    """Keep what came out: `observe(text_or_error)`, `with observe.raises(...)`, `.warns(...)`."""
    return Observation(request.node.user_properties)


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(row, fault, expected): a row of the faults matrix")
    config.stash[_collected] = set()
    config.stash[_deselected] = False


def pytest_collection_modifyitems(config, items):
    for item in items:
        marker = item.get_closest_marker("fault")
        if marker is None:
            if FOLDER in item.path.parents:
                raise pytest.UsageError(f"{item.nodeid} has no fault marker")
            continue
        row, fault, expected = marker.args
        if not item.name.startswith(f"test_fault_{row:03d}_"):
            raise pytest.UsageError(f"{item.nodeid} is marked as row {row}: name it so")
        item.user_properties.append(("fault", [row, fault, expected]))
        config.stash[_collected].add(row)


def pytest_deselected(items):
    for item in items:
        if item.get_closest_marker("fault") is not None:
            item.config.stash[_deselected] = True


def asked_for_all(config):
    """Whether the whole matrix was to run, not a file or a row of it."""
    roots = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    named = any(root == FOLDER or root in FOLDER.parents for root in roots)
    return named and not config.stash[_deselected]


def missing_rows(config):
    """The rows without a test, where the whole matrix was asked for."""
    if not asked_for_all(config):
        return []
    return sorted(set(range(1, N_ROWS + 1)) - config.stash[_collected])


def pytest_sessionfinish(session, exitstatus):
    if not hasattr(session.config, "workerinput") and missing_rows(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    rows = table(terminalreporter.stats)
    if not rows:
        return
    missing = missing_rows(config)
    n_handled = sum(result == "pass" for *_, result in rows)
    n_skipped = sum(result == "cannot run" for *_, result in rows)
    asked = N_ROWS if asked_for_all(config) else len(rows)
    counts = f"{n_handled} of {asked} handled, {n_skipped} cannot run here, {len(missing)} missing"
    terminalreporter.section("faults")
    terminalreporter.write_line("row | fault | expected | observed | result")
    for row in rows:
        terminalreporter.write_line(" | ".join(str(cell) for cell in row))
    if missing:
        terminalreporter.write_line(f"rows without a test: {', '.join(map(str, missing))}")
    terminalreporter.write_line(counts)
    path = os.environ.get("BRAINLM_FAULTS_TABLE")
    if path:
        Path(path).write_text(markdown(rows, missing, counts), encoding="utf-8")


def table(stats):
    """One tuple a row: number, fault, expected, observed, result."""
    parts = defaultdict(lambda: {"observed": [], "results": []})
    for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed"):
        for report in stats.get(outcome, []):
            properties = getattr(report, "user_properties", [])
            marked = dict(properties).get("fault")
            if marked is None:
                continue
            part = parts[marked[0]]
            part.setdefault("marked", marked)
            part["results"].append(outcome)
            part["observed"] += [text for name, text in properties if name == "observed"]
            if outcome != "passed":
                part["observed"].append(reason(report))
    return [
        (*parts[row]["marked"], summed_up(parts[row]["observed"]), result)
        for row in sorted(parts)
        for result in [verdict(parts[row]["results"])]
    ]


def summed_up(observed):
    """What was observed, the first of many, in one cell."""
    different = list(dict.fromkeys(observed))
    more = len(different) - N_OBSERVED
    return "; ".join(different[:N_OBSERVED]) + (f"; and {more} more" if more > 0 else "")


def verdict(outcomes):
    """The result of a row from those of its tests."""
    if set(outcomes) & {"failed", "error", "xfailed", "xpassed"}:
        return "FAIL"
    return "pass" if "passed" in outcomes else "cannot run"


def reason(report):
    """Why a test did not pass, in one line."""
    if hasattr(report, "wasxfail"):
        return f"known: {report.wasxfail}"
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return " ".join(text.split())[:OBSERVED_LENGTH]


def markdown(rows, missing, counts):
    """The table as markdown."""
    lines = [
        "# Faults: what is expected, what was observed",
        "",
        counts + ".",
        "",
        "| row | fault | expected | observed | result |",
        "| --- | --- | --- | --- | --- |",
    ]
    escaped = ([str(cell).replace("|", "\\|") for cell in row] for row in rows)
    lines += [f"| {' | '.join(cells)} |" for cells in escaped]
    if missing:
        lines += ["", f"Rows without a test: {', '.join(map(str, missing))}."]
    return "\n".join(lines) + "\n"
