"""The bilinear model with a smoothing matrix between its factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise._errors import explain
from partwise.models.base import Factors
from partwise.models.bilinear import Bilinear

__all__ = ["NonSmooth"]


class NonSmooth(Bilinear):
    """X̂ = W S Hᵀ with S = (1 − θ) I + θ/k 1 1ᵀ, for W (n_samples, k) and H (n_features, k).

    S makes the product smooth, so that both factors have to be sparse to explain X. It is
    folded into the factor that is known, at the cost O(dimension · k).

    Parameters
    ----------
    n_components : int
        k.
    theta : float in [0, 1]
        θ: 0 is the bilinear model. At 1 all components are one.

    Notes
    -----
    Source: Pascual-Montano, Carazo, Kochi, Lehmann & Pascual-Marqui (2006), IEEE Transactions
    on Pattern Analysis and Machine Intelligence 28, 403-415.
    """

    plain = False

    def __init__(self, n_components: int, theta: float = 0.5) -> None:
        super().__init__(n_components)
        if not 0 <= theta <= 1:
            raise ValueError(explain("theta", theta, "a number from 0 to 1"))
        self.theta = float(theta)

    def smoothed(self, F: np.ndarray) -> np.ndarray:
        """Return F S, F itself for θ = 0."""
        if self.theta == 0:
            return F
        share = F.dtype.type(self.theta)
        found: np.ndarray = (1 - share) * F + share * F.mean(axis=1, keepdims=True)
        return found

    def _folded(self, factors: Factors, name: str) -> Factors:
        # With S in all other factors than ``name``.
        return {other: F if other == name else self.smoothed(F) for other, F in factors.items()}

    def forward(self, factors: Factors) -> np.ndarray:
        return super().forward(self._folded(factors, self.names[0]))

    def adjoint(self, R: Any, factors: Factors, name: str) -> np.ndarray:
        return super().adjoint(R, self._folded(factors, name), name)

    def gram(self, factors: Factors, name: str) -> np.ndarray:
        return super().gram(self._folded(factors, name), name)

    def as_product(self, factors: Factors) -> tuple[np.ndarray, np.ndarray]:
        return super().as_product(self._folded(factors, self.names[0]))

    def at(self, data: Any, factors: Factors) -> np.ndarray:
        return super().at(data, self._folded(factors, self.names[0]))

    def total(self, factors: Factors) -> float:
        return super().total(self._folded(factors, self.names[0]))

    def adjoint_of_ones(self, factors: Factors, name: str) -> np.ndarray:
        return super().adjoint_of_ones(self._folded(factors, name), name)
