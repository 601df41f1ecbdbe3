"""What every view of the data answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["Data", "even_blocks", "small_blocks"]

Index = slice | np.ndarray
# Numbers in float64 that a core's own cache holds a few times.
SMALL = 2**15


def even_blocks(rows: int, width: int) -> Iterator[slice]:
    """Cut ``range(rows)`` into slices of at most ``width`` rows."""
    for start in range(0, rows, width):
        yield slice(start, min(start + width, rows))


def small_blocks(F: np.ndarray, least: int = 1) -> list[slice]:
    """Cut the rows of a factor into slices whose temporaries stay in a core's own cache.

    Or into slices of ``least`` rows, if those are more.
    """
    return list(even_blocks(len(F), max(least, SMALL // max(1, F.shape[1]))))


class Data(ABC):
    """An array X with samples along its first axis, however it is stored.

    ``X @ H`` and ``X.T @ W`` are its two products; everything else is done block by block
    of rows, so that no temporary of the size of X appears. Views of some rows are cheap, and
    blocks of rows are worked on side by side.

    Attributes
    ----------
    complete : bool
        Every entry is known, and counts once. Else see `partwise.data.observed`.
    weights : ndarray or None
        Of the entries of data that are not complete, in the shape of what is stored.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_sparse: bool = False
    in_memory: bool = True
    complete: bool = True
    weights: Any = None

    @abstractmethod
    def rows(self, index: Index) -> Data:
        """Return the view of some rows: a slice shares memory, an index array copies."""

    @abstractmethod
    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        """Return ``X H``."""

    @property
    @abstractmethod
    def T(self) -> Any:
        """Something whose ``@ W`` is ``Xᵀ W``."""

    def led_by(self, axis: int, k: int = 0) -> Any:
        """Return the view with that axis first; None where data only come in blocks of rows.

        ``k``: it is only asked for products with arrays of so many columns, for which a copy
        of large data has to be worth its memory.
        """
        return None

    def rows_at_once(self, k: int) -> int:
        """Return how many rows to look at twice at a time, 0 where two passes over X are as fast.

        ``k``: for products with so many columns each.
        """
        return 0

    def spans(self, k: int, *, densify: bool = False) -> list[slice]:
        """Cut the rows into pieces to be worked on side by side, by shape alone.

        ``k``: operations per entry; ``densify``: each piece has dense temporaries.
        """
        return list(self.blocks(densify=densify))

    def gram_times(self, A: np.ndarray) -> np.ndarray:
        """Return ``Xᵀ X A`` for A (n_features, l), where X is read from disk in one pass."""
        return self.T @ (self @ A)

    @abstractmethod
    def blocks(self, *, densify: bool = False) -> Iterator[slice]:
        """Return slices of rows that suit one pass; ``densify``: each will become dense."""

    def stream(
        self, *, densify: bool = False, height: int | None = None
    ) -> Iterator[tuple[slice, Data]]:
        """Yield slices of rows that follow each other, each with the view of its rows.

        One pass over X, by the slices of `blocks` or of ``height`` rows each. Data that have
        to be fetched are read ahead, so that the next block comes in while the caller works
        on this one.
        """
        even = even_blocks(self.shape[0], height) if height else self.blocks(densify=densify)
        for rows in even:
            yield rows, self.rows(rows)

    @abstractmethod
    def to_dense(self) -> np.ndarray:
        """Return X as a C-ordered array; only ever called on a block of rows."""

    def filled(self) -> Data:
        """Return complete data that starts can be made from."""
        return self

    def strided(self) -> np.ndarray:
        """Return X as an array of any memory layout; only ever called on a block of rows."""
        return self.to_dense()

    def half_distance(self, F: np.ndarray, A: np.ndarray) -> float | None:
        """Return ``½‖X − F Aᵀ‖²`` in float64, or None where blocks have to be formed for it."""
        return None

    @abstractmethod
    def sum(self) -> float:
        """Return ``Σ X`` in float64."""

    @abstractmethod
    def sum_of_squares(self) -> float:
        """Return ``Σ X²`` in float64."""

    @abstractmethod
    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ``Σ X²`` of each row and of each column of a matrix, in float64."""

    @abstractmethod
    def smallest(self) -> float:
        """Return the smallest entry, stored or not."""

    @property
    def size(self) -> int:
        """The number of entries, stored or not (a Python int, which cannot overflow)."""
        size = 1
        for length in self.shape:
            size *= int(length)
        return size

    def nonzeros(self) -> int:
        """Return the number of entries that are not zero, or of all where none is looked at."""
        return self.size

    @property
    def mass(self) -> float:
        """The sum of the weights of all entries."""
        return float(self.size)

    @property
    def mean(self) -> float:
        """The mean over all entries, stored or not."""
        return self.sum() / self.size
