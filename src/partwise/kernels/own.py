"""Coordinate descent on listed entries, each row on the Gram matrix of its own."""

from __future__ import annotations

import numpy as np

from partwise.kernels._blocks import BLOCK, take_block
from partwise.kernels._columns import let_rest, put_columns, take_columns, take_free
from partwise.kernels._compile import compiled
from partwise.kernels._gather import NEAR
from partwise.kernels._grams import (
    HIGH,
    SIDE,
    VECTOR,
    add_products,
    lay_out,
    left_own,
    move_own,
)
from partwise.kernels._pieces import take
from partwise.kernels._rows import room_for, weight_of
from partwise.kernels.extrapolation import extrapolate

__all__ = ["descend_listed_rows"]

FAST = {"contract", "nsz", "reassoc"}
TILE = 32  # entries that are laid out together, in the first cache


@compiled()
def _products(P, i, tiles, A, listed, begin, end):  # type: ignore[no-untyped-def]
    # P[i] = Σ v (a, x) (a, x)ᵀ over the entries of a row, its lower half.
    indices, data, weights = listed
    far = A.size * A.itemsize > NEAR
    if begin == end:
        for l in range(P.shape[1]):
            P[i, l] = 0
    for p in range(begin, end, TILE):
        count = min(TILE, end - p)
        lay_out(tiles[0], tiles[1], A, indices, data, weights, p, count, far)
        add_products(tiles[0], tiles[1], P, i, A.shape[1] + 1, count, p == begin)


@compiled(error_model="numpy", fastmath=FAST)
def _set_out(R, G, inverse, slope, curve, pad):  # type: ignore[no-untyped-def]
    # Cross products and the diagonal with what penalties add.
    k, width = R.shape
    smallest = np.finfo(R.dtype).tiny
    for j in range(k):
        for b in range(width):
            R[j, b] = G[k * pad + j, b] - slope[j]
            own = G[j * pad + j, b] + curve
            G[j * pad + j, b] = own
            inverse[j, b] = 1 / own if own > smallest else 0


@compiled(error_model="numpy")
def _sweep(T, R, G, inverse, M, how, change, enough, pad):  # type: ignore[no-untyped-def]
    # Sweeps over rows side by side; one that is done waits for the others.
    order, repeats, shrink = how
    for sweep in range(repeats):
        change[:] = 0
        for n in range(len(T)):
            move_own(T, R, G, inverse, change, M, order[n], pad)
        if let_rest(M, change, enough, sweep == 0, shrink) == 0:
            break


@compiled(error_model="numpy", fastmath=FAST)
def _squares(T, R, G, slope, curve, out, rest, pad):  # type: ignore[no-untyped-def]
    # Σ v (x − f a)² of rows side by side, from what products leave of it.
    k, width = T.shape
    for b in range(width):
        out[b] = G[k * pad + k, b]
    for j in range(k):
        left_own(T, R, G, rest, j, pad)
        for b in range(width):
            t = T[j, b]
            out[b] -= t * (R[j, b] + rest[b] + 2 * slope[j] + curve * t)


@compiled(error_model="numpy", fastmath=FAST)
def _squares_of_entries(f, A, listed, begin, end):  # type: ignore[no-untyped-def]
    indices, data, weights = listed
    total = 0.0
    for p in range(begin, end):
        rest = np.float64(data[p])
        for l in range(len(f)):
            rest -= np.float64(f[l]) * np.float64(A[indices[p], l])
        total += np.float64(weight_of(weights, indices, p)) * rest * rest
    return total


@compiled(error_model="numpy")
def _descend(rows, A, F, added, free, how, judged, least, first, count, room):  # type: ignore[no-untyped-def]
    # So many rows side by side; returns what is left of their squares, if that is ``judged``.
    indptr, listed = rows
    slope, curve = added
    tiles, P, G, lines, flat, numbers = room
    T, R, inverse, M = lines[0], lines[1], lines[2], lines[3]
    k, pad = F.shape[1], tiles.shape[2]
    for i in range(count):
        _products(P, i, tiles, A, listed, indptr[first + i], indptr[first + i + 1])
    for b in range(0, len(P), BLOCK):
        take_block(G, b, P, numbers, b)
    take_columns(T, F, first, count, numbers)
    take_free(M, T, free, first, count)
    _set_out(R, G, inverse, slope, curve, pad)
    _sweep(T, R, G, inverse, M, how, flat[0], flat[1], pad)
    put_columns(T, F, first, count, numbers)
    total = 0.0
    if judged:
        _squares(T, R, G, slope, curve, flat[0], flat[1], pad)
        for i in range(count):
            square = np.float64(flat[0, i])
            if not square >= least * P[i, k * pad + k]:
                begin, end = indptr[first + i], indptr[first + i + 1]
                square = _squares_of_entries(F[first + i], A, listed, begin, end)
            total += square
    return total


@compiled(error_model="numpy")
def descend_listed_rows(  # type: ignore[no-untyped-def]
    indptr, listed, A, F, added, free, how, before, weight, least, ends, values, counter
):
    """Lower ``½ Σ V (X − F Aᵀ)² + Σ slope · F + ½ curve ‖F‖²`` over F ≥ 0, row by row.

    X and its weights V, whose other entries are not known, are in compressed rows: ``listed``
    holds (indices, X, V) of stored entries, V of few where all are the same; A (columns, k) and
    F (rows, k) are in C order. The Gram and cross products of a row are summed up from its
    entries, in one visit, and it is swept over by ``how`` = (order, repeats, shrink) as in
    `coordinate_sweeps`, beside other rows. ``added`` = (slope (k,), curve). The rest is as for
    `sweep_dense_rows`; ``values``, of no pieces where they are not wanted, gets what is left of
    the weighted squares of each, halved: from the products, or, below ``least`` times the
    squares of a row, where they cancel, from its entries. Cost O(stored · k²) and O(rows · k²)
    per sweep.

    Source: HALS (Cichocki & Phan 2009, IEICE E92-A) with weights as in Ho (2008), Nonnegative
    matrix factorization algorithms and applications, thesis, UCLouvain, chapter 6.
    """
    k = F.shape[1]
    width, lane = SIDE // F.itemsize, VECTOR // F.itemsize
    # Of entries (a, x): numbers of one, in whole vectors, and of all their products.
    pad = (k + lane) // lane * lane
    size = (k + HIGH) // HIGH * HIGH * pad
    room = (
        room_for(2 * TILE * pad, F).reshape(2, TILE, pad),
        room_for(width * size, F).reshape(width, size),
        room_for(size * width, F).reshape(size, width),
        room_for(4 * k * width, F).reshape(4, k, width),
        room_for(2 * width, F).reshape(2, width),
        np.arange(width),
    )
    judged = len(values) > 0
    while True:
        piece = take(counter)
        if piece >= len(ends) - 1:
            return
        total = 0.0
        for first in range(ends[piece], ends[piece + 1], width):
            count = min(width, ends[piece + 1] - first)
            total += _descend(
                (indptr, listed), A, F, added, free, how, judged, least, first, count, room
            )
            if before.shape[0] > 0:
                f, old = F[first : first + count], before[first : first + count]
                extrapolate(f.reshape(-1), old.reshape(-1), weight, False, True)
        if judged:
            values[piece] = 0.5 * total
