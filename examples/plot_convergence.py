"""
Convergence of the two solvers
==============================

For the squared loss both solvers serve: coordinate descent, ``"cd"``, and multiplicative
updates, ``"mu"``. They start here from the same factors, and ``objective_history_`` and
``time_history_`` tell how they go down.
"""

import warnings

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from partwise import NMF

X = load_digits().data
rng = np.random.default_rng(0)
k = 10
scale = np.sqrt(X.mean() / k)
W = scale * rng.uniform(0.5, 1.5, size=(X.shape[0], k))
H = scale * rng.uniform(0.5, 1.5, size=(k, X.shape[1]))

# %%
# One start, two solvers
# ----------------------
# ``tol=0`` switches the stopping rule off, so that all iterations run. A short fit first
# keeps the time for loading compiled code out of the comparison, and matrix products use
# one thread, so that times depend less on what else the machine does.

fits = {}
for solver, iterations in (("cd", 100), ("mu", 1500)):
    NMF(k, init="custom", solver=solver, tol=0, max_iter=2).fit(X, W=W, H=H)
    model = NMF(k, init="custom", solver=solver, tol=0, max_iter=iterations)
    with threadpool_limits(limits=1):
        fits[solver] = model.fit(X, W=W, H=H)
    print(f"{solver}: objective {model.objective_:,.0f}, KKT residual {model.kkt_:.1e}")

# %%
# The curves show how far each objective is above the lowest one, relative to it.

lowest = min(model.objective_history_.min() for model in fits.values())
figure = Figure(figsize=(8.4, 3.6), facecolor="white", layout="constrained")
axes = figure.subplots(1, 2, sharey=True)
for (solver, model), colour in zip(fits.items(), ("#1f5fa8", "#d1603d"), strict=True):
    above = model.objective_history_ / lowest - 1
    shown = (above > 1e-7) & (np.arange(len(above)) > 0)
    for ax, at in zip(axes, (np.arange(len(above)), model.time_history_), strict=True):
        ax.plot(at[shown], above[shown], color=colour, linewidth=1.6, label=f"'{solver}'")
for ax, label in zip(axes, ("iteration", "seconds"), strict=True):
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(label)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#d9dce3", linewidth=0.6)
axes[0].set_ylabel("objective / lowest − 1")
axes[0].legend(frameon=False)

# %%
# When do they stop?
# ------------------
# With ``tol=1e-4``, the default, the rule is the same for both: a small KKT residual and a
# small decrease. A solver that has not got there within ``max_iter`` says so.

for solver in fits:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        model = NMF(k, init="custom", solver=solver).fit(X, W=W, H=H)
    print(f"{solver}: {model.n_iter_} iterations, {model.stop_reason_}")
    for warning in told:
        print("   ConvergenceWarning:", warning.message)
