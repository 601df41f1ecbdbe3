"""Products that visit only the stored entries of a matrix in compressed rows."""

from __future__ import annotations

from partwise.kernels._compile import compiled

__all__ = ["product_at", "square_sums"]


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
