"""The command prepare: its options, what it prints, and its exit status.

What it does with runs is in test_prepare.py.
"""

import argparse
import subprocess
import sys

import numpy as np
import pytest
from fmriprep_tree import (
    LABELS,
    make_confounds,
    make_volumes,
    write_atlas,
    write_run,
    write_surface_run,
    write_tree,
)

from sklearn_brainlm.commands.prepare import add_prepare
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.store import RecordingStore


def call(*arguments):
    """Run the command as cli.main does; return its exit status."""
    parser = argparse.ArgumentParser()
    add_prepare(parser.add_subparsers(dest="name"))
    options = parser.parse_args(["prepare", *map(str, arguments)])
    return options.run(options) or 0


@pytest.fixture
def one(tmp_path):
    """Write a run of one subject and an atlas."""
    folder = tmp_path / "fmriprep"
    write_run(folder, "sub-01_task-rest", make_volumes(0), confounds=make_confounds(0))
    return folder, write_atlas(tmp_path / "atlas.nii.gz")


def test_help_loads_nothing_heavy():
    code = (
        "import argparse, sys\n"
        "from sklearn_brainlm.commands.prepare import add_prepare\n"
        "commands = argparse.ArgumentParser().add_subparsers()\n"
        "add_prepare(commands)\n"
        "commands.choices['prepare'].print_help()\n"
        "heavy = {'torch', 'nilearn', 'pandas', 'numpy', 'sklearn', 'nibabel'}\n"
        "sys.exit(bool(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    flags = "--participant-label --work-dir --n-cpus --space --atlas --labels-img --task --strict"
    for flag in [*flags.split(), "--dtype", "fmriprep_dir", "participant"]:
        assert flag in run.stdout


def test_status_and_lines(tmp_path, capsys):
    tree, atlas = write_tree(tmp_path / "fmriprep"), write_atlas(tmp_path / "atlas.nii.gz")
    arguments = [tree, tmp_path / "store", "participant", "--labels-img", atlas, "--task", "rest"]
    assert call(*arguments) == 0
    assert call(*arguments, "--strict") == 1  # the store is there already
    printed = capsys.readouterr()
    assert "3 of 6 recordings are in" in printed.out
    lost = [line for line in printed.err.splitlines() if line.startswith("not stored: ")]
    assert len(lost) == 6  # three runs, said twice
    assert "%|" not in printed.err  # no progress bar without a terminal
    store = RecordingStore(tmp_path / "store")
    assert store.parcels["label"].astype(str).tolist() == [str(k) for k in LABELS]
    # Label 2 is voxels 2 to 5, 2 to 7 and 2 to 7 of 4 mm from (-30, -34, -30).
    np.testing.assert_allclose(store.parcel_coords[0], [-16, -16, -12])
    assert call(*arguments[:1], tmp_path / "two", *arguments[2:], "--strict") == 1


def test_options_reach_prepare(one, tmp_path):
    names = tmp_path / "dseg.tsv"
    rows = ["index\tname", "0\tbackground", *[f"{k}\tarea{k}" for k in reversed(LABELS)]]
    names.write_text("\n".join(rows) + "\n")
    people = tmp_path / "participants.tsv"
    people.write_text("participant_id\tage\nsub-01\t44\nsub-02\tn/a\n")
    options = f"--labels-tsv {names} --participants {people} --dtype float16 --standardize psc"
    options += " --strategy motion --confounds-param motion=basic --participant-label sub-01"
    options += f" --work-dir {tmp_path / 'scratch'} --min-coverage 0.9 --t-r 2"
    assert call(one[0], tmp_path / "store", "--labels-img", one[1], *options.split()) == 0
    store = RecordingStore(tmp_path / "store")
    assert store.dtype == np.float16
    assert store.parcels["label"].tolist() == [f"area{k}" for k in LABELS]
    assert store.participants["age"].tolist() == [44]
    log = (tmp_path / "store.logs" / "sub-01_task-rest.json").read_text()
    assert "trans_x" in log and "derivative" not in log
    assert (tmp_path / "scratch" / "sub-01_task-rest.npy").exists()  # named, so not removed


def test_no_confounds(one, tmp_path):
    next((one[0] / "sub-01" / "func").glob("*confounds*.tsv")).unlink()
    arguments = [one[0], tmp_path / "store", "--labels-img", one[1]]
    with pytest.raises(InvalidRecordingError, match="no confounds"):
        call(*arguments)
    assert call(*arguments, "--strategy", "none") == 0


def test_tables_that_do_not_fit(one, tmp_path):
    names = tmp_path / "dseg.tsv"
    names.write_text("index\tname\n2\tA\n5\tB\n6\tC\n7\tD\n")
    arguments = [one[0], tmp_path / "store", "--labels-img", one[1], "--labels-tsv", names]
    with pytest.raises(AtlasMismatchError, match=r"\[7, 9\] are in one of them only"):
        call(*arguments)
    names.write_text("index,name\n2,A\n")
    with pytest.raises(InvalidRecordingError, match=r"no column \['index', 'name'\]"):
        call(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["in", "out"],  # no atlas
        ["in", "out", "--labels-img", "a.nii", "--atlas", "A424"],
        ["in", "out", "group", "--labels-img", "a.nii"],
        ["in", "out", "--labels-img", "a.nii", "--confounds-param", "basic"],
        ["in", "out", "--labels-img", "a.nii", "--strategy", "prayer"],
    ],
)
def test_wrong_arguments_exit_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        call(*arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_two_files_of_an_atlas_are_hemispheres(tmp_path, capsys):
    folder = tmp_path / "fmriprep"
    _, _, atlas = write_surface_run(folder, "sub-01_task-rest", seed=0)
    arguments = [folder, tmp_path / "store", "--labels-img", *atlas]
    assert call(*arguments) == 0
    assert "1 of 1 recordings are in" in capsys.readouterr().out
    assert RecordingStore(tmp_path / "store").parcels["label"].tolist() == [
        f"area{label}" for label in LABELS
    ]
    with pytest.raises(AtlasMismatchError, match="Leave out --labels-tsv"):
        call(*arguments, "--labels-tsv", tmp_path / "names.tsv")
