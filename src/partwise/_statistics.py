"""What a solver is told of one factor when all others are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partwise import kernels
from partwise.data import Data

__all__ = ["Entries", "Normal", "Split", "Statistics"]


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
    data : Data
        The rows of X.
    design : ndarray of shape (columns, k)
        The known factor.
    of_loss : ndarray of shape (rows, k) or None
        The slope without penalties, where rows differ.
    """

    data: Data
    design: np.ndarray
    slope: np.ndarray
    curve: float
    of_loss: np.ndarray | None = None


Statistics = Normal | Split | Entries
