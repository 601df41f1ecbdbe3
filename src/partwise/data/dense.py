"""Dense data of any order, held as one array in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from partwise import kernels
from partwise._threads import each, spans
from partwise.data.base import Data, Index, even_blocks

__all__ = ["Dense"]

# Entries of a block: it and its temporaries stay in the outer cache, and the products of
# a block are still large enough for the machine's own matrix product.
BLOCK = 2**20
# Entries of a piece with temporaries of its size, several of which stay in a core's cache.
PIECE = 2**15
SMALL = 2**14
# Entries of an array that is read from memory, and of a piece across its rows: of shorter
# parts of each row most of the time goes into finding them.
LARGE = 2**22
STRIP = 512
# Operations that one look at an entry, for sums alone, counts as.
LOOK = 10
# Bytes of rows that are looked at twice while they are in a core's cache, the fewest rows for
# which products with so few are not slower, bytes of a row of a factor above which products do not
# wait for X, and bytes of X below which it stays in the cache anyway.
TWICE, FEWEST, WAITING, OUTSIDE = 2**20, 128, 128, 2**23
# Entries from which on what a model leaves of X is formed by tiles, which take a second to compile,
# once; and the share of the squares of X, or of the model, below which float32 does not tell it.
TILED, ROUNDING = 2**20, 1e-9


class Dense(Data):
    """A dense array; C order and Fortran order are kept, others are copied once."""

    fewest: int | None = None  # rows of a piece

    def __init__(self, array: np.ndarray) -> None:
        contiguous = array.flags.c_contiguous or array.flags.f_contiguous
        self.array = array if contiguous else np.ascontiguousarray(array)
        self.shape = array.shape
        self.dtype = array.dtype

    def rows(self, index: Index) -> Dense:
        return Dense._view(self.array[index])

    @classmethod
    def _view(cls, array: np.ndarray) -> Dense:
        view = cls.__new__(cls)
        view.array, view.shape, view.dtype = array, array.shape, array.dtype
        return view

    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        pieces = self.spans(H.shape[1])
        if len(pieces) == 1:
            return kernels.dense_product(self.array, H)
        out = np.empty((len(self.array), H.shape[1]), np.result_type(self.array, H))

        def piece(rows: slice) -> None:
            out[rows] = kernels.dense_product(self.array[rows], H)

        each(piece, pieces)
        return out

    @property
    def T(self) -> Dense:
        return Dense._view(self.array.T)

    def led_by(self, axis: int, k: int = 0) -> Dense:
        if axis == 0:
            return self
        flat = self.array.ndim == 2
        return Dense._view(self.array.T if flat else np.moveaxis(self.array, axis, 0))

    def spans(self, k: int, *, densify: bool = False) -> list[slice]:
        if self.size < SMALL:
            return [slice(0, self.shape[0])]
        per_row = max(1, self.size // max(1, self.shape[0]))
        if densify:
            return list(even_blocks(self.shape[0], max(4, PIECE // per_row)))
        strides = self.array.strides
        across = strides[0] < strides[-1] and self.size >= LARGE
        return spans(self.shape[0], 2.0 * k * per_row, STRIP if across else self.fewest)

    def rows_at_once(self, k: int) -> int:
        size = self.dtype.itemsize
        if k * size > WAITING or self.size * size < OUTSIDE:
            return 0
        count = TWICE // (size * max(1, self.size // self.shape[0]))
        return count if count >= FEWEST else 0

    def half_distance(self, F: np.ndarray, A: np.ndarray) -> float | None:
        X = self.array
        tiled = X.ndim == 2 and X.size >= TILED and X.dtype == F.dtype == A.dtype
        if not tiled or X.itemsize not in X.strides:
            return None
        turned = X.strides[1] != X.itemsize
        rows, W, H = (X.T, A, F) if turned else (X, F, A)

        def piece(part: slice) -> float:
            return float(kernels.squares_left(rows[part], W[part], H))

        left = sum(each(piece, spans(len(rows), 2.0 * W.shape[1] * rows.shape[1])))
        if X.dtype == np.float32 and left < ROUNDING * kernels.inner(W.T @ W, H.T @ H):
            return None
        return 0.5 * left

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.array

    def blocks(self, *, densify: bool = False) -> Iterator[slice]:
        per_row = max(1, self.size // max(1, self.shape[0]))
        return even_blocks(self.shape[0], max(64, BLOCK // per_row))

    def to_dense(self) -> np.ndarray:
        return np.ascontiguousarray(self.array)

    def strided(self) -> np.ndarray:
        return self.array

    @cached_property
    def _seen(self) -> tuple[float, int, np.ndarray, np.ndarray]:
        # Σ X, entries that are not zero, and the squares of rows and of columns of X as it lies in
        # memory, from one pass over it.
        X = self.array if self.array.flags.c_contiguous else self.array.T
        table = X.reshape(len(X), self.size // max(1, len(X)))
        pieces = spans(len(table), LOOK * table.shape[1])
        of_rows = np.empty(len(table))
        of_columns = np.zeros((len(pieces), table.shape[1]))

        def piece(number: int) -> tuple[float, int]:
            rows = pieces[number]
            return kernels.look_over(table[rows], of_rows[rows], of_columns[number])

        sums, counts = zip(*each(piece, range(len(pieces))), strict=True)
        return float(sum(sums)), sum(counts), of_rows, of_columns.sum(axis=0)

    def nonzeros(self) -> int:
        return self._seen[1]

    def filled(self) -> Dense:
        return self if self.smallest() >= 0 else Dense(np.maximum(self.array, 0))

    @property
    def _sum(self) -> float:
        return self._seen[0]

    @property
    def _sum_of_squares(self) -> float:
        return float(self._seen[2].sum())

    def sum(self) -> float:
        return self._sum

    def sum_of_squares(self) -> float:
        return self._sum_of_squares

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        first, second = self._seen[2:]
        return (first, second) if self.array.flags.c_contiguous else (second, first)

    def smallest(self) -> float:
        return float(self.array.min())
