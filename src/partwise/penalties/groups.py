"""Norms of groups of entries, which become zero together."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.penalties.base import Scaled, chosen

__all__ = ["GroupLasso"]


class GroupLasso(Scaled):
    """strength · Σ over groups of the L2 norm of F in the group: whole groups become zero.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    each : {"component", "row"}
        A group is the column of a component, which switches off whole components, or a row.
    groups : array-like of shape (dimension,), optional
        With ``each="component"``: labels that divide the rows. A group then is the part of
        one component in the rows of one label.

    Notes
    -----
    `prox` shrinks every group towards zero; it goes with non-negativity exactly, after it.
    O(dimension · k). Source: Kim, Monteiro & Park (2012), SIAM Data Mining, 851-862.
    """

    name = "group lasso"
    cone = True
    stage = "after"

    def __init__(self, strength: float, each: str = "component", groups: Any = None) -> None:
        super().__init__(strength)
        self.each = chosen("each", each, ("component", "row"))
        self.groups = None if groups is None else np.asarray(groups)
        if self.groups is not None:
            chosen("each with groups", each, ("component",))
            self._index = np.unique(self.groups, return_inverse=True)[1].reshape(-1)
            self.dimension = len(self._index)
        self.separable = "rows" if each == "row" else "columns"

    def _norms(self, F: np.ndarray) -> np.ndarray:
        # One norm for each group, in a form that broadcasts against F by `_spread`.
        squares = np.square(F, dtype=np.float64)
        if self.groups is None:
            return np.sqrt(squares.sum(axis=1 if self.each == "row" else 0, keepdims=True))
        sums = np.zeros((self._index.max() + 1, F.shape[1]))
        np.add.at(sums, self._index, squares)
        return np.sqrt(sums)

    def value(self, F: np.ndarray) -> float:
        return self.strength * float(self._norms(F).sum())

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        norms = self._norms(F)
        kept = np.maximum(norms - step * self.strength, 0)
        share = np.divide(kept, norms, out=np.zeros_like(norms), where=norms > 0)
        if self.groups is not None:
            share = share[self._index]
        return (share * F).astype(F.dtype)
