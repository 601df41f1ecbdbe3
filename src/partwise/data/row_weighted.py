"""Data that are known everywhere, of which whole rows count more or less than others."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from partwise.data.observed import Observed
from partwise.data.stored import Stored
from partwise.data.views import as_data, scaled

__all__ = ["RowWeighted"]


class _Columns:
    def __init__(self, rows: RowWeighted) -> None:
        self.rows = rows

    def _weighed(self, W: np.ndarray) -> np.ndarray:
        return np.asarray((W.T * self.rows.weights).T)

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        return np.asarray(self.rows.data.T @ self._weighed(W))

    def weigh(self, W: np.ndarray) -> np.ndarray:
        total = self._weighed(W).sum(axis=0)
        return np.broadcast_to(total, (self.rows.shape[1], *total.shape))


class RowWeighted(Observed):
    """X, and a weight ≥ 0 for every row; a weight of zero means that it is missing.

    No problem is solved with it: for losses of a degree d, w times the loss of a row is that of the
    row times w^(1/d), see `scaled_rows`.

    Parameters
    ----------
    X : ndarray, SciPy sparse array or Stored
        Complete. Kept, not copied.
    weights : ndarray of shape (n_samples,)
        In the dtype of X.
    """

    def __init__(self, X: Any, weights: np.ndarray) -> None:
        self.X, self.weights = X, weights
        self.data = as_data(X)
        self.shape, self.dtype, self.size = self.data.shape, self.data.dtype, self.data.size

    @property
    def mass(self) -> float:
        """The sum of the weights of all entries, in float64."""
        return float(self.weights.sum(dtype=np.float64)) * self.shape[1]

    def scaled_rows(self, scales: np.ndarray, power: int) -> Any:
        """Return X with every row times a number of its own, and all times two to a power."""
        if isinstance(self.X, Stored):
            return self.X.scaled(power).scaled_rows(scales)
        return scaled(self.X, power, scales)

    def scaled(self, power: int, weight: int = 0) -> RowWeighted:
        X = self.scaled_rows(np.ones_like(self.weights), power)
        return RowWeighted(X, np.ldexp(self.weights, weight))

    def heaviest(self) -> float:
        return 1.0

    def shown(self) -> Any:
        return self.X

    def weigh(self, H: np.ndarray) -> np.ndarray:
        return np.multiply.outer(self.weights, H.sum(axis=0))

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.where(self.weights > 0, self.shape[1], 0)
        return rows, np.full(self.shape[1], np.count_nonzero(rows))

    @property
    def T(self) -> _Columns:
        return _Columns(self)

    def largest(self) -> float:
        """Return the largest entry of X."""
        if isinstance(self.X, Stored):
            return self.X.largest()
        stored = self.X.data if sparse.issparse(self.X) else self.X
        return float(stored.max(initial=0))

    def smallest(self) -> float:
        """Return the smallest entry of X, stored or not."""
        return self.data.smallest()
