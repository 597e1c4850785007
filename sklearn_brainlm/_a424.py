"""The A424 atlas of the released weights: where its files are, and how they are read.

The SHA-256 says which file is meant. The files have not changed since their authors added them
(April 2024), so the commit only says where to look first; its history was rewritten once, and
where the commit is gone the `main` branch will do.
"""

import csv
import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import quote

import numpy as np

from sklearn_brainlm.exceptions import CheckpointError, InvalidRecordingError

__all__ = [
    "CEREBELLUM",
    "COMMIT",
    "COORDINATES",
    "LABELS_IMG",
    "LICENCES",
    "NAMES",
    "NETWORKS",
    "N_CORTICAL",
    "N_PARCELS",
    "N_SUBCORTICAL",
    "REPOSITORY",
    "SHA256",
    "SUBCORTEX",
    "TABLE",
    "find_file",
    "list_folders",
    "list_urls",
    "read_coordinates",
    "read_networks",
    "tell",
]

REPOSITORY = "https://github.com/vandijklab/BrainLM"
COMMIT = "eded39c86c27e03f5ead1d6a14311e92d1305e5e"
FOLDER = "toolkit/atlases"

# The image of the authors' toolkit. The plain A424.nii.gz has no voxel of label 120 (R_H_ROI), so
# that a masker would return 423 columns.
LABELS_IMG = "A424+2mm.nii.gz"
COORDINATES = "A424_Coordinates.dat"
NAMES = "A424.dlabel.nii"
SHA256 = {
    LABELS_IMG: "8478d7516a2bbf295989835d5033d03e4283143a2955c90428f634951702501b",
    COORDINATES: "cdad8f8859c211b1400211ebbad455dedcc4399ac14fd614354fb71b110c892c",
    NAMES: "aa44b971ff80d247f890365cbb5bc68583c84b37605bab04bc930dce8a263a1e",
}
# Not of the authors: networks somebody has worked out before.
TABLE = "a424_parcels.tsv"

# Labels 1-360, 361-396 and 397-424.
N_CORTICAL, N_SUBCORTICAL, N_PARCELS = 360, 36, 424
NETWORKS = ("Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default")
SUBCORTEX, CEREBELLUM = "Subcortex", "Cerebellum"

LICENCES = (
    "labels 1-360, cortex: HCP-MMP1.0 (Glasser et al. 2016), WU-Minn HCP Consortium Open Access "
    "Data Use Terms: acknowledge, pass on under the same terms; https://balsa.wustl.edu",
    "labels 361-396, subcortex: Brainnetome Atlas (Fan et al. 2016), free for non-commercial use, "
    "with attribution, share alike; https://atlas.brainnetome.org",
    "labels 397-424, cerebellum: SUIT (Diedrichsen et al. 2009), CC BY-NC 3.0 with its toolbox, "
    "so non-commercial too; https://www.diedrichsenlab.org/imaging/suit.htm",
    f"put together by the authors of BrainLM, whose repository is Apache-2.0; {REPOSITORY}",
)


def list_urls(name, base_url=None):
    """List the addresses of a file of the atlas, the first to try first.

    Parameters
    ----------
    name : str
        Name of the file.
    base_url : str or None, default=None
        Address of a folder to take it from instead of the authors' repository.

    Returns
    -------
    urls : list of str
        Addresses that give the same bytes.
    """
    if base_url is not None:
        return [f"{base_url.rstrip('/')}/{quote(name)}"]
    raw = REPOSITORY.replace("github.com", "raw.githubusercontent.com")
    return [f"{raw}/{revision}/{FOLDER}/{quote(name)}" for revision in (COMMIT, "main")]


def read_coordinates(path):
    """Read the coordinates of the parcels.

    Parameters
    ----------
    path : path
        Text file, a line `index x y z` a parcel.

    Returns
    -------
    coords : ndarray of float64 of shape (424, 3)
        MNI mm, in the order of the labels 1 to 424.

    Raises
    ------
    CheckpointError
        The lines do not say this.
    """
    try:
        rows = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as a table of numbers: {error}") from error
    if rows.shape != (N_PARCELS, 4) or not np.array_equal(rows[:, 0], np.arange(N_PARCELS) + 1):
        raise CheckpointError(
            f"{path} has {rows.shape[0]} rows of {rows.shape[1]} numbers; expected {N_PARCELS} "
            f"rows 'index x y z', index 1 to {N_PARCELS} in order. Take {COORDINATES} from "
            f"{REPOSITORY}, folder {FOLDER}."
        )
    if not np.isfinite(rows).all():
        raise CheckpointError(f"{path} has coordinates that are not finite. Copy it again.")
    return rows[:, 1:]


def read_networks(path, names):
    """Read the networks of the parcels from a table.

    Parameters
    ----------
    path : path
        Text with tabs between columns: `index` (1 to 424 in order), `label` and `yeo7`.
    names : sequence of str of length 424
        Names the labels must have.

    Returns
    -------
    networks : ndarray of str of shape (424,)
        One of the seven networks of Yeo et al. (2011), Subcortex or Cerebellum.

    Raises
    ------
    InvalidRecordingError
        The table is of other parcels, or names other networks.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    missing = {"index", "label", "yeo7"} - set(rows[0] if rows else ())
    if missing:
        raise InvalidRecordingError(
            f"{path} has no column {sorted(missing)}. Add it, or remove the file to have the "
            "networks voted from the Schaefer atlas."
        )
    found = [(row["index"], row["label"]) for row in rows]
    expected = [(str(index), name) for index, name in enumerate(names, start=1)]
    if found != expected:
        raise InvalidRecordingError(
            f"{path} does not list the {len(expected)} parcels of A424 in the order of their "
            "labels. Correct columns 'index' and 'label', or remove the file."
        )
    networks = [row["yeo7"] for row in rows]
    unknown = sorted(set(map(str, networks)) - {*NETWORKS, SUBCORTEX, CEREBELLUM})
    if unknown:
        raise InvalidRecordingError(
            f"{path}: column 'yeo7' has {unknown}; expected {[*NETWORKS, SUBCORTEX, CEREBELLUM]}."
        )
    return np.array(networks)


def list_folders(data_dir=None):
    """List the folders that files of the atlas may be in; those called a424 may be made.

    Parameters
    ----------
    data_dir : path or None, default=None
        Where to look; by default the folders of :func:`nilearn.datasets.get_data_dirs`.

    Returns
    -------
    folders : list of Path
        The first to look in first.
    """
    from nilearn.datasets import get_data_dirs  # late: a second

    home = os.environ.get("BRAINLM_HOME")
    if data_dir is None and home:
        data_dir = home
    roots = [Path(root).expanduser() for root in get_data_dirs(data_dir)]
    nested = [root / "a424" for root in roots]
    return nested if data_dir is None else [*roots, *nested]


def find_file(name, data_dir=None, *, base_url=None, verbose=1):
    """Find a file of the atlas, or download it.

    Parameters
    ----------
    name : str
        Name of the file.
    data_dir : path or None, default=None
        As for :func:`list_folders`.
    base_url : str or None, default=None
        As for :func:`list_urls`.
    verbose : int, default=1
        0 prints nothing.

    Returns
    -------
    path : Path
        A file of the published bytes.

    Raises
    ------
    CheckpointError
        If the file is not the published one, or cannot be had. The message names the remedy.
    """
    sha256, folders = SHA256[name], list_folders(data_dir)
    for folder in folders:
        path = folder / name
        if path.is_file():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != sha256:
                raise CheckpointError(
                    f"{path} is not the published file: its SHA-256 is {found[:16]}…, expected "
                    f"{sha256[:16]}…. Remove it to download it again, or pass another data_dir."
                )
            return path
    # Imported here: the atlas may be at hand.
    from sklearn_brainlm.hub import download

    path = _make_folder(folders) / name
    failures = []
    for url in list_urls(name, base_url):
        tell(f"Downloading {url}", verbose)
        try:
            download(url, path, sha256=sha256)
            return path
        except OSError as error:  # CheckpointError and urllib's errors are OSErrors
            failures.append(f"{url}: {error}")
    raise CheckpointError(
        f"{name} could not be downloaded ({'; '.join(failures)}). Copy it from "
        f"{REPOSITORY}, folder {FOLDER}, into {path.parent}."
    )


def tell(message, verbose):
    """Print on the standard error, which is not what a script writes for others to read.

    Parameters
    ----------
    message : str
        What to print.
    verbose : int
        0 prints nothing.
    """
    if verbose:
        print(message, file=sys.stderr)


def _make_folder(folders):
    """Return the first folder called a424 that can be written to."""
    nested = [folder for folder in folders if folder.name == "a424"]
    for folder in nested:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise CheckpointError(
        f"No folder to download to: {[str(folder) for folder in nested]} cannot be written. Pass "
        "a data_dir that can."
    )
