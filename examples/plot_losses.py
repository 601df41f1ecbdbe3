"""
Which loss for which noise
==========================

A loss says which errors are likely. The squared loss belongs to normal noise: an entry that is
wrong by ten standard deviations pulls a hundred times as hard as one that is wrong by one.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from partwise import NMF
from partwise.losses import Absolute, Frobenius, Huber, ItakuraSaito, KullbackLeibler, StudentT

# %%
# Parts with gross errors
# -----------------------
# Six parts of 12 × 12 pixels, each sample a sum of two or three of them, with normal noise of
# standard deviation 0.1. Then four of a hundred pixels are broken: they read 8 whatever they
# should be, where a pixel of a part reads between 0.3 and 1.5.

rng = np.random.default_rng(0)
parts = np.zeros((6, 12, 12))
parts[0, 1:5, 1:5] = parts[1, 1:5, 7:11] = parts[2, 7:11, 1:5] = parts[3, 7:11, 7:11] = 1
parts[4, 5:7, :] = parts[5, :, 5:7] = 1
H = parts.reshape(6, -1)
W = rng.uniform(0.3, 1.5, (300, 6)) * (rng.random((300, 6)) < 0.4)
clean = W @ H
sigma = 0.1
X = np.maximum(clean + sigma * rng.standard_normal(clean.shape), 0)
X[rng.random(X.shape) < 0.04] = 8

# %%
# Constants of robust losses are in the unit of X: for `Huber` 1.345 standard deviations, for
# `StudentT` one. Student's t forgets far errors altogether and is not convex, so it starts from
# the fit of Huber.


def cosines(found):
    """Return each true part's cosine with the found part that is its partner."""
    unit = [F / np.linalg.norm(F, axis=1, keepdims=True) for F in (H, found)]
    cosine = unit[0] @ unit[1].T
    true, partner = linear_sum_assignment(-cosine)
    return cosine[true, partner], partner


def fit(loss, **start):
    init = "custom" if start else "nndsvda"
    model = NMF(6, beta_loss=loss, init=init, max_iter=1000, tol=2e-3)
    return model.fit(X, **start)


fits = {"squared": fit("frobenius"), "Huber": fit(Huber(1.345 * sigma))}
fits["absolute"] = fit(Absolute(sigma / 4))
huber = fits["Huber"]
fits["Student's t"] = fit(StudentT(sigma), W=huber.W_, H=huber.components_)
for name, model in fits.items():
    error = np.linalg.norm(model.W_ @ model.components_ - clean) / np.linalg.norm(clean)
    print(f"{name:12} error of the clean data {error:.3f}, {model.n_iter_} iterations")

# %%
# The squared loss spends its components on the broken pixels. The robust losses see the parts.
# Robust factorization after Du, Li & Shen (2012), IEEE ICDM.

figure = Figure(figsize=(8.4, 6.4), facecolor="white", layout="constrained")
axes = figure.subplots(1 + len(fits), 6)
for row, (name, found) in zip(
    axes, {"true": H, **{n: m.components_ for n, m in fits.items()}}.items(), strict=True
):
    cosine, partner = cosines(found)
    for ax, part, value in zip(row, found[partner], cosine, strict=True):
        ax.imshow(part.reshape(12, 12), cmap="Blues", vmin=0)
        ax.set_xticks([])
        ax.set_yticks([])
        if name != "true":
            ax.set_title(f"cosine {value:.3f}", fontsize=8)
    row[0].set_ylabel(name, fontsize=10)

# %%
# Each noise, fitted with each loss
# ---------------------------------
# ``loss.draw`` draws data from the distribution that a loss is the likelihood of. Four kinds of
# noise on the same positive mean: normal, of Poisson counts, gamma, whose size is proportional to
# the mean, and Laplace's. What counts is how far a fit is from the mean, not from the data.

rng = np.random.default_rng(1)
k = 4
truth = rng.gamma(1.0, 3.0, (200, k)) @ rng.gamma(1.0, 1.0, (k, 60)) + 1
losses = {
    "squared": Frobenius(),
    "Kullback–Leibler": KullbackLeibler(),
    "Itakura–Saito": ItakuraSaito(),
    "absolute": Absolute(1.0),
}
noise = {"normal": 25.0, "Poisson": 1.0, "gamma": 0.2, "Laplace": 5.0}
errors = np.zeros((len(noise), len(losses)))
for i, (source, dispersion) in enumerate(zip(losses.values(), noise.values(), strict=True)):
    drawn = np.maximum(source.draw(truth, rng, dispersion), 1e-3)
    for j, loss in enumerate(losses.values()):
        model = NMF(k, beta_loss=loss, init="nndsvda", max_iter=1000, tol=1e-3).fit(drawn)
        found = model.W_ @ model.components_
        errors[i, j] = np.mean(np.abs(found - truth) / truth)

# %%
# Each row is best with its own loss. Colours are relative to the best of a row;
# a wrong loss can double the error.

table = Figure(figsize=(7.4, 3.9), facecolor="white", layout="constrained")
ax = table.subplots()
relative = errors / errors.min(axis=1, keepdims=True)
image = ax.imshow(relative, cmap="Blues", vmin=1, vmax=2, aspect="auto")
for (i, j), value in np.ndenumerate(errors):
    best = value == errors[i].min()
    colour = "white" if relative[i, j] > 1.6 else "black"
    weight = "bold" if best else "normal"
    ax.text(j, i, f"{value:.3f}", ha="center", va="center", color=colour, weight=weight)
ax.set_xticks(range(len(losses)), list(losses))
ax.set_yticks(range(len(noise)), list(noise))
ax.set_xlabel("loss of the fit")
ax.set_ylabel("noise of the data")
table.colorbar(image, ax=ax, label="error over the best of the row")
