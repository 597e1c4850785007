"""Fuzzing: a limit of memory for the process, and a table of what came out.

`make fuzz` runs it for some minutes, again and again with other seeds. FUZZ_EXAMPLES is the number
of tries of each target in a run; FUZZ_TALLY names a file that counts are added to.
"""

import json
import os
import resource
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from fuzzing.attempts import tally

MORE_MEMORY = 1 << 30  # bytes, beyond what is mapped when fuzzing begins
FOLDER = Path(__file__).resolve().parent

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "25")),
    deadline=None,  # the clock of a try ends it, and says so
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")


def pytest_collection_modifyitems(items):
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.fuzz)


@pytest.fixture(scope="session", autouse=True)
def limited_memory():
    """Let the process map so much more, and no more."""
    torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))])  # imports for seconds, once
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    mapped = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MORE_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def pytest_sessionfinish():
    path = os.environ.get("FUZZ_TALLY")
    if path and tally:
        with open(path, "a", encoding="utf-8") as file:
            for (target, outcome), n in tally.items():
                file.write(json.dumps([target, outcome, n]) + "\n")


def pytest_terminal_summary(terminalreporter):
    if tally:
        terminalreporter.section("fuzzing")
        for (target, outcome), n in sorted(tally.items()):
            terminalreporter.write_line(f"{target}: {outcome}: {n}")
