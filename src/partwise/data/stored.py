"""Data outside memory: blocks of rows, of which the next is read while one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from partwise._arrays import check_entries
from partwise._threads import each
from partwise.data.base import Data, Index, even_blocks
from partwise.data.readers import Reader
from partwise.data.views import as_data

__all__ = ["Stored", "ahead"]

# Chunks of more than this many blocks are not kept together.
LARGEST_CHUNK = 16

Block = TypeVar("Block")


def ahead(read: Callable[[int, int], Block], spans: list[slice]) -> Iterator[tuple[slice, Block]]:
    """Yield each span with what ``read(start, stop)`` returns, and read one ahead meanwhile.

    What a read raises is raised here. The thread ends with the generator.
    """
    if len(spans) <= 1:
        for span in spans:
            yield span, read(span.start, span.stop)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="partwise-read") as thread:
        coming = thread.submit(read, spans[0].start, spans[0].stop)
        for span, after in zip(spans, [*spans[1:], None], strict=True):
            block = coming.result()
            if after is not None:
                coming = thread.submit(read, after.start, after.stop)
            yield span, block


@dataclass
class _Summary:
    """What one pass tells: extremes, the sum, how many are not zero, and sums of squares."""

    smallest: float
    largest: float
    total: float
    nonzeros: int
    rows: np.ndarray
    columns: np.ndarray


class _Transposed:
    def __init__(self, data: Stored) -> None:
        self.data = data

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        total = np.zeros((self.data.shape[1], *W.shape[1:]))
        for rows, block in self.data.read():
            total += block.T @ W[rows]
        return total.astype(np.result_type(self.data.dtype, W), copy=False)


class Stored(Data):
    """A matrix outside memory, dense or in compressed rows.

    A pass reads each row once. Beside the block that is worked on, the next one is held in
    memory; nothing else of X is kept.

    Parameters
    ----------
    reader : Reader
        Where the rows come from.
    exponent : int
        Entries are multiplied by two to this power when they are read.

    Attributes
    ----------
    block_bytes : int
        The size of a block, about: large enough for a disk to run at its full rate, small
        enough for three of them to be held.
    """

    in_memory = False
    block_bytes = 2**25

    def __init__(self, reader: Reader, *, exponent: int = 0) -> None:
        self.reader = reader
        self.exponent = exponent
        self.shape = reader.shape
        single = reader.dtype.kind == "f" and reader.dtype.itemsize == 4
        self.dtype = np.dtype(np.float32 if single else np.float64)

    def scaled(self, exponent: int) -> Stored:
        """Return the view of X times two to a power."""
        return Stored(self.reader, exponent=self.exponent + exponent)

    @property
    def height(self) -> int:
        """Rows of a block."""
        growth = max(1.0, self.dtype.itemsize / self.reader.dtype.itemsize)
        fitting = max(1, int(self.block_bytes / max(1.0, self.reader.row_bytes * growth)))
        step = self.reader.step
        if step <= LARGEST_CHUNK * fitting:
            return max(1, fitting // step) * step
        return fitting

    def fetch(self, start: int, stop: int) -> Data:
        """Return the view of rows, read now."""
        block = self.reader.read(start, stop).astype(self.dtype, copy=False)
        if self.exponent and sparse.issparse(block):
            block.data = np.ldexp(block.data, self.exponent)
        elif self.exponent:
            block = np.ldexp(block, self.exponent)
        return as_data(block)

    def read(self, height: int | None = None) -> Iterator[tuple[slice, Data]]:
        """Yield blocks of rows as they come from the source, in multiples of ``height`` rows."""
        unit = height or 1
        width = max(1, self.height // unit) * unit
        return ahead(self.fetch, list(even_blocks(self.shape[0], width)))

    def rows(self, index: Index) -> Data:
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(self.shape[0])
            if (start, stop) == (0, self.shape[0]):
                return self
            return self.fetch(start, max(start, stop))
        wanted = np.arange(self.shape[0])[index]
        if wanted.size == 0:
            return self.fetch(0, 0)
        order = np.argsort(wanted, kind="stable")
        ends = np.searchsorted(wanted[order], np.arange(0, self.shape[0], self.height))
        parts: list[Any] = []
        for chosen in np.split(wanted[order], ends[1:]):
            if chosen.size:
                first = int(chosen[0])
                block = self.fetch(first, int(chosen[-1]) + 1)
                parts.append(_matrix(block.rows(chosen - first)))
        stack = sparse.vstack if sparse.issparse(parts[0]) else np.concatenate
        return as_data(stack(parts)[np.argsort(order)])

    def blocks(self, *, densify: bool = False) -> Iterator[slice]:
        return even_blocks(self.shape[0], self.height)

    def stream(
        self, *, densify: bool = False, height: int | None = None
    ) -> Iterator[tuple[slice, Data]]:
        for rows, block in self.read(height):
            for part in even_blocks(block.shape[0], height or block.shape[0]):
                yield slice(rows.start + part.start, rows.start + part.stop), block.rows(part)

    def __matmul__(self, H: np.ndarray) -> np.ndarray:
        out = np.empty((self.shape[0], *H.shape[1:]), np.result_type(self.dtype, H))
        for rows, block in self.read():
            out[rows] = block @ H
        return out

    @property
    def T(self) -> _Transposed:
        return _Transposed(self)

    def gram_times(self, A: np.ndarray) -> np.ndarray:
        total = np.zeros(A.shape)
        for _, block in self.read():
            total += block.gram_times(A)
        return total.astype(np.result_type(self.dtype, A), copy=False)

    def to_dense(self) -> np.ndarray:
        return self.fetch(0, self.shape[0]).to_dense()

    # --- what one pass tells ----------------------------------------------------------------

    def check(self, subject: str, *, signed: bool = False) -> None:
        """Raise ValueError at the first block with NaN, infinite or negative entries.

        ``signed``: negative ones are allowed. One pass, which also gathers all sums and extremes.
        """
        self.__dict__.setdefault("_summary", self._gather(subject, signed))

    @cached_property
    def _summary(self) -> _Summary:
        return self._gather()

    def _gather(self, subject: str | None = None, signed: bool = False) -> _Summary:
        lowest = -float(np.finfo(np.float64).max) if signed else 0.0
        found = _Summary(np.inf, -np.inf, 0.0, 0, np.empty(self.shape[0]), np.zeros(self.shape[1]))
        for rows, block in self.read():
            inner = list(block.blocks())
            for part, sums in zip(inner, each(_sums, map(block.rows, inner)), strict=True):
                if subject and not (sums.smallest >= lowest and sums.largest < np.inf):
                    check_entries(_matrix(block), subject, first_row=rows.start, signed=signed)
                found.smallest = min(found.smallest, sums.smallest)
                found.largest = max(found.largest, sums.largest)
                found.total += sums.total
                found.nonzeros += sums.nonzeros
                found.rows[rows][part] = sums.rows
                found.columns += sums.columns
        return found

    def sum(self) -> float:
        return self._summary.total

    def nonzeros(self) -> int:
        return self._summary.nonzeros

    def sum_of_squares(self) -> float:
        return float(self._summary.rows.sum())

    def square_sums(self) -> tuple[np.ndarray, np.ndarray]:
        return self._summary.rows.copy(), self._summary.columns.copy()

    def smallest(self) -> float:
        return self._summary.smallest

    def largest(self) -> float:
        """Return the largest entry, stored or not."""
        return self._summary.largest


def _matrix(block: Any) -> Any:
    return block.matrix if block.is_sparse else block.to_dense()


def _sums(block: Any) -> _Summary:
    values = block.stored if block.is_sparse else block.to_dense()
    largest = float(values.max(initial=0.0))
    with np.errstate(over="ignore"):  # of data that will be scaled, and summed up again
        counted = block.sum(), block.nonzeros()
        return _Summary(block.smallest(), largest, *counted, *block.square_sums())
