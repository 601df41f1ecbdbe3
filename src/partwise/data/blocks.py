"""Data that come as blocks of rows, of which one at a time is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from partwise.data.base import Data, Index

__all__ = ["RowBlocks"]


class _Transposed:
    def __init__(self, blocks: RowBlocks) -> None:
        self.blocks = blocks

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        parts = zip(self.blocks.parts, self.blocks.blocks(), strict=True)
        first, *others = parts
        total = first[0].T @ W[first[1]]
        for part, rows in others:
            total += part.T @ W[rows]
        return total


class RowBlocks(Data):
    """Views stacked along the rows; sums over them are formed block by block."""

    def __init__(self, parts: Sequence[Data]) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([part.shape[0] for part in self.parts])
        self.shape = (int(self.ends[-1]), *self.parts[0].shape[1:])
        self.dtype = self.parts[0].dtype
        self.is_sparse = False

    def rows(self, index: Index) -> Data:
        wanted = np.arange(self.shape[0])[index]
        if wanted.size == 0:
            return self.parts[0].rows(slice(0, 0))
        owner = np.searchsorted(self.ends, wanted, side="right")
        cuts = np.flatnonzero(np.diff(owner)) + 1
        found = []
        for run in np.split(np.arange(wanted.size), cuts):
            part = int(owner[run[0]])
            local = wanted[run] - (int(self.ends[part]) - self.parts[part].shape[0])
            whole = bool((np.diff(local) == 1).all())
            chosen = slice(int(local[0]), int(local[-1]) + 1) if whole else local
            found.append(self.parts[part].rows(chosen))
        return found[0] if len(found) == 1 else RowBlocks(found)

    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        return np.concatenate([part @ H for part in self.parts])

    @property
    def T(self) -> _Transposed:
        return _Transposed(self)

    def blocks(self, *, densify: bool = False) -> Iterator[slice]:
        for part, end in zip(self.parts, self.ends, strict=True):
            yield slice(int(end) - part.shape[0], int(end))

    def to_dense(self) -> np.ndarray:
        return np.concatenate([part.to_dense() for part in self.parts])

    def sum(self) -> float:
        return sum(part.sum() for part in self.parts)

    def sum_of_squares(self) -> float:
        return sum(part.sum_of_squares() for part in self.parts)

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = zip(*(part.square_sums() for part in self.parts), strict=True)
        return np.concatenate(rows), np.sum(columns, axis=0)

    def nonzeros(self) -> int:
        return sum(part.nonzeros() for part in self.parts)

    def smallest(self) -> float:
        return min(part.smallest() for part in self.parts)
