"""What a model leaves of the known entries of dense data, and its products with a factor.

It is formed tile by tile, and used while it is in the innermost cache.
"""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._rows import put, room_for
from partwise.kernels._tiles import (
    ROWS,
    add_squares,
    add_squares_down,
    add_turned_tile,
    tile_of,
    write_half_tile,
    write_left_tile,
    write_tile,
)
from partwise.kernels.dense import pack_rows

__all__ = ["left_along_rows", "left_turned", "moved_along_rows", "moved_turned", "squares_left"]

FAST = {"contract", "nsz", "reassoc"}
STRETCH = 512  # columns of X that are at work together
PANEL = 2**16  # bytes of what is added up for some columns of X
MANY = 64  # tiles of rows whose squares are added up in the dtype of X


@compiled(error_model="numpy")
def _packed(A, first, count):  # type: ignore[no-untyped-def]
    # Rows of A (columns, k) from ``first`` on as tiles of k rows each, zero beyond.
    k = A.shape[1]
    tile = tile_of(A)
    parts = (count + tile - 1) // tile
    P = room_for(parts * k * tile, A).reshape(parts * k, tile)
    for p in range(count):
        for l in range(k):
            P[p // tile * k + l, p % tile] = A[first + p, l]
    return P


@compiled()
def _room(columns, like):  # type: ignore[no-untyped-def]
    # For ROWS rows of so many columns, in whole tiles.
    tile = tile_of(like)
    length = (columns + tile - 1) // tile * tile
    return room_for(ROWS * length, like).reshape(ROWS, length)


@compiled(error_model="numpy")
def _enough(L):  # type: ignore[no-untyped-def]
    # L, with rows of zeros if a tile has more of them.
    if len(L) >= ROWS:
        return L
    more = np.zeros((ROWS, L.shape[1]), L.dtype)
    for i in range(len(L)):
        put(more[i], L[i])
    return more


@compiled(error_model="numpy")
def _edge(X, i, j, tile):  # type: ignore[no-untyped-def]
    # A tile of X that may end within it, zero beyond.
    few = np.zeros((ROWS, tile), X.dtype)
    for r in range(min(ROWS, X.shape[0] - i)):
        for c in range(min(tile, X.shape[1] - j)):
            few[r, c] = X[i + r, j + c]
    return few


@compiled(error_model="numpy")
def _put_left(R, L, i, P, X, known, first, count):  # type: ignore[no-untyped-def]
    # known ∘ (X − L Pᵀ) of ROWS rows from i on and so many columns from ``first`` on, into R. For
    # many tiles, since a call costs as much as one.
    k, tile = L.shape[1], P.shape[1]
    whole = i + ROWS <= X.shape[0]
    for j in range(0, count, tile):
        if whole and first + j + tile <= X.shape[1]:
            write_left_tile(R, j, L, i, P, j // tile * k, X, known, i, first + j)
        else:
            few, told = _edge(X, i, first + j, tile), _edge(known, i, first + j, tile)
            write_left_tile(R, j, L, i, P, j // tile * k, few, told, 0, 0)


@compiled(error_model="numpy", fastmath=FAST)
def _squares(R, known, start, done, first, count):  # type: ignore[no-untyped-def]
    # Σ w r² of rows from ``done`` on, from w r in R, whose first row is ``start``.
    total = 0.0
    for i in range(done, min(start + ROWS, len(known))):
        left, weights = R[i - start], known[i]
        if known.itemsize == 1:
            for c in range(count):
                total += np.float64(left[c]) * np.float64(left[c])
        else:
            for c in range(count):
                weight = np.float64(weights[first + c])
                square = np.float64(left[c]) * np.float64(left[c])
                total += square / weight if weight > 0 else 0.0
    return total


@compiled(error_model="numpy")
def left_along_rows(X, known, F, A, out, judge):  # type: ignore[no-untyped-def]
    """Write ``(known ∘ (X − F Aᵀ)) A`` into ``out`` (rows, k).

    X and ``known`` (rows, columns) have the entries of a row side by side; ``known`` holds bytes 0
    or 1, or weights in the dtype of X, which is zero where they are. F (rows, k) and A (columns, k)
    are in C order. Returns the sum of ``known ∘ (X − F Aᵀ)²`` in float64, 0 unless ``judge``. Cost
    twice that of a product with X, no temporary of its size.
    """
    rows, columns = X.shape
    k = A.shape[1]
    tile = tile_of(A)
    height = min(columns, STRETCH)
    parts = (k + tile - 1) // tile
    S, R = room_for(ROWS * tile, A).reshape(ROWS, tile), _room(height, A)
    B = room_for(parts * height * tile, A).reshape(parts, height, tile)
    L = _enough(F)
    total = 0.0
    out[:] = 0
    for first in range(0, columns, height):
        count = min(height, columns - first)
        P = _packed(A, first, count)
        pack_rows(B, A, first, count)
        for done in range(0, rows, ROWS):
            # The last tile begins earlier, over rows that are done.
            start = max(0, min(done, rows - ROWS))
            _put_left(R, L, start, P, X, known, first, count)
            if judge:
                total += _squares(R, known, start, done, first, count)
            for part in range(parts):
                l = part * tile
                if k - l <= tile // 2:
                    write_half_tile(S, R, 0, 0, B[part], count)
                else:
                    write_tile(S, R, 0, 0, B[part], count)
                for r in range(done - start, min(ROWS, rows - start)):
                    for c in range(min(tile, k - l)):
                        out[start + r, l + c] += S[r, c]
    return total


@compiled(error_model="numpy")
def squares_left(X, F, A):  # type: ignore[no-untyped-def]
    """Return ``‖X − F Aᵀ‖²`` in float64, as `left_along_rows` does of what is known.

    Cost that of a product with X, no temporary of its size.
    """
    rows, columns = X.shape
    known = np.broadcast_to(np.ones(columns, np.uint8), X.shape)
    R, L = _room(min(columns, STRETCH), A), _enough(F)
    total = 0.0
    for first in range(0, columns, STRETCH):
        count = min(STRETCH, columns - first)
        P = _packed(A, first, count)
        for done in range(0, rows, ROWS):
            start = max(0, min(done, rows - ROWS))
            _put_left(R, L, start, P, X, known, first, count)
            total += _squares(R, known, start, done, first, count)
    return total


@compiled(error_model="numpy")
def left_turned(X, known, A, F, out, judge):  # type: ignore[no-untyped-def]
    """Write ``(known ∘ (X − A Fᵀ))ᵀ A`` into ``out`` (columns, k), and return what is left.

    As `left_along_rows`; A (rows, k) and F (columns, k) are in C order.
    """
    rows, columns = X.shape
    k = A.shape[1]
    tile = tile_of(A)
    most = max(tile, PANEL // (k * A.itemsize) // tile * tile)
    # One more tile, since rows of T at a distance of a power of two share a place in the cache.
    T = room_for(k * (most + tile), A).reshape(k, most + tile)
    R = _room(min(most, columns), A)
    B = np.empty((ROWS, k), A.dtype)  # rows of A of a tile, zero where they were done before
    L = _enough(A)
    total = 0.0
    for first in range(0, columns, most):
        count = min(most, columns - first)
        P = _packed(F, first, count)
        T[:] = 0
        for done in range(0, rows, ROWS):
            start = max(0, min(done, rows - ROWS))
            for l in range(k):
                for r in range(ROWS):
                    B[r, l] = 0 if r < done - start else L[start + r, l]
            _put_left(R, L, start, P, X, known, first, count)
            if judge:
                total += _squares(R, known, start, done, first, count)
            for j in range(0, count, tile):
                add_turned_tile(T, j, R, 0, j, B, 0)
        for j in range(count):
            for l in range(k):
                out[first + j, l] = T[l, j]
    return total


@compiled(error_model="numpy")
def moved_along_rows(known, D, A, out):  # type: ignore[no-untyped-def]
    """Write the sums of the rows of ``known ∘ (D Aᵀ)²`` into ``out`` (rows,), in float64.

    ``known`` (rows, columns) as for `left_along_rows`; D (rows, k) and A (columns, k) are in C
    order. Cost that of a product with X, no temporary of its size.
    """
    rows, columns = known.shape
    k = A.shape[1]
    tile = tile_of(A)
    M = room_for(ROWS * tile, A).reshape(ROWS, tile)
    L = _enough(D)
    out[:] = 0
    for first in range(0, columns, STRETCH):
        count = min(columns - first, STRETCH)
        P = _packed(A, first, count)
        for done in range(0, rows, ROWS):
            start = max(0, min(done, rows - ROWS))
            M[:] = 0
            for j in range(0, count, tile):
                if start + ROWS <= rows and first + j + tile <= columns:
                    add_squares(M, 0, L, start, P, j // tile * k, known, start, first + j)
                else:
                    told = _edge(known, start, first + j, tile)
                    add_squares(M, 0, L, start, P, j // tile * k, told, 0, 0)
            for r in range(done - start, min(ROWS, rows - start)):
                for c in range(tile):
                    out[start + r] += np.float64(M[r, c])


@compiled(error_model="numpy")
def moved_turned(known, A, D, out):  # type: ignore[no-untyped-def]
    """Write the sums of the columns of ``known ∘ (A Dᵀ)²`` into ``out`` (columns,), in float64.

    As `moved_along_rows`; A (rows, k) and D (columns, k) are in C order.
    """
    rows, columns = known.shape
    k = A.shape[1]
    tile = tile_of(A)
    most = max(tile, PANEL // (k * A.itemsize) // tile * tile)
    M = room_for(most + tile, A).reshape(1, most + tile)
    B = np.empty((ROWS, k), A.dtype)  # rows of A of a tile, zero where they were done before
    L = _enough(A)
    out[:] = 0
    for first in range(0, columns, most):
        count = min(most, columns - first)
        P = _packed(D, first, count)
        for some in range(0, rows, MANY * ROWS):
            M[:] = 0
            for done in range(some, min(rows, some + MANY * ROWS), ROWS):
                start = max(0, min(done, rows - ROWS))
                for l in range(k):
                    for r in range(ROWS):
                        B[r, l] = 0 if r < done - start else L[start + r, l]
                for j in range(0, count, tile):
                    if start + ROWS <= rows and first + j + tile <= columns:
                        add_squares_down(M, j, B, 0, P, j // tile * k, known, start, first + j)
                    else:
                        told = _edge(known, start, first + j, tile)
                        add_squares_down(M, j, B, 0, P, j // tile * k, told, 0, 0)
            for j in range(count):
                out[first + j] += np.float64(M[0, j])
