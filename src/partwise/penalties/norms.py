"""L1 and L2 norms."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.penalties.base import Penalty

__all__ = ["L1", "L2"]


class L1(Penalty):
    """strength · Σ F for F ≥ 0: exact zeros, so that parts are local."""

    name = "L1"

    def __init__(self, strength: float) -> None:
        self.strength = float(strength)

    def value(self, F: np.ndarray) -> float:
        return self.strength * float(np.abs(F).sum(dtype=np.float64))

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.sign(F) * np.maximum(np.abs(F) - step * self.strength, 0)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gram, cross - cross.dtype.type(self.strength)

    def slope(self, F: np.ndarray) -> float:
        return self.strength

    def rescaled(self, value: float, argument: float) -> L1:
        return L1(self.strength * value * argument)


class L2(Penalty):
    """½ strength · Σ F²: small, spread-out entries."""

    name = "L2"
    power = 2

    def __init__(self, strength: float) -> None:
        self.strength = float(strength)

    def value(self, F: np.ndarray) -> float:
        return 0.5 * self.strength * kernels.inner(F, F)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return F / (1 + step * self.strength)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gram + gram.dtype.type(self.strength) * np.eye(len(gram), dtype=gram.dtype), cross

    def slope(self, F: np.ndarray) -> np.ndarray:
        return F.dtype.type(self.strength) * F

    def rescaled(self, value: float, argument: float) -> L2:
        return L2(self.strength * value * argument**2)
