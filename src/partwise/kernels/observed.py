"""Coordinate descent on weighted squares, row by row, on what is left of the data."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import move_squares, subtract_model
from partwise.kernels._rows import gathered, room_for, row_of, table_for, turned
from partwise.kernels.nnls import solve_rows

__all__ = [
    "observed_by_products",
    "observed_dense",
    "observed_sparse",
    "pairs_of_columns",
]

FAST = {"contract", "nsz", "reassoc"}
TOGETHER = 8  # rows of a dense matrix that are copied together


@compiled(error_model="numpy", fastmath=FAST)
def _half_squares(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for p in range(values.shape[1]):
        rest = np.float64(values[0, p])
        total += np.float64(values[1, p]) * rest * rest
    return 0.5 * total


@compiled(error_model="numpy", fastmath=FAST)
def _minimum(old, fall, curvature, lowest):  # type: ignore[no-untyped-def]
    # Where from ``lowest`` on an entry has its minimum, whose objective falls by ``fall`` per unit.
    # Without curvature it is linear: an entry that rests on nothing stays unless a penalty, which
    # only one ≥ 0 can have, pushes it.
    if curvature > 0:
        return max(old + fall / curvature, lowest)
    return lowest if fall < 0 else old


@compiled(error_model="numpy")
def _descend(f, B, values, sums, slope, curve, allowed, order, limits):  # type: ignore[no-untyped-def]
    # Sweeps over the entries of a row; of ``values``, r and v, r is kept at x − f B. Returns
    # ½ Σ v r².
    k = len(f)
    repeats, shrink, lowest = limits[0], limits[1], f.dtype.type(limits[2])
    none = f.dtype.type(0)
    subtract_model(values, B, f)
    step, last, first = none, order[0], 0.0
    for sweep in range(repeats):
        change = 0.0
        for number in range(k):
            l = order[number]
            if not allowed[l]:
                continue
            move_squares(sums, values, B, last, step, l)
            new = _minimum(f[l], sums[0] - slope[l] - curve * f[l], sums[1] + curve, lowest)
            step = new - f[l]
            f[l] = new
            last = l
            change += np.float64(step) * np.float64(step)
        if sweep == 0:
            first = change
        if not change > shrink * shrink * first:
            break
    if step != 0:
        move_squares(sums, values, B, last, step, last)
    return _half_squares(values)


@compiled(error_model="numpy", fastmath=FAST)
def _products(B, values, G, c):  # type: ignore[no-untyped-def]
    # G = B V Bᵀ and c = B V x, for x and v.
    k, n = len(G), values.shape[1]
    x, v = values[0], values[1]
    for j in range(k):
        total = 0.0
        for p in range(n):
            total += np.float64(B[j, p]) * np.float64(v[p]) * np.float64(x[p])
        c[0, j] = total
        for l in range(j + 1):
            total = 0.0
            for p in range(n):
                total += np.float64(B[j, p]) * np.float64(v[p]) * np.float64(B[l, p])
            G[j, l] = total
            G[l, j] = total


@compiled(error_model="numpy")
def _solve_signed(f, G, c, allowed, rounding):  # type: ignore[no-untyped-def]
    # The minimum of ½ fᵀ G f − c f over the allowed entries, of any sign, by elimination; G and c
    # are overwritten. A pivot below its rounding gets that size: of many minima any is as good.
    k = len(f)
    for l in range(k):
        if not allowed[l]:
            for j in range(k):
                c[0, j] -= G[j, l] * f[l]
    diagonal = np.diag(G).copy()
    for a in range(k):
        if not allowed[a] or diagonal[a] <= 0:
            continue
        G[a, a] = max(G[a, a], rounding * diagonal[a])
        for b in range(a + 1, k):
            share = G[b, a] / G[a, a]
            c[0, b] -= share * c[0, a]
            for j in range(b, k):
                G[j, b] -= share * G[j, a]
    for a in range(k - 1, -1, -1):
        if not allowed[a] or diagonal[a] <= 0:
            continue
        rest = c[0, a]
        for b in range(a + 1, k):
            if allowed[b]:
                rest -= G[b, a] * np.float64(f[b])
        f[a] = rest / G[a, a]


@compiled(error_model="numpy")
def _solve(f, B, values, slope, curve, allowed, signed, tolerance):  # type: ignore[no-untyped-def]
    # The exact minimum of a row; returns ½ Σ v r² and whether it was not found.
    k = len(f)
    G = np.empty((k, k))
    c = np.empty((1, k))
    _products(B, values, G, c)
    for l in range(k):
        c[0, l] -= slope[l]
        G[l, l] += curve
    undone = 0
    if signed:
        _solve_signed(f, G, c, allowed, tolerance)
    else:
        undone = solve_rows(f.reshape(1, k), G, c, allowed.reshape(1, k), tolerance)
    subtract_model(values, B, f)
    return _half_squares(values), undone


@compiled(error_model="numpy")
def _improve(i, F, B, values, sums, slope, curve, free, everywhere, order, limits, tolerance):  # type: ignore[no-untyped-def]
    # A row of F by sweeps or exactly; returns ½ Σ v r² and whether it was not found.
    f = F[i]
    allowed = row_of(free, i, everywhere)
    if tolerance > 0:
        return _solve(f, B, values, slope, curve, allowed, limits[2] < 0, tolerance)
    return _descend(f, B, values, sums, slope, curve, allowed, order, limits), 0


@compiled(error_model="numpy")
def observed_dense(X, V, A, F, slope, curve, free, order, limits, tolerance):  # type: ignore[no-untyped-def]
    """Lower ``½ Σ V (X − F Aᵀ)² + Σ slope · F + ½ curve ‖F‖²``, row by row.

    X, V (rows, columns), A (columns, k); ``F`` (rows, k) is updated in place. Each row is
    swept by exact minimizations of its entries in ``order``, up to ``limits[0]`` times and
    until the change of a sweep falls to ``limits[1]`` times that of the first, over entries ≥
    ``limits[2]``: 0, or −∞, where ``slope`` has to be zero. With a ``tolerance`` > 0 it is solved
    exactly instead, to that rounding. Entries where ``free`` (rows, k; no rows: all are free) is
    False stay.

    Returns ``½ Σ V (X − F Aᵀ)²`` in float64, and how many rows were not solved. Cost O(rows ·
    columns · k) per sweep, O(rows · columns · k²) for the exact solution.

    Source: HALS (Cichocki & Phan 2009, IEICE E92-A) with weights as in Ho (2008), Nonnegative
    matrix factorization algorithms and applications, thesis, UCLouvain, chapter 6.
    """
    rows, k = F.shape
    columns = X.shape[1]
    B = turned(A)
    n = B.shape[1]
    values = room_for(TOGETHER * 2 * n, F).reshape(TOGETHER, 2, n)
    sums, everywhere = np.empty(2, F.dtype), np.ones(k, np.bool_)
    total = 0.0
    undone = 0
    for first in range(0, rows, TOGETHER):
        count = min(TOGETHER, rows - first)
        for p in range(columns):
            for i in range(count):
                values[i, 0, p] = X[first + i, p]
                values[i, 1, p] = V[first + i, p]
        for i in range(count):
            row = values[i]
            row[0, columns:] = 0
            value, left = _improve(
                first + i, F, B, row, sums, slope, curve, free, everywhere, order, limits, tolerance
            )
            total += value
            undone += left
    return total, undone


@compiled(error_model="numpy")
def observed_sparse(  # type: ignore[no-untyped-def]
    indptr, indices, data, weights, A, F, slope, curve, free, order, limits, tolerance
):
    """Do as `observed_dense` for compressed rows of which only stored entries are known.

    Cost O(stored · k) per sweep, O(stored · k²) for the exact solution.
    """
    rows, k = F.shape
    longest, table = table_for(indptr, A)
    room = room_for(2 * longest, F)
    sums, everywhere = np.empty(2, F.dtype), np.ones(k, np.bool_)
    total = 0.0
    undone = 0
    for i in range(rows):
        start, stored = indptr[i], indptr[i + 1] - indptr[i]
        B = gathered(table, A, indices, start, stored)
        n = B.shape[1]
        values = room[: 2 * n].reshape(2, n)
        for p in range(n):  # both in one loop, which takes half the time of two
            there = p < stored
            values[0, p] = data[start + p] if there else 0
            values[1, p] = weights[start + p] if there else 0
        value, left = _improve(
            i, F, B, values, sums, slope, curve, free, everywhere, order, limits, tolerance
        )
        total += value
        undone += left
    return total, undone


@compiled(error_model="numpy")
def pairs_of_columns(A, P):  # type: ignore[no-untyped-def]
    """Write the products of all pairs of columns of A (rows, k) into P (rows, k (k + 1) / 2)."""
    k = A.shape[1]
    for i in range(len(A)):
        place = 0
        for j in range(k):
            for l in range(j + 1):
                P[i, place] = A[i, j] * A[i, l]
                place += 1


@compiled(error_model="numpy", fastmath=FAST)
def _sweep_of_own(f, G, g, slope, curve, allowed, order, lowest):  # type: ignore[no-untyped-def]
    # One sweep over a row with the Gram matrix G; g is kept at G f − c. Returns the change.
    k = len(f)
    change = 0.0
    for number in range(k):
        l = order[number]
        if not allowed[l]:
            continue
        new = _minimum(f[l], -g[l] - slope[l] - curve * f[l], G[l, l] + curve, lowest)
        step = new - f[l]
        if step != 0:
            f[l] = new
            for j in range(k):
                g[j] += step * G[l, j]
            change += np.float64(step) * np.float64(step)
    return change


@compiled(error_model="numpy", fastmath=FAST)
def _value_of_own(f, G, c):  # type: ignore[no-untyped-def]
    # ½ fᵀ G f − cᵀ f
    k = len(f)
    total = 0.0
    for j in range(k):
        own = 0.0
        for l in range(k):
            own += np.float64(G[j, l]) * np.float64(f[l])
        total += (0.5 * own - np.float64(c[j])) * np.float64(f[j])
    return total


@compiled(error_model="numpy", fastmath=FAST)
def _left_of_row(x, v, A, f):  # type: ignore[no-untyped-def]
    # ½ Σ v (x − A f)², entry by entry.
    total = 0.0
    for p in range(len(x)):
        rest = np.float64(x[p])
        for l in range(len(f)):
            rest -= np.float64(A[p, l]) * np.float64(f[l])
        total += np.float64(v[p]) * rest * rest
    return 0.5 * total


@compiled(error_model="numpy")
def observed_by_products(  # type: ignore[no-untyped-def]
    X, V, A, F, slope, curve, free, order, limits, grams, C, squares, least
):
    """Do as `observed_dense` where the Gram matrix of every row is at hand.

    ``grams`` (rows, k (k + 1) / 2) is V times the `pairs_of_columns` of A, ``C`` (rows, k) is (V
    ∘ X) A, ``squares`` (rows,) are Σ V X². The value of a row is formed from them, or, below
    ``least`` times its squares, where they cancel, from its entries. Cost O(rows · k²) per
    sweep.
    """
    rows, k = F.shape
    G = np.empty((k, k), F.dtype)
    g = np.empty(k, F.dtype)
    everywhere = np.ones(k, np.bool_)
    lowest = F.dtype.type(limits[2])
    total = 0.0
    for i in range(rows):
        place = 0
        for j in range(k):
            for l in range(j + 1):
                G[j, l] = grams[i, place]
                G[l, j] = grams[i, place]
                place += 1
        f, c = F[i], C[i]
        for j in range(k):
            g[j] = -c[j]
        for l in range(k):
            for j in range(k):
                g[j] += f[l] * G[l, j]
        allowed = row_of(free, i, everywhere)
        first = 0.0
        for sweep in range(limits[0]):
            change = _sweep_of_own(f, G, g, slope, curve, allowed, order, lowest)
            if sweep == 0:
                first = change
            if not change > limits[1] * limits[1] * first:
                break
        value = 0.5 * squares[i] + _value_of_own(f, G, c)
        if value < least * squares[i]:
            value = _left_of_row(X[i], V[i], A, f)
        total += value
    return total
