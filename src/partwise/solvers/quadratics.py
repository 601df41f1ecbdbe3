"""Rows of a factor of which the quadratics alone are known, not the entries of X."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.problem import Quadratics
from partwise.solvers.signed import solve_signed

__all__ = ["quadratic_rows"]


def quadratic_rows(
    F: np.ndarray,
    given: Quadratics,
    free: np.ndarray,
    order: np.ndarray,
    limits: tuple[int, float],
    *,
    exact: bool = False,
    signed: bool = False,
) -> tuple[float, int]:
    """Sweep over rows of a factor in place, or solve them exactly, by their Gram matrices.

    As `partwise.solvers.rows.observed_rows`, which has the entries of X. Where few squares are left
    they are differences of large numbers, and no more than zero is told. Cost O(rows · k²) per
    sweep, O(rows · k³) for the exact solution.
    """
    undone = 0
    if exact:
        undone = _solve(F, given, free, signed)
        limits = 0, 0.0
    lowest = -np.inf if signed else 0.0
    none = np.empty((len(F), 0), F.dtype)
    slope, curve = given.slope[0].astype(F.dtype), F.dtype.type(given.curve)
    known = given.grams, given.cross, given.squares
    how = (np.empty((0, F.shape[1]), F.dtype), F, slope, curve, free, order, (*limits, lowest))
    return kernels.observed_by_products(none, none, *how, *known, 0.0), undone


def _solve(F: np.ndarray, given: Quadratics, free: np.ndarray, signed: bool) -> int:
    k, undone = F.shape[1], 0
    first, second = np.tril_indices(k)
    tolerance = 16 * float(np.finfo(F.dtype).eps)
    cross = given.cross - given.slope.astype(F.dtype)
    gram = np.empty((k, k), F.dtype)
    for i in range(len(F)):
        gram[first, second] = gram[second, first] = given.grams[i]
        gram[range(k), range(k)] += F.dtype.type(given.curve)
        row, open_ = slice(i, i + 1), free[i : i + 1]
        if signed:
            solve_signed(F[row], gram, cross[row], open_)
        else:
            undone += kernels.solve_rows(F[row], gram, cross[row], open_, tolerance)
    return undone
