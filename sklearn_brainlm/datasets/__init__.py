"""Recordings to try things on: a simulated cohort, and folders of real recordings."""

from sklearn_brainlm.datasets.folders import load_recordings_folder
from sklearn_brainlm.datasets.simulated import make_cohort

__all__ = ["load_recordings_folder", "make_cohort"]
