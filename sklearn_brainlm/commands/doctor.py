"""``doctor``: what is wrong with recordings, before weights are used on them."""

from sklearn_brainlm.commands.inputs import add_selection, open_recordings

__all__ = ["add_doctor", "examine"]


def add_doctor(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    doctor = commands.add_parser(
        "doctor",
        help="look for what is wrong with recordings before weights are used on them",
        description=(
            "Compare recordings with what weights expect: parcels and their order, units, "
            "repetition time, length, filtering, copies. Prints a line for each finding, with its "
            "fix. Exits with 1 when embeddings would be wrong."
        ),
    )
    doctor.set_defaults(run=_run)
    doctor.add_argument(
        "--recordings",
        metavar="DIR",
        required=True,
        help="store, or folder with participants.tsv, parcels.tsv and .npy recordings",
    )
    doctor.add_argument(
        "--weights", metavar="SOURCE", help="name, folder or hub id of the weights they are for"
    )
    add_selection(doctor)


def examine(opened, weights, t_r=None):
    """Let the doctor look at recordings.

    Parameters
    ----------
    opened : Recordings
        The recordings.
    weights : str, fitted estimator or None
        What they are for.
    t_r : float, optional
        Repetition time of all of them, in place of what the tables say.

    Returns
    -------
    diagnosis : Diagnosis
        What was found.
    """
    from sklearn_brainlm.doctor import doctor

    return doctor(
        opened.X,
        weights,
        t_r=opened.t_r if t_r is None else t_r,
        parcel_coords=opened.parcel_coords,
        parcel_names=opened.parcel_names,
        recording_ids=opened.ids,
    )


def _run(options):
    """Print the diagnosis; return 1 when embeddings would be wrong."""
    opened = open_recordings(
        options.recordings, atlas=options.atlas, max_recordings=options.max_recordings
    )
    diagnosis = examine(opened, options.weights, options.t_r)
    print(diagnosis)
    return 0 if diagnosis.ok else 1
