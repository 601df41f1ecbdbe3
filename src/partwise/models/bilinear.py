"""The bilinear model X̂ = W Hᵀ of ordinary non-negative matrix factorization."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.models.base import Factors, Model

__all__ = ["Bilinear"]


class Bilinear(Model):
    """X̂ = W Hᵀ with W (n_samples, k) and H (n_features, k)."""

    names = ("W", "H")

    def __init__(self, n_components: int) -> None:
        self.n_components = n_components

    def dimensions(self, shape: tuple[int, ...]) -> dict[str, int]:
        rows, columns = shape
        return {"W": rows, "H": columns}

    def forward(self, factors: Factors) -> np.ndarray:
        return factors["W"] @ factors["H"].T

    def adjoint(self, R: Any, factors: Factors, name: str) -> np.ndarray:
        return R @ factors["H"] if name == "W" else R.T @ factors["W"]

    def gram(self, factors: Factors, name: str) -> np.ndarray:
        other = factors["H" if name == "W" else "W"]
        return other.T @ other

    def at(self, data: Any, factors: Factors) -> np.ndarray:
        matrix = data.matrix
        out = np.empty(matrix.data.shape, factors["W"].dtype)
        W, H = (np.ascontiguousarray(factors[name]) for name in self.names)
        kernels.product_at(matrix.indptr, matrix.indices, W, H, out)
        return out
