"""
Solvers compared
================

Which solver goes down fastest on these data? ``compare`` lets each begin with the same
factors, times the work of the solver alone, and tells how far each one gets.
"""

from sklearn.datasets import load_digits

from partwise import compare
from partwise.solvers import CoordinateDescent

X = load_digits().data

# %%
# The squared loss
# ----------------
# Names, or objects with labels: here plain HALS, the same with repeated sweeps, and with
# extrapolation as well, which is the default, beside alternating least squares and multiplicative
# updates. Three seeds give three starts.

squared = compare(
    X,
    10,
    solvers={
        "HALS": "hals",
        "4 sweeps": CoordinateDescent(repeats=4, extrapolate=False),
        "cd": "cd",
        "ANLS": "anls-bpp",
        "mu": "mu",
    },
    max_iter=400,
)
print(squared)

# %%
# Every curve is above the lowest objective that any of them reached from its start. One that
# becomes level there has converged to another stationary point.

figure = squared.plot()

# %%
# Counts
# ------
# Without a list of names all solvers run that can serve the problem.

counts = compare(X, 10, beta_loss="kullback-leibler", max_iter=150, seeds=2)
print(counts)
picture = counts.plot()

# %%
# One row for every run, as a list of dicts; ``to_frame`` makes a pandas DataFrame of it.

for row in counts.table():
    print(f"{row['solver']:10}seed {row['seed']}: {row['objective']:,.0f}, {row['stop_reason']}")
