"""Least squares over some components, which differ from row to row."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lanes import LANES, eliminate, substitute
from partwise.kernels._rows import put

__all__ = ["solve_passive"]


@compiled(error_model="numpy")
def solve_passive(F, G, C, passive, order, rounding):  # type: ignore[no-untyped-def]
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over the entries where ``passive`` (rows, k) is True.

    All others become zero; the sign is free. ``F``, ``G`` and ``C`` are in float64, G is
    contiguous. Eight rows in the given ``order`` are solved side by side, in the time of the
    one with the most passive components, so let rows with as many follow each other. A pivot
    below ``rounding`` times the diagonal gets that size: of many minimizers any is as good,
    and this one is finite. Cost O(k³) per row.
    """
    rows, k = C.shape
    # Component k stands for none: shorter systems are filled up with it.
    gram, least = np.zeros((k + 1, k + 1)), np.ones(k + 1)
    for j in range(k):
        put(gram[j, :k], G[j])
        least[j] = rounding * G[j, j]
    U = np.zeros((k + 1, k + 1, LANES))  # the right-hand side is the column after the last
    inverse = np.zeros((k + 1, LANES))
    s = np.zeros((k + 1, LANES))
    chosen = np.zeros((k + 1, LANES), np.uintp)
    for first in range(0, rows, LANES):
        filled = min(LANES, rows - first)
        chosen[:] = k
        top = 0
        for lane in range(filled):
            i = order[first + lane]
            count = 0
            for j in range(k):
                if passive[i, j]:
                    chosen[count, lane] = j
                    count += 1
            top = max(top, count)
        for a in range(top):
            for b in range(a, top):
                for lane in range(LANES):
                    U[a, b, lane] = gram[chosen[a, lane], chosen[b, lane]]
        for lane in range(LANES):
            for a in range(top):
                j = chosen[a, lane]
                U[a, top, lane] = C[order[first + lane], j] if j < k else 0.0
        for a in range(top):
            for lane in range(LANES):
                inverse[a, lane] = 1 / max(U[a, a, lane], least[chosen[a, lane]])
            for b in range(a + 1, top):
                eliminate(U, inverse, a, b, top + 1)
        for a in range(top - 1, -1, -1):
            substitute(U, inverse, s, a, top)
        for lane in range(filled):
            i = order[first + lane]
            for j in range(k):
                F[i, j] = 0.0
            for a in range(top):
                if chosen[a, lane] < k:
                    F[i, chosen[a, lane]] = s[a, lane]
