"""Where the numbers of a run stand that kernels share with solvers; loads no compiler."""

from __future__ import annotations

__all__ = [
    "ACTIVE",
    "BEFORE",
    "BOUND",
    "DONE",
    "ENDED",
    "FEW",
    "GATE",
    "ITERATION",
    "OBJECTIVE",
    "OPEN",
    "PLAIN",
    "RESTING",
    "SIZE",
    "SLACK",
    "TICKETS",
    "WEIGHT",
    "WINDOW",
]

# Weight of the next extrapolation and its bound, the weight of the last one that went well, the
# weight in use (0: none), whether the last step was undone, iterations done, the first of them
# that are not extrapolated, the lowest objective, and by how much of itself rounding may raise it.
WEIGHT, BOUND, BEFORE, ACTIVE, RESTING, ITERATION, PLAIN, OBJECTIVE, SLACK = range(9)
SIZE = 9

# Of threads that work by tickets: how many were taken, how many are let in, how many are done, and
# whether there is an end. Each has a line of memory for itself.
TICKETS, OPEN, DONE, ENDED = range(0, 64, 16)
GATE = 64

# The objective is compared with that of so many iterations ago: a single iteration of an
# extrapolated method may be slow by chance.
WINDOW = 10

# Stored entries that are summed up together, and weights of which, where they are fewer than stored
# entries, the first one is that of all.
FEW = 4
