"""Sparse data in compressed rows; entries that are not stored are zeros."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from partwise import kernels
from partwise._threads import PIECES, each, even_count, held
from partwise.data.base import Data, Index, even_blocks

__all__ = ["Sparse"]

# Entries of a block that a divergence without a sparse form has to look at one by one.
DENSE_BLOCK = 2**20
DENSE_PIECE = 2**15
SPARSE_PIECE = 2e6  # operations, several times slower than those of a dense product
# Bytes that a copy may have which only makes products faster.
COPY = 1e8
COLUMN_PIECES = 8


class Sparse(Data):
    """A matrix in compressed rows, without duplicates; explicit zeros are allowed."""

    is_sparse = True
    piece = SPARSE_PIECE

    def __init__(self, matrix: Any) -> None:
        self._hold(matrix.indptr, matrix.indices, matrix.data, matrix.shape)

    def _hold(
        self, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        self.indptr, self.indices, self.stored = indptr, indices, values
        self.shape, self.dtype = shape, values.dtype

    @classmethod
    def _view(cls, *held: Any) -> Sparse:
        # Not through SciPy, whose matrices look at all their indices when they are made.
        view = cls.__new__(cls)
        view._hold(*held)
        return view

    @property
    def matrix(self) -> Any:
        """The matrix as one of SciPy's."""
        part = (self.stored, self.indices, self.indptr)
        return sparse.csr_array(part, shape=self.shape, copy=False)

    def rows(self, index: Index) -> Sparse:
        if not isinstance(index, slice) or index.step not in (None, 1):
            return Sparse(self.matrix[index])
        start, stop, _ = index.indices(self.shape[0])
        if (start, stop) == (0, self.shape[0]):
            return self
        indptr = self.indptr[start : stop + 1]
        stored = slice(indptr[0], indptr[-1])
        shape = (stop - start, self.shape[1])
        return Sparse._view(indptr - indptr[0], self.indices[stored], self.stored[stored], shape)

    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        H = np.ascontiguousarray(H)
        out = np.empty((self.shape[0], H.shape[1]), np.result_type(self.dtype, H))

        def piece(rows: slice) -> None:
            indptr = self.indptr[rows.start : rows.stop + 1]
            kernels.sparse_product(indptr, self.indices, self.stored, H, out[rows])

        # Rows do not depend on each other: no need to cut them where nobody waits.
        each(piece, self.spans(H.shape[1]) if held() > 1 else [slice(0, self.shape[0])])
        return out

    @property
    def T(self) -> Any:
        return _Columns(self, 1) if "_transposed" not in self.__dict__ else self._transposed

    @cached_property
    def _transposed(self) -> Sparse:
        # A copy in compressed rows of Xᵀ: its products then write every row once, where
        # those of X itself add to rows all over the place.
        return Sparse(self.matrix.T.tocsr())

    @cached_property
    def column_counts(self) -> np.ndarray:
        """The number of stored entries of each column."""
        return np.bincount(self.indices, minlength=self.shape[1])

    def led_by(self, axis: int, k: int = 0) -> Any:
        if axis == 0:
            return self
        size = self.stored.nbytes + self.indices.nbytes
        if k and size > COPY and "_transposed" not in self.__dict__:
            return _Columns(self, k)
        return self._transposed

    def spans(self, k: int, *, densify: bool = False) -> list[slice]:
        rows, columns = self.shape
        if densify:
            return list(even_blocks(rows, max(1, DENSE_PIECE // max(1, columns))))
        indptr = self.indptr
        stored = int(indptr[-1]) - int(indptr[0])
        count = even_count(min(PIECES, rows, int(2.0 * k * stored / self.piece)))
        # Even in stored entries, with a little for the row itself.
        work = (indptr - indptr[0]) + np.arange(rows + 1, dtype=np.float64)
        ends = np.searchsorted(work, np.linspace(0, work[-1], count + 1)).tolist()
        ends[0], ends[-1] = 0, rows
        return [slice(a, b) for a, b in itertools.pairwise(ends) if b > a] or [slice(0, rows)]

    def blocks(self, *, densify: bool = False) -> Iterator[slice]:
        width = max(1, DENSE_BLOCK // max(1, self.shape[1])) if densify else self.shape[0]
        return even_blocks(self.shape[0], width)

    def to_dense(self) -> np.ndarray:
        return self.matrix.toarray()

    def like(self, values: np.ndarray) -> Sparse:
        """Return the view of a matrix of the same pattern with other stored values."""
        return Sparse._view(self.indptr, self.indices, values, self.shape)

    def filled(self) -> Sparse:
        return self if self.smallest() >= 0 else self.like(np.maximum(self.stored, 0))

    @cached_property
    def _sum(self) -> float:
        return float(self.stored.sum(dtype=np.float64))

    @cached_property
    def _sum_of_squares(self) -> float:
        return kernels.inner(self.stored, self.stored)

    @cached_property
    def _nonzeros(self) -> int:
        return int(np.count_nonzero(self.stored))

    def nonzeros(self) -> int:
        return self._nonzeros

    def sum(self) -> float:
        return self._sum

    def sum_of_squares(self) -> float:
        return self._sum_of_squares

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.zeros(self.shape[0]), np.zeros(self.shape[1])
        kernels.square_sums(self.indptr, self.indices, self.stored, rows, columns)
        return rows, columns

    def smallest(self) -> float:
        stored = float(self.stored.min()) if self.stored.size else 0.0
        return stored if self.stored.size == self.size else min(stored, 0.0)


class _Columns:
    """The columns of a sparse matrix, where it is too large to be copied: products alone."""

    is_sparse = True
    complete = True

    def __init__(self, whole: Sparse, k: int, columns: slice | None = None) -> None:
        self.whole = whole
        self.k = k
        self.columns = slice(0, whole.shape[1]) if columns is None else columns
        self.shape = (self.columns.stop - self.columns.start, whole.shape[0])
        self.dtype = whole.dtype

    def rows(self, index: Index) -> _Columns:
        assert isinstance(index, slice)
        start, stop, _ = index.indices(self.shape[0])
        place = self.columns.start
        return _Columns(self.whole, self.k, slice(place + start, place + stop))

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        whole, W = self.whole, np.ascontiguousarray(W)
        out = np.zeros((self.shape[0], W.shape[1]), np.result_type(self.dtype, W))

        def piece(inside: slice) -> None:
            first = self.columns.start + inside.start
            kernels.add_columns(whole.indptr, whole.indices, whole.stored, W, first, out[inside])

        each(piece, self.spans(W.shape[1]))
        return out

    def spans(self, k: int, *, densify: bool = False) -> list[slice]:
        # Few, since every piece goes through all rows; even in stored entries.
        stored = self.whole.stored.size
        count = even_count(min(COLUMN_PIECES, self.shape[0], int(2.0 * k * stored / SPARSE_PIECE)))
        if count == 1:
            return [slice(0, self.shape[0])]
        work = np.cumsum(self.whole.column_counts[self.columns] + 1.0)
        ends = np.searchsorted(work, np.linspace(0, work[-1], count + 1)[1:-1]).tolist()
        pairs = itertools.pairwise([0, *ends, self.shape[0]])
        return [slice(a, b) for a, b in pairs if b > a]
