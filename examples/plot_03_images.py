"""
From images to a prediction
===========================

A masker of nilearn, BrainLM and a predictor of scikit-learn are one model. It is cross-validated
as one, so that nothing is learned from the people it is tested on.
"""

# %%
# Images
# ------
# A cohort is simulated and written as 4-D NIfTI files, with the label image of its parcels. A
# folder of recordings in ``BRAINLM_RECORDINGS_FOLDER`` has been through a masker already, so that
# step is left out.

import tempfile
from pathlib import Path

from _recordings import open_recordings

cohort = open_recordings(24, 100, n_parcels=20, images=tempfile.mkdtemp(), needs=["age"])
simulated = cohort.truth is not None
X = cohort.truth.images if simulated else cohort.recordings
print(cohort.description)
print("X holds", "images such as " + Path(X[0]).name if simulated else f"arrays {X[0].shape}")

# %%
# The label image says which voxels are a parcel; here it is coloured by network.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_brainlm.plotting import plot_parcels_on_slices

names, network = np.unique(cohort.networks, return_inverse=True)
if simulated:
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
    figure, axes = plt.subplots(figsize=(10, 2.6))
    plot_parcels_on_slices(
        network + 1,
        cohort.truth.labels_img,
        unit="Number of the network",
        display_mode="z",
        cut_coords=[-30, 0, 12, 24, 36, 48],
        axes=axes,
    )
    print("Networks:", listed)

# %%
# One model
# ---------
# ``pooling="covariance"`` hands on how the tokens of parcels vary together. With many more
# features than people, a linear kernel is enough.

from nilearn.maskers import MultiNiftiLabelsMasker
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from sklearn_brainlm import BrainLMTransformer

masker = [MultiNiftiLabelsMasker(cohort.truth.labels_img, standardize=None)] if simulated else []
brainlm = BrainLMTransformer(
    window_length=100,
    parcel_coords=cohort.parcel_coords,
    t_r=cohort.t_r,
    pooling="covariance",
    max_epochs=2,
    random_state=0,
)
model = make_pipeline(*masker, brainlm, StandardScaler(), SVR(kernel="linear", C=1e-3))
print(model)

# %%
# The simple model it has to beat differs in one step.

from sklearn.linear_model import RidgeCV

from sklearn_brainlm.baselines import make_connectome

simple = make_pipeline(*masker, *(step for _, step in make_connectome("ridge").steps))
assert isinstance(simple[-1], RidgeCV)

# %%
# Cross-validation
# ----------------
# Every person is predicted by a model that has not seen them: neither the network, nor the scaler,
# nor the predictor. On the dashed line a prediction would be right; on a level line everybody is
# given the mean, whoever they are.

from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold, cross_val_predict

folds = KFold(3, shuffle=True, random_state=0)
predicted = {
    "BrainLM + SVR": cross_val_predict(model, X, cohort.age, cv=folds),
    "Connectivity + ridge": cross_val_predict(simple, X, cohort.age, cv=folds),
}

figure, both = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
limits = cohort.age.min() - 5, cohort.age.max() + 5
for axes, (name, values) in zip(both, predicted.items(), strict=True):
    axes.axline((50, 50), slope=1, color="0.6", linestyle="--", zorder=0)
    axes.scatter(cohort.age, values, color="black")
    axes.set_title(name, loc="left")
    axes.set(xlabel="Age (years)", xlim=limits, ylim=limits, aspect="equal")
both[0].set_ylabel("Predicted age (years)")

# %%
# What to take away
# -----------------
# The five lines are the whole interface. Whether they are worth it is another question, and the
# mean of the others' ages is the first thing to compare with.

errors = {name: mean_absolute_error(cohort.age, values) for name, values in predicted.items()}
others = [cohort.age[train].mean() for train, test in folds.split(X) for _ in test]
order = np.concatenate([test for _, test in folds.split(X)])
errors["Mean age of the others"] = mean_absolute_error(cohort.age[order], others)
for name, error in sorted(errors.items(), key=lambda item: item[1]):
    print(f"{name:<24} mean absolute error {error:.1f} years")
best = min(errors, key=errors.get)
if not best.startswith("BrainLM"):
    print(f"The simple method wins: {best}. {len(X)} recordings this short are few to learn from.")
