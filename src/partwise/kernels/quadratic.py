"""Coordinate descent (HALS) for the non-negative quadratic program, many rows at once."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import WIDE, subtract_products

__all__ = ["coordinate_sweeps"]


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def _sweep(T, R, G, inverse, order, M, use_free, change, residual):  # type: ignore[no-untyped-def]
    # One sweep over the components of all rows at hand; ``change`` is what each row moved.
    width = T.shape[1]
    for b in range(width):
        change[b] = 0
    for j in order:
        for b in range(width):
            residual[b] = R[j, b]
        subtract_products(residual, T, G[j])
        if inverse[j] > 0:
            for b in range(width):
                old = T[j, b]
                new = max(old + residual[b] * inverse[j], old * 0)
                if use_free and not M[j, b]:
                    new = old
                T[j, b] = new
                change[b] += (new - old) * (new - old)
        else:
            # No curvature: the objective is linear in this entry, and falls towards zero
            # if it has a slope at all (a penalty on a component that explains nothing).
            for b in range(width):
                if residual[b] < 0 and not (use_free and not M[j, b]):
                    T[j, b] = 0


@compiled()
def coordinate_sweeps(F, G, C, order, free, repeats, shrink):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by cyclic coordinate descent.

    ``F`` (rows, k) is updated in place. ``order`` holds the components in the order of
    their update. Entries where ``free`` (rows, k) is False stay; an array of no rows means
    that all are free. Each row is swept up to ``repeats`` times, until the change of a
    sweep falls to ``shrink`` times that of its first one; rows do not depend on each other,
    and a row that is done makes room for the next one. Every single update is an exact
    minimization, so the quadratic never rises. Cost O(rows · k² · repeats).

    Source: Cichocki & Phan (2009), IEICE Transactions E92-A, 708-721 (fast HALS); the
    stopping of the inner sweeps after Gillis & Glineur (2012), Neural Computation 24,
    section 4.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    width = WIDE // F.itemsize  # so many rows are updated together
    gram = np.empty((k, k), F.dtype)
    inverse = np.zeros(k, F.dtype)
    for j in range(k):
        for l in range(k):
            gram[j, l] = G[j, l]
        if G[j, j] > 0:
            inverse[j] = 1 / G[j, j]
    T = np.zeros((k, width), F.dtype)
    R = np.zeros((k, width), F.dtype)
    M = np.ones((k, width), np.bool_)
    residual = np.zeros(width, F.dtype)
    change = np.zeros(width, F.dtype)
    enough = np.zeros(width, F.dtype)
    sweeps = np.zeros(width, np.int64)
    row = np.full(width, -1)
    taken = 0
    while True:
        busy = False
        for b in range(width):
            if row[b] < 0 and taken < rows:
                row[b], sweeps[b] = taken, 0
                for j in range(k):
                    T[j, b] = F[taken, j]
                    R[j, b] = C[taken, j]
                    if use_free:
                        M[j, b] = free[taken, j]
                taken += 1
            busy = busy or row[b] >= 0
        if not busy:
            return
        _sweep(T, R, gram, inverse, order, M, use_free, change, residual)
        for b in range(width):
            if row[b] < 0:
                continue
            if sweeps[b] == 0:
                enough[b] = shrink * shrink * change[b]
            sweeps[b] += 1
            if sweeps[b] >= repeats or not change[b] > enough[b]:
                for j in range(k):
                    F[row[b], j] = T[j, b]
                row[b] = -1
