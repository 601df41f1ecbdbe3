"""Rows of a factor when entries of X are missing or have weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import CANCELLATION, Entries

__all__ = ["observed_rows"]

# Up to so many components the Gram matrix of every row of dense data costs less than two sweeps
# over its entries.
FEW = 32
# Sweeps over entries, at most: each costs as much as a product with X.
REPEATS = 2
# Numbers in a table of all products of two columns.
TABLE = 2**22


def observed_rows(
    F: np.ndarray,
    entries: Entries,
    free: np.ndarray,
    order: np.ndarray,
    limits: tuple[int, float],
    *,
    exact: bool,
    signed: bool = False,
) -> tuple[float, int]:
    """Sweep over rows of a factor in place, or solve them exactly, for weighted squares.

    ``limits``: sweeps at most, and the share of the change of the first one at which they end.
    ``signed``: entries may have any sign; else all are ≥ 0. Returns half the weighted squares that
    are left, and how many rows were not solved.
    """
    data: Any = entries.data
    A = np.ascontiguousarray(entries.design)
    slope, curve = entries.slope[0].astype(F.dtype), F.dtype.type(entries.curve)
    lowest = -np.inf if signed else 0.0
    how = (A, F, slope, curve, free, order)
    if not (exact or data.is_sparse) and F.shape[1] <= FEW:
        products = _grams(data.weights, A), data.weighed() @ A, data.row_squares
        end = ((*limits, lowest), *products, CANCELLATION[F.dtype.char])
        return kernels.observed_by_products(data.array, data.weights, *how, *end), 0
    tolerance = 16 * float(np.finfo(F.dtype).eps) if exact else 0.0
    few = min(limits[0], REPEATS), limits[1], lowest
    if data.is_sparse:
        stored = (data.indptr, data.indices, data.stored, data.weights)
        return kernels.observed_sparse(*stored, *how, few, tolerance)
    return kernels.observed_dense(data.array, data.weights, *how, few, tolerance)


def _grams(V: np.ndarray, A: np.ndarray) -> np.ndarray:
    # Of every row, the lower half of A.T @ diag(v) @ A.
    pairs = A.shape[1] * (A.shape[1] + 1) // 2
    total = np.zeros((len(V), pairs), A.dtype)
    height = max(1, TABLE // pairs)
    for start in range(0, len(A), height):
        part = slice(start, start + height)
        table = np.empty((len(A[part]), pairs), A.dtype)
        kernels.pairs_of_columns(A[part], table)
        total += kernels.dense_product(V[:, part], table)
    return total
