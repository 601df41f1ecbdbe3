"""Components of a known shape along the rows of the factor."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.penalties.base import Penalty

__all__ = ["Monotone", "Unimodal"]


class Monotone(Penalty):
    """Each component rises along the rows of F, or falls: zero if so, else infinite.

    Parameters
    ----------
    increasing : bool
        False for components that fall.

    Notes
    -----
    `prox` is isotonic regression, O(dimension · k); it goes with non-negativity exactly, before
    it. Source: Barlow, Bartholomew, Bremner & Brunk (1972), Statistical Inference under Order
    Restrictions.
    """

    name = "monotone components"
    constraint = True
    separable = "columns"
    cone = True
    stage = "before"

    def __init__(self, increasing: bool = True) -> None:
        self.increasing = increasing

    def _rising(self, F: np.ndarray) -> np.ndarray:
        return F if self.increasing else F[::-1]

    def value(self, F: np.ndarray) -> float:
        return 0.0 if (np.diff(self._rising(F), axis=0) >= 0).all() else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        Z = np.empty_like(F)
        kernels.increasing_columns(self._rising(F), self._rising(Z))
        return Z


class Unimodal(Penalty):
    """Each component is ≥ 0 and rises to one peak, then falls, along the rows of F.

    Peaks of a chromatogram, a bell along an axis. `prox` is the exact projection with
    non-negativity in it, over all places of the peak, O(dimension · k). Not convex: fits depend
    on their start.

    Source: Bro & Sidiropoulos (1998), Journal of Chemometrics 12, 223-247; in linear time
    Stout (2008), Computational Statistics & Data Analysis 53, 289-297.
    """

    name = "unimodal components"
    constraint = True
    separable = "columns"
    convex = False
    cone = True

    def value(self, F: np.ndarray) -> float:
        if F.size == 0:
            return 0.0
        steps = np.diff(F, axis=0)
        falling = np.maximum.accumulate(steps < 0, axis=0)
        return 0.0 if F.min() >= 0 and not np.any(falling & (steps > 0)) else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        Z = np.empty_like(F)
        kernels.unimodal_columns(F, Z)
        return Z
