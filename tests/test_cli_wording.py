"""Errors of the command line name options, not parameters of Python.

What commands do is in the other files of test_cli.
"""

import argparse

import pytest
from command_line import TINY_OPTIONS, write_folder

from sklearn_brainlm.cli import main
from sklearn_brainlm.commands.wording import in_options


def test_an_option_with_a_value(tmp_path, capsys):
    folder = write_folder(tmp_path / "folder")
    table, parcels = folder / "participants.tsv", folder / "parcels.tsv"
    header, *rows = table.read_text().splitlines()
    rows = [f"{row}\t{'ab'[index % 2]}" for index, row in enumerate(rows)]
    table.write_text("\n".join([f"{header}\tatlas", *rows]) + "\n")
    for atlas in "ab":
        (folder / f"parcels_{atlas}.tsv").write_text(parcels.read_text())
    assert main(["doctor", "--recordings", str(folder)]) == 1
    assert "Pass --atlas, one of ['a', 'b']" in capsys.readouterr().err
    assert main(["doctor", "--recordings", str(folder), "--atlas", "a"]) == 0


def test_a_switch(tmp_path, capsys):
    folder, run = write_folder(tmp_path / "folder"), tmp_path / "run"
    words = ["pretrain", str(folder), str(tmp_path / "weights"), *TINY_OPTIONS]
    words += ["--test-fraction", "0", "--checkpoint-dir", str(run)]
    assert main(words) == 0
    capsys.readouterr()
    words[2] = str(tmp_path / "other")
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "Give --resume to go on with it, or another --checkpoint-dir." in said
    assert main([*words, "--resume"]) == 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("give device='cpu'.", "give --device cpu."),
        ("Give t_r=0.72.", "Give --t-r 0.72."),
        ("resume=False begins anew", "--no-resume begins anew"),
        ("give seed=..., or leave it", "give --seed, or leave it"),
        # not options of the command, or not parameters
        ("give parcel_coords=xyz", "give parcel_coords=xyz"),
        ("folder=3", "folder=3"),
        ("/runs/seed=3/x holds nothing", "/runs/seed=3/x holds nothing"),
        ("(help=1)", "(help=1)"),
    ],
)
def test_words(said, expected):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="name")
    store = commands.add_parser("store").add_subparsers(dest="action")
    build = store.add_parser("build")
    build.add_argument("folder")
    for name in ("--device", "--t-r", "--seed"):
        build.add_argument(name)
    build.add_argument("--resume", action=argparse.BooleanOptionalAction)
    options = parser.parse_args(["store", "build", "here"])
    assert in_options(said, parser, options) == expected
