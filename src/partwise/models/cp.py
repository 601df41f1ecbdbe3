"""The canonical polyadic model of arrays of order three and more."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise._errors import explain
from partwise.models.base import Factors, Model

__all__ = ["CP"]


class CP(Model):
    """X̂[i, j, l, …] = Σ_r A[i, r] B[j, r] C[l, r] …, a sum of k outer products.

    Source: Carroll & Chang (1970), Psychometrika 35; Harshman (1970); with non-negative
    factors Shashua & Hazan (2005), ICML.
    """

    def __init__(self, n_components: int, order: int = 3) -> None:
        self.n_components = n_components
        self.names = tuple("ABCDEFGHIJ"[:order])

    def dimensions(self, shape: tuple[int, ...]) -> dict[str, int]:
        if len(shape) != len(self.names):
            raise ValueError(
                explain("X", f"an array of order {len(shape)}", f"order {len(self.names)}")
            )
        return dict(zip(self.names, shape, strict=True))

    def _products(self, factors: Factors, names: tuple[str, ...]) -> np.ndarray:
        # The Khatri–Rao product: one row per combination of indices, the last one fastest.
        product = factors[names[0]]
        for name in names[1:]:
            product = (product[:, None, :] * factors[name][None, :, :]).reshape(
                -1, self.n_components
            )
        return product

    def forward(self, factors: Factors) -> np.ndarray:
        shape = tuple(len(factors[name]) for name in self.names)
        first = factors[self.names[0]]
        return (first @ self._products(factors, self.names[1:]).T).reshape(shape)

    def adjoint(self, R: Any, factors: Factors, name: str) -> np.ndarray:
        array = np.asarray(R)
        axis = self.names.index(name)
        others = tuple(other for other in self.names if other != name)
        unfolded = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        return unfolded @ self._products(factors, others)

    def gram(self, factors: Factors, name: str) -> np.ndarray:
        gram = np.ones((self.n_components, self.n_components), factors[name].dtype)
        for other in self.names:
            if other != name:
                gram = gram * (factors[other].T @ factors[other])
        return gram
