"""One factor when all others are known, each row on its own."""

from __future__ import annotations

import numpy as np

from partwise.kernels import multiplicative_update, solve_rows
from partwise.problem import Problem
from partwise.solvers.multiplicative import exponent

__all__ = ["project_rows"]

# Updates between two looks at which rows are done.
ROUND = 10
NONE_FIXED = np.empty((0, 0), np.bool_)


def project_rows(problem: Problem, *, tol: float, max_iter: int) -> int:
    """Find the rows of the first factor, given all others; return how many are not done.

    A row's answer depends on its own data alone, not on the rows it comes with: the
    squared loss is solved exactly; other losses by multiplicative updates from a flat
    start with the row's own sum, until the row's own relative KKT residual
    ``Σ f |g| / Σ f·positive`` is at most ``tol``.

    Parameters
    ----------
    problem : Problem
        ``factors[first]`` is overwritten.
    tol : float
        Tolerance of each row.
    max_iter : int
        Updates per row at most.
    """
    name = problem.model.names[0]
    F = problem.factors[name]
    if problem.loss.quadratic:
        F[...] = 0
        for rows in problem.data.blocks():
            normal = problem.rows(rows).normal(name)
            tolerance = 16 * float(np.finfo(F.dtype).eps)
            solve_rows(F[rows], normal.gram, normal.cross, NONE_FIXED, tolerance)
        return 0
    _flat_start(problem, name)
    floor = F.dtype.type(np.finfo(F.dtype).eps * float(F.mean()))
    power = exponent(problem, name)
    active = np.arange(len(F))
    for _ in range(0, max_iter, ROUND):
        if active.size == 0:
            break
        part = problem.rows(active if active.size < len(F) else slice(None))
        moving = part.factors[name]
        for _ in range(ROUND):
            split = part.split(name)
            multiplicative_update(moving, split.negative, split.positive, power, floor, NONE_FIXED)
        split = part.split(name)
        F[active] = moving
        active = active[_row_residual(moving, split.negative, split.positive, floor) > tol]
    F[(F <= 1e-9 * F.max(axis=1, keepdims=True)) | (F <= 2 * floor)] = 0
    return int(active.size)


def _flat_start(problem: Problem, name: str) -> None:
    F = problem.factors[name]
    weight = problem.model.adjoint_of_ones(problem.factors, name).astype(np.float64)
    ones = {other: np.ones_like(values) for other, values in problem.factors.items()}
    sums = problem.model.adjoint(problem.data, ones, name)[:, :1].astype(np.float64)
    total = weight.sum()
    F[...] = sums / total * (weight > 0) if total > 0 else 0.0


def _row_residual(
    F: np.ndarray, negative: np.ndarray, positive: np.ndarray, floor: float
) -> np.ndarray:
    resting = (floor >= F) & (positive >= negative)
    size = np.sum(np.where(resting, 0, F * positive), axis=1, dtype=np.float64)
    gap = np.sum(np.where(resting, 0, F * np.abs(positive - negative)), axis=1, dtype=np.float64)
    return np.divide(gap, size, out=np.zeros_like(gap), where=size > 0)
