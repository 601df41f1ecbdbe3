"""What a model leaves of listed entries, and its products with a factor."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._gather import LINE, LONGEST, sum_left

__all__ = ["left_of_listed_rows"]

FAST = {"contract", "nsz", "reassoc"}
NEAR = 2**18  # bytes of a table that is soon in a core's own cache, beside all the rest


@compiled(error_model="numpy", fastmath=FAST)
def _left(x, f, a):  # type: ignore[no-untyped-def]
    # x − f a, for less than a vector of components, and for very many.
    for l in range(len(f)):
        x -= f[l] * a[l]
    return x


@compiled(error_model="numpy", fastmath=FAST)
def left_of_listed_rows(indptr, indices, data, weights, F, A, out):  # type: ignore[no-untyped-def]
    """Write ``(V ∘ (X − F Aᵀ)) A`` into ``out`` (rows, k), for weights V of stored entries.

    X and V, zero elsewhere, are in compressed rows of one pattern, F (rows, k), A (columns, k)
    and ``out`` in C order. Returns the sum of ``V ∘ (X − F Aᵀ)²`` in float64. Cost O(stored · k),
    no temporary.
    """
    far = A.size * A.itemsize > NEAR
    once = LINE <= A.shape[1] * A.itemsize <= LONGEST
    total = 0.0
    for i in range(len(F)):
        begin, end = indptr[i], indptr[i + 1]
        if once:
            total += sum_left(A, indices, data, weights, F, out, i, begin, end, far)
            continue
        out[i] = 0
        for p in range(begin, end):
            a = A[indices[p]]
            rest = _left(data[p], F[i], a)
            left = weights[p] * rest
            for l in range(len(a)):
                out[i, l] += left * a[l]
            total += np.float64(left) * np.float64(rest)
    return total
