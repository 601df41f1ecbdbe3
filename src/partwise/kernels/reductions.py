"""Reductions whose result decides something, hence accumulated in float64."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["inner"]


@compiled()
def _inner_rows(A, B):  # type: ignore[no-untyped-def]
    rows, columns = A.shape
    total = 0.0
    for i in range(rows):
        row = 0.0
        for j in range(columns):
            row += np.float64(A[i, j]) * np.float64(B[i, j])
        total += row
    return total


def inner(A: np.ndarray, B: np.ndarray) -> float:
    """Return ``Σ A∘B`` of two arrays of one shape, accumulated in float64; O(size)."""
    if A.dtype == np.float64:
        return float(np.vdot(A, B))
    return float(_inner_rows(A.reshape(len(A), -1), B.reshape(len(B), -1)))
