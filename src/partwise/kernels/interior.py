"""Non-negative least squares with given sums by an interior point method, for what is loose."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels.nnls import _factor, _solve

__all__ = ["interior_rows_to_sums"]

# Steps at most; the mean product of an entry and its slope, as a share of the first one, at the
# end; how near to the boundary a step goes.
STEPS, END, NEAR = 60, 1e-17, 0.995
# Entries below this share of what their slope would move them by are zero.
ZERO = 1e-4


@compiled()
def _factors(U, Z, G, seen, R, unit, s, D):  # type: ignore[no-untyped-def]
    # Of G + diag(z / u) of every row, and the sum of their inverses.
    n, k = U.shape
    A, order, some = np.empty((k, k)), np.arange(k), np.empty(k, np.intp)
    D[:] = 0
    for i in range(n):
        count = 0
        for a in range(k):
            for b in range(k):
                A[a, b] = G[i, a, b] if seen[i, a] and seen[i, b] else 0.0
            A[a, a] += Z[i, a] / U[i, a] if seen[i, a] else 1.0
            if seen[i, a]:
                some[count] = a
                count += 1
        _factor(A, order, 0, k, R[i], 1e-300)
        for t in range(count):
            unit[:] = 0
            unit[some[t]] = 1
            _solve(R[i], unit, order, k, s)
            for a in range(count):
                D[some[t], some[a]] += s[some[a]]
    for a in range(k):
        D[a, a] = D[a, a] if D[a, a] > 0 else 1.0


@compiled()
def _direction(U, Z, prices, G, C, sums, seen, R, D, aim, second, dU, dZ):  # type: ignore[no-untyped-def]
    # Newton's step to products ``aim`` of entries and slopes. With ``second``, dU and dZ are those
    # of a step before, whose product is taken away. Returns that of prices.
    n, k = U.shape
    order, h, s, Q, move = np.arange(k), np.empty(k), np.empty(k), np.zeros((k, k)), np.empty(k)
    rest = -sums
    for i in range(n):
        for a in range(k):
            h[a] = 0.0
            if seen[i, a]:
                away = dU[i, a] * dZ[i, a] if second else 0.0
                dZ[i, a] = (aim - away) / U[i, a]
                h[a] = C[i, a] - prices[a] + dZ[i, a]
                for b in range(k):
                    h[a] -= G[i, a, b] * U[i, b]
        _solve(R[i], h, order, k, dU[i])
        for a in range(k):
            rest[a] += U[i, a] + dU[i, a]
    _factor(D, order, 0, k, Q, 1e-300)
    _solve(Q, rest, order, k, move)
    for i in range(n):
        for a in range(k):
            h[a] = move[a] if seen[i, a] else 0.0
        _solve(R[i], h, order, k, s)
        for a in range(k):
            if seen[i, a]:
                dU[i, a] -= s[a]
                dZ[i, a] -= Z[i, a] + Z[i, a] / U[i, a] * dU[i, a]
    return move


@compiled()
def _longest(U, Z, dU, dZ, seen):  # type: ignore[no-untyped-def]
    # The step to the boundary, 1 at most, and the sum of products there.
    n, k = U.shape
    step = 1.0
    for i in range(n):
        for a in range(k):
            if seen[i, a]:
                if dU[i, a] < 0:
                    step = min(step, -U[i, a] / dU[i, a])
                if dZ[i, a] < 0:
                    step = min(step, -Z[i, a] / dZ[i, a])
    total = 0.0
    for i in range(n):
        for a in range(k):
            if seen[i, a]:
                total += (U[i, a] + step * dU[i, a]) * (Z[i, a] + step * dZ[i, a])
    return step, total


@compiled()
def _start(U, Z, G, C, sums, seen):  # type: ignore[no-untyped-def]
    # Entries at their means, and slopes of the size of their curvature there.
    n, k = U.shape
    for a in range(k):
        count = 0
        for i in range(n):
            count += seen[i, a]
        for i in range(n):
            U[i, a] = sums[a] / count if seen[i, a] else 0.0
            Z[i, a] = G[i, a, a] * U[i, a] + abs(C[i, a]) if seen[i, a] else 0.0


@compiled()
def interior_rows_to_sums(U, G, C, sums):  # type: ignore[no-untyped-def]
    """Minimize ``Σ ½ uᵢ Gᵢ uᵢ − uᵢ cᵢ`` over ``U ≥ 0`` with the sums ``Σ uᵢ = sums``.

    As `solve_rows_to_sums`, for rows that are hardly determined too: of many minimizers it goes to
    one in their midst. ``G[i]`` has to be definite still, if only by 1e-10 of its diagonal. ``U``
    (rows, k) is overwritten; entries that are far smaller than what their slope would move them by
    become zero. Returns the prices (k,), and the largest relative error of a sum. Cost O(rows · k³)
    per step, of which there are some 20.

    Source: Mehrotra (1992), SIAM Journal on Optimization 2, 575-601 (predictor and corrector);
    Wright (1997), Primal-Dual Interior-Point Methods, SIAM.
    """
    n, k = U.shape
    seen = np.zeros((n, k), np.bool_)
    for i in range(n):
        for a in range(k):
            seen[i, a] = G[i, a, a] > 0
    Z, dU, dZ = np.zeros((n, k)), np.zeros((n, k)), np.zeros((n, k))
    R, D, unit, s = np.zeros((n, k, k)), np.zeros((k, k)), np.zeros(k), np.zeros(k)
    prices, count = np.zeros(k), max(1, np.sum(seen))
    _start(U, Z, G, C, sums, seen)
    first = np.sum(U * Z)
    for _ in range(STEPS):
        now = np.sum(U * Z)
        if not now > END * first:
            break
        _factors(U, Z, G, seen, R, unit, s, D)
        _direction(U, Z, prices, G, C, sums, seen, R, D, 0.0, False, dU, dZ)
        _, then = _longest(U, Z, dU, dZ, seen)
        aim = (then / now) ** 3 * now / count
        move = _direction(U, Z, prices, G, C, sums, seen, R, D, aim, True, dU, dZ)
        step = _longest(U, Z, dU, dZ, seen)[0]
        step = step if step == 1 else NEAR * step
        U += step * dU
        Z += step * dZ
        prices += step * move
    left = 0.0
    for a in range(k):
        total = 0.0
        for i in range(n):
            U[i, a] = U[i, a] if U[i, a] * G[i, a, a] > ZERO * Z[i, a] else 0.0
            total += U[i, a]
        if sums[a] > 0:
            left = max(left, abs(total - sums[a]) / sums[a])
    return prices, left
