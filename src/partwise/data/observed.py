"""Data of which not every entry is known equally well, or at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from partwise import kernels
from partwise.data.base import Index, even_blocks
from partwise.data.dense import Dense
from partwise.data.sparse import Sparse

__all__ = ["Held", "Listed", "Observed", "Shares", "Weighted", "column_scale"]

# Numbers in a table of all products of two columns.
TABLE = 2**22


class Observed(ABC):
    """What data with a weight for every entry answer; a weight of zero means missing.

    The sum is that of the known entries, with their weighted mean in place of the missing
    ones; sums of squares and products are those of the weighted entries.
    """

    complete = False
    dtype: np.dtype
    shape: tuple[int, ...]
    # Every weight is 0 or 1, and `Held.evidence`, as far as that is looked at.
    binary: Any = False
    evidence: Any = 0.0

    @abstractmethod
    def scaled(self, power: int, weight: int = 0) -> Any:
        """Return the same data times two to a power, and weights times two to another."""

    @abstractmethod
    def shown(self) -> Any:
        """Return the matrix as a user knows it, dense with NaN where it is missing."""

    @abstractmethod
    def weigh(self, H: np.ndarray) -> np.ndarray:
        """Return the product of the weights with H."""

    @abstractmethod
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how many entries of each row and of each column are known."""

    @abstractmethod
    def heaviest(self) -> float:
        """Return the largest weight, 1 where weights are told by scales of rows."""

    @property
    @abstractmethod
    def T(self) -> Any:
        """Something whose ``@ W`` and ``weigh(W)`` are those of the columns."""


class Shares(NamedTuple):
    """Mean weights in float64: of rows, of columns, and of all entries of the whole matrix."""

    rows: np.ndarray
    columns: np.ndarray
    mean: float

    @classmethod
    def of(cls, rows: np.ndarray, columns: np.ndarray) -> Shares:
        """Return the mean weights of a whole matrix."""
        return cls(rows, columns, float(columns.mean()))

    def some(self, index: Index) -> Shares:
        """Return those of some of the rows."""
        return self._replace(rows=self.rows[index])

    def turned(self) -> Shares:
        """Return those of the transposed matrix."""
        return Shares(self.columns, self.rows, self.mean)

    def of_rows(self, dtype: np.dtype) -> np.ndarray:
        """Return those of rows, of shape (rows, 1), > 0."""
        # Of nothing anything is a share; and a little more than known is as safe as it is.
        least = float(np.finfo(dtype).eps) * self.mean
        found = np.where(self.rows > 0, np.maximum(self.rows, least), self.mean)
        return found.astype(dtype)[:, None]


class Held(Observed):
    """Such data in memory."""

    weights: Any
    size: int

    @property
    def starts(self) -> np.ndarray | None:
        """Where rows begin among the entries that are listed; None where they are whole rows."""
        return None

    @property
    @abstractmethod
    def shares(self) -> Shares:
        """The mean weights."""

    @abstractmethod
    def row_weights(self, row: int) -> np.ndarray:
        """Return the weights of all entries of a row, of shape (columns,)."""

    @abstractmethod
    def known(self) -> np.ndarray:
        """Return the values that belong to ``weights``, of its shape."""

    @abstractmethod
    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return row, column, value and weight of every known entry, row by row."""

    @abstractmethod
    def weighed(self) -> Any:
        """Return complete data, every known entry times its weight."""

    def grams(self, A: np.ndarray) -> np.ndarray:
        """Return ``Aᵀ diag(v) A`` for the weights v of every row, its lower half row by row.

        Of shape (rows, k (k + 1) / 2). Cost O(stored entries · k²).
        """
        first, second = np.tril_indices(A.shape[1])
        found = np.empty((self.shape[0], len(first)), A.dtype)
        for part in even_blocks(len(first), max(1, TABLE // max(1, len(A)))):
            found[:, part] = self.weigh(A[:, first[part]] * A[:, second[part]])
        return found

    def led_by(self, axis: int, k: int = 0) -> Any:
        """Return the view with that axis first."""
        return self if axis == 0 else self.T

    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        """Return the product of the weighted entries with H."""
        return np.asarray(self.weighed() @ H)

    def nonzeros(self) -> int:
        return self.size

    def heaviest(self) -> float:
        return float(self.weights.max(initial=0))

    @cached_property
    def mass(self) -> float:
        """The sum of all weights, in float64."""
        return float(self.weights.sum(dtype=np.float64))

    @cached_property
    def evidence(self) -> float:
        """The share of entries that would tell as much if they were known equally well.

        Source: Kish (1965), Survey Sampling, section 11.7.
        """
        weights = self.weights.ravel(order="K")
        squares = kernels.inner(weights, weights)
        return self.mass**2 / (squares * self.size) if squares > 0 else 0.0

    @cached_property
    def _sum(self) -> float:
        if self.mass == 0:
            return 0.0
        return float(_total(self.known(), self.weights)) / self.mass * self.size

    @cached_property
    def _sum_of_squares(self) -> float:
        return float(self.square_sums()[0].sum())

    @abstractmethod
    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted sums of squares of rows and columns, in float64."""

    @cached_property
    def _extremes(self) -> tuple[float, float]:
        values = self.known()[self.weights > 0]
        return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)

    def smallest(self) -> float:
        """Return the smallest known entry."""
        return self._extremes[0]

    def largest(self) -> float:
        """Return the largest known entry."""
        return self._extremes[1]


def _total(values: np.ndarray, weights: np.ndarray) -> float:
    total = 0.0
    for i in range(0, len(values), 4096):
        part = values[i : i + 4096].astype(np.float64)
        part *= weights[i : i + 4096]
        total += float(part.sum())
    return total


def column_scale(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the means of columns over that of all, from sums and numbers of known entries.

    One for columns of which nothing is known.
    """
    everywhere = float(sums.sum()) / max(1, int(counts.sum()))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), everywhere)
    return means / everywhere if everywhere > 0 else np.zeros_like(means)


class Weighted(Held, Dense):
    """A dense matrix and a weight ≥ 0 for every entry; what is missing holds zeros.

    Parameters
    ----------
    array, weights : ndarray of one shape and dtype
        Finite; ``array`` is zero where the weight is. Both are kept, not copied, unless they lie
        in memory in different orders.
    """

    # All rows of a piece share a table of the other factor, larger than that factor itself.
    fewest = 240

    def __init__(self, array: np.ndarray, weights: np.ndarray) -> None:
        super().__init__(array)
        # Kernels walk both in step.
        self.weights = np.asarray(weights, order="C" if self.array.flags.c_contiguous else "F")

    @classmethod
    def _of(cls, array: np.ndarray, weights: np.ndarray) -> Weighted:
        # Of any memory layout, without a copy.
        view = cls.__new__(cls)
        view.array, view.shape, view.dtype = array, array.shape, array.dtype
        view.weights = weights
        return view

    def known(self) -> np.ndarray:
        return self.array

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rows, columns = np.nonzero(self.weights)
        return rows, columns, self.array[rows, columns], self.weights[rows, columns]

    def rows(self, index: Index) -> Weighted:
        part = Weighted._of(self.array[index], self.weights[index])
        part.__dict__.update(binary=self.binary, row_squares=self.row_squares[index])
        part.__dict__.update(shares=self.shares.some(index))
        if self.binary:
            part.__dict__.update(mask=self.mask[index])
        return part

    @property
    def T(self) -> Weighted:
        turned = Weighted._of(self.array.T, self.weights.T)
        turned.__dict__.update(binary=self.binary, shares=self.shares.turned())
        if self.binary:
            turned.__dict__.update(mask=self.mask.T)
        return turned

    @cached_property
    def binary(self) -> bool:
        """Whether every weight is 0 or 1."""
        return bool(np.all((self.weights == 0) | (self.weights == 1)))

    @cached_property
    def mask(self) -> np.ndarray:
        """1 where entries are known, 0 elsewhere, in a byte each."""
        return np.asarray(self.weights > 0).view(np.uint8)

    @cached_property
    def shares(self) -> Shares:
        if self.binary:
            rows, columns = self.counts()
            return Shares.of(rows / self.shape[1], columns / self.shape[0])
        return Shares.of(*(self.weights.mean(axis=axis, dtype=np.float64) for axis in (1, 0)))

    def row_weights(self, row: int) -> np.ndarray:
        return self.weights[row]

    @cached_property
    def row_squares(self) -> np.ndarray:
        """The weighted sum of squares of each row, in float64."""
        return self.square_sums()[0]

    def weighed(self) -> Dense:
        return Dense._view(self.array if self.binary else self.weights * self.array)

    def weigh(self, H: np.ndarray) -> np.ndarray:
        return np.asarray(self.weights @ H)

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.empty(self.shape[0]), np.zeros(self.shape[1])
        for block in self.blocks():
            squares = np.square(self.array[block], dtype=np.float64) * self.weights[block]
            rows[block] = squares.sum(axis=1)
            columns += squares.sum(axis=0)
        return rows, columns

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        known = self.weights > 0
        return known.sum(axis=1), known.sum(axis=0)

    def scaled(self, power: int, weight: int = 0) -> Weighted:
        return Weighted(np.ldexp(self.array, power), np.ldexp(self.weights, weight))

    def filled(self, scale: np.ndarray | None = None) -> Dense:
        """Return complete data ≥ 0: means of row and column, over the mean, where X is missing.

        ``scale``: that of the columns, where these are rows of a larger matrix.
        """
        known, (rows, columns) = self.weights > 0, self.counts()
        of_rows = self.array.sum(axis=1, dtype=np.float64) / np.maximum(rows, 1)
        if scale is None:
            scale = column_scale(self.array.sum(axis=0, dtype=np.float64), columns)
        guess = (of_rows[:, None] * scale).astype(self.dtype)
        return Dense(np.maximum(np.where(known, self.array, guess), 0))

    def shown(self) -> np.ndarray:
        return np.where(self.weights > 0, self.array, self.dtype.type(np.nan))


class Listed(Held, Sparse):
    """A matrix in compressed rows of which the stored entries are known, and no others.

    Parameters
    ----------
    matrix : SciPy sparse array
        In compressed rows, without duplicates; stored zeros are zeros.
    weights : ndarray of shape (stored,)
        Of each stored entry, > 0, in the dtype of the matrix.
    """

    # A piece is given to several kernels in turn.
    piece = 8e6

    def __init__(self, matrix: Any, weights: np.ndarray) -> None:
        super().__init__(matrix)
        self.weights = weights

    @classmethod
    def of(cls, data: Sparse, weights: np.ndarray) -> Listed:
        """Return the view of the same arrays, with weights."""
        view = cls.__new__(cls)
        view._hold(data.indptr, data.indices, data.stored, data.shape)
        view.weights = weights
        return view

    @cached_property
    def binary(self) -> bool:
        """Every stored entry counts once."""
        return bool(self.weights.size and self.weights.min() == 1 == self.weights.max())

    @property
    def starts(self) -> np.ndarray:
        return self.indptr

    def known(self) -> np.ndarray:
        return self.stored

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        return rows, self.indices.astype(np.intp), self.stored, self.weights

    def rows(self, index: Index) -> Listed:
        if not isinstance(index, slice) or index.step not in (None, 1):
            chosen = sparse.csr_array(
                (self.weights, self.indices, self.indptr), shape=self.shape, copy=False
            )[index]
            return Listed(self.matrix[index], chosen.data)
        start, stop, _ = index.indices(self.shape[0])
        if (start, stop) == (0, self.shape[0]):
            return self
        part = super().rows(index)
        found = Listed.of(part, self.weights[self.indptr[start] : self.indptr[stop]])
        found.__dict__.update(shares=self.shares.some(index))
        return found

    @property
    def T(self) -> Listed:
        return self._transposed

    @cached_property
    def _transposed(self) -> Listed:
        number = np.arange(len(self.stored))
        order = sparse.csr_array((number, self.indices, self.indptr), shape=self.shape).T.tocsr()
        part = (self.stored[order.data], order.indices, order.indptr)
        turned = sparse.csr_array(part, shape=self.shape[::-1], copy=False)
        return Listed(turned, self.weights[order.data])

    def weighed(self) -> Sparse:
        return self.plain(self.weights * self.stored)

    def weigh(self, H: np.ndarray) -> np.ndarray:
        return self.plain(self.weights) @ H

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.zeros(self.shape[0]), np.zeros(self.shape[1])
        roots = np.sqrt(self.weights) * self.stored
        kernels.square_sums(self.indptr, self.indices, roots, rows, columns)
        return rows, columns

    def plain(self, values: np.ndarray) -> Sparse:
        """Return the complete matrix of the same pattern with other stored values."""
        return Sparse._view(self.indptr, self.indices, values, self.shape)

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        return np.diff(self.indptr), self.column_counts

    @cached_property
    def shares(self) -> Shares:
        rows = self.weigh(np.ones((self.shape[1], 1), self.dtype))[:, 0].astype(np.float64)
        columns = np.bincount(self.indices, self.weights, self.shape[1])
        return Shares.of(rows / self.shape[1], columns / self.shape[0])

    def row_weights(self, row: int) -> np.ndarray:
        stored = slice(self.indptr[row], self.indptr[row + 1])
        found = np.zeros(self.shape[1], self.dtype)
        found[self.indices[stored]] = self.weights[stored]
        return found

    def scaled(self, power: int, weight: int = 0) -> Listed:
        values = self.plain(np.ldexp(self.stored, power))
        return Listed.of(values, np.ldexp(self.weights, weight))

    def filled(self, scale: float | None = None) -> Sparse:
        """Return a matrix ≥ 0, zero where nothing is stored, scaled to the sum of this one.

        ``scale``: the factor, where these are rows of a larger matrix.
        """
        found = self.plain(np.maximum(self.stored, 0))
        if scale is None:
            scale = self.sum() / found.sum() if self.sum() > 0 else 1.0
        return found.like(found.stored * self.dtype.type(scale))

    def shown(self) -> Any:
        return self.matrix
