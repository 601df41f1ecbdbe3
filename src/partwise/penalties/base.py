"""What every penalty declares."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

__all__ = ["Penalty"]


class Penalty(ABC):
    """A cost of one factor F of shape (dimension, k), F ≥ 0.

    Attributes
    ----------
    name : str
        The name in messages.
    power : {1, 2}
        The penalty is linear, or quadratic, in each entry of F; a penalty that is neither
        has ``shifts = False``.
    shifts : bool
        The penalty can be folded into the quadratic (Gram, Cross) by `shift`, and into
        (negative, positive) by `slope`.
    """

    name: str
    power: int = 1
    shifts: bool = True

    @abstractmethod
    def value(self, F: np.ndarray) -> float:
        """Return the cost, in float64; infinite outside a constraint."""

    @abstractmethod
    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        """Return argmin over Z of ½‖Z − F‖² + step · value(Z)."""

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the Gram and cross products of the quadratic plus this penalty."""
        return gram, cross

    def slope(self, F: np.ndarray) -> np.ndarray | float:
        """Return the derivative at F ≥ 0, which is ≥ 0."""
        return 0.0

    def free(self) -> np.ndarray | None:
        """Return where entries may move, or None where all may."""
        return None

    def rows(self, index: slice | np.ndarray) -> Penalty:
        """Return the penalty of some rows of the factor."""
        return self

    def rescaled(self, value: float, argument: float) -> Penalty:
        """Return the penalty Z ↦ value · self(argument · Z)."""
        return self
