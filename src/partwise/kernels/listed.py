"""Descent on listed entries: a direction from one Gram matrix for all rows, a length for each."""

from __future__ import annotations

import numpy as np

from partwise.kernels._columns import let_rest, put_columns, take_columns, take_free
from partwise.kernels._compile import compiled
from partwise.kernels._descent import LANES, subtract_product
from partwise.kernels._dots import sum_half_left, sum_half_moved, sum_left, sum_moved
from partwise.kernels._gather import HALF, LONGEST, NEAR, SHORTEST
from partwise.kernels._pieces import take
from partwise.kernels._rows import room_for, weight_of
from partwise.kernels.extrapolation import extrapolate
from partwise.kernels.quadratic import curvatures, sweep_once

__all__ = ["search_listed_rows"]

FAST = {"contract", "nsz", "reassoc"}


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
        left = weight_of(weights, indices, p) * rest
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
        total += np.float64(weight_of(weights, indices, p) * moved) * np.float64(moved)
    return total


@compiled(error_model="numpy", fastmath=FAST)
def _aim(T, R, L, old, share, slope, curve, against):  # type: ignore[no-untyped-def]
    # From what is left, L, the cross products of rows whose quadratic is their share of that of G,
    # which is ``against`` with its sign turned.
    k, width = T.shape
    for l in range(k):
        for b in range(width):
            old[l, b] = T[l, b]
            R[l, b] = (L[l, b] - slope[l] - curve * T[l, b]) / share[b]
        subtract_product(T, R, against, l)


@compiled(error_model="numpy")
def _sweep(T, R, G, inverse, M, how, change, enough):  # type: ignore[no-untyped-def]
    # Sweeps over rows side by side; one that is done waits for the others.
    order, repeats, shrink = how
    for sweep in range(repeats):
        sweep_once(T, R, G, inverse, order, M, True, change)
        if let_rest(M, change, enough, sweep == 0, shrink) == 0:
            break


@compiled(error_model="numpy", fastmath=FAST)
def _look_along(T, L, old, slope, curve, sums):  # type: ignore[no-untyped-def]
    # Of ways from old rows to new ones, which are put in their places: by how much squares fall and
    # penalties rise per length, the bend of the penalties, and the length to the first zero.
    falls, rises, bends, rooms = sums
    k, width = T.shape
    falls[:], rises[:], bends[:], rooms[:] = 0, 0, 0, np.inf
    for l in range(k):
        for b in range(width):
            way = T[l, b] - old[l, b]
            T[l, b] = way
            way, here = np.float64(way), np.float64(old[l, b])
            falls[b] += np.float64(L[l, b]) * way
            rises[b] += (np.float64(slope[l]) + np.float64(curve) * here) * way
            bends[b] += np.float64(curve) * way * way
            rooms[b] = min(rooms[b], here / -way if way < 0 else np.inf)


@compiled(error_model="numpy")
def _go(T, old, lengths, rounding):  # type: ignore[no-untyped-def]
    # So far along ways, which new rows take the places of; what is left of an entry within rounding
    # is 0.
    k, width = T.shape
    none = T.dtype.type(0)
    for l in range(k):
        for b in range(width):
            here = old[l, b]
            new = here + T.dtype.type(lengths[b]) * T[l, b] if lengths[b] > 0 else here
            T[l, b] = new if new > rounding * here else none


@compiled(error_model="numpy")
def _search(rows, A, F, G, against, inverse, share, added, free, how, first, count, far, room):  # type: ignore[no-untyped-def]
    # So many rows side by side; returns the weighted squares that are left.
    indptr, listed = rows
    slope, curve = added
    lines, by_rows, flat, sums, numbers = room
    T, R, L, old, M = lines[0], lines[1], lines[2], lines[3], lines[4]
    f, total = F[first : first + count], 0.0
    for i in range(count):
        for l in range(F.shape[1]):
            f[i, l] = max(f[i, l], F.dtype.type(0))
        row = first + i
        total += _left(listed, A, f, by_rows, i, indptr[row], indptr[row + 1], far)
        flat[0, i] = share[row]
    take_columns(L, by_rows, 0, count, numbers)
    take_columns(T, F, first, count, numbers)
    take_free(M, T, free, first, count)
    _aim(T, R, L, old, flat[0], slope, curve, against)
    _sweep(T, R, G, inverse, M, how, flat[1], flat[2])
    _look_along(T, L, old, slope, curve, sums)
    put_columns(T, by_rows, 0, count, numbers)
    for i in range(count):
        row = first + i
        bend = _moved(listed, A, by_rows, i, indptr[row], indptr[row + 1])
        fall, length = sums[0, i] - sums[1, i], 0.0
        if fall > 0:
            length = sums[3, i] if sums[3, i] < np.inf else 1.0
            if bend + sums[2, i] > 0:
                length = min(fall / (bend + sums[2, i]), sums[3, i])
        total += length * (length * bend - 2 * sums[0, i])
        sums[3, i] = length
    _go(T, old, sums[3], F.dtype.type(4 * np.finfo(F.dtype).eps))
    put_columns(T, F, first, count, numbers)
    return total


@compiled(error_model="numpy")
def search_listed_rows(  # type: ignore[no-untyped-def]
    indptr, listed, A, F, G, share, added, free, how, before, weight, ends, values, counter
):
    """Lower ``½ Σ V (X − F Aᵀ)² + Σ slope · F + ½ curve ‖F‖²`` over F ≥ 0, row by row.

    X and its weights V, whose other entries are not known, are in compressed rows: ``listed`` holds
    (indices, X, V) of stored entries, V of few where all are the same; A (columns, k) and F (rows,
    k) are in C order. A row goes from f in the direction of the minimum of a quadratic that has its
    slope and, for its curvature, ``share[i] · G``, found by sweeps as in `coordinate_sweeps`, with
    ``how`` = (order, repeats, shrink), to where its own quadratic is least on that ray. Nothing
    rises, whatever G is; the nearer it is to what rows have in common, the faster they fall.
    ``added`` = (slope (k,), curve). The rest is as for `sweep_dense_rows`; ``values`` gets what is
    left of the weighted squares of each piece, halved. Cost O(stored · k) and O(rows · k²) per
    sweep.

    Source: scaled gradient projection, Bertsekas (1999), Nonlinear Programming, section 2.3, with
    the exact length of a step for a quadratic.
    """
    k = F.shape[1]
    # As many rows as sweeps go over at once: few enough for what they meet to be in a core's own
    # cache when it is met again.
    width = LANES // F.itemsize
    far = A.size * A.itemsize > NEAR
    gram, inverse = curvatures(G, F)
    against = -gram
    room = (
        room_for(5 * k * width, F).reshape(5, k, width),
        room_for(width * k, F).reshape(width, k),
        room_for(3 * width, F).reshape(3, width),
        np.zeros((4, width)),
        np.arange(width),
    )
    while True:
        piece = take(counter)
        if piece >= len(ends) - 1:
            return
        total = 0.0
        for first in range(ends[piece], ends[piece + 1], width):
            count = min(width, ends[piece + 1] - first)
            total += _search(
                (indptr, listed), A, F, gram, against, inverse, share, added, free, how, first,
                count, far, room,
            )  # fmt: skip
            if before.shape[0] > 0:
                f, old = F[first : first + count], before[first : first + count]
                extrapolate(f.reshape(-1), old.reshape(-1), weight, False, True)
        values[piece] = 0.5 * total
