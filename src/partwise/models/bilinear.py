"""The bilinear model X̂ = W Hᵀ of ordinary non-negative matrix factorization."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise._threads import each, spans
from partwise.models.base import Factors, Model

__all__ = ["Bilinear"]


class Bilinear(Model):
    """X̂ = W Hᵀ with W (n_samples, k) and H (n_features, k)."""

    plain = True

    def __init__(self, n_components: int) -> None:
        self.names = ("W", "H")
        self.n_components = n_components

    def dimensions(self, shape: tuple[int, ...]) -> dict[str, int]:
        return dict(zip(self.names, shape, strict=True))

    def forward(self, factors: Factors) -> np.ndarray:
        first, second = self.names
        return factors[first] @ factors[second].T

    def adjoint(self, R: Any, factors: Factors, name: str) -> np.ndarray:
        first, second = self.names
        return R @ factors[second] if name == first else R.T @ factors[first]

    def gram(self, factors: Factors, name: str) -> np.ndarray:
        first, second = self.names
        other = factors[second if name == first else first]

        def piece(rows: slice) -> np.ndarray:
            return kernels.gram(other[rows])

        parts = each(piece, spans(len(other), 2.0 * self.n_components**2))
        return np.sum(parts, axis=0) if len(parts) > 1 else parts[0]

    def as_product(self, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
        first, second = self.names
        return factors[first], factors[second]

    def at(self, data: Any, factors: Factors) -> np.ndarray:
        out = np.empty(data.stored.shape, factors["W"].dtype)
        first, second = (np.ascontiguousarray(factors[name]) for name in self.names)
        kernels.product_at(data.indptr, data.indices, first, second, out)
        return out
