"""What a model leaves of listed entries, and its products with a factor."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._gather import (
    LINE,
    most_components,
    put_left,
    squares_left,
    sum_left,
    sum_rows,
)
from partwise.kernels._rows import room_for

__all__ = ["left_of_listed", "left_of_listed_rows"]

FAST = {"contract", "nsz", "reassoc"}
ONCE = most_components(1)  # bytes of a row that is fetched once
NEAR = 2**18  # of a table that is found in a core's own cache before long, beside the rest


@compiled(error_model="numpy")
def _room(indptr, A):  # type: ignore[no-untyped-def]
    # For the stored entries of any row.
    longest = 1
    for i in range(len(indptr) - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return room_for(longest, A)


@compiled(error_model="numpy", fastmath=FAST)
def _put_left(rest, indptr, indices, data, weights, F, A, i):  # type: ignore[no-untyped-def]
    # v (x − F[i] Aᵀ) of the stored entries of a row into ``rest``; returns Σ v (x − F[i] Aᵀ)².
    begin, end = indptr[i], indptr[i + 1]
    k = A.shape[1]
    if k * A.itemsize >= LINE:
        far = A.size * A.itemsize > NEAR
        return put_left(A, indices, data, weights, F, rest, i, begin, end, far)
    total = 0.0
    for p in range(begin, end):
        left = data[p]
        for l in range(k):
            left -= F[i, l] * A[indices[p], l]
        rest[p - begin] = weights[p] * left
        total += np.float64(rest[p - begin]) * np.float64(left)
    return total


@compiled(error_model="numpy", fastmath=FAST)
def left_of_listed_rows(indptr, indices, data, weights, F, A, out):  # type: ignore[no-untyped-def]
    """Write ``(V ∘ (X − F Aᵀ)) A`` into ``out`` (rows, k), for weights V of stored entries.

    X and V, zero elsewhere, are in compressed rows of one pattern, F (rows, k), A (columns, k)
    and ``out`` in C order. Cost O(stored · k), no temporary.
    """
    k = A.shape[1]
    rest, far = _room(indptr, A), A.size * A.itemsize > NEAR
    once = LINE <= k * A.itemsize <= ONCE
    for i in range(len(F)):
        begin, end = indptr[i], indptr[i + 1]
        if once:
            sum_left(A, indices, data, weights, F, out, i, begin, end, far)
            continue
        _put_left(rest, indptr, indices, data, weights, F, A, i)
        if k * A.itemsize > ONCE:
            sum_rows(A, indices[begin:end], rest, out, i, 0, end - begin, False)
            continue
        out[i] = 0
        for p in range(begin, end):
            for l in range(k):
                out[i, l] += rest[p - begin] * A[indices[p], l]


@compiled(error_model="numpy")
def left_of_listed(indptr, indices, data, weights, F, A):  # type: ignore[no-untyped-def]
    """Return the sum of ``V ∘ (X − F Aᵀ)²`` in float64; see `left_of_listed_rows`."""
    rest, far = _room(indptr, A), A.size * A.itemsize > NEAR
    once = LINE <= A.shape[1] * A.itemsize <= ONCE
    total = 0.0
    for i in range(len(F)):
        if once:
            begin, end = indptr[i], indptr[i + 1]
            total += squares_left(A, indices, data, weights, F, F, i, begin, end, far)
        else:
            total += _put_left(rest, indptr, indices, data, weights, F, A, i)
    return total
