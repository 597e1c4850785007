"""One run into one recording: confounds out, parcels averaged, nothing lost without a word."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from sklearn_brainlm._validation import T_R_ROUNDING
from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.files.checked import shown
from sklearn_brainlm.preparation.atlas_images import Atlas
from sklearn_brainlm.preparation.bids_runs import read_sidecar_t_r
from sklearn_brainlm.preparation.bold_images import read_bold
from sklearn_brainlm.readers.cifti import read_cifti
from sklearn_brainlm.readers.gifti import average_vertices, find_signal, read_vertices

__all__ = ["Extracted", "Extraction"]


@dataclass(frozen=True)
class Extracted:
    """A recording, and what was found on the way.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.preparation.extraction import Extracted
    >>> made = Extracted(np.zeros((5, 2)), 2.0, np.array([1, 2, 3, 4]), 5, ["csf"], 1.0)
    >>> made.n_volumes - len(made.kept)  # scrubbed
    1
    """

    recording: np.ndarray  # (T, P) float32
    t_r: float | None
    kept: np.ndarray  # timepoints of the run that scrubbing keeps
    n_volumes: int  # of the run
    confounds: list  # names of the regressors
    min_coverage: float | None  # smallest share of a label with signal; None for grayordinates
    n_not_finite: int | None = None  # voxels or vertices with NaN or infinity; None as above


@dataclass(frozen=True)
class Extraction:
    """How recordings are made of runs; the same for all of them.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from sklearn_brainlm.preparation.atlas_images import load_atlas
    >>> from sklearn_brainlm.preparation.extraction import Extraction
    >>> atlas = load_atlas(nibabel.Nifti1Image(np.eye(4, dtype=np.int16)[None], np.eye(4)))
    >>> settings = dict(strategy=None, confounds_params={}, scrubbed="keep", standardize=None)
    >>> settings |= dict(low_pass=None, high_pass=None, min_coverage=0.5)
    >>> slow, fast = (Extraction(atlas=atlas, t_r=t_r, **settings) for t_r in (2.0, 0.7))
    >>> slow.digest == fast.digest
    False
    """

    atlas: Atlas
    strategy: tuple | None
    confounds_params: dict
    scrubbed: str
    standardize: str | None
    low_pass: float | None
    high_pass: float | None
    t_r: float | None
    min_coverage: float

    def describe(self):
        """Say in words and numbers how recordings are made.

        Returns
        -------
        said : dict
            The settings, for a JSON file.
        """
        names = {"atlas": self.atlas.source, "atlas_sha256": self.atlas.digest}
        return {**vars(self), **names, "parcel_names": self.atlas.names}

    @property
    def digest(self):
        """Text that is the same when recordings would be."""
        said = self.describe() | {"atlas": None}  # wherever the atlas lies
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def average(self, run):
        """Make the recording of a run.

        Parameters
        ----------
        run : Run
            The run.

        Returns
        -------
        extracted : Extracted
            Its recording.

        Raises
        ------
        InvalidRecordingError
            A file of the run is missing, damaged, or contradicts another.
        AtlasMismatchError
            The run has no signal in some parcels.
        """
        if self.atlas.kind == "volume":
            bold = read_bold(run.image)
            n_volumes = bold.values.shape[3]
            regressors, kept = self._load_confounds(run, n_volumes)
            t_r = self._settle_t_r(run.image, bold.t_r)
            n_not_finite = int(np.sum(~np.isfinite(bold.values).all(axis=3)))
            recording, coverage = self._average(bold, run.image, t_r, regressors, kept)
        else:
            parcels, header_t_r, coverage, n_not_finite = self._read_parcels(run)
            n_volumes = len(parcels)
            regressors, kept = self._load_confounds(run, n_volumes)
            t_r = self._settle_t_r(run.image, header_t_r)
            recording = self._clean(parcels, run.image, t_r, regressors, kept)
        names = [] if regressors is None else [str(name) for name in regressors.columns]
        return Extracted(recording, t_r, kept, n_volumes, names, coverage, n_not_finite)

    def _read_parcels(self, run):
        """Parcels (T, P) as they are, t_r of the header, smallest coverage, places not finite."""
        if self.atlas.kind == "cifti":
            read = read_cifti(run.image, labels_img=self.atlas.source)
            return read.recording, read.t_r, None, None
        if None in run.hemispheres:
            raise InvalidRecordingError(
                f"{run.image} has no counterpart of the other hemisphere beside it. Copy both."
            )
        atlas = self.atlas.vertices
        values, t_r = read_vertices(run.hemispheres, atlas.n_vertices)
        recording, coverage = average_vertices(values, find_signal(values), atlas)
        self._check_coverage(coverage, run.image)
        return recording, t_r, float(coverage.min()), int(np.sum(~np.isfinite(values).all(axis=0)))

    def _check_coverage(self, coverage, image):
        """Refuse a run that has too little of a parcel."""
        is_covered = (coverage >= self.min_coverage) & (coverage > 0)
        self.atlas.check_complete(is_covered, coverage, image)

    def _load_confounds(self, run, n_volumes):
        """Regressors (T, n) or None, and the timepoints that are kept."""
        image = run.image
        if self.strategy is None:
            return None, np.arange(n_volumes)
        from nilearn.interfaces.fmriprep import load_confounds

        files = [str(side) for side in run.hemispheres] or str(image)
        try:
            regressors, kept = load_confounds(files, self.strategy, **self.confounds_params)
        except (ValueError, KeyError, OSError) as error:  # nilearn's own are ValueErrors
            raise InvalidRecordingError(
                f"{image}: no confounds of {', '.join(self.strategy)} ({_one_line(error)}). Copy "
                "the *_desc-confounds_timeseries files beside it, or choose another strategy."
            ) from error
        if len(regressors) != n_volumes:
            raise InvalidRecordingError(
                f"{image} has {n_volumes} timepoints, its confounds have {len(regressors)} rows. "
                "One of them is not of this run, or cut off: run fMRIPrep again."
            )
        unusable = [str(c) for c in regressors if not np.isfinite(regressors[c]).all()]
        if unusable:
            raise InvalidRecordingError(
                f"{image}: confounds {shown(unusable)} hold values that are not finite. Choose a "
                "strategy without them."
            )
        kept = np.arange(n_volumes) if kept is None else np.asarray(kept, dtype=np.int64)
        if self.scrubbed == "drop" and not len(kept):
            raise InvalidRecordingError(
                f"{image}: scrubbing leaves none of {n_volumes} timepoints. Leave the run out."
            )
        return regressors, kept

    def _settle_t_r(self, image, header_t_r):
        """Repetition time that sidecar, header and user agree on; None where none says it."""
        said = {
            "the user": self.t_r,
            "its JSON sidecar": read_sidecar_t_r(image),
            "its header": header_t_r,
        }
        known = {who: t_r for who, t_r in said.items() if t_r is not None}
        if not known:
            return None
        first = next(iter(known.values()))
        if any(abs(t_r - first) > T_R_ROUNDING * first for t_r in known.values()):
            listed = ", ".join(f"{t_r:g} s by {who}" for who, t_r in known.items())
            raise InvalidRecordingError(
                f"{image}: its repetition time is {listed}. They may differ by 1 %: correct the "
                "one that is wrong."
            )
        return first

    def _average(self, bold, image, t_r, regressors, kept):
        """Return the recording (T, P), and the smallest share of a label that has signal."""
        import nibabel
        from nilearn.maskers import NiftiLabelsMasker

        with np.errstate(invalid="ignore"):
            low, high = bold.values.min(axis=3), bold.values.max(axis=3)
            has_signal = np.isfinite(low) & np.isfinite(high) & (low < high)
        coverage = self.atlas.measure_coverage(has_signal, bold.affine)
        self._check_coverage(coverage, image)
        bold.values[~has_signal] = 0  # NaN and infinity, which nilearn would warn of
        labels_img = self.atlas.place_on(has_signal.shape, bold.affine)
        on_grid = np.asarray(labels_img.dataobj)[has_signal].astype(np.int64)
        # A parcel smaller than the voxels of the run may be the nearest of none.
        self.atlas.check_complete(np.isin(self.atlas.labels, on_grid), coverage, image)
        masker = NiftiLabelsMasker(
            labels_img=labels_img,
            # A mean over voxels outside the field of view would be a fraction of the signal.
            mask_img=nibabel.Nifti1Image(has_signal.astype(np.uint8), bold.affine),
            dtype="float32",
            reports=False,
            t_r=t_r,
            **self._cleaning(image, t_r),
        )
        recording = masker.fit_transform(
            nibabel.Nifti1Image(bold.values, bold.affine),
            confounds=regressors,
            sample_mask=kept if self.scrubbed == "drop" else None,
        )
        # By number, so that an order of nilearn's own would not go unnoticed.
        columns = [label for key, label in masker.region_ids_.items() if key != "background"]
        if [int(label) for label in columns] != self.atlas.labels.tolist():
            raise AtlasMismatchError(
                f"{image}: the masker returned labels {shown([str(c) for c in columns])}, not "
                f"those of {self.atlas.source}. Report this, with the version of nilearn."
            )
        return np.ascontiguousarray(recording, dtype=np.float32), float(coverage.min())

    def _clean(self, recording, image, t_r, regressors, kept):
        """Return the recording (T, P) of grayordinates or vertices, without confounds."""
        from nilearn.signal import clean

        constant = np.flatnonzero(recording.min(axis=0) == recording.max(axis=0))
        if len(constant):
            named = shown([f"{self.atlas.labels[i]} {self.atlas.names[i]}" for i in constant])
            raise AtlasMismatchError(
                f"{image} has no signal in {len(constant)} of the {len(self.atlas.labels)} labels "
                f"of {self.atlas.source}: {named}. Leave the run out, or take another atlas."
            )
        cleaned = clean(
            recording,
            confounds=regressors,
            sample_mask=kept if self.scrubbed == "drop" else None,
            t_r=t_r,
            **self._cleaning(image, t_r),
        )
        return np.ascontiguousarray(cleaned, dtype=np.float32)

    def _cleaning(self, image, t_r):
        """Arguments that nilearn's maskers and its clean share."""
        if t_r is None and (self.low_pass is not None or self.high_pass is not None):
            raise InvalidRecordingError(
                f"{image}: filtering needs its repetition time, which neither a JSON sidecar nor "
                "the header says. Pass t_r."
            )
        return {
            "detrend": False,
            "standardize": self.standardize,
            "low_pass": self.low_pass,
            "high_pass": self.high_pass,
        }


def _one_line(error):
    """Text of an error without its line breaks."""
    return " ".join(str(error).split())
