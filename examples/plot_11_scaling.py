"""
Does more data help?
====================

Figure 4 of the article: reconstruction of new people against the number of recordings learned from,
and against the size of the network. One call measures both, and a closed form says what the curve
has to beat.
"""

# %%
# Measure
# -------
# Each method learns from the first few recordings, more and more of them, and fills in the same
# hidden patches of the same new people. With `path`, what was measured is kept: called again, the
# measurement goes on where it stopped.

import tempfile
from pathlib import Path

from _recordings import open_recordings

from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor, scaling_curve

cohort = open_recordings(36, 120)
print(cohort.description)
windows = {"window_length": 60, "patch_length": 20}


def build(width, depth):
    return BrainLMTransformer(
        **windows,
        parcel_coords=cohort.parcel_coords,
        t_r=cohort.t_r,
        embed_dim=width,
        depth=depth,
        mlp_dim=2 * width,
        decoder_embed_dim=width,
        decoder_mlp_dim=2 * width,
        max_epochs=2,
        random_state=0,
    )


methods = {
    "BrainLM": build(64, 1),
    "BrainLM, small": build(16, 1),
    "Gaussian closed form": GaussianReconstructor(**windows),
}
n_train = 2 * len(cohort.recordings) // 3
people = cohort.recordings[:n_train], cohort.recordings[n_train:]
kept = Path(tempfile.mkdtemp()) / "curve.csv"
curve = scaling_curve(methods, *people, n_recordings=[4, 8, 16, n_train], path=kept)
print(curve.round(3).to_string(index=False))

# %%
# Against the number of recordings
# --------------------------------
# Bars are 95% intervals over the new people.

from sklearn_brainlm.plotting import plot_scaling_curve

plot_scaling_curve(curve)

# %%
# Against the number of parameters
# --------------------------------
# A line for each number of recordings; the closed form has no parameters of a network and is level.

few_or_all = curve[curve["n_recordings"].isin([4, n_train])]
plot_scaling_curve(few_or_all.replace("BrainLM, small", "BrainLM"), x="n_parameters")

# %%
# What to take away
# -----------------
# Ask what doubles: the gain from more people, or the gain from a larger network.

r2 = curve.pivot(index="n_recordings", columns="method", values="r2")
gained = r2["BrainLM"].iloc[-1] - r2["BrainLM"].iloc[0]
print(f"From 4 to {n_train} people: BrainLM gains {gained:.3f}.")
larger = r2["BrainLM"].iloc[-1] - r2["BrainLM, small"].iloc[-1]
print(f"From the small to the larger network, at {n_train} people: {larger:+.3f}.")
ahead = r2["BrainLM"] - r2["Gaussian closed form"]
print("BrainLM minus closed form:", ahead.round(3).to_dict())
if (ahead <= 0).any():
    sizes = ", ".join(map(str, ahead.index[ahead <= 0]))
    print(f"The simple method wins where {sizes} people are all there are.")
