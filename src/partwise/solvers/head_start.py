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


def improve_start(problem: Problem, improve: Callable[[Problem], Sequence[float]]) -> None:
    """Improve both factors of a problem in place on a sample of its rows, or of its columns.

    ``improve(part)`` does some iterations on a problem and returns its objective at the start and
    after each. Of sparse data columns are left out that hardly occur in the sample. What is left
    out gets the mean of the rows of a factor that are not, as far above it as its own sum of
    entries is above theirs. Nothing is done where that is not worth it: of few rows, with
    penalties, and from a start that the first iteration hardly improves.

    Source: the sample as a start for all data is that of Bradley & Fayyad (1998), ICML, 91-99.
    """
    axis = _side(problem)
    if axis is None:
        return
    data: Any = problem.data if axis == 0 else problem.data.T
    names, k = problem.model.names, problem.model.n_components
    rows = _drawn(data, k)
    sample = data.rows(rows)
    columns: Any = slice(None)
    if sample.is_sparse:
        columns = np.flatnonzero(sample.column_counts >= OFTEN)
        sample = Sparse(sample.matrix[:, columns])
        if not columns.size:
            return
    kept = {names[axis]: rows, names[1 - axis]: columns}
    own = [problem.factors[name][places].copy() for name, places in kept.items()]
    part = Problem(sample, Bilinear(k), problem.loss, dict(zip("WH", own, strict=True)))
    before, after, *_ = improve(part)
    if before - after < FAR * before:
        return
    least = 0.0 if problem.loss.quadratic else LEAST
    for found, side, (name, places) in zip(own, (data, data.T), kept.items(), strict=True):
        _spread(problem.factors[name], places, found, side, least)


def _side(problem: Problem) -> int | None:
    # The axis of X to draw from, or None: the longer one, and the first one of sparse data, whose
    # columns are most unlike each other, and of data on disk. Squares of sparse data fall by too
    # little from any start to tell a far one, and the Itakura-Saito divergence gains nothing.
    data, k = problem.data, problem.model.n_components
    served = isinstance(data, Dense | Sparse | Stored) and data.complete and problem.model.plain
    if not served or len(problem.free) != 2 or problem.signed or not only_signs(problem):
        return None
    if problem.loss.needs_positive_data or (problem.loss.quadratic and data.is_sparse):
        return None
    rows = data.is_sparse or isinstance(data, Stored)
    axis = 0 if rows else int(np.argmax(data.shape))
    return axis if FOR_EACH * k <= LARGEST * data.shape[axis] else None


def _drawn(data: Any, k: int) -> np.ndarray:
    # The same in every run.
    length = data.shape[0]
    most = int(ENTRIES * length / max(1, data.nonzeros()))
    size = max(min(length // ONE_OF, most), FOR_EACH * k)
    return np.sort(np.random.default_rng(0).choice(length, size, replace=False))


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
