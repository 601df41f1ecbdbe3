"""Reductions whose result decides something, hence accumulated in float64."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["inner", "inner_rows", "look_over"]


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


@compiled(fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")
def look_over(X, of_rows, of_columns):  # type: ignore[no-untyped-def]
    """Return ``Σ X`` and how many entries are not zero, of a table read along its rows.

    Write the sums of squares of its rows into ``of_rows`` and add those of its columns to
    ``of_columns``, all in float64; O(size), in one pass.
    """
    total, count = 0.0, 0
    for i in range(X.shape[0]):
        row, square = 0.0, 0.0
        for j in range(X.shape[1]):
            value = np.float64(X[i, j])
            row += value
            square += value * value
            of_columns[j] += value * value
            count += value != 0
        of_rows[i] = square
        total += row
    return total, count


def inner(A: np.ndarray, B: np.ndarray) -> float:
    """Return ``Σ A∘B`` of two arrays of one shape, accumulated in float64; O(size)."""
    if A.dtype == np.float64:
        return float(np.vdot(A, B))
    return float(inner_rows(A.reshape(len(A), -1), B.reshape(len(B), -1)))
