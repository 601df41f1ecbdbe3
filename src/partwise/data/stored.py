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
from partwise.data.views import as_data, scaled

__all__ = ["Filled", "Stored", "Summary", "Transposed", "ahead"]

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
class Summary:
    """What one pass tells: extremes, the sum, how many are not zero, and sums of squares."""

    smallest: float
    largest: float
    total: float
    nonzeros: int
    rows: np.ndarray
    columns: np.ndarray


class _Missing(Exception):
    """A dense block has a NaN."""


class Transposed:
    """The columns of stored data: products alone, each one pass over its rows."""

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
    scales : ndarray of shape (n_samples,), optional
        And rows by these.

    Attributes
    ----------
    block_bytes : int
        The size of a block, about: large enough for a disk to run at its full rate, small
        enough for three of them to be held.
    """

    in_memory = False
    block_bytes = 2**25

    def __init__(
        self, reader: Reader, *, exponent: int = 0, scales: np.ndarray | None = None
    ) -> None:
        self.reader = reader
        self.exponent, self.scales = exponent, scales
        self.shape = reader.shape
        single = reader.dtype.kind == "f" and reader.dtype.itemsize == 4
        self.dtype = np.dtype(np.float32 if single else np.float64)

    def scaled(self, exponent: int) -> Stored:
        """Return the view of X times two to a power."""
        return Stored(self.reader, exponent=self.exponent + exponent, scales=self.scales)

    def scaled_rows(self, scales: np.ndarray) -> Stored:
        """Return the view of X with every row times a number of its own."""
        return Stored(self.reader, exponent=self.exponent, scales=scales)

    @property
    def row_bytes(self) -> float:
        """What a row takes in memory, on average."""
        growth = max(1.0, self.dtype.itemsize / self.reader.dtype.itemsize)
        return self.reader.row_bytes * growth

    @property
    def height(self) -> int:
        """Rows of a block."""
        fitting = max(1, int(self.block_bytes / max(1.0, self.row_bytes)))
        step = self.reader.step
        if step <= LARGEST_CHUNK * fitting:
            return max(1, fitting // step) * step
        return fitting

    def fetch(self, start: int, stop: int) -> Data:
        """Return the view of rows, read now."""
        return as_data(self._block(start, stop))

    def _block(self, start: int, stop: int) -> Any:
        block = self.reader.read(start, stop).astype(self.dtype, copy=False)
        if self.exponent == 0 and self.scales is None:
            return block
        scales = None if self.scales is None else self.scales[start:stop]
        return scaled(block, self.exponent, scales)

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
        parts: list[Data] = []
        for chosen in np.split(wanted[order], ends[1:]):
            if chosen.size:
                first = int(chosen[0])
                block = self.fetch(first, int(chosen[-1]) + 1)
                parts.append(block.rows(chosen - first))
        return self._stacked(parts).rows(np.argsort(order))

    def _stacked(self, parts: list[Data]) -> Data:
        stack: Any = sparse.vstack if parts[0].is_sparse else np.concatenate
        return as_data(stack([_matrix(part) for part in parts]))

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
    def T(self) -> Transposed:
        return Transposed(self)

    def gram_times(self, A: np.ndarray) -> np.ndarray:
        total = np.zeros(A.shape)
        for _, block in self.read():
            total += block.gram_times(A)
        return total.astype(np.result_type(self.dtype, A), copy=False)

    def to_dense(self) -> np.ndarray:
        return self.fetch(0, self.shape[0]).to_dense()

    def filled(self) -> Stored:
        return self if self.smallest() >= 0 else Filled(self, lambda block: block.filled())

    # --- what one pass tells ----------------------------------------------------------------

    def check(self, subject: str, *, signed: bool = False, missing: bool = False) -> bool:
        """Raise ValueError at the first block with NaN, infinite or negative entries.

        ``signed``: negative ones are allowed. ``missing``: return False at the first NaN in a dense
        block. One pass, which also gathers all sums and extremes.
        """
        try:
            self.__dict__.setdefault("_summary", self._gather(subject, signed, missing))
        except _Missing:
            return False
        return True

    @cached_property
    def _summary(self) -> Summary:
        return self._gather()

    def _gather(
        self, subject: str | None = None, signed: bool = False, missing: bool = False
    ) -> Summary:
        lowest = -float(np.finfo(np.float64).max) if signed else 0.0
        found = Summary(np.inf, -np.inf, 0.0, 0, np.empty(self.shape[0]), np.zeros(self.shape[1]))
        for rows, block in self.read():
            inner = list(block.blocks())
            for part, sums in zip(inner, each(_sums, map(block.rows, inner)), strict=True):
                if subject and not (sums.smallest >= lowest and sums.largest < np.inf):
                    if missing and not block.is_sparse and np.isnan(sums.smallest):
                        raise _Missing
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


class Filled(Stored):
    """Stored data whose blocks are made from those of others."""

    def __init__(self, source: Stored, fill: Callable[[Any], Data]) -> None:
        super().__init__(source.reader)
        self.source, self.fill = source, fill

    @property
    def row_bytes(self) -> float:
        return self.source.row_bytes

    def fetch(self, start: int, stop: int) -> Data:
        return self.fill(self.source.fetch(start, stop))


def _matrix(block: Any) -> Any:
    return block.matrix if block.is_sparse else block.to_dense()


def _sums(block: Any) -> Summary:
    values = block.stored if block.is_sparse else block.to_dense()
    largest = float(values.max(initial=0.0))
    with np.errstate(over="ignore"):  # of data that will be scaled, and summed up again
        counted = block.sum(), block.nonzeros()
        return Summary(block.smallest(), largest, *counted, *block.square_sums())
