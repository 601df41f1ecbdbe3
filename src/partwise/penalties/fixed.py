"""Entries that keep a known value."""

from __future__ import annotations

import numpy as np

from partwise.penalties.base import Penalty

__all__ = ["Fixed"]


class Fixed(Penalty):
    """F = values where mask is True: known or partly known profiles."""

    name = "fixed entries"
    constraint = True
    separable = "entries"
    shifts = True  # every solver leaves them alone
    stage = "entries"

    def __init__(self, mask: np.ndarray, values: np.ndarray) -> None:
        self.mask = mask
        self.values = values
        self.dimension = len(mask)

    def value(self, F: np.ndarray) -> float:
        wanted = self.values[self.mask].astype(F.dtype)
        return 0.0 if np.array_equal(F[self.mask], wanted) else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.where(self.mask, self.values.astype(F.dtype), F)

    def free(self) -> np.ndarray:
        return ~self.mask

    def rows(self, index: slice | np.ndarray) -> Fixed:
        return Fixed(self.mask[index], self.values[index])

    def rescaled(self, value: float, argument: float) -> Fixed:
        return Fixed(self.mask, self.values / self.values.dtype.type(argument))
