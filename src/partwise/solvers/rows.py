"""Rows of a factor when entries of X are missing or have weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partwise import kernels
from partwise._threads import each, held
from partwise.data import Listed, Shares
from partwise.problem import CANCELLATION, Entries, Quadratics
from partwise.solvers.quadratics import quadratic_rows

__all__ = [
    "alike",
    "filled_rows",
    "gram_of_all",
    "in_pieces",
    "observed_rows",
    "search_rows",
    "worth_filling",
    "worth_searching",
]

# Up to so many components the Gram matrix of every row of dense data costs less than two sweeps
# over its entries.
FEW = 32
# Sweeps over entries, at most: each costs as much as a product with X.
REPEATS = 2
# Costs of an iteration on all of X, per entry, by what k components took on 2000 × 1000: of one
# that fills, of products with pairs of columns, and of sweeps over entries.
FILLING, PAIRS, SWEEPING = (60, 7), (47, 3), 46
# Known entries of a row, for each component, from which on their share may be near enough.
# Of lists less is enough, since how far to go is seen of each row.
ENOUGH, ENOUGH_LISTED = 4, 2.5
# Rows that are looked at, and the least part of what their share says that the curvature of half of
# them has in every direction: steps of (1 − √(1 / ENOUGH))² are the shortest at random.
SAMPLE, LEAST, LEAST_LISTED = 8, 0.2, 0.05
# Numbers in a table of all products of two columns.
TABLE = 2**22


def worth_filling(data: Any, k: int, *, bold: bool) -> bool:
    """Return whether dense data with missing entries are best served by one Gram matrix.

    See `filled_rows`, which works at the speed of matrix products. Unless ``bold`` it takes as
    many more iterations as fewer entries are known.
    """
    if data.is_sparse:
        return False
    if bold:
        return data.evidence * min(data.shape) >= k * ENOUGH and _pays(k, 1.0)
    return data.binary and _pays(k, data.evidence)


def worth_searching(data: Any, k: int) -> bool:
    """Return whether `search_rows` may serve data: lists that tell enough of every row."""
    if not isinstance(data, Listed):
        return False
    return data.evidence * min(data.shape) >= k * ENOUGH_LISTED


def _pays(k: int, share: float) -> bool:
    filling = (FILLING[0] + FILLING[1] * k) / share
    return filling < (PAIRS[0] + k * (k + PAIRS[1]) if k <= FEW else SWEEPING * k)


def _as_seen(A: np.ndarray, shares: Shares) -> np.ndarray:
    """Return A (columns, k) with its rows as long as their share of what is known makes them.

    The share that a row knows times the Gram matrix of these is the mean one of rows that know as
    much.
    """
    even = np.sqrt(shares.columns / max(shares.mean, np.finfo(np.float64).tiny))
    return A * even.astype(A.dtype)[:, None]


def alike(data: Any, A: np.ndarray) -> bool:
    """Return whether Gram matrices of known entries of rows are near what their share says.

    They are not where holes hide some components and spare others. Looks at a few rows; cost
    O(columns · k²).
    """
    rows = data.shares.rows
    seen = _as_seen(A, data.shares).astype(np.float64)
    values, vectors = np.linalg.eigh(seen.T @ seen)
    wide = values > np.finfo(A.dtype).eps * len(A) * values[-1]
    if not wide.any():
        return True
    white = A @ (vectors[:, wide] / np.sqrt(values[wide]))
    least = []
    for row in np.linspace(0, len(rows) - 1, SAMPLE).astype(np.intp):
        weights = data.row_weights(row)
        known = white * np.sqrt(weights, dtype=np.float64)[:, None]
        found = np.linalg.eigvalsh(known.T @ known)[0]
        least.append(found / rows[row] if rows[row] > 0 else 0.0)
    return float(np.median(least)) >= (LEAST_LISTED if data.is_sparse else LEAST)


def gram_of_all(entries: Entries, *, bold: bool) -> np.ndarray:
    """Return the one Gram matrix of `filled_rows`, or ``bold`` of `search_rows`.

    It is without penalties.
    """
    data: Any = entries.data
    A = np.ascontiguousarray(entries.design)
    return kernels.gram(_as_seen(A, data.shares) if bold else A)


def filled_rows(
    F: np.ndarray,
    entries: Entries,
    gram: np.ndarray,
    free: np.ndarray,
    order: np.ndarray,
    limits: tuple[int, float],
    *,
    bold: float,
    judge: bool,
) -> float:
    """Sweep over rows of a factor in place, with one Gram matrix for all of them.

    ``gram`` is `gram_of_all`, ``limits`` are those of `observed_rows`. The quadratic of a row has
    its own slope, and its curvature is that of all entries of X, which is above that of the known
    ones: the model stands in place of what is missing. If ``bold`` it is the share that is known of
    a row, times that of columns as they are seen, times ``bold``: near its own where entries are
    missing at random, and the objective may rise. Returns half the squares that were left of the
    known entries before the sweeps, if asked to ``judge``. Cost two products with X and O(rows ·
    k²) per sweep.

    Source: Zhang, Wang, Ford & Makedon (2006), SIAM Data Mining, 549-553, section 3 (EM).
    """
    data: Any = entries.data
    A, slope = np.ascontiguousarray(entries.design), entries.slope[0].astype(F.dtype)
    cross, squares = _left(data, F, A, judge=judge)
    cross -= slope
    share = np.ones((1, 1), F.dtype)
    if bold:
        share = F.dtype.type(bold) * data.shares.of_rows(F.dtype)
    if entries.curve:
        curve = F.dtype.type(entries.curve)
        cross -= curve * F
        gram = gram + curve / share.min() * np.eye(len(slope), dtype=F.dtype)
    cross /= share
    cross += F @ gram
    kernels.coordinate_sweeps(F, gram, cross, order, free, *limits)
    return 0.5 * squares


def _left(data: Any, F: np.ndarray, A: np.ndarray, *, judge: bool) -> tuple[np.ndarray, float]:
    """Return what F Aᵀ leaves of known entries, times their weights, times A; and its squares.

    The weighted sum of squares is formed in float64, if ``judge`` asks for it.
    """
    out = np.empty_like(F)
    X, weights = data.array, data.mask if data.binary else data.weights
    if X.strides[0] < X.strides[-1]:  # columns follow each other
        return out, float(kernels.left_turned(X.T, weights.T, A, F, out, judge))
    return out, float(kernels.left_along_rows(X, weights, F, A, out, judge))


def in_pieces(
    kernel: Callable[..., object], how: tuple[Any, ...], pieces: list[slice], values: np.ndarray
) -> np.ndarray:
    """Call a kernel with the same arguments in all threads, which take pieces one by one.

    The last arguments are where pieces end, ``values``, which is returned, and the counter that
    they share.
    """
    ends, counter = np.array([0, *(piece.stop for piece in pieces)]), np.zeros(1, np.int64)
    each(lambda _: kernel(*how, ends, values, counter), range(min(held(), len(pieces))))
    return values


def search_rows(
    F: np.ndarray,
    entries: Entries,
    how: tuple[np.ndarray, np.ndarray, tuple[int, float]],
    before: np.ndarray,
    weight: float,
    pieces: list[slice],
) -> np.ndarray:
    """Sweep over rows of a factor in place, of listed entries, and extrapolate them.

    All rows in one call, see `kernels.search_listed_rows`: how much of its share a row knows is
    seen from its own entries. ``how`` holds ``free``, ``order`` and ``limits``, see
    `observed_rows`; ``before``, of no rows where none is extrapolated, is what F was before.
    Returns half the weighted squares that are left of each piece.
    """
    data: Any = entries.data
    A, share = np.ascontiguousarray(entries.design), data.shares.of_rows(F.dtype)[:, 0]
    slope, curve = entries.slope[0].astype(F.dtype), F.dtype.type(entries.curve)
    G = gram_of_all(entries, bold=True) + curve / share.mean() * np.eye(len(slope), dtype=F.dtype)
    listed = data.indices, data.stored, data.weights
    free, order, limits = how
    search = (
        data.indptr, listed, A, F, G, share, (slope, curve), free, (order, *limits), before,
        F.dtype.type(weight),
    )  # fmt: skip
    return in_pieces(kernels.search_listed_rows, search, pieces, np.zeros(len(pieces)))


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
