"""
Recordings on the surface, and in CIFTI files
=============================================

Whoever works on the cortical surface needs nothing new. nilearn's surface maskers return the
recordings that its image maskers return, and CIFTI and GIFTI files are read as they are.
"""

# %%
# Signals on fsaverage5
# ---------------------
# Each vertex takes the signal of the parcel whose centre is nearest, with noise of its own; what is
# further than 25 mm from all of them has no label. nilearn brings the surface along.

import numpy as np
from _recordings import open_recordings
from nilearn.datasets import load_fsaverage
from nilearn.surface import SurfaceImage
from scipy.spatial import KDTree

cohort = open_recordings(8, 80, needs=["parcel_coords"])
print(cohort.description)
mesh = load_fsaverage("fsaverage5")["pial"]

nearest = {}
for side, part in mesh.parts.items():
    distance, parcel = KDTree(cohort.parcel_coords).query(part.coordinates)
    nearest[side] = np.where(distance <= 25, parcel + 1, 0)
kept = np.unique(np.concatenate(list(nearest.values())))[1:]  # parcels that have vertices
labels_img = SurfaceImage(mesh, {side: labels.astype(np.int32) for side, labels in nearest.items()})

rng = np.random.default_rng(0)
images = []
for recording in cohort.recordings:
    signals = np.column_stack([np.zeros(len(recording)), recording]).astype(np.float32)
    values = {side: signals[:, labels].T for side, labels in nearest.items()}
    noisy = {side: v + rng.normal(size=v.shape).astype(np.float32) for side, v in values.items()}
    images.append(SurfaceImage(mesh, noisy))
print(f"{len(images)} surface images of shape {images[0].shape}, {len(kept)} parcels")

# %%
# A surface masker in front
# -------------------------

from nilearn.maskers import MultiSurfaceLabelsMasker
from sklearn.pipeline import make_pipeline

from sklearn_brainlm import BrainLMTransformer

masker = MultiSurfaceLabelsMasker(labels_img=labels_img, standardize=None)
brainlm = BrainLMTransformer(
    window_length=80, t_r=cohort.t_r, pooling="covariance", max_epochs=2, random_state=0
)
model = make_pipeline(masker, brainlm)
embeddings = model.fit_transform(images)
print("Embeddings of surface images:", embeddings.shape)

# %%
# On the surface again: how much the summary token attends to each parcel.

from sklearn_brainlm import parcel_attention
from sklearn_brainlm.plotting import plot_parcels_on_surface

recordings = model[0].transform(images)
attention = parcel_attention(model[-1], recordings).mean(axis=0)
plot_parcels_on_surface(
    100 * attention,
    parcel_coords=cohort.parcel_coords[kept - 1],
    unit="Attention of the summary\ntoken (% a token)",
)

# %%
# The same in CIFTI
# -----------------
# A ``.dtseries.nii`` holds the vertices of both hemispheres, a ``.dlabel.nii`` the parcels. The
# atlas of the released weights, A424, is such a file; name it in ``BRAINLM_DLABEL`` and its parcels
# are taken instead, with signals drawn at random.

import os
import tempfile
from pathlib import Path

import nibabel
from nibabel import cifti2

folder = Path(tempfile.mkdtemp())
if "BRAINLM_DLABEL" in os.environ:
    dlabel = Path(os.environ["BRAINLM_DLABEL"])
    grayordinates = nibabel.load(dlabel).header.get_axis(1)
    tables = [rng.normal(size=(80, len(grayordinates))) for _ in images[:3]]
else:
    dlabel = folder / "parcels.dlabel.nii"
    left, right = (
        cifti2.BrainModelAxis.from_surface(np.arange(len(nearest[side])), len(nearest[side]), name)
        for side, name in [("left", "CORTEX_LEFT"), ("right", "CORTEX_RIGHT")]
    )
    grayordinates = left + right
    names = {int(label): (cohort.parcels[label - 1], (1, 0, 0, 1)) for label in kept}
    labels = cifti2.LabelAxis(["parcels"], [{0: ("???", (0, 0, 0, 0)), **names}])
    values = np.concatenate([nearest["left"], nearest["right"]])[np.newaxis]
    cifti2.Cifti2Image(values.astype(np.float32), (labels, grayordinates)).to_filename(dlabel)
    tables = [np.concatenate([i.data.parts["left"], i.data.parts["right"]]).T for i in images]

seconds = cifti2.SeriesAxis(0, cohort.t_r or 1.0, 80)
for subject, table in zip(cohort.subjects, tables, strict=False):
    image = cifti2.Cifti2Image(table.astype(np.float32), (seconds, grayordinates))
    image.to_filename(folder / f"{subject}_bold.dtseries.nii")

# %%
# One file says its repetition time and the names of its parcels. A folder of them becomes a store,
# and a store is an X like any other.

from sklearn_brainlm import build_store, list_recordings
from sklearn_brainlm.readers import read_cifti

one = read_cifti(folder / f"{cohort.subjects[0]}_bold.dtseries.nii", labels_img=dlabel)
print(one.recording.shape, f"t_r {one.t_r} s, first parcels:", one.parcel_names[:3])
found = list_recordings(folder, "*.dtseries.nii", labels_img=dlabel)
store = build_store(folder / "store", **found, parcels={"label": one.parcel_names}, t_r=one.t_r)
from_cifti = brainlm.set_params(t_r=one.t_r).fit_transform(store)
print("Embeddings of CIFTI files:", from_cifti.shape)

# %%
# And in GIFTI
# ------------
# fMRIPrep writes a ``.func.gii`` for each hemisphere. :func:`sklearn_brainlm.prepare` makes a store
# of its whole folder, with confounds removed; this reads one run. The atlas is a ``.label.gii`` or
# an ``.annot`` of FreeSurfer for each hemisphere, and a parcel lies in one of them: a number that
# both have is two parcels.

from sklearn_brainlm.readers import read_gifti

images[0].data.to_filename(folder / "bold.gii")
labels_img.data.to_filename(folder / "parcels.gii")
run, atlas = (
    tuple(folder / f"{name}_hemi-{side}.gii" for side in "LR") for name in ("bold", "parcels")
)
from_gifti = read_gifti(run, labels_img=atlas)
print(from_gifti.recording.shape, "first parcels:", from_gifti.parcel_names[:3])

# %%
# What to take away
# -----------------

if "BRAINLM_DLABEL" not in os.environ:
    same = np.allclose(one.recording, recordings[0], atol=1e-4)
    print("Masker and reader return", "the same recording." if same else "DIFFERENT recordings.")
print("A recording is an array (n_timepoints, n_parcels), wherever its parcels lie.")
