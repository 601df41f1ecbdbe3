"""A given sparseness of components or rows."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise.penalties.base import Penalty, checked, chosen

__all__ = ["Hoyer"]


class Hoyer(Penalty):
    """F ≥ 0 with a given sparseness (√d − ‖f‖₁ / ‖f‖₂) / (√d − 1) of each component, or row.

    d is the length of f. Sparseness is 0 for equal entries, and 1 for a single one that is not
    zero; it does not depend on the scale of f. A vector of zeros counts as inside.

    Parameters
    ----------
    sparseness : float in [0, 1]
        What is wanted.
    each : {"component", "row"}
        What has it.
    norm : float, optional
        The L2 norm that each has too; else it is free.

    Notes
    -----
    `prox` is the exact projection with non-negativity in it, O(size · log). Not convex: fits
    depend on their start. In floating point a sparseness counts as equal within 1000 roundings.

    Source: Hoyer (2004), JMLR 5, 1457-1469; the projection after Thom & Palm (2013), JMLR 14,
    1091-1143.
    """

    constraint = True
    convex = False

    def __init__(
        self, sparseness: float, each: str = "component", norm: float | None = None
    ) -> None:
        self.sparseness = checked("sparseness", sparseness, 0.0, 1.0)
        self.each = chosen("each", each, ("component", "row"))
        self.norm = None if norm is None else checked("norm", norm)
        self.name = f"sparseness of each {each}"
        self.separable = "rows" if each == "row" else "columns"
        self.cone = norm is None

    def _columns(self, F: np.ndarray) -> tuple[np.ndarray, float]:
        # With the wanted ratio of L1 and L2 norm.
        columns = F.T if self.each == "row" else F
        root = len(columns) ** 0.5
        return columns, root - self.sparseness * (root - 1)

    def value(self, F: np.ndarray) -> float:
        columns, ratio = self._columns(F)
        if F.size == 0 or F.min() < 0:
            return 0.0 if F.size == 0 else np.inf
        rows = np.ascontiguousarray(columns.T, np.float64)  # so that sums are formed in pairs
        l1, l2 = rows.sum(axis=1), np.sqrt(np.square(rows).sum(axis=1))
        slack = 1000 * float(np.finfo(F.dtype).eps)
        inside = np.abs(l1 - ratio * l2) <= slack * l1
        if self.norm is not None:
            inside &= np.abs(l2 - self.norm) <= slack * self.norm
        return 0.0 if inside.all() else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        columns, ratio = self._columns(F)
        Z = np.empty_like(columns, order="C")
        kernels.sparseness_columns(columns, ratio, self.norm or 0.0, Z)
        return Z if self.each == "component" else np.ascontiguousarray(Z.T)

    def rescaled(self, value: float, argument: float) -> Hoyer:
        norm = None if self.norm is None else self.norm / argument
        return Hoyer(self.sparseness, self.each, norm)
