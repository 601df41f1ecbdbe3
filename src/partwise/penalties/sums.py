"""Closures: rows or components with a known sum."""

from __future__ import annotations

import numpy as np

from partwise.penalties._thresholds import rows_on_simplex
from partwise.penalties.base import Penalty, checked, chosen

__all__ = ["Simplex"]


class Simplex(Penalty):
    """F ≥ 0 with the sum ``total`` in each row, or in each component.

    Parameters
    ----------
    total : float
        The sum.
    each : {"row", "component"}
        What has that sum: a row (a sample's weights, or a feature's), or the column of a
        component.
    at_most : bool
        The sum is at most ``total``.

    Notes
    -----
    `prox` is the projection with non-negativity in it, O(dimension · k · log). Clipping before
    it would be wrong. In floating point a sum counts as equal within 1000 roundings.

    Source: Held, Wolfe & Crowder (1974), Mathematical Programming 6, 62-88.
    """

    constraint = True

    def __init__(self, total: float = 1.0, each: str = "row", *, at_most: bool = False) -> None:
        self.total = checked("total", total)
        self.each = chosen("each", each, ("row", "component"))
        self.at_most = at_most
        self.name = f"sum of each {each}"
        self.separable = "rows" if each == "row" else "columns"

    def value(self, F: np.ndarray) -> float:
        rows = F if self.each == "row" else np.ascontiguousarray(F.T)  # sums in pairs
        over = rows.sum(axis=1, dtype=np.float64) - self.total
        slack = 1000 * float(np.finfo(F.dtype).eps) * self.total
        off = np.maximum(over, 0) if self.at_most else np.abs(over)
        inside = F.size == 0 or (F.min() >= 0 and off.max() <= slack)
        return 0.0 if inside else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        rows = F if self.each == "row" else np.ascontiguousarray(F.T)
        Z = rows_on_simplex(rows, self.total)
        if self.at_most:
            clipped = np.maximum(rows, 0)
            fits = clipped.sum(axis=1, dtype=np.float64) <= self.total
            Z = np.where(fits[:, None], clipped, Z)
        return Z if self.each == "row" else np.ascontiguousarray(Z.T)

    def entered(self, F: np.ndarray) -> np.ndarray:
        # In the same proportions: the nearest point would have many zeros.
        sums = F.sum(axis=1 if self.each == "row" else 0, keepdims=True, dtype=np.float64)
        wanted = np.minimum(sums, self.total) if self.at_most else self.total
        ratio = np.divide(wanted, sums, out=np.ones_like(sums), where=sums > 0)
        return self.prox((ratio * F).astype(F.dtype), 0.0)

    def rescaled(self, value: float, argument: float) -> Simplex:
        return Simplex(self.total / argument, self.each, at_most=self.at_most)
