"""Sparse data in compressed rows; entries that are not stored are zeros."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from partwise import kernels
from partwise.data.base import Data, Index, even_blocks

__all__ = ["Sparse"]

# Entries of a block that a divergence without a sparse form has to look at one by one.
DENSE_BLOCK = 2**20


class Sparse(Data):
    """A matrix in compressed rows, without duplicates; explicit zeros are allowed."""

    is_sparse = True

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape = matrix.shape
        self.dtype = matrix.dtype

    def rows(self, index: Index) -> Sparse:
        if not isinstance(index, slice) or index.step not in (None, 1):
            return Sparse(self.matrix[index])
        start, stop, _ = index.indices(self.shape[0])
        if (start, stop) == (0, self.shape[0]):
            return self
        indptr = self.matrix.indptr[start : stop + 1]
        stored = slice(indptr[0], indptr[-1])
        part = (self.matrix.data[stored], self.matrix.indices[stored], indptr - indptr[0])
        return Sparse(sparse.csr_array(part, shape=(stop - start, self.shape[1]), copy=False))

    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        return self.matrix @ H

    @property
    def T(self) -> Any:
        return self.matrix.T

    def blocks(self, *, densify: bool = False) -> Iterator[slice]:
        width = max(1, DENSE_BLOCK // max(1, self.shape[1])) if densify else self.shape[0]
        return even_blocks(self.shape[0], width)

    def to_dense(self) -> np.ndarray:
        return self.matrix.toarray()

    @property
    def stored(self) -> np.ndarray:
        """The stored values, in storage order."""
        return self.matrix.data

    def like(self, values: np.ndarray) -> Any:
        """Return a matrix of the same pattern with other stored values."""
        part = (values, self.matrix.indices, self.matrix.indptr)
        return sparse.csr_array(part, shape=self.shape, copy=False)

    @cached_property
    def _sum(self) -> float:
        return float(self.stored.sum(dtype=np.float64))

    @cached_property
    def _sum_of_squares(self) -> float:
        return kernels.inner(self.stored, self.stored)

    def sum(self) -> float:
        return self._sum

    def sum_of_squares(self) -> float:
        return self._sum_of_squares

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.zeros(self.shape[0]), np.zeros(self.shape[1])
        matrix = self.matrix
        kernels.square_sums(matrix.indptr, matrix.indices, matrix.data, rows, columns)
        return rows, columns

    def smallest(self) -> float:
        stored = float(self.stored.min()) if self.stored.size else 0.0
        return stored if self.stored.size == self.size else min(stored, 0.0)
