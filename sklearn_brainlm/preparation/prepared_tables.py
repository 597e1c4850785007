"""The tables of a store that is prepared: whose its recordings are, and what their columns are."""

import numpy as np

from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["add_people", "list_runs", "name_parcels"]

_ENTITIES = {"ses": "session", "task": "task", "run": "run", "space": "space"}


def list_runs(runs, outcomes, fmriprep_dir):
    """List all runs, those that could not be prepared too.

    Parameters
    ----------
    runs : list of Run
        The runs.
    outcomes : list of dict
        What their sidecars say.
    fmriprep_dir : Path
        Where they are.

    Returns
    -------
    table : DataFrame
        One row a run.
    """
    import pandas as pd

    rows = []
    for run, outcome in zip(runs, outcomes, strict=True):
        row = {"participant_id": run.participant_id, "recording": run.name}
        for entity, column in _ENTITIES.items():
            if any(entity in other.entities for other in runs):
                row[column] = run.entities.get(entity)
        scrubbed = outcome.get("ScrubbedTimepoints")
        row["source"] = run.image.relative_to(fmriprep_dir).as_posix()
        row["n_volumes"] = outcome.get("NumberOfVolumes")
        row["n_scrubbed"] = None if scrubbed is None else len(scrubbed)
        row["scrubbed_timepoints"] = " ".join(map(str, scrubbed)) if scrubbed else None
        row["tr_s"] = outcome.get("RepetitionTime")
        rows.append(row)
    table = pd.DataFrame(rows)
    counts = ["n_volumes", "n_scrubbed"]
    table[counts] = table[counts].astype("Int64")  # missing where a run was not prepared
    table["tr_s"] = table["tr_s"].astype(float)
    return table


def add_people(table, participants):
    """Add what is known of people to the table of the runs.

    Parameters
    ----------
    table : DataFrame
        What `list_runs` returned.
    participants : DataFrame or None
        One row a person, by ``participant_id``.

    Returns
    -------
    table : DataFrame
        One row a run.

    Raises
    ------
    InvalidRecordingError
        A person is listed more than once.
    """
    if participants is None:
        return table.drop(columns="tr_s")
    if participants["participant_id"].duplicated().any():
        twice = participants["participant_id"][participants["participant_id"].duplicated()]
        raise InvalidRecordingError(
            f"participants lists {twice.iloc[0]} more than once. Give one row a person."
        )
    people = participants.drop(columns=set(table.columns) - {"participant_id"}, errors="ignore")
    return table.drop(columns="tr_s").merge(people, on="participant_id", how="left")


def name_parcels(atlas, parcels):
    """List the parcels, one row a column of the recordings.

    Parameters
    ----------
    atlas : Atlas
        The atlas.
    parcels : DataFrame or None
        What is known of them beside their names.

    Returns
    -------
    table : DataFrame
        Its columns begin with index and label.
    """
    import pandas as pd

    own = pd.DataFrame({"index": np.arange(len(atlas.labels)), "label": atlas.names})
    if parcels is None:
        return own
    rest = parcels.drop(columns=["index", "label"], errors="ignore").reset_index(drop=True)
    return pd.concat([own, rest], axis=1)
