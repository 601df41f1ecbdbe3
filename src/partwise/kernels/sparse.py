"""Products that visit only the stored entries of a matrix in compressed rows."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._gather import (
    HALF,
    QUARTER,
    SHORTEST,
    sum_half_rows,
    sum_quarter_rows,
    sum_rows,
)

__all__ = ["add_columns", "product_at", "sparse_product", "square_sums"]


@compiled(fastmath={"contract", "reassoc", "nsz"})
def product_at(indptr, indices, W, H, out):  # type: ignore[no-untyped-def]
    """Write ``(W Hᵀ)[i, j]`` into ``out`` for every stored entry (i, j), in storage order.

    ``W`` (rows, k) and ``H`` (columns, k) are C-contiguous. Cost O(stored · k), no
    temporary.
    """
    k = W.shape[1]
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            h = H[indices[p]]
            value = W[i, 0] * h[0]
            for l in range(1, k):
                value += W[i, l] * h[l]
            out[p] = value


# Bytes of a table that is found in a core's own cache before long.
NEAR = 2**20


@compiled(fastmath={"contract", "nsz"})
def sparse_product(indptr, indices, data, A, out):  # type: ignore[no-untyped-def]
    """Write ``X A`` into ``out`` (rows, k), for X in compressed rows and A (columns, k).

    A and ``out`` are in C order. ``indptr`` may be a part of that of a larger matrix. Cost
    O(stored · k), no temporary.
    """
    far = A.size * A.itemsize > NEAR
    k, size = A.shape[1], A.shape[1] * A.itemsize
    for i in range(len(indptr) - 1):
        begin, end = indptr[i], indptr[i + 1]
        if size >= SHORTEST:
            sum_rows(A, indices, data, out, i, begin, end, far)
        elif size >= HALF:
            sum_half_rows(A, indices, data, out, i, begin, end, far)
        elif size >= QUARTER:
            sum_quarter_rows(A, indices, data, out, i, begin, end, far)
        else:
            for l in range(k):
                out[i, l] = 0
            for p in range(begin, end):
                for l in range(k):
                    out[i, l] += data[p] * A[indices[p], l]


@compiled(fastmath={"contract", "reassoc", "nsz"})
def add_columns(indptr, indices, data, W, first, out):  # type: ignore[no-untyped-def]
    """Add to ``out`` the rows ``first``, … of ``Xᵀ W``, for X in compressed rows.

    Indices are sorted in each row. Each row of ``out`` is added to in the order of the rows
    of X. Cost O(rows · log columns + stored in these columns · k), no temporary.
    """
    count, k = out.shape
    for i in range(len(indptr) - 1):
        begin, end = indptr[i], indptr[i + 1]
        stored = indices[begin:end]
        w = W[i]
        for p in range(begin + np.searchsorted(stored, first), end):
            j = indices[p] - first
            if j >= count:
                break
            x, row = data[p], out[j]
            for l in range(k):
                row[l] += x * w[l]


@compiled()
def square_sums(indptr, indices, data, rows, columns):  # type: ignore[no-untyped-def]
    """Add the squares of the stored entries to the sums of their row and of their column.

    ``rows`` and ``columns`` are float64. Cost O(stored), no temporary.
    """
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            square = float(data[p]) ** 2
            rows[i] += square
            columns[indices[p]] += square
