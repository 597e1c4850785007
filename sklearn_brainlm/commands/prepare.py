"""The command ``sklearn-brainlm prepare``. Everything is imported when it is run."""

import argparse
import json

__all__ = ["add_prepare", "run_prepare"]

_OF_ALL_COMMANDS = ("run", "name", "debug", "command_line")
_STRATEGY = ("motion", "high_pass", "wm_csf", "scrub")
_COMPONENTS = [*_STRATEGY, "global_signal", "compcor", "ica_aroma", "tedana", "none"]


def add_prepare(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : argparse subparsers
        Where it is added.
    """
    parser = commands.add_parser(
        "prepare",
        help="make a store of recordings of what fMRIPrep wrote",
        description=(
            "Average the preprocessed runs of a folder of fMRIPrep's derivatives in the parcels "
            "of an atlas, remove confounds, and write a store of recordings. Runs that cannot be "
            "used go to quarantine.tsv with the reason. Started again, it goes on where it was. "
            "Logs are written to <store>.logs."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("fmriprep_dir", help="folder of derivatives, with sub-* in it")
    parser.add_argument("store", help="folder of the store")
    parser.add_argument(
        "analysis_level",
        nargs="?",
        choices=["participant"],
        default="participant",
        help="as BIDS Apps are called",
    )
    atlas = parser.add_mutually_exclusive_group(required=True)
    atlas.add_argument(
        "--labels-img",
        default=argparse.SUPPRESS,
        nargs="+",
        metavar="FILE",
        help=(
            "label image in MNI space, a .dlabel.nii for grayordinates, or two .label.gii or "
            ".annot, of the left and the right hemisphere, for surfaces"
        ),
    )
    atlas.add_argument(
        "--atlas", default=argparse.SUPPRESS, choices=["A424"], help="an atlas this package fetches"
    )
    choose = parser.add_argument_group("which runs")
    choose.add_argument(
        "--participant-label",
        default=argparse.SUPPRESS,
        nargs="+",
        metavar="LABEL",
        help="with or without sub- (all)",
    )
    choose.add_argument("--task", default=argparse.SUPPRESS, help="of several (all)")
    choose.add_argument(
        "--space",
        default=argparse.SUPPRESS,
        help="of several, as MNI152NLin2009cAsym (the only one)",
    )
    choose.add_argument(
        "--resolution", default=argparse.SUPPRESS, help="entity res, of several (the only one)"
    )
    _add_extraction(parser.add_argument_group("how"))
    work = parser.add_argument_group("where and with what")
    work.add_argument(
        "--work-dir", default=argparse.SUPPRESS, metavar="DIR", help="scratch space (<store>.work)"
    )
    work.add_argument("--n-cpus", type=int, default=1, metavar="N", help="processes; -1 is all")
    work.add_argument(
        "--strict", action="store_true", help="exit with 1 when a run went to quarantine"
    )


def _add_extraction(how):
    """Options of confounds, parcels and values."""
    how.add_argument(
        "--labels-tsv",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="names of the labels: columns index and name, as BIDS has them",
    )
    how.add_argument(
        "--strategy",
        nargs="+",
        choices=_COMPONENTS,
        default=argparse.SUPPRESS,
        metavar="COMPONENT",
        help=(
            f"confounds to remove, or timepoints to mark: {', '.join(_COMPONENTS)} "
            f"({' '.join(_STRATEGY)})"
        ),
    )
    how.add_argument(
        "--confounds-param",
        action="append",
        type=_parse_pair,
        default=argparse.SUPPRESS,
        metavar="NAME=VALUE",
        help="of nilearn's load_confounds, as motion=basic; may be repeated",
    )
    how.add_argument(
        "--scrubbed",
        choices=["keep", "drop"],
        default="keep",
        help="whether marked timepoints stay in the recordings",
    )
    how.add_argument(
        "--standardize",
        default=argparse.SUPPRESS,
        choices=["zscore_sample", "psc"],
        help="(units of the image)",
    )
    how.add_argument(
        "--low-pass",
        default=argparse.SUPPRESS,
        type=float,
        metavar="HZ",
        help="cut-off frequency (none)",
    )
    how.add_argument(
        "--high-pass",
        default=argparse.SUPPRESS,
        type=float,
        metavar="HZ",
        help="cut-off frequency (none)",
    )
    how.add_argument(
        "--t-r",
        default=argparse.SUPPRESS,
        type=float,
        metavar="SECONDS",
        help="where sidecars and headers do not say",
    )
    how.add_argument(
        "--min-coverage",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of each label's voxels or vertices that must have signal",
    )
    how.add_argument("--dtype", choices=["float32", "float16", "int16"], default="float32")
    how.add_argument(
        "--participants",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="participants.tsv, to keep its columns",
    )


def _run(options):
    """Run the command with what it was given, and not what all commands are."""
    given = vars(options).copy()
    for name in _OF_ALL_COMMANDS:
        given.pop(name, None)
    return run_prepare(**given)


def run_prepare(
    fmriprep_dir,
    store,
    *,
    labels_img=None,
    atlas=None,
    labels_tsv=None,
    participants=None,
    strategy=_STRATEGY,
    confounds_param=(),
    n_cpus=1,
    strict=False,
    analysis_level="participant",
    **options,
):
    """Run the command.

    Parameters
    ----------
    fmriprep_dir, store : path
        From where, to where.
    labels_img : list of path or None, default=None
        One file of an atlas, or those of two hemispheres.
    atlas, labels_tsv : str or path or None, default=None
        The name of an atlas, and the names of labels.
    participants : path or None, default=None
        Table of people.
    strategy : list of str
        Components of confounds; "none" for none.
    confounds_param : list of (str, object)
        Arguments of nilearn's ``load_confounds``.
    n_cpus : int, default=1
        Processes.
    strict : bool, default=False
        Whether a run in quarantine is a failure.
    analysis_level : str, default="participant"
        As BIDS Apps have it.
    **options : dict
        Passed on to :func:`sklearn_brainlm.prepare.prepare`.

    Returns
    -------
    status : int
        0; with `strict`, 1 when a run is not in the store.
    """
    import sys
    import warnings

    from sklearn_brainlm.exceptions import DataQualityWarning
    from sklearn_brainlm.prepare import prepare

    labels_img, parcels = _load_parcels(labels_img, atlas, labels_tsv)
    components = None if "none" in strategy else tuple(strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)  # the lines below say the same
        prepared = prepare(
            fmriprep_dir,
            store,
            labels_img=labels_img,
            parcels=parcels,
            participants=None
            if participants is None
            else _read_tsv(participants, "participant_id"),
            strategy=components,
            confounds_params=dict(confounds_param),
            n_jobs=n_cpus,
            verbose=1,
            **options,
        )
    lost = prepared.outcomes[~prepared.outcomes["stored"]]
    print(f"{len(prepared.store)} of {len(prepared.outcomes)} recordings are in {store}.")
    for row in lost.to_dict("records"):
        reason = row["reason"] or f"see {store}/quarantine.tsv"
        print(f"not stored: {row['recording']}: {reason}", file=sys.stderr)
    return 1 if strict and len(lost) else 0


def _load_parcels(labels_img, atlas, labels_tsv):
    """Label image and table of its parcels, None where nothing is known of them."""
    import numpy as np
    import pandas as pd

    from sklearn_brainlm.datasets import fetch_atlas_a424, parcel_coords_from_labels
    from sklearn_brainlm.exceptions import AtlasMismatchError

    if atlas is not None:
        found = fetch_atlas_a424()
        coords = pd.DataFrame(np.asarray(found.region_coords), columns=["x", "y", "z"])
        return found.maps, coords.assign(label=list(found.labels)[1:])
    file, *other = labels_img
    if other or str(file).endswith(".dlabel.nii"):
        if labels_tsv is not None:
            raise AtlasMismatchError(
                f"{file} has the names of its labels in it. Leave out --labels-tsv."
            )
        return (tuple(labels_img) if other else file), None
    coords, labels = parcel_coords_from_labels(file)
    parcels = pd.DataFrame(coords.round(2), columns=["x", "y", "z"])
    names = labels.astype(str)
    if labels_tsv is not None:
        table = _read_tsv(labels_tsv, "index", "name")
        table = table[table["index"] != 0].drop_duplicates("index").set_index("index")["name"]
        differ = sorted(set(table.index) ^ set(labels.tolist()))
        if differ:
            raise AtlasMismatchError(
                f"{labels_tsv} and {file} do not have the same labels: {differ[:10]} are in "
                "one of them only. Give the table that belongs to the image."
            )
        names = table.loc[labels].to_numpy()
    return file, parcels.assign(label=names)


def _read_tsv(path, *required):
    """Read a tab-separated table with some columns."""
    import pandas as pd

    from sklearn_brainlm.exceptions import InvalidRecordingError

    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)
    except ValueError as error:  # those of pandas are
        raise InvalidRecordingError(f"{path} is no tab-separated table ({error}).") from error
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise InvalidRecordingError(
            f"{path} has no column {missing}; it has {list(table.columns)}. Columns are separated "
            "by tabs."
        )
    return table


def _parse_pair(text):
    """Return an argument NAME=VALUE as a name and a value."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
