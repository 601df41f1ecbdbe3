"""
Non-negative least squares
==========================

When the parts are known only the amounts are left: min ‖A x − b‖ over x ≥ 0. `nnls` is called like
`scipy.optimize.nnls` and takes all right-hand sides at once; `nnqp` takes the products AᵀA and AᵀB
instead, which is what a factorization solves again and again.
"""

import time

import numpy as np
from matplotlib.figure import Figure
from scipy import optimize

from partwise import nnls, nnqp

# %%
# Amounts from known spectra
# --------------------------
# Twelve substances with overlapping bands, and 2,000 mixtures of three of them each, with noise.

rng = np.random.default_rng(0)
wavelength = np.linspace(0, 1, 100)
centres, widths = np.linspace(0.05, 0.95, 12), rng.uniform(0.05, 0.09, 12)
A = np.exp(-0.5 * ((wavelength[:, None] - centres) / widths) ** 2)
amounts = np.zeros((12, 2000))
for column in amounts.T:
    column[rng.choice(12, 3, replace=False)] = rng.uniform(0.2, 1, 3)
B = A @ amounts + 0.05 * rng.standard_normal((100, 2000))

free = np.linalg.lstsq(A, B)[0]
X, rnorm = nnls(A, B)
for name, found in (("least squares", free), ("nnls", X)):
    error = np.sqrt(np.mean((found - amounts) ** 2))
    print(f"{name:14} error {error:.4f}, {(found < 0).mean():.0%} of the amounts negative, "
          f"{(found == 0).mean():.0%} zero")  # fmt: skip
same = nnqp(A.T @ A, B.T @ A)
print("nnqp is the same:", np.allclose(same.T, X))

# %%
# Ordinary least squares answers noise with negative amounts of one substance and too much of its
# neighbours. The bound on one takes the error from the others too, and most amounts that are
# zero are found as zero.

figure = Figure(figsize=(8.4, 3.8), facecolor="white", layout="constrained")
bins = np.linspace(-0.6, 0.6, 61)
left, right = figure.subplots(1, 2, sharey=True, sharex=True)
for ax, which, title in (
    (left, amounts == 0, "substance that is not there"),
    (right, amounts > 0, "substance that is there"),
):
    for found, colour, dash, name in (
        (free, "#D55E00", "--", "least squares"),
        (X, "#0072B2", "-", "nnls"),
    ):
        share = np.full(which.sum(), 100 / which.sum())
        ax.hist((found - amounts)[which], bins, weights=share, histtype="step", color=colour,
                linestyle=dash, linewidth=1.6, label=name)  # fmt: skip
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_xlabel("found − true amount")
    ax.spines[["top", "right"]].set_visible(False)
left.set_ylabel("per cent of the amounts")
left.set_yscale("log")
left.legend(frameon=False, fontsize=9)

# %%
# Seven methods
# -------------
# Exact methods find which amounts are zero and solve for the others; iterative ones go on until the
# KKT residual is at most ``tol``. All end at the same amounts. The dashed line is a loop over
# scipy's solver, which takes one right-hand side at a time.

methods = [
    "block-pivoting", "active-set", "cd", "greedy-cd", "nesterov", "admm", "projected-gradient",
]  # fmt: skip
seconds, difference = {}, {}
for method in methods:
    nnls(A, B[:, :20], method=method)  # compiled
    begin = time.perf_counter()
    found, _ = nnls(A, B, method=method, tol=1e-6)
    seconds[method] = time.perf_counter() - begin
    difference[method] = np.abs(found - X).max()
    print(f"{method:19} {1e3 * seconds[method]:7.1f} ms, largest difference "
          f"{difference[method]:.0e}")  # fmt: skip
begin = time.perf_counter()
one_by_one = np.array([optimize.nnls(A, b)[0] for b in B.T]).T
loop = time.perf_counter() - begin
print(f"{'scipy, in a loop':19} {1e3 * loop:7.1f} ms, largest difference "
      f"{np.abs(one_by_one - X).max():.0e}")  # fmt: skip

# %%
# Sources: Lawson & Hanson (1974), Solving Least Squares Problems; Kim & Park (2011), SIAM Journal
# on Scientific Computing 33; the others are named in the documentation of `nnls`.

figure = Figure(figsize=(7.2, 3.2), facecolor="white", layout="constrained")
ax = figure.subplots()
order = sorted(methods, key=seconds.__getitem__, reverse=True)
colours = ["#0072B2" if method in methods[:2] else "#56B4E9" for method in order]
ax.barh(order, [1e3 * seconds[method] for method in order], color=colours)
ax.axvline(1e3 * loop, color="black", linestyle="--", linewidth=1.2)
ax.text(1e3 * loop, 6.6, "scipy, one by one ", ha="right", va="bottom", fontsize=9)
ax.set_xscale("log")
ax.set_xlim(left=1)
ax.set_xlabel("milliseconds for 2,000 right-hand sides; dark: exact methods")
ax.spines[["top", "right"]].set_visible(False)
