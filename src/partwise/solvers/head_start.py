"""A start that is improved on a sample of large data before all of them are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from partwise.data import Dense, Sparse, Stored
from partwise.models import Bilinear
from partwise.problem import Problem
from partwise.solvers.momentum import only_signs

__all__ = ["improve_start"]

# A sample has one row of so many, no more than make so many entries, and at least so many rows for
# each component; it is none any more if that is more than this share of all.
ONE_OF, ENTRIES, FOR_EACH, LARGEST = 8, 2**24, 20, 0.25
# Entries that a column of a sparse sample has at least.
OFTEN = 3
# Of the mean of a component, an entry at the end: where zeros are hard to leave, none is left.
LEAST = 1e-2
# By which share of itself the first iteration lowers the objective of a start that is far.
FAR = 0.2


def improve_start(problem: Problem, improve: Callable[[Problem], Sequence[float]]) -> float | None:
    """Improve both factors of a problem in place on a sample of its rows, or of its columns.

    ``improve(part)`` does some iterations on a problem and returns its objective at the start and
    after each. Half of a sample of dense data is drawn at random and half by how much there is in a
    row. Of sparse data columns are left out that hardly occur in it. What is left out gets the mean
    of the rows of a factor that are not, as far above it as its own sum of entries is above theirs.
    Nothing changes where that is not worth it, of few rows or with penalties, where the first
    iteration hardly improves the start, and where it does not lower the objective of all data.

    Returns the objective, if it is known. Cost: the iterations, and two passes over X, or three
    where it may be worse than that of the start.

    Source: the sample as a start for all data is that of Bradley & Fayyad (1998), ICML, 91-99.
    """
    axis = _side(problem)
    if axis is None:
        return None
    data: Any = problem.data if axis == 0 else problem.data.T
    names, k = problem.model.names, problem.model.n_components
    rows = _drawn(problem, axis)
    sample = data.rows(rows)
    columns: Any = slice(None)
    if sample.is_sparse:
        columns = np.flatnonzero(sample.column_counts >= OFTEN)
        sample = Sparse(sample.matrix[:, columns])
    if not sample.sum() > 0:
        return None
    kept = {names[axis]: rows, names[1 - axis]: columns}
    own = [problem.factors[name][places].copy() for name, places in kept.items()]
    part = Problem(sample, Bilinear(k), problem.loss, dict(zip("WH", own, strict=True)))
    before, after, *_ = improve(part)
    if before - after < FAR * before:
        return None
    given = {name: F.copy() for name, F in problem.factors.items()}
    least = 0.0 if problem.loss.quadratic else LEAST
    for found, side, (name, places) in zip(own, (data, data.T), kept.items(), strict=True):
        _spread(problem.factors[name], places, found, side, least)
    spread = problem.objective()
    if spread < before:  # of the sample at the start, of which all is part of the objective there
        return spread
    _exchange(problem.factors, given)
    start = problem.objective()
    if not spread < start:
        return start
    _exchange(problem.factors, given)
    return spread


def _exchange(factors: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> None:
    for name, F in factors.items():
        kept = F.copy()
        F[...], others[name] = others[name], kept


def _side(problem: Problem) -> int | None:
    # The axis of X to draw from, or None: the longer one, and the first one of sparse data, whose
    # columns are most unlike each other, and of data on disk. Squares of sparse data fall by too
    # little from any start to tell a far one, and the Itakura-Saito divergence gains nothing.
    data, k = problem.data, problem.model.n_components
    on_disk = isinstance(data, Stored) and not data.reader.is_sparse
    served = (isinstance(data, Dense | Sparse) or on_disk) and data.complete
    if not served or len(problem.free) != 2 or problem.signed or not only_signs(problem):
        return None
    if problem.loss.needs_positive_data or (problem.loss.quadratic and data.is_sparse):
        return None
    axis = 0 if data.is_sparse or on_disk else int(np.argmax(data.shape))
    return axis if problem.model.plain and FOR_EACH * k <= LARGEST * data.shape[axis] else None


def _drawn(problem: Problem, axis: int) -> np.ndarray:
    # The same in every run. A part that only a few rows of dense data have is in the half drawn by
    # weight if there is much of it; heavy rows of sparse data would make a sample as large as all.
    data, length = problem.data, problem.data.shape[axis]
    most = int(ENTRIES * length / max(1, data.nonzeros()))
    size = max(min(length // ONE_OF, most), FOR_EACH * problem.model.n_components)
    weights = np.ones(length)
    if not data.is_sparse:
        weights = np.sqrt(data.square_sums()[axis]) ** problem.loss.degree
    shares = 1 / length + weights / max(float(weights.sum()), np.finfo(np.float64).tiny)
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(length, size, replace=False, p=shares / shares.sum()))


def _spread(F: np.ndarray, places: Any, found: np.ndarray, data: Any, least: float) -> None:
    # Rows that were found into a factor, and for all others their mean at the size of their sums
    # of entries; nothing below a share of that mean.
    mean = found.mean(axis=0, dtype=np.float64)
    if len(found) < len(F):
        ones = np.ones((data.shape[1], 1), data.dtype)
        sums = np.maximum(np.asarray(data @ ones)[:, 0].astype(np.float64), 0)
        level = max(float(sums[places].mean()), np.finfo(np.float64).tiny)
        F[...] = np.multiply.outer(sums / level, mean)
    F[places] = found
    np.maximum(F, (least * mean).astype(F.dtype), out=F)
