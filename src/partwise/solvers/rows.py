"""Rows of a factor when entries of X are missing or have weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partwise import kernels
from partwise._remainder import CANCELLATION
from partwise._threads import each, held
from partwise.data import Shares
from partwise.kernels.places import FEW as ALIKE
from partwise.problem import Entries, Quadratics
from partwise.solvers.quadratics import quadratic_rows

__all__ = [
    "OWN",
    "alike",
    "gram_of_all",
    "in_pieces",
    "observed_rows",
    "own_rows",
    "search_rows",
    "searched_rows",
    "worth_filling",
    "worth_searching",
]

# Up to so many components the Gram matrix of every row of dense data costs less than two sweeps
# over its entries.
FEW = 32
# Up to so many components the Gram matrix of every row of listed data does.
OWN = 50
# Sweeps over entries, at most: each costs as much as a product with X.
REPEATS = 2
# Tenths of a millisecond of an iteration with k components on 2000 × 1000: of a search a + b k; by
# products with pairs of columns a + b k + c k², and by sweeps over entries a k.
SEARCHING, PAIRS, SWEEPING = (80, 7), (80, 6, 0.67), 26
# Known entries of a row, for each component, from which on their share may be near enough.
ENOUGH = 2.5
# Rows that are looked at, and the least part of what their share says that the curvature of half of
# them has in every direction.
SAMPLE, LEAST = 8, 0.05
# Sweeps over a row of listed entries at most: further ones gain less than they take. And the change
# after which those of a search end, which only needs the direction.
LISTED, AIMED = 5, 0.3
# Numbers in a table of all products of two columns.
TABLE = 2**22


def worth_filling(data: Any, k: int) -> bool:
    """Return whether dense data are best served by one Gram matrix though rows differ.

    That of all entries then, see `searched_rows`. It takes as many more iterations as fewer entries
    are known.
    """
    if data.is_sparse or not data.binary:
        return False
    base, more, square = PAIRS
    own = base + k * (more + square * k) if k <= FEW else SWEEPING * k
    return own * data.evidence > SEARCHING[0] + SEARCHING[1] * k


def worth_searching(data: Any, k: int) -> bool:
    """Return whether a search may serve data: they tell enough of every row.

    See `search_rows` and `searched_rows`.
    """
    return bool(data.evidence * min(data.shape) >= k * ENOUGH)


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
    return float(np.median(least)) >= LEAST


def gram_of_all(entries: Entries, *, alike: bool) -> np.ndarray:
    """Return the one Gram matrix of a search, that of all entries, with what penalties add.

    If rows are ``alike`` their shares of it are near their own, see `alike`.
    """
    data: Any = entries.data
    A, slope, curve = _parts(entries)
    gram = kernels.gram(_as_seen(A, data.shares) if alike else A)
    if curve:
        mean = data.shares.mean if alike else 1
        gram += curve / gram.dtype.type(mean) * np.eye(len(slope), dtype=gram.dtype)
    return gram


def searched_rows(
    F: np.ndarray,
    entries: Entries,
    gram: np.ndarray,
    free: np.ndarray,
    order: np.ndarray,
    limits: tuple[int, float],
    *,
    alike: bool,
    judge: bool,
) -> float | None:
    """Sweep over rows of a factor in place, of dense data, each to its own length.

    As `search_rows`: the way of a row is that of sweeps on a quadratic that has its slope and, for
    its curvature, its share of ``gram``, or if rows are not ``alike`` all of it; and it goes to the
    minimum of its own quadratic on that ray. ``gram`` is `gram_of_all`, ``limits`` are those of
    `observed_rows`. Returns half the weighted squares that are left, if asked to ``judge``. Cost
    three products with X and O(rows · k²) per sweep.

    Source: see `kernels.search_listed_rows`; with all of it the model stands in place of what is
    missing, as in Zhang, Wang, Ford & Makedon (2006), SIAM Data Mining, 549-553, section 3 (EM).
    """
    data: Any = entries.data
    A, slope, curve = _parts(entries)
    left, squares = _left(data, F, A, judge=judge)
    old, share = F.copy(), data.shares.of_rows(F.dtype) if alike else np.ones((1, 1), F.dtype)
    cross = (left - slope - curve * F) / share
    cross += F @ gram
    kernels.coordinate_sweeps(F, gram, cross, order, free, *limits)
    moved = _moved(data, F - old, A)
    value = 0.5 * squares + float(kernels.go_along(F, old, left, slope, curve, *moved))
    if not judge:
        return None
    if value < CANCELLATION[F.dtype.char] * squares:
        value = 0.5 * _left(data, F, A, judge=True)[1]
    return value


def _parts(entries: Entries) -> tuple[np.ndarray, np.ndarray, Any]:
    # The other factor, the slope of penalties, and their curvature, in its dtype.
    A = np.ascontiguousarray(entries.design)
    return A, entries.slope[0].astype(A.dtype), A.dtype.type(entries.curve)


def _moved(data: Any, D: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted sums of squares of rows of D Aᵀ, of known entries, and units of the rows.

    Both in float64. The unit of a row of D is a power of two, and the sum is of squares of the row
    over it: squares in the dtype of D would leave its range.
    """
    least, one = np.finfo(D.dtype).minexp, D.dtype.type(1)  # the inverse of a unit is finite
    powers = np.maximum(np.frexp(np.abs(D).max(axis=1))[1], least)
    power = max(int(np.frexp(np.abs(A).max())[1]), least)
    D, A = D * np.ldexp(one, -powers)[:, None], A * np.ldexp(one, -power)
    out, weights = np.empty(len(D)), data.mask if data.binary else data.weights
    if weights.strides[0] < weights.strides[-1]:
        kernels.moved_turned(weights.T, A, D, out)
    else:
        kernels.moved_along_rows(weights, D, A, out)
    return np.ldexp(out, 2 * power), np.ldexp(1.0, powers)


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


def _listed(data: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Stored entries as kernels take them: of weights that are all 1 only a few.
    weights = np.ones(ALIKE, data.dtype) if data.binary else data.weights
    return data.indices, data.stored, weights


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
    (A, slope, curve), share = _parts(entries), data.shares.of_rows(F.dtype)[:, 0]
    G = gram_of_all(entries, alike=True)
    free, order, (repeats, shrink) = how
    limits = min(repeats, LISTED), max(shrink, AIMED)
    search = (
        data.indptr, _listed(data), A, F, G, share, (slope, curve), free, (order, *limits), before,
        F.dtype.type(weight),
    )  # fmt: skip
    return in_pieces(kernels.search_listed_rows, search, pieces, np.zeros(len(pieces)))


def own_rows(
    F: np.ndarray,
    entries: Entries,
    how: tuple[np.ndarray, np.ndarray, tuple[int, float]],
    before: np.ndarray,
    weight: float,
    pieces: list[slice],
    *,
    judge: bool,
) -> np.ndarray:
    """Sweep over rows of a factor in place, of listed entries, each on its own Gram matrix.

    As `search_rows`, see `kernels.descend_listed_rows`. Returns half the weighted squares that are
    left of each piece, of none unless asked to ``judge``.
    """
    data: Any = entries.data
    A, slope, curve = _parts(entries)
    free, order, (repeats, shrink) = how
    limits = min(repeats, LISTED), shrink
    own = (
        data.indptr, _listed(data), A, F, (slope, curve), free, (order, *limits), before,
        F.dtype.type(weight), CANCELLATION[F.dtype.char],
    )  # fmt: skip
    values = np.zeros(len(pieces) if judge else 0)
    return in_pieces(kernels.descend_listed_rows, own, pieces, values)


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
    A, slope, curve = _parts(entries)
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
