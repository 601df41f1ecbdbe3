"""What a solver is told of one factor when all others are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from partwise import kernels
from partwise._threads import each
from partwise.data import Data, Dense
from partwise.losses import Loss
from partwise.losses.base import Parts
from partwise.penalties import Penalty

__all__ = [
    "Entries",
    "Normal",
    "Quadratics",
    "Split",
    "Statistics",
    "halves_of_quadratic",
    "splits_of_both",
]


@dataclass
class Normal:
    """The quadratic ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` of one factor F: G ``gram``, C ``cross``."""

    gram: np.ndarray
    cross: np.ndarray

    def plus(self, other: Normal) -> Normal:
        """Return the sum of the quadratics of two blocks of rows."""
        return Normal(self.gram + other.gram, self.cross + other.cross)

    def rows(self, index: slice) -> Normal:
        """Return the quadratic of some rows of the factor."""
        return Normal(self.gram, self.cross[index])

    @staticmethod
    def joined(parts: Sequence[Normal]) -> Normal:
        """Return the quadratic of all rows from those of consecutive ones."""
        cross = [part.cross for part in parts]
        return Normal(parts[0].gram, cross[0] if len(cross) == 1 else np.concatenate(cross))

    def value(self, F: np.ndarray) -> float:
        """Return the quadratic at F, in float64."""
        own = F.T @ F  # half the work of F @ gram
        return 0.5 * kernels.inner(own, self.gram) - kernels.inner(F, self.cross)

    def change(self, before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
        """Return by how much the quadratic changes, and how large numbers tell it, in float64."""
        step = after - before
        size = kernels.inner(np.abs(step), np.abs(self.cross))
        slope = kernels.inner(before @ self.gram - self.cross, step)
        return slope + 0.5 * kernels.inner(step.T @ step, self.gram), size

    def penalized(self, obeyed: Sequence[Penalty]) -> Normal:
        """Return the quadratic with linear and quadratic penalties added."""
        gram, cross = self.gram, self.cross
        for penalty in obeyed:
            gram, cross = penalty.shift(gram, cross)
        return Normal(gram, cross)

    def times(self, weight: float) -> Normal:
        """Return the quadratic times a weight."""
        return Normal(
            self.gram.dtype.type(weight) * self.gram,
            self.cross.dtype.type(weight) * self.cross,
        )


@dataclass
class Split:
    """The two non-negative parts of the gradient ``positive − negative`` of one factor.

    ``slopes`` holds what penalties that are linear, and quadratic, in the factor add to
    the positive part; arrays without rows stand for nothing.
    """

    negative: np.ndarray
    loss_positive: np.ndarray
    slopes: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def flat(cls, negative: np.ndarray, row: np.ndarray) -> Split:
        """Return the gradient whose positive part is one row, the same for all."""
        return cls(negative, np.broadcast_to(row.astype(negative.dtype), negative.shape).copy())

    @property
    def positive(self) -> np.ndarray:
        """The positive part, penalties included."""
        total = self.loss_positive
        for slope in self.slopes or ():
            if slope.shape[0]:
                total = total + slope
        return total

    def plus(self, other: Split) -> Split:
        """Return the sum of the gradients of two blocks of rows."""
        positive = self.loss_positive + other.loss_positive
        return Split(self.negative + other.negative, positive)

    def rows(self, index: slice) -> Split:
        """Return the gradient of some rows of the factor."""
        return Split(self.negative[index], self.loss_positive[index])

    @staticmethod
    def joined(parts: Sequence[Split]) -> Split:
        """Return the gradient of all rows from those of consecutive ones."""
        if len(parts) == 1:
            return parts[0]
        negative = np.concatenate([part.negative for part in parts])
        return Split(negative, np.concatenate([part.loss_positive for part in parts]))


@dataclass
class Entries:
    """Rows of X entry by entry, ``X[i, j] ≈ Σ_l F[i, l] design[j, l]``.

    The objective of a row f is a sum over its stored entries, plus ``slope · f + ½ curve
    ‖f‖²``: the part of the loss that is linear in the model y is in ``slope``, as are
    penalties, the same for all rows (1, k) or for each (rows, k).

    Attributes
    ----------
    data : Data or None
        The rows of X; of `Quadratics` none.
    design : ndarray of shape (columns, k)
        The known factor.
    of_loss : ndarray of shape (rows, k) or None
        The slope without penalties, where rows differ.
    """

    data: Data | None
    design: np.ndarray
    slope: np.ndarray
    curve: float
    of_loss: np.ndarray | None = None

    def penalized(self, obeyed: Sequence[Penalty]) -> Self:
        """Return the entries with penalties that shift every row's quadratic by the same."""
        none = np.zeros((1, self.slope.shape[1]), self.slope.dtype)
        gram, cross = np.zeros((1, 1), none.dtype), none
        for penalty in obeyed:
            gram, cross = penalty.shift(gram, cross)
        return replace(self, slope=self.slope - cross, curve=float(gram[0, 0]))


@dataclass
class Quadratics(Entries):
    """The quadratics of rows whose entries of X are not at hand, each with its own Gram matrix.

    That of a row f is ``½ Σ v x² − f · cross + ½ fᵀ G f``, of the squared loss with weights v, plus
    ``slope · f + ½ curve ‖f‖²``. Those of blocks of X add up.

    Attributes
    ----------
    grams : ndarray of shape (rows, k (k + 1) / 2)
        The lower half of every G, see `partwise.data.Held.grams`.
    cross : ndarray of shape (rows, k)
    squares : ndarray of shape (rows,)
        Σ v x², in float64.
    """

    grams: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    cross: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    squares: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, data: Any, design: np.ndarray) -> Quadratics:
        """Return those of data that are not known everywhere, without penalties."""
        none = np.zeros((1, design.shape[1]), design.dtype)
        known = data.grams(design), data @ design, data.square_sums()[0]
        return cls(None, none[:0], none, 0.0, None, *known)

    @classmethod
    def of_all(cls, normal: Normal) -> Quadratics:
        """Return those of rows that share one Gram matrix, but for what does not depend on them."""
        first, second = np.tril_indices(len(normal.gram))
        rows = len(normal.cross)
        grams = np.repeat(normal.gram[None, first, second], rows, axis=0)
        none = np.zeros((1, len(normal.gram)), normal.gram.dtype)
        return cls(None, none[:0], none, 0.0, None, grams, normal.cross, np.zeros(rows))

    def plus(self, other: Quadratics) -> Quadratics:
        """Return the sum of the quadratics of two blocks of X."""
        return self._with(
            self.grams + other.grams, self.cross + other.cross, self.squares + other.squares
        )

    def times(self, weight: float) -> Quadratics:
        """Return the quadratics times a weight."""
        one = self.grams.dtype.type(weight)
        return self._with(one * self.grams, one * self.cross, weight * self.squares)

    def rows(self, index: slice) -> Quadratics:
        """Return the quadratics of some rows of the factor."""
        return self._with(self.grams[index], self.cross[index], self.squares[index])

    @staticmethod
    def joined(parts: Sequence[Quadratics]) -> Quadratics:
        """Return the quadratics of all rows from those of consecutive ones."""
        names = ("grams", "cross", "squares")
        found = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
        return parts[0]._with(*found)

    def _with(self, grams: np.ndarray, cross: np.ndarray, squares: np.ndarray) -> Quadratics:
        return replace(self, grams=grams, cross=cross, squares=squares)


Statistics = Normal | Split | Entries

# Bytes of what pieces of rows add up for the other factor, each for itself, at most.
ROOM = 2**25


def splits_of_both(
    data: Data, loss: Loss, product: tuple[np.ndarray, np.ndarray], floor: float
) -> tuple[Split, Split] | None:
    """Return the gradients in F and A of the loss of dense data from ``F Aᵀ``, from one look.

    None where that is not served. Cost O(entries · k), that of one of them and a product more.
    """
    if not (isinstance(data, Dense) and data.complete) or loss.quadratic:
        return None
    (F, A), X = product, data.array
    if X.strides[0] < X.strides[-1]:  # rows are read where their entries follow each other
        found = splits_of_both(data.T, loss, (A, F), floor)
        return None if found is None else (found[1], found[0])
    pieces = data.spans(20 * F.shape[1])
    parts_of_A = 1 if loss.flat_positive is not None else 2
    if parts_of_A * len(pieces) * A.nbytes > ROOM:
        return None
    parts: Any = each(lambda rows: loss.splits(X[rows], F[rows], A, floor), pieces)
    if parts[0] is None:
        return None
    first, second = ([own[n] for own in parts] for n in range(2))
    return _joined(first, np.concatenate, loss, A), _joined(second, sum, loss, F)


def _joined(parts: Sequence[Parts], join: Any, loss: Loss, other: np.ndarray) -> Split:
    negative = join([part[0] for part in parts])
    if parts[0][1] is not None:
        return Split(negative, join([part[1] for part in parts]))
    assert loss.flat_positive is not None
    return Split.flat(negative, loss.flat_positive * kernels.sums_of_columns(other)[None])


def halves_of_quadratic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two parts ≥ 0 of the slope y − x, whatever their signs: negative and positive."""
    if x.size and x.min() >= 0 and y.min() >= 0:  # as nearly always, and then nothing is copied
        return x, y
    return np.maximum(x, 0) + np.maximum(-y, 0), np.maximum(y, 0) + np.maximum(-x, 0)
