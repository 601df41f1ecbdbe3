"""What every loss declares."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

__all__ = ["Loss"]


class Loss(ABC):
    """A cost d(x, y) ≥ 0 of a datum x and its model y, zero where they agree.

    ``negative − positive`` are the two non-negative parts of −∂d/∂y. All three functions
    take arrays of one shape, y > 0, and return arrays of that shape.

    Attributes
    ----------
    name : str
        The name in messages.
    powers : tuple of float
        (p, q) such that d(x, ·) has a majorizer ``a y^p/p·(−1) + b y^q/q`` with a, b ≥ 0
        that touches at the current y; multiplicative updates then have the exponent
        1 / (q − p). See `partwise.solvers.MultiplicativeUpdate`.
    degree : float
        d(c x, c y) = c^degree d(x, y).
    quadratic : bool
        d(x, y) = ½ (x − y)²: Gram and cross products tell everything.
    flat_positive : float or None
        The value of ``positive`` where it is one constant for all x and y, and then
        d(0, y) = flat_positive · y: entries that are not stored cost nothing to visit.
    needs_positive_data : bool
        The domain excludes x = 0.
    rational : bool
        The part of −∂d/∂y that pulls y up is x / y^(2 − degree) with degree 0 or 1, a pole:
        steps of a rational model apply.
    """

    name: str
    powers: tuple[float, float]
    degree: float
    quadratic: bool = False
    flat_positive: float | None = None
    needs_positive_data: bool = False
    rational: bool = False

    @abstractmethod
    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return d(x, y)."""

    @abstractmethod
    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the part of −∂d/∂y that pulls y up."""

    @abstractmethod
    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the part of ∂d/∂y that pushes y down."""

    def total(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return Σ d(x, y), accumulated in float64."""
        return float(self.value(x, y).sum(dtype=np.float64))

    def constant(self, x: np.ndarray) -> float:
        """Return what Σ d(x, y) of a `rational` loss has that does not depend on y, in float64."""
        return 0.0

    def split(
        self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float
    ) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Return (negative, positive) of dense X and the model ``Y = F Aᵀ``, times A.

        ``positive`` is None where it is ``flat_positive`` times the column sums of A. None
        where the loss has no form that does without an array of the size of X.
        """
        return None

    def total_of(self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float) -> float | None:
        """Return Σ d(X, F Aᵀ), or None where the loss needs the model as an array."""
        return None
