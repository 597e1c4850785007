"""Recordings of people with their labels, and the folds that they are tested in."""

import time
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from _clinical_rows import TARGETS
from _cohorts import load_cohort, split
from sklearn.model_selection import GroupKFold

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.comparison.out_of_fold import check_y
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.exceptions import DataQualityWarning


class People:
    """Recordings with their labels, the folds they are tested in, and what folds share."""

    def __init__(self, options):
        self.cohort, self.table = _load(options.recordings)
        self.name, self.n_elsewhere, self.in_both = self.cohort.name, 0, []
        if options.max_recordings is not None:
            self._keep(_spread(len(self.cohort), options.max_recordings))
        cohorts, tables = [self.cohort], [self.table]
        if options.test_recordings:
            elsewhere, table = _load(options.test_recordings)
            known = np.isin(elsewhere.subjects, self.cohort.subjects)
            self.in_both = sorted(set(elsewhere.subjects[known]))
            elsewhere, table = elsewhere.take(~known), table[~known]
            split(self.cohort, elsewhere)  # refuses other parcels, and the same values
            self.name, self.n_elsewhere = f"{self.name}_to_{elsewhere.name}", len(elsewhere)
            cohorts.append(elsewhere)
            tables.append(table)
        self.table = pd.concat(tables, ignore_index=True)
        self.recordings = [x for c in cohorts for x in c.recordings]
        self.files = np.concatenate([c.files for c in cohorts])
        self.subjects = np.concatenate([c.subjects for c in cohorts])
        self.codes = np.unique(self.subjects, return_inverse=True)[1]
        self.groups, self.grouped_by = self._group(cohorts)
        self.folds = self._split(options.folds)
        self._embeddings = {}

    def __len__(self):
        return len(self.recordings)

    def labels(self, target):
        """Return the labels of a target, and who has one; None where nobody has."""
        column = self.table.get(TARGETS[target].column)
        if column is None or column.notna().sum() == 0 or column.dropna().nunique() < 2:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)  # the page says how many
            return check_y(column.to_numpy())

    def covariates(self):
        """Return what is known of people without their recordings: motion, and the scanner."""
        found = {}
        if "mean_fd" in self.table and self.table["mean_fd"].notna().any():
            found["Motion"] = self.table["mean_fd"].astype(float)
        if "site" in self.table:
            scanner = [c for c in ("tr_s", "n_timepoints") if c in self.table]
            if scanner:
                found["Site"] = self.table[scanner].astype(float)
        return found

    def embed(self, weights, pooling, fold, seed):
        """Return embeddings of all recordings, and the CPU-seconds they took, made once.

        Each recording is embedded on its own, by weights that saw the training side only.
        """
        key = (pooling, fold, seed)
        if key not in self._embeddings:
            began = time.process_time()
            model = BrainLMTransformer(weights=weights, pooling=pooling, max_epochs=0)
            model.fit([self.recordings[i] for i in self.folds[fold][0]])
            features = model.transform(self.recordings)
            self._embeddings[key] = features, time.process_time() - began
        return self._embeddings[key]

    def _keep(self, chosen):
        """Keep some of the recordings."""
        self.cohort = self.cohort.take(chosen)
        self.table = self.table.iloc[chosen].reset_index(drop=True)

    def _group(self, cohorts):
        """Return what a fold must not divide."""
        if any(c.sites is None for c in cohorts) or len(set(cohorts[0].sites)) < 2:
            return self.subjects, "participant"
        return np.concatenate([np.char.add(f"{c.name}/", c.sites) for c in cohorts]), "site"

    def _split(self, n_folds):
        """Return the folds; a cohort from elsewhere is the test side of a single one."""
        positions = np.arange(len(self))
        if self.n_elsewhere:
            n_here = len(self) - self.n_elsewhere
            return [(positions[:n_here], positions[n_here:])]
        n_folds = min(n_folds, len(set(self.groups)))
        return list(GroupKFold(n_folds).split(positions, groups=self.groups))


def _load(path):
    """Open a folder; return its cohort in memory, and its table in the same order."""
    cohort = load_cohort(path)
    recordings = [np.asarray(recording, dtype=np.float32) for recording in cohort.recordings]
    table = load_recordings_folder(path).participants.set_index("recording")
    return replace(cohort, recordings=recordings), table.loc[cohort.files].reset_index()


def _spread(n, n_kept):
    """Return positions that lie evenly among all, so that all sites are among them."""
    return np.unique(np.linspace(0, n - 1, min(n, n_kept)).astype(int))
