"""L1 and L2 norms, of entries, rows and groups."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.penalties._thresholds import shrink_rows
from partwise.penalties.base import ByProx, Penalty, Scaled, checked

__all__ = ["L1", "L2", "SquaredL1", "elastic_net"]


class L1(Scaled):
    """strength · Σ F for F ≥ 0: exact zeros, so that parts are local."""

    name = "L1"
    separable = "entries"
    smooth = True  # on F ≥ 0
    shifts = True
    cone = True
    stage = "entries"

    def value(self, F: np.ndarray) -> float:
        return self.strength * float(np.abs(F).sum(dtype=np.float64))

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.sign(F) * np.maximum(np.abs(F) - step * self.strength, 0)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gram, cross - cross.dtype.type(self.strength)

    def slope(self, F: np.ndarray) -> float:
        return self.strength

    def of_any_sign(self) -> Penalty:
        return ByProx(self, self.stage)


class L2(Scaled):
    """½ strength · Σ F²: small, spread-out entries."""

    name = "L2"
    separable = "entries"
    smooth = True
    shifts = True
    power = 2
    degree = 2.0
    stage = "entries"

    def value(self, F: np.ndarray) -> float:
        return 0.5 * self.strength * kernels.inner(F, F)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return F / (1 + step * self.strength)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gram + gram.dtype.type(self.strength) * np.eye(len(gram), dtype=gram.dtype), cross

    def slope(self, F: np.ndarray) -> np.ndarray:
        return F.dtype.type(self.strength) * F


def elastic_net(strength: float, l1_ratio: float = 0.5) -> tuple[Penalty, ...]:
    """Return strength · (l1_ratio Σ F + ½ (1 − l1_ratio) Σ F²) as L1 and L2, without zeros.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    l1_ratio : float in [0, 1]
        The share of the L1 norm.

    Returns
    -------
    tuple of Penalty
        For ``penalty_W`` or ``penalty_H``.

    Examples
    --------
    >>> from partwise.penalties import elastic_net
    >>> elastic_net(2.0, 0.25)
    (L1(strength=0.5), L2(strength=1.5))
    """
    ratio = checked("l1_ratio", l1_ratio, 0.0, 1.0)
    parts: tuple[L1 | L2, ...] = (L1(strength * ratio), L2(strength * (1 - ratio)))
    return tuple(part for part in parts if part.strength > 0)


class SquaredL1(Scaled):
    """½ strength · Σ over rows of (Σ over components of F)², for F ≥ 0: few components per row.

    It adds a matrix of ones to the Gram matrix. Unlike L1 it asks for zeros in a row whatever
    the scale of that row. `prox` goes with non-negativity exactly, after it. Cost of `prox`
    O(dimension · k log k).

    Source: Kim & Park (2007), Bioinformatics 23, 1495-1502.
    """

    name = "squared L1 of rows"
    separable = "rows"
    smooth = True
    shifts = True
    power = 2
    degree = 2.0
    stage = "after"

    def value(self, F: np.ndarray) -> float:
        sums = np.abs(F).sum(axis=1, dtype=np.float64)
        return 0.5 * self.strength * float(sums @ sums)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return np.sign(F) * shrink_rows(np.abs(F), step * self.strength, 1.0)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gram + gram.dtype.type(self.strength), cross

    def slope(self, F: np.ndarray) -> np.ndarray:
        row = F.sum(axis=1, keepdims=True)
        return np.broadcast_to(F.dtype.type(self.strength) * row, F.shape)

    def of_any_sign(self) -> Penalty:
        return ByProx(self, self.stage)
