# %% [markdown]
# # What does the gap of my model look like, before and after?
#
# A notebook in cells: open it in Jupyter (jupytext), VS Code or PyCharm, or run it as a script.
# Name your own vectors, row i of one belonging to row i of the other; without, synthetic ones are
# drawn. Needs: pip install 'distnorm[report]'
#
# Run: python examples/see_the_gap.py [--images image.npy --texts text.npy] [--out gap.png]

# %%
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from make_vectors import synthetic_pairs

import distnorm

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=Path, help="unit rows or raw ones, (n, d)")
parser.add_argument("--texts", type=Path, help="row i belongs to row i of the images")
parser.add_argument("--method", default="dn")
parser.add_argument("--out", type=Path, default=Path("gap.png"))
asked, _ = parser.parse_known_args()  # a notebook's own arguments are left alone

if asked.images and asked.texts:
    X, Y = (distnorm.normalize(np.load(path)) for path in (asked.images, asked.texts))
    source = f"{asked.images.name}, {asked.texts.name}"
else:
    X, Y = synthetic_pairs()
    source = "synthetic vectors"
half = min(len(X) // 2, 2000)
print(f"{source}: {X.shape} and {Y.shape}; statistics from the first {half} rows")

# %% [markdown]
# ## The gap
# Both sides lie in cones of their own. The two means are what every pair has in common; a part of
# each, `strength`, is taken out.

# %%
norm = distnorm.make(asked.method).fit(images=X[:half], texts=Y[:half])
X, Y = X[half : 2 * half], Y[half : 2 * half]  # what is looked at has not been fitted
means = {side: norm.moments(side).mean for side in norm.sides}
strength = norm.strength
print(norm)
print(f"gap between the means: {np.linalg.norm(means['image'] - means['text']):.3f}")

# %% [markdown]
# ## Scores of matching pairs and of others

# %%
own = np.eye(len(X), dtype=bool)
scores = {"dot product": X @ Y.T, asked.method: np.asarray(norm.similarity(X, Y))}
first = {}
for name, matrix in scores.items():
    first[name] = np.mean(matrix.argmax(axis=0) == np.arange(len(Y)))
    apart = (matrix[own].mean() - matrix[~own].mean()) / matrix[~own].std()
    print(f"{name:12} text->image recall@1 {first[name]:.1%}; matches lie {apart:.1f} sd higher")

# %% [markdown]
# ## Which images come up for many texts

# %%
k = min(10, len(X))
lists = {
    name: np.bincount(np.argsort(-matrix, axis=0)[:k].ravel(), minlength=len(X))
    for name, matrix in scores.items()
}
for name, counts in lists.items():
    print(f"{name:12} commonest image in {counts.max()} of {len(Y)} lists of {k}")

# %% [markdown]
# ## The drawing
# Above, the two sides in the plane of their first principal directions, before and after; below,
# the scores and the hubs.

# %%
mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

shifted = [rows - strength[side] * means[side] for rows, side in ((X, "image"), (Y, "text"))]
stacked = np.concatenate([X, Y]).astype(np.float64)
centre = stacked.mean(axis=0)
plane = np.linalg.svd(stacked - centre, full_matrices=False)[2][:2].T

figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
for axis, (title, sides) in zip(
    axes[0], {"before": (X, Y), "after, means taken out": shifted}.items(), strict=True
):
    for rows, side, mark in zip(sides, norm.sides, ("o", "x"), strict=True):
        at = (rows - centre) @ plane
        axis.plot(*at.T, mark, markersize=3, alpha=0.5, label=side)
    axis.set(title=title, xticks=[], yticks=[], aspect="equal")
    axis.legend()
for name, matrix in scores.items():
    line = axes[1, 0].hist(
        matrix[~own], bins=60, density=True, histtype="step", label=f"{name}, other pairs"
    )[2][0]
    axes[1, 0].hist(
        matrix[own], bins=60, density=True, alpha=0.4, color=line.get_edgecolor(), label="matches"
    )
    axes[1, 1].plot(np.sort(lists[name])[::-1], label=f"{name}, recall@1 {first[name]:.0%}")
axes[1, 0].set(xlabel="score", ylabel="share", yticks=[])
axes[1, 1].set(xlabel="images, commonest first", ylabel=f"lists of {k} that hold it", xscale="log")
for axis in axes[1]:
    axis.legend(fontsize="small")
figure.suptitle(source)
figure.savefig(asked.out, dpi=110)
print(f"wrote {asked.out}")
