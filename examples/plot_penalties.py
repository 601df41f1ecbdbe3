"""
What a factor must obey
=======================

A factorization of few or noisy data is not unique. What is known of the parts beforehand, that
they are few pixels, smooth, of one peak, or add up to one, chooses among all that fit. Each section
plants factors, hides them under noise, and fits them with and without that knowledge.
"""

import warnings

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from partwise import NMF
from partwise.penalties import (
    L1,
    Hoyer,
    Labels,
    MinVolume,
    Monotone,
    Simplex,
    Smooth,
    TotalVariation,
    Unimodal,
)

warnings.simplefilter("ignore", ConvergenceWarning)
BLUE, RED, GREY = "#0072B2", "#D55E00", "#7a7f8a"


def matched(found, true):
    """Return found components in the order of the true ones, and the cosines."""
    unit = [F / np.linalg.norm(F, axis=1, keepdims=True) for F in (true, found)]
    cosine = unit[0] @ unit[1].T
    order = linear_sum_assignment(-cosine)[1]
    return found[order], cosine[np.arange(len(order)), order]


def images(ax_row, parts, shape, label, titles=None):
    for number, (ax, part) in enumerate(zip(ax_row, parts, strict=True)):
        ax.imshow(part.reshape(shape), cmap="Blues", vmin=0)
        ax.set_xticks([])
        ax.set_yticks([])
        if titles is not None:
            ax.set_title(titles[number], fontsize=8)
    ax_row[0].set_ylabel(label, fontsize=9)


def lines(ax, x, found, true, title):
    for number, (part, wanted) in enumerate(zip(found, true, strict=True)):
        ax.plot(x, wanted / wanted.max(), color=GREY, linewidth=3, alpha=0.5,
                label="true" if number == 0 else None)  # fmt: skip
        ax.plot(x, part / part.max(), color=BLUE, linewidth=1.2,
                label="found" if number == 0 else None)  # fmt: skip
    ax.set_title(title, fontsize=9, loc="left")
    ax.spines[["top", "right"]].set_visible(False)


# %%
# Few pixels
# ----------
# Parts of the digits of scikit-learn. An L1 penalty on H takes away what is weak; `Hoyer` sets the
# share of nearly empty pixels itself, from 0 (all alike) to 1 (one pixel). With L1 the amounts in W
# have mean one for each component, since else a small H with a large W would cost nothing.
# Hoyer (2004), Journal of Machine Learning Research 5.

digits = load_digits().data[:600]
job = {"init": "nndsvda", "max_iter": 200}
unit = Simplex(float(len(digits)), each="component")
few = {
    "no penalty": NMF(8, **job),
    "L1": NMF(8, penalty_H=L1(1000.0), penalty_W=unit, **job),
    "Hoyer 0.75": NMF(8, penalty_H=Hoyer(0.75), **job),
}
figure = Figure(figsize=(8.4, 3.9), facecolor="white", layout="constrained")
for row, (name, model) in zip(figure.subplots(3, 8), few.items(), strict=True):
    model.fit(digits)
    near_zero = (model.components_ < 0.05 * model.components_.max(axis=1, keepdims=True)).mean()
    error = model.reconstruction_err_ / np.linalg.norm(digits)
    print(f"{name:11} {near_zero:4.0%} of the pixels empty, error {error:.3f}")
    images(row, matched(model.components_, few["no penalty"].components_)[0], (8, 8), name)

# %%
# Flat areas
# ----------
# Total variation on images: neighbours are alike, but for edges. Thirty pictures of three shapes,
# 24 × 24 pixels, with so few photons that a pixel of a shape counts five at most.
# Rudin, Osher & Fatemi (1992), Physica D 60.

rng = np.random.default_rng(0)
y, x = np.mgrid[:24, :24]
shapes = np.array(
    [(x - 7) ** 2 + (y - 8) ** 2 < 30, (abs(x - 16) < 5) & (abs(y - 7) < 4), (y > 14) & (x > y - 9)]
).astype(float)
shapes = shapes.reshape(3, -1)
weights = rng.dirichlet([0.7] * 3, 30)
pictures = rng.poisson(5 * weights @ shapes) / 5
closed = Simplex()  # the weights of a picture add up to one
plain = NMF(3, penalty_W=closed, **job).fit(pictures)
flat = NMF(3, penalty_W=closed, penalty_H=TotalVariation(1.0, (24, 24)), **job).fit(pictures)
figure = Figure(figsize=(8.4, 3.1), facecolor="white", layout="constrained")
rows = figure.subplots(2, 6)
images(rows[0, :3], shapes, (24, 24), "true")
images(rows[1, :3], pictures[:3], (24, 24), "data")
for row, name, model in ((rows[0], "no penalty", plain), (rows[1], "total variation", flat)):
    found, cosine = matched(model.components_, shapes)
    images(row[3:], found, (24, 24), name, [f"cosine {value:.2f}" for value in cosine])

# %%
# One peak, smooth, or rising
# ---------------------------
# Elution profiles of a chromatography have one peak each: `Unimodal`. Smooth profiles cost their
# squared second differences: `Smooth`. What only builds up is `Monotone`. Twelve sums of profiles
# each, as counts of ten or so. Bro & Sidiropoulos (1998), Journal of Chemometrics 12.

time = np.linspace(0, 1, 80)
peaks = np.exp(-0.5 * ((time - np.array([[0.3], [0.5], [0.72]])) / 0.08) ** 2)
steps = np.array([1 / (1 + np.exp(-25 * (time - centre))) for centre in (0.25, 0.7)])
profiles = {
    "one peak each": (peaks, Unimodal()),
    "smooth": (peaks, Smooth(100.0, order=2)),
    "rising": (steps, Monotone()),
}
figure = Figure(figsize=(8.4, 4.6), facecolor="white", layout="constrained")
axes = figure.subplots(2, 3, sharex=True, sharey=True)
for column, (true, penalty) in zip(axes.T, profiles.values(), strict=True):
    k = len(true)
    amounts = rng.gamma(1.0, 1.0, (12, k))
    mixed = rng.poisson(10 * amounts @ true) / 10
    bounded = Simplex(12.0, each="component")
    for ax, obeyed in zip(column, (None, penalty), strict=True):
        model = NMF(k, penalty_W=bounded, penalty_H=obeyed, **job).fit(mixed)
        found, cosine = matched(model.components_, true)
        told = "no penalty" if obeyed is None else type(obeyed).__name__
        lines(ax, time, found, true, f"{told}, cosine {cosine.mean():.3f}")
axes[0, 0].legend(frameon=False, fontsize=8)
for ax in axes[1]:
    ax.set_xlabel("time")
for ax in axes[:, 0]:
    ax.set_ylabel("profile over its peak")

# %%
# The smallest simplex around the data
# ------------------------------------
# Samples that are mixtures, their weights closed by `Simplex`, lie within the corners in H. Where
# no sample is pure many triangles fit; `MinVolume` takes the smallest. Fu, Huang, Sidiropoulos &
# Ma (2019), IEEE Signal Processing Magazine 36.

corners = np.random.default_rng(1).uniform(0.2, 1, (3, 12))
mixing = rng.dirichlet([1.0] * 3, 500)
cloud = mixing[mixing.max(axis=1) < 0.8] @ corners  # no pure sample
search = {"penalty_W": Simplex(), "init": "random", "random_state": 0, "max_iter": 1000}
found = {
    "no penalty": NMF(3, **search).fit(cloud),
    "minimum volume": NMF(3, penalty_H=MinVolume(0.1, delta=0.01), **search).fit(cloud),
}
for name, model in found.items():
    near, _ = matched(model.components_, corners)
    print(f"{name:15} error of H {np.linalg.norm(near - corners) / np.linalg.norm(corners):.3f}")
plane = np.linalg.svd(cloud - cloud.mean(axis=0))[2][:2].T
figure = Figure(figsize=(6.4, 4.4), facecolor="white", layout="constrained")
ax = figure.subplots()
ax.scatter(*((cloud - cloud.mean(axis=0)) @ plane).T, s=8, color=GREY, alpha=0.5, label="samples")
styles = {"true": ("black", "-", "o"), "no penalty": (RED, ":", "s"),
          "minimum volume": (BLUE, "--", "^")}  # fmt: skip
for (name, (colour, dash, mark)), H in zip(
    styles.items(), [corners, *(model.components_ for model in found.values())], strict=True
):
    triangle = (H[[0, 1, 2, 0]] - cloud.mean(axis=0)) @ plane
    ax.plot(*triangle.T, color=colour, linestyle=dash, marker=mark, label=name)
ax.set_aspect("equal")
ax.set_xlabel("first direction of the samples")
ax.set_ylabel("second direction")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=8)

# %%
# Labels
# ------
# `Labels` draws the weights of samples of one class together. A tenth of the labels is known, the
# others are -1; a nearest centre of the weights then names the rest of the digits 3, 5 and 8.
# Known profiles are in :ref:`sphx_glr_gallery_plot_spectra.py`.

source = load_digits()
chosen = np.isin(source.target, (3, 5, 8))
X, y = source.data[chosen], source.target[chosen]
known = np.where(rng.random(len(y)) < 0.1, y, -1)
figure = Figure(figsize=(8.4, 3.9), facecolor="white", layout="constrained")
for ax, strength in zip(figure.subplots(1, 2), (0.0, 100.0), strict=True):
    penalty = Labels(strength, known) if strength else None
    W = NMF(10, penalty_W=penalty, **job).fit_transform(X)
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    centres = np.array([W[known == digit].mean(axis=0) for digit in (3, 5, 8)])
    named = np.array([3, 5, 8])[(W @ centres.T / np.linalg.norm(centres, axis=1)).argmax(axis=1)]
    right = np.mean((named == y)[known < 0])
    flat = (W - W.mean(axis=0)) @ np.linalg.svd(W - W.mean(axis=0))[2][:2].T
    for digit, colour, mark in ((3, BLUE, "o"), (5, RED, "^"), (8, "black", "x")):
        ax.scatter(*flat[y == digit].T, s=14, color=colour, marker=mark, label=f"digit {digit}",
                   linewidth=0.8, alpha=0.7)  # fmt: skip
    told = type(penalty).__name__ if penalty else "no penalty"
    ax.set_title(f"{told}: {right:.0%} right", loc="left", fontsize=9)
    ax.set_xlabel("first direction of the weights")
    ax.spines[["top", "right"]].set_visible(False)
figure.axes[0].set_ylabel("second direction")
handles, names = ax.get_legend_handles_labels()
figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
