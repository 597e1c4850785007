"""The check by mutants: how a survivor is counted, and what is kept.

What makes the mutants is not a requirement of the package, and running tests in tests is left to
the script.
"""

import csv
import json

import pytest
from benchmark_folders import import_script

_mutants = import_script("_mutants")
mutations = import_script("mutations")


def mutant(line, becomes):
    return _mutants.Mutant("checkpoint.py", "Operator", line, "a < b", becomes, f"{line} {becomes}")


MADE = {"checkpoint.py": [mutant(n, "a <= b") for n in range(1, 9)] + [mutant(9, "a | b")]}


def test_the_table_counts_and_gives_reasons():
    survivors = MADE["checkpoint.py"][-2:]
    reasons = {("checkpoint.py", "a < b", "a <= b"): ("equivalent", "They are never equal.")}
    page = mutations.write_page(MADE, {"checkpoint.py": 9}, survivors, reasons, 0)
    assert "| checkpoint.py | 9 | 9 | 7 | 2 | 77.8 | 1 | 1 |" in page
    assert "| checkpoint.py 8 | `a < b` | `a <= b` | equivalent | They are never equal. |" in page
    assert r"| checkpoint.py 9 | `a < b` | `a \| b` | not judged |  |" in page
    assert "Wilson" not in page
    rows = mutations.make_rows(MADE, {"checkpoint.py": 9}, survivors, reasons)
    assert [row["value"] for row in rows] == [9, 9, 7, 2, "77.8", 8, 9]
    assert [row["method"] for row in rows[5:]] == ["equivalent", "not judged"]


def test_a_sample_has_an_interval():
    assert mutations.interval(7, 9, 9) == ("", "")
    low, high = map(float, mutations.interval(90, 100, 200))
    assert low < 90 < high and high - low == pytest.approx(11.9, abs=0.2)
    page = mutations.write_page(MADE, {"checkpoint.py": 18}, [], {}, 3)
    assert "drawn with seed 3" in page and "100.0 (70.1 to 100.0)" in page
    drawn = [_mutants.draw(MADE["checkpoint.py"], 4, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 4
    assert _mutants.draw(MADE["checkpoint.py"], None, 0) == MADE["checkpoint.py"]


def test_the_last_outcome_counts(tmp_path):
    path = tmp_path / "kept.jsonl"
    assert mutations.read_kept(path) == {}
    path.write_text("".join(json.dumps(row) + "\n" for row in (["a", False], ["a", True])))
    assert mutations.read_kept(path) == {"a": True}
    same = mutant(1, "a <= b")
    assert mutations.digest(same) == mutations.digest(MADE["checkpoint.py"][0])
    assert mutations.digest(same) != mutations.digest(mutant(2, "a <= b"))


def test_reasons_are_of_a_kind_and_given_once():
    with open(mutations.REASONS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} <= {"equivalent", "wording", "performance", "real gap"}
    assert all(row["reason"] for row in rows)
    assert len(mutations.read_reasons(mutations.REASONS)) == len(rows)
