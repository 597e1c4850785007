"""
Perturb a network in the model
==============================

Change the activity of some parcels in the input, and look at what the model then predicts
elsewhere. The model card of the article's authors advertises it. What comes out is what the model
has learned to go together. It is no evidence of what a stimulation would do to a brain.
"""

# %%
# A pretrained model
# ------------------

import numpy as np
from _recordings import open_recordings

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor

cohort = open_recordings(21, 160, needs=["parcel_coords"])
print(cohort.description)
train, test = cohort.recordings[:18], [recording[:80] for recording in cohort.recordings[18:21]]
windows = {"window_length": 80, "patch_length": 20}
brainlm = BrainLMTransformer(
    **windows, parcel_coords=cohort.parcel_coords, t_r=cohort.t_r, max_epochs=3, random_state=0
).fit(train)

# %%
# One standard deviation more in half a network
# ---------------------------------------------
# The left half of one network is perturbed, so that there is something to expect: its right half
# should follow. Each parcel that is asked for is hidden and predicted, once from the recording as
# it is and once from the changed one. The null perturbs as many parcels, drawn at random.

from sklearn_brainlm import perturb

names = np.unique(cohort.networks)
chosen = next((name for name in names if name.lower().startswith(("occ", "vis"))), names[0])
is_left = cohort.parcel_coords[:, 0] < 0
parcels = np.flatnonzero((cohort.networks == chosen) & is_left)
made = perturb(brainlm, test, parcels, amount=1.0, n_folds=2, n_null=24, random_state=0)
significant = np.nan_to_num(made.p_corrected, nan=1.0) < 0.05

# %%
# Above what was perturbed, below what is predicted to follow. Where any parcel is beyond the null,
# the others are small and pale.

import matplotlib.pyplot as plt

from sklearn_brainlm.plotting import plot_parcels_on_glass_brain

given = np.full(len(cohort.networks), np.nan)
given[parcels] = 1.0
figure, both = plt.subplots(2, 1, figsize=(9, 6.5))
plot_parcels_on_glass_brain(
    given, cohort.parcel_coords, unit="Change given (sd)", limits=(0, 1), axes=both[0]
)
plot_parcels_on_glass_brain(
    made.effect,
    cohort.parcel_coords,
    significant=significant if significant.any() else None,
    unit="Change predicted (sd)",
    axes=both[1],
)

# %%
# Does it know more than a correlation?
# -------------------------------------
# The same perturbation of the closed form, and the plain correlation of each parcel with the mean
# of the perturbed ones, in the recordings trained on.

closed_form = perturb(
    GaussianReconstructor(**windows).fit(train), test, parcels, n_folds=2, random_state=0
)
correlation = np.mean(
    [
        [np.corrcoef(series, recording[:, parcels].mean(axis=1))[0, 1] for series in recording.T]
        for recording in train
    ],
    axis=0,
)
elsewhere = np.isfinite(made.effect)

figure, both = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
simple = {
    "Correlation with the network (no unit)": correlation,
    "Change predicted by the closed form (sd)": closed_form.effect,
}
for axes, (name, values) in zip(both, simple.items(), strict=True):
    axes.scatter(values[elsewhere], made.effect[elsewhere], color="black", s=20)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.axvline(0, color="0.7", linewidth=0.8)
    r = np.corrcoef(values[elsewhere], made.effect[elsewhere])[0, 1]
    axes.set_title(f"r = {r:.2f}", loc="left")
    axes.set_xlabel(name)
both[0].set_ylabel("Change predicted by BrainLM (sd)")

# %%
# What to take away
# -----------------

print(f"{chosen}, left: {len(parcels)} parcels perturbed.")
same = cohort.networks == chosen
followed = np.flatnonzero(significant)
print(
    f"Beyond the null: {len(followed)} parcels, {same[followed].sum()} of them of the same network."
)
if not len(followed):
    print("Parcels drawn at random move others as much: nothing is special about these.")
means = [np.nanmean(made.effect[same]), np.nanmean(made.effect[~same])]
print(f"Mean change, rest of the network {means[0]:+.2f} sd, all others {means[1]:+.2f} sd.")
for name, values in simple.items():
    r = np.corrcoef(values[elsewhere], made.effect[elsewhere])[0, 1]
    print(f"{name}: r = {r:.2f} with the response of BrainLM")
    if r > 0.9:
        print("  The simple method says the same: no network is needed to see it.")
