"""``store``: recordings in the form that training reads fast, built and verified."""

import sys
from functools import partial
from pathlib import Path

from sklearn_brainlm.commands.inputs import count
from sklearn_brainlm.commands.progress import printing_on_stderr, say

__all__ = ["add_store"]

_DTYPES = ("float32", "float16", "int16")


def add_store(commands):
    """Add the commands and their options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    store = commands.add_parser("store", help="build and verify stores of recordings")
    own = store.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = own.add_parser(
        "build",
        help="make a store of a folder of recordings",
        description=(
            "Make a store of a folder of recordings. A build that was cut short goes on when it "
            "is called again. Recordings that cannot be used are listed in quarantine.tsv of the "
            "store with the reason, and the others are taken."
        ),
    )
    build.set_defaults(run=_build)
    build.add_argument(
        "folder",
        metavar="FOLDER",
        help="folder with participants.tsv, parcels.tsv and .npy recordings, or see --pattern",
    )
    build.add_argument("store", metavar="STORE", help="folder of the store")
    build.add_argument("--dtype", choices=_DTYPES, default="float32", help="of the values kept")
    build.add_argument(
        "--pattern",
        metavar="GLOB",
        help="take files like '**/*.ptseries.nii' or '*.1D', without tables",
    )
    build.add_argument(
        "--t-r", type=float, metavar="SECONDS", help="repetition time of all recordings"
    )
    build.add_argument("--atlas", metavar="NAME", help="of a folder that holds several atlases")
    build.add_argument("--n-jobs", type=count, default=1, metavar="N", help="readers at a time")
    verify = own.add_parser(
        "verify",
        help="read every byte of a store, and say what is damaged",
        description="Read every byte of a store. Exits with 1 when anything is damaged or lacking.",
    )
    verify.set_defaults(run=_verify)
    verify.add_argument("store", metavar="STORE", help="folder of the store")
    verify.add_argument(
        "--repair",
        dest="folder",
        metavar="FOLDER",
        help="write what is damaged once more, from the folder that the store was built of",
    )
    verify.add_argument("--pattern", metavar="GLOB", help="as for build, with --repair")
    verify.add_argument("--atlas", metavar="NAME", help="as for build, with --repair")


def _build(options):
    """Build a store, and say what it holds."""
    from sklearn_brainlm.store_building import build_store

    found = _list_files(options)
    if options.t_r is not None:
        found["t_r"] = options.t_r
    how = {"dtype": options.dtype, "n_jobs": options.n_jobs, "verbose": int(sys.stderr.isatty())}
    with printing_on_stderr():
        store = build_store(options.store, **found, **how)
    print(f"{options.store}: {len(store)} recordings, {store.nbytes / 1e6:.1f} MB of {store.dtype}")


def _list_files(options):
    """Return recordings that are not read yet, and their tables, as build_store takes them."""
    from sklearn_brainlm.readers import list_recordings, read_recording

    if options.pattern is not None:
        return dict(list_recordings(options.folder, options.pattern))
    from sklearn_brainlm.datasets import read_folder_tables

    participants, parcels = read_folder_tables(options.folder, atlas=options.atlas)
    files = [Path(options.folder) / name for name in participants["recording"]]
    read = [partial(read_recording, file, n_parcels=len(parcels)) for file in files]
    return {"recordings": read, "participants": participants, "parcels": parcels}


def _verify(options):
    """Print what is damaged; return 1 when anything is."""
    from sklearn_brainlm.store_checks import verify_store

    if options.folder is not None:
        from sklearn_brainlm.store_repair import repair_store

        found = _list_files(options)
        ids = found["participants"]["recording"]
        repaired = repair_store(options.store, dict(zip(ids, found["recordings"], strict=True)))
        named = ", ".join(repaired) or "none"
        print(f"{options.store}: {len(repaired)} recordings were written again: {named}")
    findings = verify_store(options.store)
    for finding in findings:
        of = "" if finding.recording is None else f" ({finding.recording})"
        print(f"{finding.kind:<9}{finding.file}{of}: {finding.text}")
    if findings:
        say(f"{options.store}: {len(findings)} findings.")
        return 1
    print(f"{options.store}: every byte is as it was written.")
    return 0
