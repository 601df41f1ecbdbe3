"""The successive projection algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise.data import Data
from partwise.init.solve import balanced, weights
from partwise.models import Model

__all__ = ["spa"]

# Rows that are looked at between two passes over X: so many per component, and at least.
HELD, FEWEST = 2, 32
# Rows whose distances differ by less than this share are equally far.
TIE = 1e-6


def spa(data: Data, model: Model, rng: Any) -> dict[str, np.ndarray]:
    """Take rows of X that are corners of all rows as components, and fit W to them.

    Each row is divided by its sum. The row farthest from the span of those already taken is
    the next. If every row is a mixture of k pure rows of X, and noise is small, it finds them.
    Deterministic. Between two passes over X the 2 k farthest rows are held, dense, and taken
    for as long as one of them is farther than any other row can be: exact, with fewer passes,
    k at most. Cost O(stored entries · k + n_features · k²).

    Source: Araújo et al. (2001), Chemometrics 57; Gillis & Vavasis (2014), IEEE TPAMI 36,
    algorithm 1.
    """
    H = np.zeros((data.shape[1], model.n_components), data.dtype)
    corners = _Corners(data, model.n_components).found()
    H[:, : len(corners)] = np.transpose(corners)
    return balanced(weights(data, H), H)


class _Corners:
    """Squared distances of all rows from the span of the corners, and rows that are held."""

    def __init__(self, data: Data, k: int) -> None:
        self.data, self.k = data, k
        sums = (data @ np.ones((data.shape[1], 1), data.dtype))[:, 0].astype(np.float64)
        self.scale = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        self.lengths = data.square_sums()[0] * self.scale**2
        self.left = self.lengths.copy()
        self.basis = np.empty((data.shape[1], 0))
        self.seen = 0

    def found(self) -> list[np.ndarray]:
        """Return up to k corners, fewer where rows have a lower rank."""
        corners: list[np.ndarray] = []
        precision = (100 * float(np.finfo(self.data.dtype).eps)) ** 2
        bound = np.inf
        while len(corners) < self.k:
            fresh = bound == np.inf
            if fresh:
                self._look()
                held, rows, far, bound = self._hold()
            distance = np.square(far).sum(axis=1)
            if not fresh and distance.max() < bound:
                bound = np.inf  # a row that is not held may be farther
                continue
            best = self._farthest(distance, self.lengths[held])
            if distance[best] <= precision * self.lengths[held[best]]:
                break
            corners.append(rows[best])
            new = far[best] - self.basis @ (self.basis.T @ far[best])
            new /= np.linalg.norm(new)
            self.basis = np.column_stack([self.basis, new])
            far = far - np.outer(far @ new, new)
        return corners

    def _look(self) -> None:
        # One pass: what new directions of the span take from the distances.
        new = self.basis[:, self.seen :]
        if new.shape[1]:
            inside = (self.data @ new.astype(self.data.dtype)) * self.scale[:, None]
            self.left = np.maximum(self.left - np.square(inside).sum(axis=1), 0)
            self.seen = self.basis.shape[1]

    def _hold(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        # The farthest rows, in their order in X; equal ones by their order, so that rounding
        # does not choose among them.
        order = np.argsort(-np.round(self.left / (self.left.max() or 1.0), 6), kind="stable")
        count = max(HELD * self.k, FEWEST)
        held = np.sort(order[:count])
        rows = self.data.rows(held).to_dense() * self.scale[held][:, None]
        far = rows - (rows @ self.basis) @ self.basis.T
        return held, rows, far, float(self.left[order[count:]].max(initial=0.0))

    @staticmethod
    def _farthest(distance: np.ndarray, lengths: np.ndarray) -> int:
        near = distance >= (1 - TIE) * distance.max()
        longest = near & (lengths >= (1 - TIE) * lengths[near].max())
        return int(np.flatnonzero(longest)[0])
