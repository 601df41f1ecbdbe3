"""Constraints on single entries: their sign and their range."""

from __future__ import annotations

import numpy as np

from partwise._errors import explain
from partwise.penalties.base import Penalty

__all__ = ["Box", "Free", "NonNegative"]


class NonNegative(Penalty):
    """F ≥ 0: zero inside, infinite outside."""

    name = "non-negativity"
    constraint = True
    separable = "entries"
    shifts = True  # every solver keeps it
    cone = True
    stage = "entries"

    def value(self, F: np.ndarray) -> float:
        return 0.0 if F.size == 0 or F.min() >= 0 else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.maximum(F, 0)


class Free(Penalty):
    """F of any sign: the factor's own F ≥ 0 is dropped, and nothing takes its place.

    For the squared loss, where X and X̂ may have any sign too. L1 and squared L1 norms then are
    those of absolute values.
    """

    name = "any sign"
    separable = "entries"
    shifts = True
    cone = True
    stage = "entries"

    def value(self, F: np.ndarray) -> float:
        return 0.0

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return F.copy()


class Box(Penalty):
    """lower ≤ F ≤ upper: zero inside, infinite outside.

    `prox` goes with non-negativity exactly, in any order.
    """

    name = "bounds"
    constraint = True
    separable = "entries"
    stage = "entries"

    def __init__(self, lower: float = 0.0, upper: float = 1.0) -> None:
        if not 0 <= lower <= upper:
            raise ValueError(explain("lower and upper", (lower, upper), "0 ≤ lower ≤ upper"))
        self.lower = float(lower)
        self.upper = float(upper)

    def value(self, F: np.ndarray) -> float:
        low, high = F.dtype.type(self.lower), F.dtype.type(self.upper)
        return 0.0 if F.size == 0 or (F.min() >= low and F.max() <= high) else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.clip(F, F.dtype.type(self.lower), F.dtype.type(self.upper))

    def entered(self, F: np.ndarray) -> np.ndarray:
        # In the same proportions within each component.
        largest = F.max(axis=0)
        ratio = np.divide(self.upper, largest, out=np.ones_like(largest), where=largest > 0)
        return self.prox(np.minimum(ratio, 1) * F, 0.0)

    def rescaled(self, value: float, argument: float) -> Box:
        return Box(self.lower / argument, self.upper / argument)
