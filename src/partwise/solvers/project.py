"""One factor when all others are known, each row on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from partwise import kernels
from partwise.data import Data
from partwise.penalties import Free
from partwise.problem import Entries, Problem, Split
from partwise.solvers.base import tied
from partwise.solvers.loop import run
from partwise.solvers.multiplicative import move
from partwise.solvers.proximal_gradient import ProximalGradient
from partwise.solvers.rows import observed_rows
from partwise.solvers.signed import solve_signed

__all__ = ["first_alone", "project_rows"]

# Updates between two looks at which rows are done.
ROUND = 10
# Rows of less than this share of the largest are seen with the floor of this share.
LOWEST = {"f": 1e-6, "d": 1e-60}


def project_rows(problem: Problem, *, tol: float, max_iter: int) -> int:
    """Find the rows of the first factor, given all others; return how many are not done.

    A row's answer depends on its own data alone, not on the rows it comes with: the
    squared loss is solved exactly; other losses by multiplicative updates from a flat
    start with the row's own sum, until the row's own relative KKT residual
    ``Σ f |g| / Σ f·positive`` is at most ``tol``. Losses without a majorizer are left to
    'pgd', row after row. Penalties that are no part of the statistics of rows are obeyed by
    all rows together, by 'pgd' too.

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
    F, obeyed = problem.factors[name], problem.penalties[name]
    if not all(penalty.shifts for penalty in obeyed):
        return _together(problem, tol, max_iter)
    if problem.loss.powers is None:
        return _one_by_one(problem, tol, max_iter)
    if not problem.data.complete and problem.loss.quadratic:
        return _together(problem, tol, max_iter) if tied(problem) else _exactly(problem)
    free = problem.free_entries(name)
    held = F.copy() if free.shape[0] else None
    if problem.loss.quadratic and all(penalty.convex for penalty in obeyed):
        F[...] = 0 if held is None else np.where(free, 0, held)
        tolerance, undone = 16 * float(np.finfo(F.dtype).eps), 0
        for rows, data in problem.data.stream():
            part = problem.rows(rows, data)
            normal, open_ = part.normal(name), part.free_entries(name)
            if name in problem.signed:
                solve_signed(F[rows], normal.gram, normal.cross, open_)
            else:
                undone += kernels.solve_rows(F[rows], normal.gram, normal.cross, open_, tolerance)
        return undone
    _flat_start(problem, name)
    _lower_floor(problem, F)
    if held is not None:
        F[...] = np.where(free, F, held)
    undone = 0
    for rows, data in _blocks(problem):
        undone += _settle(problem.rows(rows, data), tol, max_iter)
    return undone


def _exactly(problem: Problem) -> int:
    # Every row by its own quadratic, that of its known entries.
    left: list[int] = []
    order = np.arange(problem.model.n_components)

    def solve(name: str, rows: slice, F: np.ndarray, entries: Entries, free: np.ndarray) -> float:
        F[...] = np.where(free, 0, F) if free.shape[0] else 0
        signed = name in problem.signed
        how = (order, (1, 0.0))
        value, undone = observed_rows(F, entries, free, *how, exact=True, signed=signed)
        left.append(undone)
        return value

    first_alone(problem).sweep(solve, "entries")
    return sum(left)


def first_alone(problem: Problem) -> Problem:
    """Return the same problem, of which the first factor alone is to be found."""
    part = problem.rows(slice(None), problem.data)
    part.free = problem.model.names[:1]
    return part


def _blocks(problem: Problem) -> Iterator[tuple[slice, Data]]:
    # Of rows; small ones where entries that are not stored are looked at.
    zeros = problem.loss.flat_positive is None and problem.data.complete
    return problem.data.stream(densify=zeros)


def _together(problem: Problem, tol: float, max_iter: int) -> int:
    name = problem.model.names[0]
    part = first_alone(problem)
    # What the known factors obey is not the question here.
    part.penalties = {
        n: problem.penalties[name] if n == name else (Free(),) * (n in problem.signed)
        for n in part.factors
    }
    _flat_start(part, name)
    result = run(part, ProximalGradient(repeats=10), tol=tol, max_iter=max_iter)
    return 0 if result.converged else len(part.factors[name])


def _one_by_one(problem: Problem, tol: float, max_iter: int) -> int:
    _flat_start(problem, problem.model.names[0])
    _lower_floor(problem, problem.factors[problem.model.names[0]])
    undone = 0
    for rows, data in _blocks(problem):
        block = problem.rows(rows, data)
        for i in range(rows.stop - rows.start):
            undone += _together(block.rows(slice(i, i + 1)), tol, max_iter)
    return undone


def _settle(problem: Problem, tol: float, max_iter: int) -> int:
    name = problem.model.names[0]
    F, free, powers = problem.factors[name], problem.free_entries(name), problem.loss.powers
    assert powers is not None
    floor = np.finfo(F.dtype).eps * F.max(axis=1)  # of each row, as everything here
    active = np.arange(len(F))
    for _ in range(0, max_iter, ROUND):
        if active.size == 0:
            break
        part = problem.rows(active if active.size < len(F) else slice(None))
        moving, open_ = part.factors[name], part.free_entries(name)
        for _ in range(ROUND):
            move(moving, part.split(name), powers, floor[active], open_)
        F[active] = moving
        active = active[_row_residual(moving, part.split(name), floor[active]) > tol]
    vanished = (F <= 1e-9 * F.max(axis=1, keepdims=True)) | (F <= 2 * floor[:, None])
    F[vanished & free if free.shape[0] else vanished] = 0
    return int(active.size)


def _lower_floor(problem: Problem, F: np.ndarray) -> None:
    # The floor of model entries is a share of the mean of X: here that of the smallest row,
    # or a small row would depend on those it comes with.
    # Not without bound: powers of it have to be numbers.
    sizes = F.max(axis=1)
    if sizes.max() > 0:
        smallest = float(sizes[sizes > 0].min() / sizes.max())
        problem.__dict__["floor"] = problem.floor * max(smallest, LOWEST[F.dtype.char])


def _flat_start(problem: Problem, name: str) -> None:
    F = problem.factors[name]
    weight = problem.model.adjoint_of_ones(problem.factors, name).astype(np.float64)
    ones = {other: np.ones_like(values) for other, values in problem.factors.items()}
    sums = problem.model.adjoint(problem.data, ones, name)[:, :1].astype(np.float64)
    data: Any = problem.data
    if not data.complete:
        product = problem.model.as_product(problem.factors)
        assert product is not None
        seen = data.weigh(product[1].sum(axis=1, keepdims=True)).astype(np.float64)
        F[...] = np.divide(sums, seen, out=np.zeros_like(sums), where=seen > 0) * (weight > 0)
        return
    total = weight.sum()
    F[...] = sums / total * (weight > 0) if total > 0 else 0.0


def _row_residual(F: np.ndarray, split: Split, floor: np.ndarray) -> np.ndarray:
    negative, positive = split.negative, split.positive
    resting = (floor[:, None] >= F) & (positive >= negative)
    size = np.sum(np.where(resting, 0, F * positive), axis=1, dtype=np.float64)
    gap = np.sum(np.where(resting, 0, F * np.abs(positive - negative)), axis=1, dtype=np.float64)
    return np.divide(gap, size, out=np.zeros_like(gap), where=size > 0)
