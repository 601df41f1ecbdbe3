"""What every model answers."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from partwise import kernels

__all__ = ["Factors", "Model"]

Factors = dict[str, np.ndarray]


class Model(ABC):
    """A model X̂ that is linear in each of its factors, all of shape (dimension, k).

    The first factor has one row per row of X, so that rows of X̂ need its rows alone.

    Attributes
    ----------
    names : tuple of str
        The factors, in the order of their updates.
    n_components : int
        k, the number of components.
    plain : bool
        X̂ is the product of two factors as they are.
    """

    names: tuple[str, ...]
    n_components: int
    plain: bool = False

    @abstractmethod
    def dimensions(self, shape: tuple[int, ...]) -> dict[str, int]:
        """Return the number of rows of each factor, or raise ValueError for X's shape."""

    def led_by(self, name: str) -> Self:
        """Return the same model with one factor first, for data with that axis first."""
        turned = copy.copy(self)
        turned.names = (name, *(other for other in self.names if other != name))
        return turned

    @abstractmethod
    def forward(self, factors: Factors) -> np.ndarray:
        """Return X̂."""

    @abstractmethod
    def adjoint(self, R: Any, factors: Factors, name: str) -> np.ndarray:
        """Return the (dimension, k) array A with ⟨forward(D), R⟩ = ⟨D, A⟩ for factor ``name``."""

    @abstractmethod
    def gram(self, factors: Factors, name: str) -> np.ndarray:
        """Return G (k, k) with ⟨forward(D), forward(E)⟩ = tr(D G Eᵀ) for factor ``name``."""

    def as_product(self, factors: Factors) -> tuple[np.ndarray, np.ndarray] | None:
        """Return F and A with X̂ = F Aᵀ, F the first factor, or None for other models."""
        return None

    def at(self, data: Any, factors: Factors) -> np.ndarray:
        """Return X̂ at the stored entries of sparse data."""
        message = f"{type(self).__name__} has no form for sparse data; pass a dense array."
        raise TypeError(message)

    def total(self, factors: Factors) -> float:
        """Return Σ X̂."""
        sums = [kernels.sums_of_columns(factors[name]) for name in self.names]
        return float(np.prod(sums, axis=0).sum())

    def adjoint_of_ones(self, factors: Factors, name: str) -> np.ndarray:
        """Return one row (1, k) of the adjoint of the array of ones; all rows are equal."""
        sums = [kernels.sums_of_columns(factors[other]) for other in self.names if other != name]
        return np.prod(sums, axis=0)[None, :].astype(factors[name].dtype)
