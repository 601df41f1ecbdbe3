"""
Parts of handwritten digits
===========================

Scikit-learn's digits are 1,797 images of 8 × 8 pixels, from 0 (paper) to 16 (ink). A
factorization with 16 components describes each of them as a sum of 16 parts. Since
neither parts nor weights are negative, nothing is ever erased: parts are strokes.
"""

import sys

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from partwise import NMF
from partwise.plots import plot_factor, plot_history, plot_parts

digits = load_digits()
X = digits.data
model = NMF(16, random_state=0).fit(X)
model.sort_components(by="usage")

print(f"{X.shape[0]} images, {X.shape[1]} pixels, {model.n_components_} parts")
print(f"explained share of the sum of squares: {model.explained_variance():.3f}")
print(f"{model.n_iter_} iterations; stopped because {model.stop_reason_}")

# %%
# The parts
# ---------
# Every row of ``components_`` is an image. The per cent in a title is the share of all ink
# that comes from this part.

parts = plot_parts(model, image_shape=(8, 8), n_columns=8)

# %%
# Digits as sums of parts
# -----------------------
# Row i of ``W_`` says how much of each part is in image i. The picture shows three images
# and the four parts that contribute most ink to each of them, in the same shades; the last
# column is the sum of all 16 contributions.

SHADES = LinearSegmentedColormap.from_list("ink", ["white", "#8fbadb", "#1f5fa8", "#0b1a3d"])
MOST = 4


def draw(ax, image, top, title=""):
    ax.imshow(image.reshape(8, 8), cmap=SHADES, vmin=0, vmax=top)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9, color="#1f2430", pad=4)
    for spine in ax.spines.values():
        spine.set_color("#d9dce3")


def sign(ax, text):
    ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=15, color="#6b7280")
    ax.axis("off")


def sums_of_parts(model, images):
    figure = Figure(figsize=(8.4, 3.9), facecolor="white", layout="constrained")
    figure.suptitle(
        "A digit is a sum of parts",
        x=0.01,
        ha="left",
        fontsize=12,
        weight="bold",
        color="#1f2430",
    )
    widths = [1, 0.3, *[1, 0.22] * (MOST - 1), 1, 0.62, 1]
    grid = figure.subplots(len(images), len(widths), width_ratios=widths)
    for axes, i in zip(grid, images, strict=True):
        contributions = model.W_[i][:, None] * model.components_
        ink = contributions.sum(axis=1)
        best = np.argsort(-ink)[:MOST]
        first = i == images[0]
        draw(axes[0], X[i], 16, "image" if first else "")
        sign(axes[1], "≈")
        for place, j in enumerate(best):
            title = f"{100 * ink[j] / ink.sum():.0f} % of ink"
            draw(axes[2 + 2 * place], contributions[j], 16, title)
            sign(axes[3 + 2 * place], "+" if place + 1 < MOST else "+ … =")
        draw(axes[-1], contributions.sum(axis=0), 16, "all 16 parts" if first else "")
    return figure


sums = sums_of_parts(model, images=[20, 3, 87])

# %%
# Run as ``python plot_digits.py digits.png``, the script writes this picture to a file.

if len(sys.argv) > 1:
    sums.savefig(sys.argv[1], dpi=110)

# %%
# Did it converge?
# ----------------
# ``objective_history_`` has the penalized objective at the start and after each iteration.

history = plot_history(model).figure

# %%
# Which part is in which digit?
# -----------------------------
# The mean of W over the images of each digit. ``normalize(by="max")`` scales every part to
# a largest entry of one first, so that a weight is the ink at the darkest pixel of a part.

model.normalize(by="max")
mean = np.array([model.W_[digits.target == digit].mean(axis=0) for digit in range(10)])
usage = plot_factor(
    mean,
    factor="W",
    row_names=[f"digit {digit}" for digit in range(10)],
    column_names=[str(j) for j in range(16)],
    title="Mean weight of each part in each digit",
).figure
usage.axes[0].set(xlabel="part", ylabel="")
