"""Rows of a factor when entries of X are missing or have weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import CANCELLATION, Entries, Quadratics
from partwise.solvers.quadratics import quadratic_rows

__all__ = ["filled_rows", "observed_rows", "worth_filling"]

# Up to so many components the Gram matrix of every row of dense data costs less than two sweeps
# over its entries.
FEW = 32
# Sweeps over entries, at most: each costs as much as a product with X.
REPEATS = 2
# Costs of an iteration on all of X, per entry, by what k components took on 2000 × 1000: of one
# that fills, of products with pairs of columns, and of two sweeps over entries.
FILLING, PAIRS, SWEEPING = (72, 4.2), 3, 23
# Entries of X that are filled at a time.
BLOCK = 2**17
# Numbers in a table of all products of two columns.
TABLE = 2**22


def worth_filling(data: Any, k: int) -> bool:
    """Return whether missing entries of dense data are best replaced by their model.

    The minimum of the quadratic above the loss that this gives is found at the speed of matrix
    products. Where few entries are known it takes as many more iterations as they are fewer.
    """
    if data.is_sparse or not data.binary:
        return False
    share: float = data.mass / data.size
    return FILLING[0] + FILLING[1] * k < share * k * (k + PAIRS if k <= FEW else SWEEPING)


def filled_rows(
    F: np.ndarray,
    entries: Entries,
    free: np.ndarray,
    order: np.ndarray,
    limits: tuple[int, float],
    *,
    judge: bool,
) -> float:
    """Sweep over rows of a factor in place, with the model in place of what is missing.

    ``limits`` are those of `observed_rows`. Returns half the squares that are left of the known
    entries, or 0 unless ``judge``. Cost two products with X, or three, and O(rows · k²) per sweep.

    Source: Zhang, Wang, Ford & Makedon (2006), SIAM Data Mining, 549-553, section 3 (EM).
    """
    data: Any = entries.data
    A = np.ascontiguousarray(entries.design)
    gram = kernels.gram(A)
    shifted = gram + F.dtype.type(entries.curve) * np.eye(len(gram), dtype=F.dtype)
    slope = entries.slope[0].astype(F.dtype)
    total = 0.0
    height = min(len(F), max(1, BLOCK // len(A)))
    turned = data.array.strides[0] < data.array.strides[-1]  # columns follow each other
    room = np.empty(height * len(A), F.dtype)

    def left(rows: slice) -> tuple[np.ndarray, float]:
        # x − f Aᵀ where x is known, in the memory layout of x, and the sum of its squares.
        sides = data.array[rows], data.mask[rows]
        a, b = (A, F[rows]) if turned else (F[rows], A)
        found = np.matmul(a, b.T, out=room[: len(a) * len(b)].reshape(len(a), len(b)))
        squares = kernels.left_of_known(found, *(side.T if turned else side for side in sides))
        return (found.T if turned else found), float(squares)

    for start in range(0, len(F), height):
        rows = slice(start, start + height)
        cross = kernels.dense_product(left(rows)[0], A) + F[rows] @ gram - slope
        open_ = free[rows] if free.shape[0] else free
        kernels.coordinate_sweeps(F[rows], shifted, cross, order, open_, *limits)
        if judge:
            total += 0.5 * left(rows)[1]
    return total


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
    if isinstance(entries, Quadratics):
        return quadratic_rows(F, entries, free, order, limits, exact=exact, signed=signed)
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
