"""Where the numbers of a run stand that kernels share with solvers; loads no compiler."""

from __future__ import annotations

__all__ = [
    "ACTIVE",
    "BEFORE",
    "BOLD",
    "BOUND",
    "ITERATION",
    "OBJECTIVE",
    "PLAIN",
    "RESTING",
    "SIZE",
    "SLACK",
    "WEIGHT",
    "WINDOW",
]

# Weight of the next extrapolation and its bound, the weight of the last one that went well, the
# weight in use (0: none), whether the last step was undone, iterations done, the first of them
# that are not extrapolated, the lowest objective, by how much of itself rounding may raise it, and
# whether a step may raise it that is not extrapolated: 0, or what its curvature is multiplied by.
WEIGHT, BOUND, BEFORE, ACTIVE, RESTING, ITERATION, PLAIN, OBJECTIVE, SLACK, BOLD = range(10)
SIZE = 10

# The objective is compared with that of so many iterations ago: a single iteration of an
# extrapolated method may be slow by chance.
WINDOW = 10
