"""Products of a dense matrix with a narrow one."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._rows import room_for
from partwise.kernels._tiles import (
    ROWS,
    add_turned_tile,
    tile_bytes,
    tile_of,
    write_half_tile,
    write_tile,
)

__all__ = ["along_rows", "dense_product", "gram", "narrow_product", "pack_rows", "turned_product"]

TILE = tile_bytes()
# What is used again and again between two reads of X, in bytes: it stays in a core's cache.
PANEL = 2**17
STRETCH = 1024  # columns of X for a tile
TALL = 4 * ROWS  # rows of X that meet the same columns of A one after the other
# BLAS is as fast for more columns than these, the earlier the shorter the vectors are.
NARROW = {128: 1024, 64: 100}.get(TILE, 16)
SMALL = 2**13  # entries, where a call costs more than the product


def along_rows(X: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, bool] | None:
    """Return X or its transpose, whichever has the entries of a row side by side, and which.

    None where ``X A`` is not a product for tiles.
    """
    fits = X.dtype == A.dtype and A.shape[1] <= NARROW and A.flags.c_contiguous
    if not fits or X.itemsize not in X.strides:
        return None
    turned = X.strides[0] == X.itemsize and X.strides[1] != X.itemsize
    return (X.T, True) if turned else (X, False)


def dense_product(X: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Return ``X A`` in C order, by tiles, or by BLAS where that is the faster one."""
    if X.size < SMALL:
        return X @ A
    rows = along_rows(X, A)
    if rows is None:
        # Twice as fast as the other way round.
        return np.ascontiguousarray((A.T @ X.T).T)
    out = np.empty((len(X), A.shape[1]), X.dtype)
    if rows[1]:
        turned_product(rows[0], A, out, False)
    else:
        narrow_product(rows[0], A, out)
    return out


def gram(F: np.ndarray) -> np.ndarray:
    """Return ``Fᵀ F`` of a factor F (rows, k); O(rows · k²)."""
    if F.shape[1] > NARROW or not F.flags.c_contiguous:
        return dense_product(F.T, F)
    out = np.empty((F.shape[1], F.shape[1]), F.dtype)
    turned_product(F, F, out, True)
    return out


@compiled(error_model="numpy")
def pack_rows(P, A, first, count):  # type: ignore[no-untyped-def]
    """Write so many rows of A (rows, k) from ``first`` on into P (parts, rows, `tile_of` A)."""
    tile, k = tile_of(A), A.shape[1]
    for part in range(k // tile):
        for p in range(count):
            for c in range(tile):  # a number that the compiler knows
                P[part, p, c] = A[first + p, part * tile + c]
    for l in range(k // tile * tile, k):
        for p in range(count):
            P[l // tile, p, l % tile] = A[first + p, l]


@compiled(error_model="numpy")
def narrow_product(X, A, out):  # type: ignore[no-untyped-def]
    """Write ``X A`` into ``out`` (rows, k), for X (rows, columns) and A (columns, k).

    X may have any memory layout; rows whose entries follow each other are the fast one. Cost
    O(rows · columns · k), no temporary of the size of X.
    """
    rows, columns = X.shape
    k = A.shape[1]
    if rows < ROWS:
        for i in range(rows):
            for l in range(k):
                out[i, l] = 0
            for j in range(columns):
                for l in range(k):
                    out[i, l] += X[i, j] * A[j, l]
        return
    tile = tile_of(A)
    height = min(columns, STRETCH)
    parts = (k + tile - 1) // tile
    S = room_for(ROWS * tile, A).reshape(ROWS, tile)
    P = room_for(parts * height * tile, A).reshape(parts, height, tile)
    for first in range(0, columns, height):
        count = min(height, columns - first)
        pack_rows(P, A, first, count)
        for block in range(0, rows, TALL):
            for part in range(parts):
                l = part * tile
                half = k - l <= tile // 2
                for done in range(block, min(block + TALL, rows), ROWS):
                    # The last tile begins earlier, over rows that are done.
                    start = min(done, rows - ROWS)
                    if half:
                        write_half_tile(S, X, start, first, P[part], count)
                    else:
                        write_tile(S, X, start, first, P[part], count)
                    for r in range(done - start, min(ROWS, rows - start)):
                        for c in range(min(tile, k - l)):
                            if first == 0:
                                out[start + r, l + c] = S[r, c]
                            else:
                                out[start + r, l + c] += S[r, c]


@compiled(error_model="numpy")
def turned_product(X, A, out, symmetric):  # type: ignore[no-untyped-def]
    """Write ``Xᵀ A`` into ``out`` (columns, k), for X (rows, columns) and A (rows, k).

    Entries of a row of X follow each other in memory; A is in C order. If the product is
    ``symmetric``, as that of an array with itself, half of it is formed. Cost O(rows · columns ·
    k), no temporary of the size of X.
    """
    rows, columns = X.shape
    k = A.shape[1]
    tile = tile_of(A)
    width = max(1, min(columns + tile - 1, PANEL // (k * A.itemsize)) // tile) * tile
    # One more tile, since rows of T at a distance of a power of two share a place in the cache.
    T = room_for(k * (width + tile), A).reshape(k, width + tile)
    last = np.zeros((ROWS, k), A.dtype)
    rest = room_for(ROWS * tile, A).reshape(ROWS, tile)
    few = room_for(ROWS * tile, A).reshape(ROWS, tile)
    for first in range(0, columns, width):
        count = min(width, columns - first)
        whole = count // tile * tile
        for l in range(k):
            for j in range(width + tile):
                T[l, j] = 0
        for i in range(0, rows // ROWS * ROWS, ROWS):
            for j in range(0, whole, tile):
                add_turned_tile(T, j, X, i, first + j, A[i:], first + j if symmetric else 0)
            if whole < count:
                for r in range(ROWS):
                    for j in range(whole, count):
                        rest[r, j - whole] = X[i + r, first + j]
                begin = first + whole if symmetric else 0
                add_turned_tile(T, whole, rest, 0, 0, A[i:], begin)
        i = rows // ROWS * ROWS
        if i < rows:
            for r in range(rows - i):
                for l in range(k):
                    last[r, l] = A[i + r, l]
            for begin in range(0, count, tile):
                for r in range(rows - i):
                    for j in range(begin, min(begin + tile, count)):
                        few[r, j - begin] = X[i + r, first + j]
                add_turned_tile(T, begin, few, 0, 0, last, 0)
        for j in range(count):
            for l in range(k):
                out[first + j, l] = T[l, j]
    if symmetric:
        for j in range(k):
            for l in range(j):
                out[j, l] = out[l, j]
