"""
Functional networks from profiles of parcels
============================================

Table 3 and figure 7B of the article: the network of a parcel is told from what parcels are like it
in attention. The same question is asked here of profiles that need no network, and of where the
parcel lies, which needs no recording at all.
"""

# %%
# Recordings
# ----------
# The simulated ones lie at 100 real places of six networks. Signals are shared within a network
# and, less, with whoever is near. Of new people, 40 timepoints are all there is.

from _recordings import open_recordings

cohort = open_recordings(16, 80, n_parcels=100, needs=["parcel_coords"])
print(cohort.description)
train, test = cohort.recordings[:6], [recording[:40] for recording in cohort.recordings[6:]]

# %%
# Pretraining
# -----------

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.baselines import MaskedGCN, MaskedVAE

windows = {"window_length": 40, "patch_length": 10}
model = BrainLMTransformer(
    **windows, parcel_coords=cohort.parcel_coords, t_r=cohort.t_r, max_epochs=3, random_state=0
).fit(train)
vae = MaskedVAE(**windows, max_epochs=20, random_state=0).fit(train)
gcn = MaskedGCN(**windows, max_epochs=20, random_state=0).fit(train)

# %%
# Profiles
# --------
# One row a parcel, one array a person. Attention is taken in both directions. A network that has
# learned from other people knows their average, so the average connectivity of the same people
# stands beside it.

import numpy as np

from sklearn_brainlm import attention_matrix

attention = attention_matrix(model, test)
places = np.abs(cohort.parcel_coords * [1, 0, 0]) + cohort.parcel_coords * [0, 1, 1]
profiles = {
    "BrainLM attention": np.concatenate([attention, attention.transpose(0, 2, 1)], axis=2),
    "Raw series": [recording.T for recording in test],
    "VAE": vae.embed_parcels(test),
    "GCN": gcn.embed_parcels(test),
    "Connectivity profile": [np.corrcoef(recording.T) for recording in test],
    "Connectivity of the others": [np.mean([np.corrcoef(x.T) for x in train], axis=0)] * len(test),
    "Coordinates, no recording": [places] * len(test),
}

# %%
# The probe
# ---------
# Nearest neighbours tell the network of a fifth of the parcels from the other four fifths, person
# by person. Neighbours in space mostly share a network, and so do homologues on the other side. So
# the second split keeps homologues together.

from sklearn.metrics import pairwise_distances

from sklearn_brainlm import network_probe

# Who is nearest to one's own mirror image, and the other way round, is a pair.
mirrored = pairwise_distances(cohort.parcel_coords, cohort.parcel_coords * [-1, 1, 1]).argmin(
    axis=1
)
own = np.arange(len(mirrored))
pairs = np.where(mirrored[mirrored] == own, np.minimum(own, mirrored), own)

metrics = {"Coordinates, no recording": "euclidean"}
rows = {}
for name, profile in profiles.items():
    how = {"metric": metrics.get(name, "correlation"), "random_state": 0}
    rows[name] = [
        network_probe(profile, cohort.networks, **how),
        network_probe(profile, cohort.networks, pairs=pairs, **how),
    ]
how = {"metric": "correlation", "random_state": 0}
shuffled = np.random.default_rng(0).permutation(cohort.networks)
rows["Shuffled labels"] = [
    network_probe(profiles["Connectivity profile"], shuffled, **how),
    network_probe(profiles["Connectivity profile"], shuffled, pairs=pairs, **how),
]
for name, (at_random, together) in rows.items():
    print(f"{name:<26} random {at_random.accuracy:.2f}   pairs together {together.accuracy:.2f}")
majority = np.unique(cohort.networks, return_counts=True)[1].max() / len(cohort.networks)
print(f"{'Largest network, always':<26} {majority:.2f}")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
heights = np.arange(len(rows))[::-1]
looks = {"parcels at random": ("black", "o", 0.12), "homologues together": ("#D55E00", "D", -0.12)}
for number, (split, (colour, marker, shift)) in enumerate(looks.items()):
    probes = [probe[number] for probe in rows.values()]
    values = np.array([probe.accuracy for probe in probes])
    bounds = np.array([[probe.ci_low, probe.ci_high] for probe in probes]).T
    axes.errorbar(
        100 * values,
        heights + shift,
        xerr=100 * np.abs(bounds - values),
        fmt=marker,
        color=colour,
        label=split,
    )
axes.axvline(100 * majority, color="0.5", linestyle="--", label="largest network, always")
axes.set_yticks(heights, rows)
axes.set(xlabel="Parcels whose network is right (%), 95% interval over people", xlim=(0, 104))
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

# %%
# Which networks are taken for which
# ----------------------------------

from sklearn_brainlm.plotting import plot_network_confusion

figure, both = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
for axes, name in zip(both, ["BrainLM attention", "Connectivity profile"], strict=True):
    probe = rows[name][1]
    plot_network_confusion(probe.confusion, probe.networks, axes=axes)
    axes.set_title(name, loc="left")

# %%
# What to take away
# -----------------

accuracy = {name: probes[1].accuracy for name, probes in rows.items()}
mine = accuracy.pop("BrainLM attention")
best = max(accuracy, key=accuracy.get)
print(f"Attention {mine:.0%}, best of the others: {best} {accuracy[best]:.0%}.")
simple = accuracy["Connectivity of the others"]
if simple >= mine:
    print(f"The simple method wins or draws: connectivity of the people trained on, {simple:.0%}.")
own = accuracy["Connectivity profile"]
print(f"Connectivity of the person alone reaches {own:.0%}: much of a network is not personal.")
gap = rows["Coordinates, no recording"][0].accuracy - rows["Coordinates, no recording"][1].accuracy
print(f"Coordinates alone lose {gap:.0%} when homologues are kept together.")
