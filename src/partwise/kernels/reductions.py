"""Reductions whose result decides something, hence accumulated in float64."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["inner", "inner_rows"]


@compiled()
def inner_rows(A, B):  # type: ignore[no-untyped-def]
    """Return ``Σ A∘B`` of two tables, accumulated in float64; O(size)."""
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
    return float(inner_rows(A.reshape(len(A), -1), B.reshape(len(B), -1)))
