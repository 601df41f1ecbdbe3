"""The unit of X and of weights in which their squares neither over- nor underflow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from partwise.data import Observed, RowWeighted, Stored, scaled

__all__ = ["Unit"]

# Largest entries, and largest weights, between 2^-LIMIT and 2^LIMIT need no other unit.
LIMIT = {"f": 20, "d": 42}


@dataclass(frozen=True)
class Unit:
    """X is handled as X / 4^power, its two factors as themselves / 2^power, weights / 2^weight.

    Powers of two change no digit, and in the usual range they are 0 and nothing is copied.

    Where rows have weights w, rows of X and of the first factor are handled times ``scales``, w to
    one over the degree d of the loss: d(c x, c y) = c^d d(x, y) for the losses that are served.
    """

    power: int = 0
    weight: int = 0
    scales: np.ndarray | None = None

    @classmethod
    def of(cls, X: Any, degree: float = 2.0) -> Unit:
        """Return the unit that suits the largest entry and weight of X, and losses of a degree."""
        if isinstance(X, Stored | Observed):
            largest = max(X.largest(), -X.smallest())  # type: ignore[union-attr]
        else:
            stored = X.data if sparse.issparse(X) else X
            largest = float(max(stored.max(), -stored.min())) if stored.size else 0.0
        scales = _scales(X, degree)
        if scales is not None:
            largest *= float(scales.max())
        limit = LIMIT[X.dtype.char]
        heaviest = X.heaviest() if isinstance(X, Observed) else 1.0
        size, weight = (int(np.frexp(value)[1]) for value in (largest, heaviest))
        return cls(
            size // 2 if abs(size) > limit / max(1.0, abs(degree) / 2) else 0,
            weight if abs(weight) > limit else 0,
            scales,
        )

    def of_rows(self, X: Any, degree: float) -> Unit:
        """Return the same unit for other rows of X."""
        return replace(self, scales=_scales(X, degree))

    @property
    def usual(self) -> bool:
        """Entries and weights are handled as they are."""
        return self.power == 0 == self.weight

    def data_in(self, X: Any) -> Any:
        """Return X in this unit; X itself where that is the unit it has."""
        if self.scales is not None:
            return X.scaled_rows(self.scales, -2 * self.power)
        if isinstance(X, Observed) and not self.usual:
            return X.scaled(-2 * self.power, -self.weight)
        if self.power == 0:
            return X
        if isinstance(X, Stored):
            return X.scaled(-2 * self.power)
        return scaled(X, -2 * self.power)

    def factor_in(self, F: np.ndarray) -> np.ndarray:
        """Return a C-ordered copy of a factor in this unit, but for the scales of rows."""
        if self.power == 0:
            return np.array(F, order="C")
        return np.array(np.ldexp(F, -self.power), order="C")

    def factor_out(self, F: np.ndarray) -> np.ndarray:
        """Return a factor in the unit of the user, but for the scales of rows."""
        return F if self.power == 0 else np.ldexp(F, self.power)

    def first_in(self, W: np.ndarray) -> np.ndarray:
        """Return a C-ordered copy of the first factor, which has the rows of X, in this unit."""
        W = self.factor_in(W)
        return W if self.scales is None else W * self.scales[:, None]

    def first_out(self, W: np.ndarray) -> np.ndarray:
        """Return the first factor in the unit of the user; rows that do not count are zero."""
        W = self.factor_out(W)
        if self.scales is None:
            return W
        scales = self.scales[:, None]
        return np.divide(W, scales, out=np.zeros_like(W), where=scales > 0)

    def factors_in(self, W: np.ndarray, components: np.ndarray) -> dict[str, np.ndarray]:
        """Return both factors of a bilinear model, from W and components (k, n_features)."""
        H = np.ascontiguousarray(self.factor_in(components).T)
        return {"W": self.first_in(W), "H": H}

    @property
    def entry_in(self) -> float:
        """What turns an entry of X in the unit of the user into one in this unit."""
        return _power_of_two(-2.0 * self.power)

    def cost_in(self, degree: float) -> float:
        """Return what turns a cost in the unit of the user into one in this unit."""
        return _power_of_two(-2.0 * self.power * degree - self.weight)

    def loss_out(self, value: Any, degree: float) -> Any:
        """Return a loss, or an array of them, in the unit of the user."""
        if self.usual:
            return value
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            found = np.asarray(value) * np.exp2(2.0 * self.power * degree + self.weight)
        return np.where(np.asarray(value) == 0, 0.0, found)[()]


def _power_of_two(exponent: float) -> float:
    # Bounded: an infinite strength times a zero would be NaN.
    return float(np.exp2(np.clip(exponent, -900, 900)))


def _scales(X: Any, degree: float) -> np.ndarray | None:
    if not isinstance(X, RowWeighted):
        return None
    return np.asarray((X.weights.astype(np.float64) ** (1 / degree)).astype(X.dtype))
