"""Products that visit only the stored entries of a matrix in compressed rows."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

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


@compiled(fastmath={"contract", "reassoc", "nsz"})
def sparse_product(indptr, indices, data, A, out):  # type: ignore[no-untyped-def]
    """Write ``X A`` into ``out`` (rows, k), for X in compressed rows and A (columns, k).

    ``indptr`` may be a part of that of a larger matrix. Cost O(stored · k), no temporary.
    """
    k = A.shape[1]
    for i in range(len(indptr) - 1):
        row = out[i]
        for l in range(k):
            row[l] = 0
        p, end = indptr[i], indptr[i + 1]
        while p + 4 <= end:  # four at a time, so that the row is loaded and stored less often
            a, b, c, d = A[indices[p]], A[indices[p + 1]], A[indices[p + 2]], A[indices[p + 3]]
            x, y, z, w = data[p], data[p + 1], data[p + 2], data[p + 3]
            for l in range(k):
                row[l] += (x * a[l] + y * b[l]) + (z * c[l] + w * d[l])
            p += 4
        while p < end:
            a, x = A[indices[p]], data[p]
            for l in range(k):
                row[l] += x * a[l]
            p += 1


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
