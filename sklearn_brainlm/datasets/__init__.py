"""Recordings to try things on, folders of real ones, and the atlas of the released weights."""

from sklearn_brainlm.datasets.atlases import fetch_atlas_a424, parcel_coords_from_labels
from sklearn_brainlm.datasets.folders import load_recordings_folder, read_folder_tables
from sklearn_brainlm.datasets.simulated import make_cohort

__all__ = [
    "fetch_atlas_a424",
    "load_recordings_folder",
    "make_cohort",
    "parcel_coords_from_labels",
    "read_folder_tables",
]
