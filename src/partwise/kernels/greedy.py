"""Greedy coordinate descent for the non-negative quadratic program, row by row."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels.quadratic import curvatures

__all__ = ["greedy_updates"]


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def greedy_updates(F, G, C, free, updates, shrink):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0``, the best single entry first.

    ``F`` (rows, k) is updated in place; entries where ``free`` (rows, k) is False stay, and an
    array of no rows means that all are free. In each row the entry whose exact minimization
    lowers the quadratic most is moved, up to ``updates`` times, until that decrease is at
    most ``shrink`` times the first one of the row. Rows do not depend on each other. Cost
    O(k²) per row, and O(k) per update.

    Source: Hsieh & Dhillon (2011), KDD, algorithm 1; its stopping rule looks at the first
    decreases of all rows instead.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    gram, inverse = curvatures(G, F)
    zero = F.dtype.type(0)
    f, slope = np.empty(k, F.dtype), np.empty(k, F.dtype)
    for i in range(rows):
        for j in range(k):
            f[j] = F[i, j]
            slope[j] = -C[i, j]
        for l in range(k):
            if f[l] != 0:
                for j in range(k):
                    slope[j] += f[l] * gram[l, j]
        enough = zero
        for update in range(updates):
            best, most, by = -1, zero, zero
            for j in range(k):
                move = max(-slope[j] * inverse[j], -f[j])
                fall = -move * (slope[j] + slope[j] + move * gram[j, j])  # twice the decrease
                if fall > most and not (use_free and not free[i, j]):
                    best, most, by = j, fall, move
            if update == 0:
                enough = shrink * most
            if best < 0 or (update > 0 and not most > enough):
                break
            f[best] = max(f[best] + by, zero)
            for j in range(k):
                slope[j] += by * gram[best, j]
        for j in range(k):
            if inverse[j] == 0 and slope[j] > 0 and not (use_free and not free[i, j]):
                f[j] = 0  # no curvature: the objective falls towards zero all the way
            F[i, j] = f[j]
