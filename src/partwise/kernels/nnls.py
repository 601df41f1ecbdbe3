"""Exact non-negative least squares, row by row, on the normal equations."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["solve_rows"]


@compiled()
def _solve_passive(G, c, passive, count, L, s):  # type: ignore[no-untyped-def]
    # Cholesky of the passive block, with a ridge at the rounding level of each component:
    # with dependent components any of the minimizers is as good, and this one is finite.
    for a in range(count):
        for b in range(a + 1):
            value = G[passive[a], passive[b]]
            for l in range(b):
                value -= L[a, l] * L[b, l]
            if a == b:
                ridge = 1e-14 * count * G[passive[a], passive[a]]
                L[a, a] = np.sqrt(max(value + ridge, ridge))
            else:
                L[a, b] = value / L[b, b]
    for a in range(count):
        value = c[passive[a]]
        for l in range(a):
            value -= L[a, l] * s[l]
        s[a] = value / L[a, a]
    for a in range(count - 1, -1, -1):
        value = s[a]
        for l in range(a + 1, count):
            value -= L[l, a] * s[l]
        s[a] = value / L[a, a]


@compiled()
def _shrink_to_feasible(G, f, c, passive, count, L, s):  # type: ignore[no-untyped-def]
    # Move to the minimum over the passive entries, dropping those that would turn negative.
    while count > 0:
        _solve_passive(G, c, passive, count, L, s)
        step = 1.0
        for a in range(count):
            if s[a] <= 0:
                old = f[passive[a]]
                step = min(step, old / (old - s[a]) if old > s[a] else 0.0)
        kept = 0
        for a in range(count):
            j = passive[a]
            moved = f[j] + step * (s[a] - f[j])
            if s[a] <= 0 and moved <= 1e-15 * (f[j] - s[a]):
                f[j] = 0.0
            else:
                f[j] = moved
                passive[kept] = j
                kept += 1
        if kept == count:
            return count
        count = kept
    return count


@compiled()
def _solve_row(G, f, c, open_, passive, L, s, tolerance):  # type: ignore[no-untyped-def]
    k = len(f)
    count = 0
    for j in range(k):
        if open_[j] and f[j] > 0 and G[j, j] > 0:
            passive[count] = j
            count += 1
        elif open_[j]:
            f[j] = 0.0
    for _ in range(3 * k + 10):
        count = _shrink_to_feasible(G, f, c, passive, count, L, s)
        best, steepest = -1, 0.0
        for j in range(k):
            if open_[j] and f[j] == 0.0 and G[j, j] > 0:
                slope, size = -c[j], abs(c[j])
                for l in range(k):
                    slope += G[j, l] * f[l]
                    size += abs(G[j, l]) * f[l]
                gain = -slope / np.sqrt(G[j, j])
                if slope < -tolerance * size and gain > steepest:
                    best, steepest = j, gain
        if best < 0:
            return
        passive[count] = best
        count += 1


@compiled()
def solve_rows(F, G, C, free, tolerance):  # type: ignore[no-untyped-def]
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` exactly, each row on its own.

    ``F`` (rows, k) is the start (its support is the first guess of the active set) and is
    overwritten; entries where ``free`` (rows, k) is False stay, and an array of no rows
    means that all are free. A slope counts as zero below ``tolerance`` times the size of
    its terms. Rows are solved in float64 and do not depend on each other. Cost O(k³) per
    change of a row's active set.

    Source: Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23, on the
    normal equations and from a warm start.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    G64 = G.astype(np.float64)
    L = np.empty((k, k))
    s = np.empty(k)
    f = np.empty(k)
    c = np.empty(k)
    open_ = np.ones(k, np.bool_)
    passive = np.empty(k + 1, np.int64)
    for i in range(rows):
        for j in range(k):
            f[j] = F[i, j]
            c[j] = C[i, j]
            if use_free:
                open_[j] = free[i, j]
        if use_free:
            for j in range(k):
                if not open_[j]:
                    for l in range(k):
                        if open_[l]:
                            c[l] -= G64[l, j] * f[j]
        held = f.copy()
        for j in range(k):
            if not open_[j]:
                f[j] = 0.0
        _solve_row(G64, f, c, open_, passive, L, s, tolerance)
        for j in range(k):
            F[i, j] = f[j] if open_[j] else held[j]
