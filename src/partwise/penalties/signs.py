"""Constraints on the sign."""

from __future__ import annotations

import numpy as np

from partwise.penalties.base import Penalty

__all__ = ["NonNegative"]


class NonNegative(Penalty):
    """F ≥ 0: zero inside, infinite outside."""

    name = "non-negativity"

    def value(self, F: np.ndarray) -> float:
        return 0.0 if F.size == 0 or F.min() >= 0 else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.maximum(F, 0)
