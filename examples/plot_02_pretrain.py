"""
Pretrain, and look at reconstructions
=====================================

BrainLM learns by filling in what was hidden from it (figure 3 of the article). This page trains a
small one, and looks at what it fills in for people it has not seen, beside a closed form that
knows nothing but covariances.
"""

# %%
# Recordings
# ----------
# Simulated here. ``BRAINLM_RECORDINGS_FOLDER=folder python plot_02_pretrain.py`` takes yours.

from _recordings import open_recordings

cohort = open_recordings(24, 160)
print(cohort.description)
train, test = cohort.recordings[:16], cohort.recordings[16:]

# %%
# Pretraining
# -----------
# Patches of 20 timepoints are hidden: 20%, 75% or 90% of them, drawn for each batch. With
# ``prior="gaussian"``, the default, training starts at the closed form and learns the rest. A plain
# masked autoencoder, ``prior=None``, starts at nothing.

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor

windows = {"window_length": 80, "patch_length": 20}
network = {"parcel_coords": cohort.parcel_coords, "t_r": cohort.t_r, "random_state": 0}
methods = {
    "Gaussian closed form": GaussianReconstructor(**windows),
    "BrainLM, no prior": BrainLMTransformer(**windows, **network, prior=None, max_epochs=30),
    "BrainLM": BrainLMTransformer(**windows, **network, max_epochs=4),
}
for method in methods.values():
    method.fit(train)

# %%
# The loss is that of masked patches alone. Epochs of the plain one are cheap, so it gets more.

import matplotlib.pyplot as plt

from sklearn_brainlm.plotting import plot_loss_curve

figure, both = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
for axes, name in zip(both, ["BrainLM", "BrainLM, no prior"], strict=True):
    plot_loss_curve(methods[name].history_, axes=axes)
    axes.set_title(name, loc="left")

# %%
# What is hidden, and what is filled in
# -------------------------------------
# Three quarters of the patches of somebody new are hidden. One row is one parcel.

from sklearn_brainlm.plotting import plot_mask, plot_reconstruction

made = methods["BrainLM"].reconstruct(test, mask_ratio=0.75)
first = made[0]
plot_mask(first.masked, t_r=cohort.t_r, patch_length=20)

# %%
# The line in colour is what the network fills in, for somebody it has not seen. It follows slow
# changes that other parcels share, and cannot know what is a parcel's own.

plot_reconstruction(
    first.true, first.predicted, first.masked, t_r=cohort.t_r, labels=cohort.parcels
)

# %%
# How good is it?
# ---------------
# R2 over everything that was hidden, person by person. Zero is the mean of what was hidden.

from sklearn_brainlm.metrics import masked_r2
from sklearn_brainlm.plotting import plot_masked_r2_bars

scores = {
    name: [
        masked_r2(one.true, one.predicted, one.masked)
        for one in method.reconstruct(test, mask_ratio=0.75)
    ]
    for name, method in methods.items()
}
axes = plot_masked_r2_bars(scores)
axes.set_title("New people, 75% hidden", loc="left")

# %%
# What to take away
# -----------------
# The closed form is not a straw man. Whoever trains a network without looking at it may spend a
# week on rediscovering a covariance matrix.

import numpy as np

mean = {name: np.mean(values) for name, values in scores.items()}
difference = np.subtract(scores["BrainLM"], scores["Gaussian closed form"])
better = "better" if difference.mean() > 0 else "worse"
print("  ".join(f"{name}: R2 {value:.3f}" for name, value in mean.items()))
print(
    f"BrainLM is {better} than the closed form by {abs(difference.mean()):.3f}, and for "
    f"{(difference > 0).sum()} of {len(difference)} people."
)
if mean["BrainLM, no prior"] < mean["Gaussian closed form"]:
    print("Without a prior, the simple method wins: this training is too short to find it.")
