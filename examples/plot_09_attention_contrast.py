"""
Attention of task against rest
==============================

Figure 7A of the article: what the summary token attends to, in one state against another. A map of
attention looks like a finding. Two checks decide whether it is one: correction for the number of
parcels, and the same map of a network whose weights were shuffled.
"""

# %%
# Blocks of task and rest
# -----------------------
# Half of the simulated people do a task in blocks of 20 seconds, which raises the signal of one
# network by 0.3 standard deviations. Blocks are cut with a delay of 6 seconds, as blood is slow. A
# folder of recordings gives two groups of people instead.

import numpy as np
from _recordings import open_recordings

cohort = open_recordings(40, 240, n_parcels=60, needs=["group", "parcel_coords"])
print(cohort.description)
BLOCK = 10  # timepoints

blocks, is_task, subjects = [], [], []
for recording, subject, group in zip(cohort.recordings, cohort.subjects, cohort.group, strict=True):
    if cohort.truth is None:
        blocks.append(recording)
        is_task.append(group == np.unique(cohort.group)[-1])
        subjects.append(subject)
    elif group == "task":
        later = recording[3:]
        for number in range(len(later) // BLOCK):
            blocks.append(later[number * BLOCK : (number + 1) * BLOCK])
            is_task.append(number % 2 == 1)  # rest comes first
            subjects.append(subject)
is_task, subjects = np.array(is_task), np.array(subjects)
print(f"{is_task.sum()} against {(~is_task).sum()} stretches of {len(set(subjects))} people.")

# %%
# Attention
# ---------
# The network is pretrained on everybody, and nothing is said of tasks. ``relative=True`` takes the
# weight of a parcel over that of the summary token itself: plain weights sum to one, so that what
# one parcel gains all others would lose. Heads may follow a parcel with opposite signs, so they are
# kept apart.

from sklearn_brainlm import BrainLMTransformer, parcel_attention

model = BrainLMTransformer(
    window_length=2 * BLOCK,
    patch_length=BLOCK // 2,
    attention="full",
    prior=None,
    embed_dim=32,
    n_heads=8,
    mlp_dim=64,
    decoder_embed_dim=32,
    decoder_mlp_dim=64,
    parcel_coords=cohort.parcel_coords,
    windows_per_recording=2,
    max_epochs=5,
    random_state=0,
).fit(cohort.recordings)


def attend(model, blocks):
    return parcel_attention(model, blocks, head="all", relative=True)


maps = attend(model, blocks)
n_heads, n_parcels = maps.shape[1:]
print("recordings, heads, parcels:", maps.shape)

# %%
# The contrast
# ------------
# Subjects are the units. The largest statistic of each permutation corrects for all parcels and
# heads at once.

from sklearn_brainlm import attention_contrast


def contrast(maps):
    flat = maps.reshape(len(maps), -1)
    sides = {"subjects_a": subjects[is_task], "subjects_b": subjects[~is_task]}
    return attention_contrast(
        flat[is_task], flat[~is_task], **sides, n_permutations=1000, random_state=0
    )


found = contrast(maps)
t = found.t.reshape(n_heads, n_parcels)
strongest = t[np.abs(t).argmax(axis=0), np.arange(n_parcels)]
significant = found.significant().reshape(n_heads, n_parcels).any(axis=0)

# %%
# Of each parcel, the head with the largest difference is drawn. Large markers with an edge are
# significant.

import matplotlib.pyplot as plt

from sklearn_brainlm.plotting import plot_parcels_on_glass_brain, plot_parcels_on_surface

limit = np.abs(strongest).max()
look = {"significant": significant, "unit": "t of the strongest head", "limits": (-limit, limit)}
figure, axes = plt.subplots(figsize=(9, 3.4))
plot_parcels_on_glass_brain(strongest, cohort.parcel_coords, axes=axes, **look)

# %%
# The same on the cortex: each place shows the nearest parcel within 20 mm.

plot_parcels_on_surface(strongest, parcel_coords=cohort.parcel_coords, **look)

# %%
# Did the network learn it?
# -------------------------
# The same contrast of a network whose weights were shuffled, and of the mean signal of each block,
# which needs no network at all.

from sklearn_brainlm import randomise_weights

shuffled = contrast(attend(randomise_weights(model, random_state=0), blocks))
signal = contrast(np.array([block.mean(axis=0) for block in blocks]))
by_parcel = {
    "attention": significant,
    "attention, weights shuffled": shuffled.significant().reshape(n_heads, -1).any(axis=0),
    "mean signal, no network": signal.significant(),
}

from sklearn_brainlm import randomisation_check

check = randomisation_check(parcel_attention, model, blocks[:40], n_draws=3, random_state=0)
print(
    "Rank correlation of the mean map with those of shuffled networks:", check.correlations.round(2)
)

names = np.unique(cohort.networks)
counts = {
    name: [marks[cohort.networks == one].sum() for one in names]
    for name, marks in by_parcel.items()
}
figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
height = 0.8 / len(counts)
greys = ["black", "0.5", "0.8"]
for number, (name, values) in enumerate(counts.items()):
    places = np.arange(len(names)) + (number - 1) * height
    axes.barh(places, values, height=height, color=greys[number], label=name)
axes.set_yticks(np.arange(len(names)), names)
axes.set_xlabel("Significant parcels (corrected p < 0.05)")
axes.invert_yaxis()
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

# %%
# What to take away
# -----------------
# A map of attention is evidence of learning only where shuffled weights do not draw it, and of more
# than the level of the signal only where the mean signal does not.

for name, marks in by_parcel.items():
    where = ", ".join(np.unique(cohort.networks[marks])) or "nowhere"
    print(f"{name}: {marks.sum()} parcels, {where}")
if not any(marks.any() for marks in by_parcel.values()):
    print("Nothing is found, with or without a network.")
elif by_parcel["mean signal, no network"].sum() >= significant.sum():
    print("The simple method wins: the mean signal finds as many parcels or more.")
if by_parcel["attention, weights shuffled"].any():
    print("Shuffled weights find something too: attention follows the signal, learned or not.")
