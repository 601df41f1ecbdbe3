"""Exact non-negative least squares by block principal pivoting, many rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from partwise.kernels.nnls import solve_rows
from partwise.kernels.passive import solve_passive

__all__ = ["least_squares_rows", "pivot_rows"]

Array = np.ndarray
# Full exchanges in a row that need not lower the number of infeasible entries, and exchanges
# per component until the row is left to the active set method.
TRIES = 3
EXCHANGES = 5


def _counts(entries: Array) -> Array:
    return entries @ np.ones(entries.shape[1])  # faster than a sum over short rows


def _by_size(passive: Array) -> Array:
    return np.argsort(_counts(passive), kind="stable")


def _open_program(F: Array, G: Array, C: Array, free: Array) -> tuple[Array, Array, Array]:
    # In float64: G, C with the entries that stay moved to the right, and what may be positive.
    G, C = np.ascontiguousarray(G, np.float64), C.astype(np.float64)
    open_ = np.broadcast_to(np.diag(G) > 0, C.shape)
    if free.shape[0]:
        C -= np.where(free, 0, F) @ G
        open_ = open_ & free
    return G, C, open_


def _reciprocal(unit: Array) -> Array:
    return np.divide(1.0, unit, out=np.zeros_like(unit), where=unit > 0)


def _store(F: Array, rows: Array, X: Array, free: Array) -> None:
    X = np.maximum(X, 0)
    F[rows] = np.where(free[rows], X, F[rows]) if free.shape[0] else X


def pivot_rows(F: Array, G: Array, C: Array, free: Array, tolerance: float) -> int:
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` exactly, by exchanges of whole blocks.

    The entries of a row that violate their sign, or the sign of their slope, change sides
    together, as long as their number falls at least every fourth time; else the last of them
    alone changes sides. Rows with passive sets of one size are solved together. The support
    of ``F`` (rows, k), which is overwritten, is the first guess; entries where ``free`` is
    False stay. A slope counts as zero below ``tolerance`` times a bound on its terms.

    With dependent components exchanges may go round in circles: rows that are not done after
    5 k of them are solved by `solve_rows`, whose return value this one's is.

    Cost: O(k³) per exchange and row. Sharing the Cholesky factor among rows with the same set
    would save less than it costs to find them: eight factors are formed in the time of one.

    Source: Kim & Park (2011), SIAM J. Scientific Computing 33, 3261-3281, algorithm 2 and
    section 3.2; the backup rule after Júdice & Pires (1994).
    """
    G, C, open_ = _open_program(F, G, C, free)
    k, unit = len(G), np.sqrt(np.diag(G))
    todo, passive = np.arange(len(F)), (F > 0) & open_
    fewest, tries = np.full(len(F), k + 1.0), np.full(len(F), TRIES)
    given = np.abs(C) @ _reciprocal(unit)
    for _ in range(EXCHANGES * k):
        X = np.empty(C.shape)
        solve_passive(X, G, C, passive, _by_size(passive), tolerance)
        slope = X @ G
        slope -= C
        # |G[j, l]| is at most the product of the two units.
        size = np.abs(X) @ unit + given
        wrong = slope < np.outer(-tolerance * size, unit)
        wrong &= open_ & ~passive
        wrong |= X < 0
        count = _counts(wrong)
        done = count == 0
        if 4 * np.sum(done) >= len(done):  # else it is cheaper to keep them
            _store(F, todo[done], X[done], free)
            if done.all():
                return 0
            state = (todo, C, open_, passive, wrong, count, fewest, tries, given)
            todo, C, open_, passive, wrong, count, fewest, tries, given = (
                part[~done] for part in state
            )
        alone = (count >= fewest) & (tries == 0) & (count > 0)
        tries = np.where(count < fewest, TRIES, np.maximum(tries - 1, 0))
        fewest = np.minimum(fewest, count)
        last = k - 1 - np.argmax(wrong[alone, ::-1], axis=1)
        wrong[alone] = np.arange(k) == last[:, None]
        passive ^= wrong
    rest = np.zeros(C.shape)
    undone = int(solve_rows(rest, G, C, open_, tolerance))
    _store(F, todo, rest, free)
    return undone


def least_squares_rows(F: Array, G: Array, C: Array, free: Array, tolerance: float) -> None:
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over all F, then set negative entries to zero.

    ``F`` (rows, k) is overwritten; entries where ``free`` is False stay. The result is not
    the minimum over F ≥ 0. A pivot of G below ``tolerance`` times the diagonal is lost in
    rounding. Cost O(rows · k²), and O(rows · k³) where not all is free.
    """
    G, C, open_ = _open_program(F, G, C, free)
    shared = None if free.shape[0] else _cholesky(G, tolerance)
    if shared is not None:
        X = cho_solve(shared, C.T).T
    else:
        X = np.empty(C.shape)
        solve_passive(X, G, C, open_, _by_size(open_), tolerance)
    _store(F, np.arange(len(F)), X, free)


def _cholesky(G: Array, rounding: float) -> Any:
    ridge = np.where(np.diag(G) > 0, rounding * np.diag(G), 1.0)
    try:
        return cho_factor(G + np.diag(ridge))
    except LinAlgError:
        return None
