"""
Look at the embedding space
===========================

Figure 5 of the article shows embeddings of recordings in a plane, coloured by what is known of the
people. A picture persuades easily. So this page measures, in all dimensions and against chance,
whether neighbours are alike, and in what.
"""

# %%
# Recordings of two scanners
# --------------------------
# Half of the people, drawn at random, get more measurement noise, as if another scanner had been
# used. Age is in the simulated recordings too, in a few connections.

import numpy as np
from _recordings import open_recordings

cohort = open_recordings(100, 160, needs=["age"])
print(cohort.description)
rng = np.random.default_rng(0)
is_noisy = rng.random(len(cohort.recordings)) < 0.5
recordings = [
    recording + noisy * rng.normal(scale=0.5, size=recording.shape)
    for recording, noisy in zip(cohort.recordings, is_noisy, strict=True)
]

# %%
# Embeddings
# ----------
# Of people the network has not seen. `pooling` says how tokens become one row a recording.

from sklearn_brainlm import BrainLMTransformer

n_pretrained = len(recordings) // 5
new, age = recordings[n_pretrained:], cohort.age[n_pretrained:]
scanner = np.where(is_noisy, "noisy", "quiet")[n_pretrained:]

model = BrainLMTransformer(
    window_length=80,
    parcel_coords=cohort.parcel_coords,
    t_r=cohort.t_r,
    max_epochs=3,
    random_state=0,
).fit(recordings[:n_pretrained])
embeddings = {
    pooling: model.set_params(pooling=pooling).transform(new) for pooling in ("cls", "covariance")
}

# %%
# In a plane
# ----------
# Principal components keep distances, t-SNE keeps neighbours; UMAP needs the package umap-learn.

import matplotlib.pyplot as plt

from sklearn_brainlm import project_embeddings
from sklearn_brainlm.plotting import plot_embedding

covariates = {"Age (years)": age, "Scanner": scanner}
figure, grid = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
for row, method in zip(grid, ["pca", "tsne"], strict=True):
    points = project_embeddings(embeddings["covariance"], method)
    for axes, (name, covariate) in zip(row, covariates.items(), strict=True):
        plot_embedding(points, covariate, covariate_name=name, axes=axes)
        axes.set_title({"pca": "Principal components", "tsne": "t-SNE"}[method], loc="left")

# %%
# Is there anything?
# ------------------
# Purity is how alike neighbours are: of classes, the part of the neighbours of one's own class; of
# numbers, a rank correlation. The same is computed a thousand times after the covariate was
# shuffled. What lies within the grey is chance. Connectivity, without a network, stands beside.

from sklearn_brainlm import neighbor_purity
from sklearn_brainlm.baselines import make_connectome

spaces = {**embeddings, "connectivity": make_connectome("ridge")[:-1].fit_transform(new)}
found = {
    (name, space): neighbor_purity(values, covariate)
    for name, covariate in covariates.items()
    for space, values in spaces.items()
}

figure, grid = plt.subplots(2, 3, figsize=(10, 5.5), sharex="row", layout="constrained")
for axes, ((name, space), purity) in zip(grid.flat, found.items(), strict=True):
    axes.hist(purity.null, bins=25, color="0.75", label="shuffled")
    axes.axvline(purity.purity, color="black", linewidth=2, label="as it is")
    axes.set_title(f"{space}, p = {purity.p_value:.3f}", loc="left")
    kind = {"classes": "part of neighbours", "numbers": "rank correlation"}[purity.kind]
    axes.set_xlabel(f"Purity in {name.split()[0].lower()} ({kind})")
for axes in grid[:, 0]:
    axes.set_ylabel("Shuffles")
grid[0, 0].legend(frameon=False, loc="upper left")

# %%
# What to take away
# -----------------
# Look at the null before you look at the colours, and colour by scanner, site and motion before
# you colour by what you hope for.

for (name, space), purity in found.items():
    said = "more than chance" if purity.p_value < 0.05 else "no more than chance"
    print(f"{space:<12} {name:<12} {purity.purity:+.2f}  p {purity.p_value:.3f}  {said}")
names = [name for name in covariates if found[name, "connectivity"].p_value < 0.05]
for name in covariates:
    best = max(spaces, key=lambda space: -found[name, space].p_value + found[name, space].purity)
    if best == "connectivity":
        print(f"{name}: connectivity, the simple method, orders people best.")
