"""
Fill in censored timepoints
===========================

Frames in which somebody moved are often thrown away. Then series have holes, and spectra, lagged
correlations and filters need something in their place. A model of masked activity can say what was
there. So can a straight line.
"""

# %%
# Recordings with holes
# ---------------------
# In everybody new, whole frames are missing: single ones, and runs as long as a cough. Here we know
# what was there.

import numpy as np
from _recordings import open_recordings

cohort = open_recordings(28, 160)
print(cohort.description)
train, test = cohort.recordings[:20], cohort.recordings[20:]

rng = np.random.default_rng(0)
lengths = [1, 2, 4, 6]
missing = []
for recording in test:
    holes = np.zeros(len(recording), dtype=bool)
    # One hole in each fifteen timepoints, of one of the lengths.
    for start in range(4, len(recording) - 10, 15):
        holes[start + rng.integers(5) :][: rng.choice(lengths)] = True
    missing.append(np.tile(holes[:, np.newaxis], (1, recording.shape[1])))
print(f"{np.mean([marks.mean() for marks in missing]):.0%} of the timepoints are missing.")

# %%
# Three ways to fill them
# -----------------------
# What is missing may hold anything, such as NaN. Observed values come back untouched. BrainLM
# learns from holes like these, ``masking="burst"``: its closed form goes by the rest of a patch.

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor
from sklearn_brainlm.imputation import interpolate

windows = {"window_length": 80, "patch_length": 10}
gaussian = GaussianReconstructor(**windows).fit(train)
brainlm = BrainLMTransformer(
    **windows,
    parcel_coords=cohort.parcel_coords,
    t_r=cohort.t_r,
    masking="burst",
    mask_ratio=0.2,
    max_epochs=5,
    random_state=0,
).fit(train)

holed = [np.where(marks, np.nan, recording) for recording, marks in zip(test, missing, strict=True)]
filled = {
    "Straight line": [
        interpolate(recording, marks, center=np.nanmean(recording, axis=0))
        for recording, marks in zip(holed, missing, strict=True)
    ],
    "Gaussian closed form": gaussian.impute(holed, missing),
    "BrainLM": brainlm.impute(holed, missing),
}

# %%
# One parcel of one person. Grey is what was missing.

import matplotlib.pyplot as plt

seconds = np.arange(len(test[0])) * (cohort.t_r or 1)
shown = slice(0, 60)
figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
axes.plot(seconds[shown], test[0][shown, 0], color="black", label="recorded")
colours = {"Straight line": "#0072B2", "Gaussian closed form": "#009E73", "BrainLM": "#D55E00"}
styles = {"Straight line": ":", "Gaussian closed form": "--", "BrainLM": "-"}
for name, recordings in filled.items():
    # A hole is drawn from its last observed neighbour to the next.
    near = np.convolve(missing[0][:, 0], [1, 1, 1], mode="same") > 0
    values = np.where(near, recordings[0][:, 0], np.nan)
    axes.plot(
        seconds[shown], values[shown], color=colours[name], linestyle=styles[name], label=name
    )
step = seconds[1] - seconds[0]
for timepoint in np.flatnonzero(missing[0][shown, 0]):
    axes.axvspan(
        seconds[timepoint] - step / 2, seconds[timepoint] + step / 2, color="0.9", zorder=0, lw=0
    )
axes.set(xlabel="Time (s)", ylabel=f"{cohort.parcels[0]}\n(units of the recording)")
axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)

# %%
# By the length of the hole
# -------------------------
# R2 over all missing values of holes of one length, zero being the mean of the missing values.

from sklearn_brainlm.metrics import masked_r2


def of_length(marks, length):
    """Keep the holes of one length."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks[:, 0], [0]])))
    kept = np.zeros_like(marks)
    for begin, end in edges.reshape(-1, 2):
        kept[begin:end] = end - begin == length
    return kept


scores = {name: [] for name in filled}
for length in lengths:
    kept = [of_length(marks, length) for marks in missing]
    some = [index for index, marks in enumerate(kept) if marks.any()]
    for name, recordings in filled.items():
        chosen = ([values[index] for index in some] for values in (test, recordings, kept))
        scores[name].append(masked_r2(*chosen))

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
markers = {"Straight line": "o", "Gaussian closed form": "s", "BrainLM": "D"}
for name, values in scores.items():
    axes.plot(
        lengths,
        values,
        color=colours[name],
        linestyle=styles[name],
        marker=markers[name],
        label=name,
    )
axes.axhline(0, color="0.6", linewidth=0.8)
axes.set(xlabel="Length of the hole (timepoints)", ylabel="R2 of missing values (no unit)")
axes.set_xticks(lengths)
axes.legend(frameon=False)

# %%
# What to take away
# -----------------

for number, length in enumerate(lengths):
    best = max(scores, key=lambda name: scores[name][number])
    print(f"Holes of {length}: best is {best}, R2 {scores[best][number]:.2f}")
simple = np.maximum(scores["Straight line"], scores["Gaussian closed form"])
n_simple = int(np.sum(simple >= scores["BrainLM"]))
print(f"A simple method is as good or better at {n_simple} of {len(lengths)} lengths.")
if (
    min(values[-1] for values in scores.values())
    < 0
    < max(values[-1] for values in scores.values())
):
    print("In long holes a straight line is worse than the mean: do not interpolate them.")
