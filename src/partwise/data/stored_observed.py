"""Data outside memory of which not every entry is known equally well, or at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from partwise._arrays import check_entries
from partwise.data.base import Data
from partwise.data.observed import Listed, Observed, Weighted, column_scale
from partwise.data.readers import Reader
from partwise.data.stored import Filled, Stored, Summary, Transposed
from partwise.data.weighing import checked_weights, known_of_dense, known_of_sparse, listed

__all__ = ["StoredObserved"]


@dataclass
class _Summary(Summary):
    """What one pass tells of known entries.

    ``total`` is weighted, as are the squares. ``counts`` of rows and columns, ``sums`` of columns
    and the sum of the entries > 0, all without weights. ``heaviest``: the largest weight.
    ``plain``: every weight is one.
    """

    mass: float
    counts: tuple[np.ndarray, np.ndarray]
    sums: np.ndarray
    positive: float
    heaviest: float
    plain: bool


class _Columns(Transposed):
    def weigh(self, W: np.ndarray) -> np.ndarray:
        total = np.zeros((self.data.shape[1], *W.shape[1:]))
        for rows, block in self.data.read():
            total += block.T.weigh(W[rows])
        return total.astype(np.result_type(self.data.dtype, W), copy=False)


class StoredObserved(Stored, Observed):
    """A matrix outside memory, and a weight ≥ 0 for every entry; a weight of zero means missing.

    Blocks are views of data that are known in part: dense ones, or lists of known entries.

    Parameters
    ----------
    reader : Reader
        Where the rows come from; NaN is missing.
    weights : Reader or None
        Where their weights come from, rows of as many entries or of one.
    unstored : {"zero", "missing"}
        What entries are that a sparse source does not store.
    few : bool
        Only the known entries of dense blocks are visited.
    exponent, weight : int
        Entries, and weights, are multiplied by two to this power when they are read.
    """

    complete = False
    binary = False

    def __init__(
        self,
        reader: Reader,
        weights: Reader | None,
        *,
        unstored: str,
        few: bool = False,
        exponent: int = 0,
        weight: int = 0,
    ) -> None:
        super().__init__(reader, exponent=exponent)
        self.source_of_weights, self.unstored, self.few = weights, unstored, few
        self.weight = weight

    def scaled(self, power: int, weight: int = 0) -> StoredObserved:
        powers = {"exponent": self.exponent + power, "weight": self.weight + weight}
        return self._like(few=self.few, **powers)

    def listed(self) -> StoredObserved:
        """Return the same data, of whose dense blocks only the known entries are visited."""
        view = self._like(few=True, exponent=self.exponent, weight=self.weight)
        view._summary = self._summary
        return view

    def _like(self, **others: Any) -> StoredObserved:
        how: dict[str, Any] = {"unstored": self.unstored, **others}
        return StoredObserved(self.reader, self.source_of_weights, **how)

    def heaviest(self) -> float:
        return self._summary.heaviest

    @property
    def row_bytes(self) -> float:
        # Blocks of sparse rows whose zeros are known are dense.
        dense = self.shape[1] * self.dtype.itemsize if self.unstored == "zero" else 0
        return max(super().row_bytes, dense)

    def fetch(self, start: int, stop: int) -> Data:
        block, weights = self._block(start, stop), None
        if self.source_of_weights is not None:
            rows = self.source_of_weights.read(start, stop)
            weights = checked_weights(rows, block.shape, self.dtype)
        view: Any
        if isinstance(block, np.ndarray):
            view = known_of_dense(block, weights)
            view = listed(view) if self.few else view
        else:
            view = known_of_sparse(block, weights, self.unstored)
        return view.scaled(0, self.weight) if self.weight else view

    def _stacked(self, parts: list[Data]) -> Data:
        blocks: list[Any] = parts
        weights = np.concatenate([block.weights for block in blocks])
        if blocks[0].is_sparse:
            matrix = sparse.vstack([block.matrix for block in blocks], format="csr")
            return Listed(matrix, weights)
        return Weighted(np.concatenate([block.array for block in blocks]), weights)

    @property
    def T(self) -> _Columns:
        return _Columns(self)

    def weigh(self, H: np.ndarray) -> np.ndarray:
        out = np.empty((self.shape[0], *H.shape[1:]), np.result_type(self.dtype, H))
        for rows, block in self.read():
            known: Any = block
            out[rows] = known.weigh(H)
        return out

    def shown(self) -> StoredObserved:
        return self

    # --- what one pass tells ----------------------------------------------------------------

    @cached_property
    def _summary(self) -> _Summary:
        return self._gather()

    def _gather(
        self, subject: str | None = None, signed: bool = False, missing: bool = False
    ) -> _Summary:
        (n, m), zeros = self.shape, np.zeros
        counts = zeros(n, np.int64), zeros(m, np.int64)
        found = _Summary(
            smallest=np.inf,
            largest=-np.inf,
            total=0.0,
            nonzeros=self.size,
            rows=np.empty(n),
            columns=zeros(m),
            mass=0.0,
            counts=counts,
            sums=zeros(m),
            positive=0.0,
            heaviest=0.0,
            plain=True,
        )
        for rows, block in self.read():
            known: Any = block
            if subject:
                held = known.matrix if known.is_sparse else known.array
                check_entries(held, subject, first_row=rows.start, signed=signed)
            if known.mass > 0:
                found.smallest = min(found.smallest, known.smallest())
                found.largest = max(found.largest, known.largest())
            with np.errstate(over="ignore"):  # of data that will be scaled, and summed up again
                found.total += known.sum() / known.size * known.mass
                squares = known.square_sums()
            found.heaviest = max(found.heaviest, known.heaviest())
            found.rows[rows] = squares[0]
            found.columns += squares[1]
            found.mass += known.mass
            counts[0][rows], of_columns = known.counts()
            counts[1][...] += of_columns
            found.plain = found.plain and bool(np.all(known.weights == 1)) and not known.is_sparse
            values = known.known()
            found.positive += float(values.sum(where=values > 0, dtype=np.float64))
            if not known.is_sparse:
                found.sums += values.sum(axis=0, dtype=np.float64)
        return found

    @property
    def mass(self) -> float:
        return float(self._summary.mass)

    @property
    def plain(self) -> bool:
        """Whether every entry is known, and counts once."""
        return self._summary.plain

    def sum(self) -> float:
        return self._summary.total / self.mass * self.size if self.mass > 0 else 0.0

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        return self._summary.counts

    def filled(self) -> Stored:
        summary = self._summary
        columns = column_scale(summary.sums, summary.counts[1])
        scale = self.sum() / summary.positive if self.sum() > 0 else 1.0
        return Filled(self, lambda block: block.filled(scale if block.is_sparse else columns))
