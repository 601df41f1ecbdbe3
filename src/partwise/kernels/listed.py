"""Descent on listed entries: a direction from one Gram matrix for all rows, a length for each."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._descent import LANES
from partwise.kernels._dots import sum_half_left, sum_half_moved, sum_left, sum_moved
from partwise.kernels._gather import HALF, LONGEST, SHORTEST
from partwise.kernels._pieces import take
from partwise.kernels.extrapolation import extrapolate
from partwise.kernels.quadratic import coordinate_sweeps
from partwise.kernels.rays import go, length_of

__all__ = ["search_listed_rows"]

FAST = {"contract", "nsz", "reassoc"}
NEAR = 2**18  # bytes of a table that is soon in a core's own cache, beside all the rest


@compiled(error_model="numpy", fastmath=FAST)
def _dot(f, a):  # type: ignore[no-untyped-def]
    total = f[0] * a[0]
    for l in range(1, len(f)):
        total += f[l] * a[l]
    return total


@compiled(inline="always")
def _left(listed, A, f, L, i, begin, end, far):  # type: ignore[no-untyped-def]
    # L[i] = Σ v r a and Σ v r², r = x − f[i] · a, over listed entries: value x, weight v, row a.
    indices, data, weights = listed
    size = A.shape[1] * A.itemsize
    if SHORTEST <= size <= LONGEST:
        return sum_left(A, indices, data, weights, f, L, i, begin, end, far)
    if HALF <= size < SHORTEST:
        return sum_half_left(A, indices, data, weights, f, L, i, begin, end, far)
    total = 0.0
    L[i] = 0
    for p in range(begin, end):
        a = A[indices[p]]
        rest = data[p] - _dot(f[i], a)
        left = weights[p] * rest
        for l in range(len(a)):
            L[i, l] += left * a[l]
        total += np.float64(left) * np.float64(rest)
    return total


@compiled(inline="always")
def _moved(listed, A, D, i, begin, end):  # type: ignore[no-untyped-def]
    # Σ v (D[i] · a)² over listed entries.
    indices, weights = listed[0], listed[2]
    size = A.shape[1] * A.itemsize
    if SHORTEST <= size <= LONGEST:
        return sum_moved(A, indices, weights, D, i, begin, end)
    if HALF <= size < SHORTEST:
        return sum_half_moved(A, indices, weights, D, i, begin, end)
    total = 0.0
    for p in range(begin, end):
        moved = _dot(D[i], A[indices[p]])
        total += np.float64(weights[p] * moved) * np.float64(moved)
    return total


@compiled(error_model="numpy", fastmath=FAST)
def _set_out(f, L, C, old, share, slope, curve, G):  # type: ignore[no-untyped-def]
    # From what is left, L, the cross products of rows whose quadratic is their share of that of G.
    for i in range(len(f)):
        for l in range(f.shape[1]):
            old[i, l] = f[i, l]
            C[i, l] = (L[i, l] - slope[l] - curve * f[i, l]) / share[i]
        for j in range(f.shape[1]):
            for l in range(f.shape[1]):
                C[i, l] += f[i, j] * G[j, l]


@compiled(error_model="numpy")
def search_listed_rows(  # type: ignore[no-untyped-def]
    indptr, listed, A, F, G, share, added, free, how, before, weight, ends, values, counter
):
    """Lower ``½ Σ V (X − F Aᵀ)² + Σ slope · F + ½ curve ‖F‖²`` over F ≥ 0, row by row.

    X and its weights V, whose other entries are not known, are in compressed rows: ``listed``
    holds (indices, X, V) of stored entries; A (columns, k) and F (rows, k) are in C order. A row
    goes from f in the direction of the minimum of a quadratic that has its slope and, for its
    curvature, ``share[i] · G``, found by `coordinate_sweeps` with ``how`` = (order, repeats,
    shrink), to where its own quadratic is least on that ray. Nothing rises, whatever G is; the
    nearer it is to what rows have in common, the faster they fall. ``added`` = (slope (k,), curve).
    The rest is as for `sweep_dense_rows`; ``values`` gets what is left of the weighted squares of
    each piece, halved. Cost O(stored · k) and O(rows · k²) per sweep.

    Source: scaled gradient projection, Bertsekas (1999), Nonlinear Programming, section 2.3, with
    the exact length of a step for a quadratic.
    """
    k = F.shape[1]
    slope, curve = added
    order, repeats, shrink = how
    far = A.size * A.itemsize > NEAR
    rounding = F.dtype.type(4 * np.finfo(F.dtype).eps)
    # As many rows as sweeps go over at once: few enough for what they meet to be in a core's own
    # cache when it is met again.
    together = LANES // F.itemsize
    room = np.empty((3, together, k), F.dtype)
    L, C, old = room[0], room[1], room[2]
    while True:
        number = take(counter)
        if number >= len(ends) - 1:
            return
        total = 0.0
        for first in range(ends[number], ends[number + 1], together):
            last = min(first + together, ends[number + 1])
            f = F[first:last]
            for i in range(len(f)):
                for l in range(k):
                    f[i, l] = max(f[i, l], F.dtype.type(0))
                row = first + i
                total += _left(listed, A, f, L, i, indptr[row], indptr[row + 1], far)
            _set_out(f, L, C, old, share[first:last], slope, curve, G)
            open_ = free[first:last] if free.shape[0] > 0 else free
            coordinate_sweeps(f, G, C[: len(f)], order, open_, repeats, shrink)
            for i in range(len(f)):
                row = first + i
                fall = 0.0
                for l in range(k):
                    C[i, l] = f[i, l] - old[i, l]
                    fall += np.float64(L[i, l]) * np.float64(C[i, l])
                bend = _moved(listed, A, C, i, indptr[row], indptr[row + 1])
                length = length_of(f[i], old[i], 1.0, slope, curve, fall, bend)
                total += length * (length * bend - 2 * fall)
                go(f[i], old[i], length, rounding)
            if before.shape[0] > 0:
                extrapolate(f.reshape(-1), before[first:last].reshape(-1), weight, False, True)
        values[number] = 0.5 * total
