"""Coordinate descent (HALS) for the non-negative quadratic program, many rows at once."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["coordinate_sweeps"]

# Rows that are updated together: the innermost loop runs over them, so that it
# vectorizes at any number of components, and k × TILE numbers stay in the first cache.
TILE = 64


@compiled(fastmath={"contract", "nsz"})
def _tile_sweep(T, R, G, order, free, use_free, live, change, residual):  # type: ignore[no-untyped-def]
    k = T.shape[0]
    for b in range(TILE):
        change[b] = 0
    for j in order:
        for b in range(TILE):
            residual[b] = R[j, b]
        for l in range(k):
            g = G[j, l]
            for b in range(TILE):
                residual[b] -= g * T[l, b]
        curvature = G[j, j]
        if curvature > 0:
            for b in range(TILE):
                old = T[j, b]
                new = max(old + residual[b] / curvature, old * 0)
                if not live[b] or (use_free and not free[j, b]):
                    new = old
                T[j, b] = new
                change[b] += (new - old) * (new - old)
        else:
            # No curvature: the objective is linear in this entry, and falls towards zero
            # if it has a slope at all (a penalty on a component that explains nothing).
            for b in range(TILE):
                if residual[b] < 0 and not (use_free and not free[j, b]):
                    T[j, b] = 0


@compiled()
def coordinate_sweeps(F, G, C, order, free, repeats, shrink):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by cyclic coordinate descent.

    ``F`` (rows, k) is updated in place. ``order`` holds the components in the order of
    their update. Entries where ``free`` (rows, k) is False stay; an array of no rows means
    that all are free. Each row is swept up to ``repeats`` times, until the change of a
    sweep falls to ``shrink`` times that of its first one; rows do not depend on each other.
    Every single update is an exact minimization, so the quadratic never rises. Cost
    O(rows · k² · repeats).

    Source: Cichocki & Phan (2009), IEICE Transactions E92-A, 708-721 (fast HALS); the
    stopping of the inner sweeps after Gillis & Glineur (2012), Neural Computation 24,
    section 4.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    T = np.zeros((k, TILE), F.dtype)
    R = np.zeros((k, TILE), F.dtype)
    M = np.ones((k, TILE), np.bool_)
    residual = np.zeros(TILE, F.dtype)
    change = np.zeros(TILE, F.dtype)
    enough = np.zeros(TILE, F.dtype)
    live = np.ones(TILE, np.bool_)
    for start in range(0, rows, TILE):
        width = min(TILE, rows - start)
        for b in range(width):
            live[b] = True
            for j in range(k):
                T[j, b] = F[start + b, j]
                R[j, b] = C[start + b, j]
                if use_free:
                    M[j, b] = free[start + b, j]
        for b in range(width, TILE):
            live[b] = False
            for j in range(k):
                T[j, b] = 0
                R[j, b] = 0
        for sweep in range(repeats):
            _tile_sweep(T, R, G, order, M, use_free, live, change, residual)
            still = False
            for b in range(TILE):
                if sweep == 0:
                    enough[b] = shrink * shrink * change[b]
                live[b] = live[b] and change[b] > enough[b]
                still = still or live[b]
            if not still:
                break
        for b in range(width):
            for j in range(k):
                F[start + b, j] = T[j, b]
