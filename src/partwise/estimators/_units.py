"""The unit of X and of weights in which their squares neither over- nor underflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from partwise.data import Observed, Stored

__all__ = ["Unit"]

# Largest entries, and largest weights, between 2^-LIMIT and 2^LIMIT need no other unit.
LIMIT = {"f": 20, "d": 42}


@dataclass(frozen=True)
class Unit:
    """X is handled as X / 4^power, its two factors as themselves / 2^power, weights / 2^weight.

    Powers of two change no digit, and in the usual range they are 0 and nothing is copied.
    """

    power: int = 0
    weight: int = 0

    @classmethod
    def of(cls, X: Any, degree: float = 2.0) -> Unit:
        """Return the unit that suits the largest entry and weight of X, and losses of a degree."""
        if isinstance(X, Stored | Observed):
            largest = max(X.largest(), -X.smallest())
        else:
            stored = X.data if sparse.issparse(X) else X
            largest = float(max(stored.max(), -stored.min())) if stored.size else 0.0
        limit = LIMIT[X.dtype.char]
        heaviest = X.weights.max() if isinstance(X, Observed) else 1.0
        size, weight = (int(np.frexp(value)[1]) for value in (largest, heaviest))
        return cls(
            size // 2 if abs(size) > limit / max(1.0, abs(degree) / 2) else 0,
            weight if abs(weight) > limit else 0,
        )

    def data_in(self, X: Any) -> Any:
        """Return X in this unit; X itself where that is the unit it has."""
        if isinstance(X, Observed) and (self.power or self.weight):
            return X.scaled(-2 * self.power, -self.weight)
        if self.power == 0:
            return X
        if isinstance(X, Stored):
            return X.scaled(-2 * self.power)
        if not sparse.issparse(X):
            return np.ldexp(X, -2 * self.power)
        scaled = X.copy()
        scaled.data = np.ldexp(X.data, -2 * self.power)
        return scaled

    def factor_in(self, F: np.ndarray) -> np.ndarray:
        """Return a C-ordered copy of a factor in this unit."""
        return np.array(np.ldexp(F, -self.power), order="C")

    def factor_out(self, F: np.ndarray) -> np.ndarray:
        """Return a factor in the unit of the user."""
        return F if self.power == 0 else np.ldexp(F, self.power)

    @property
    def entry_in(self) -> float:
        """What turns an entry of X in the unit of the user into one in this unit."""
        return _power_of_two(-2.0 * self.power)

    def cost_in(self, degree: float) -> float:
        """Return what turns a cost in the unit of the user into one in this unit."""
        return _power_of_two(-2.0 * self.power * degree - self.weight)

    def loss_out(self, value: Any, degree: float) -> Any:
        """Return a loss, or an array of them, in the unit of the user."""
        if self.power == 0 == self.weight:
            return value
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scaled = np.asarray(value) * np.exp2(2.0 * self.power * degree + self.weight)
        return np.where(np.asarray(value) == 0, 0.0, scaled)[()]


def _power_of_two(exponent: float) -> float:
    # Bounded: an infinite strength times a zero would be NaN.
    return float(np.exp2(np.clip(exponent, -900, 900)))
