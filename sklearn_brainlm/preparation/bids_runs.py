"""The runs in a folder that fMRIPrep wrote, and what their sidecars say."""

import glob
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sklearn_brainlm._validation import check_t_r
from sklearn_brainlm.exceptions import CheckpointError, InvalidRecordingError
from sklearn_brainlm.files.checked import read_json, shown

__all__ = ["Run", "find_runs", "read_sidecar_t_r"]

_FILE_TYPES = {"volume": "nii.gz", "cifti": "dtseries.nii", "surface": "func.gii"}
# What tells images of one run apart. All else in a name tells runs apart.
_IMAGE_ENTITIES = ("space", "res", "den", "desc", "cohort", "hemi")
_HEMISPHERES = ("L", "R")


class Run(NamedTuple):
    """A run: its image, and the entities of its name.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_brainlm.preparation.bids_runs import Run
    >>> image = Path("sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz")
    >>> Run("sub-01_task-rest", image, "sub-01", {"sub": "01", "task": "rest"}).participant_id
    'sub-01'
    """

    name: str  # sub-01_task-rest_run-1
    image: Path
    participant_id: str  # sub-01
    entities: dict
    hemispheres: tuple = ()  # of a surface: left and right image, None for one that is missing


def find_runs(
    fmriprep_dir, kind, *, participant_label=None, task=None, space=None, resolution=None
):
    """Find the preprocessed runs of a folder of derivatives.

    Parameters
    ----------
    fmriprep_dir : path
        Folder with ``sub-*``.
    kind : {"volume", "cifti", "surface"}
        Images in MNI space, grayordinates, or the vertices of two hemispheres.
    participant_label : list of str or None, default=None
        Subjects, with or without ``sub-``; None takes all.
    task : str or None, default=None
        Task; None takes all.
    space : str or None, default=None
        Space of the images; None takes the only one there is.
    resolution : str or None, default=None
        Entity ``res`` of the images, where there are several.

    Returns
    -------
    runs : list of Run
        In the order of their names.

    Raises
    ------
    FileNotFoundError
        The folder, a subject or a run is missing.
    InvalidRecordingError
        There are several images of a run.
    """
    from nilearn.interfaces.bids import get_bids_files, parse_bids_filename

    folder = Path(fmriprep_dir)
    subjects = set(_list_subjects(folder, participant_label))
    filters = [("desc", "preproc")] if kind == "volume" else []
    wanted = {"space": space, "res": resolution, "task": task}
    filters += [(entity, label) for entity, label in wanted.items() if label is not None]
    # One search for all: nilearn lists all subjects in each.
    files = get_bids_files(
        glob.escape(str(folder)),
        file_tag="bold",
        file_type=_FILE_TYPES[kind],
        modality_folder="func",
        filters=filters,
    )
    runs = [_describe(parse_bids_filename(file)) for file in files]
    runs = [run for run in runs if run.entities["sub"] in subjects]
    if kind == "surface":
        runs = _pair_hemispheres(runs)
    if space is None:
        runs = _keep_one_space(runs, kind, folder)
    if not runs:
        conditions = ", ".join(f"{entity}-{label}" for entity, label in filters) or "any"
        raise FileNotFoundError(
            f"{folder} has no *_bold.{_FILE_TYPES[kind]} ({conditions}) in a folder func. Check "
            "space and task, and that fMRIPrep wrote this output space."
        )
    twice = [name for name, n in Counter(run.name for run in runs).items() if n > 1]
    if twice:
        images = [run.image.name for run in runs if run.name == twice[0]]
        raise InvalidRecordingError(
            f"{folder} has several images of {len(twice)} runs, among them {shown(images)}. Say "
            "which: pass space or resolution."
        )
    return sorted(runs)


def read_sidecar_t_r(image):
    """Read the repetition time that the JSON file beside an image says.

    Parameters
    ----------
    image : Path
        The image.

    Returns
    -------
    t_r : float or None
        Seconds; None where there is no such file, or it does not say.

    Raises
    ------
    InvalidRecordingError
        The file is no JSON, or what it says is no repetition time.
    """
    sidecar = image.with_name(image.name.partition(".")[0] + ".json")
    if not sidecar.exists():
        return None
    try:
        t_r = read_json(sidecar).get("RepetitionTime")
        return None if t_r is None else check_t_r(t_r)
    except (CheckpointError, TypeError, ValueError) as error:
        raise InvalidRecordingError(f"{sidecar}: {error} Correct RepetitionTime.") from error


def _list_subjects(folder, labels):
    """Return the labels of the subjects that are asked for."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Give the derivatives of fMRIPrep.")
    present = sorted(
        path.name.removeprefix("sub-") for path in folder.glob("sub-*") if path.is_dir()
    )
    if not present:
        raise FileNotFoundError(
            f"{folder} has no folder sub-*. Give the folder of fMRIPrep's derivatives, where "
            "dataset_description.json lies."
        )
    if labels is None:
        return present
    wanted = sorted({label.removeprefix("sub-") for label in labels})
    missing = [label for label in wanted if label not in present]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no subject {shown(missing)}; it has {shown(present)}. Check "
            "participant_label."
        )
    return wanted


def _describe(parsed):
    """Return the run an image is of."""
    entities = parsed["entities"]
    name = "_".join(f"{k}-{v}" for k, v in entities.items() if k not in _IMAGE_ENTITIES)
    return Run(name, Path(parsed["file_path"]), f"sub-{entities['sub']}", entities)


def _pair_hemispheres(images):
    """Return one run for the two images of each."""
    pairs = {}
    for image in images:
        entities = {key: value for key, value in image.entities.items() if key != "hemi"}
        sides = pairs.setdefault(tuple(entities.items()), {})
        sides[image.entities.get("hemi")] = image._replace(entities=entities)
    runs = []
    for sides in pairs.values():
        files = {side: run.image for side, run in sides.items()}
        run = next(iter(sides.values()))
        runs.append(run._replace(hemispheres=tuple(files.get(side) for side in _HEMISPHERES)))
    return runs


def _keep_one_space(runs, kind, folder):
    """Return the runs of the only space there is; raise where there are several."""
    # An atlas does not lie on a brain in its own space.
    if kind == "volume":
        runs = [run for run in runs if (run.entities.get("space") or "").startswith("MNI")]
    if kind == "surface":
        runs = [run for run in runs if run.entities.get("space") not in (None, "fsnative")]
    spaces = sorted({run.entities.get("space") or "" for run in runs})
    if len(spaces) > 1:
        raise InvalidRecordingError(
            f"{folder} has images in several spaces: {shown(spaces)}. Pass space, that of the "
            "atlas."
        )
    return runs
