"""The beta-divergences: Frobenius, Kullback–Leibler, Itakura–Saito and all between."""

from __future__ import annotations

from numbers import Real

import numpy as np

from partwise import kernels
from partwise._errors import explain
from partwise.losses.base import Loss

__all__ = ["Beta", "Frobenius", "ItakuraSaito", "KullbackLeibler", "as_loss"]

# Below this share of its terms a sum has lost too many digits and is formed with more care.
CANCELLED = 1e-3


class Beta(Loss):
    """Beta-divergence d(x, y) = (x^β + (β−1) y^β − β x y^(β−1)) / (β (β−1)).

    - Distribution: Tweedie with variance ∝ mean^(2 − β); β = 2 Gaussian, 1 Poisson,
      0 gamma (multiplicative noise).
    - Domain: x ≥ 0 for β > 0, x > 0 for β ≤ 0.
    - Majorizer: (p, q) with p = min(β − 1, 1), q = max(β, 1).
    - Source: Févotte & Idier (2011), Neural Computation 23, tables 1 and 2.
    """

    def __init__(self, beta: float) -> None:
        self.beta = float(beta)
        self.name = f"beta-divergence with beta_loss={self.beta:g}"
        self.degree = self.beta
        self.powers = (min(self.beta - 1.0, 1.0), max(self.beta, 1.0))
        self.needs_positive_data = self.beta <= 0

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.empty(np.shape(x))
        kernels.beta_values(_flat(x), _flat(y), self.beta, out.reshape(-1))
        return out

    def total(self, x: np.ndarray, y: np.ndarray) -> float:
        if self.beta in (0.0, 1.0):
            total, size = kernels.quick_total(_flat(x), _flat(y), self.beta)
            if total > CANCELLED * size:
                return float(total)
        return float(kernels.beta_total(_flat(x), _flat(y), self.beta))

    def split(
        self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        negative = np.empty_like(F)
        positive = np.empty_like(F) if self.beta != 1 else negative
        limit = F.dtype.type(floor)
        kernels.product_split(X, F, A, self.beta, limit, negative, positive)
        return negative, positive if self.beta != 1 else None

    def total_of(self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float) -> float | None:
        total, scale = kernels.product_loss(X, F, A, self.beta, F.dtype.type(floor))
        return float(total) if total > CANCELLED * scale else None

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.empty_like(y)
        kernels.beta_negative(_flat(x), _flat(y), self.beta, out.reshape(-1))
        return out

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.empty_like(y)
        kernels.beta_positive(_flat(y), self.beta, out.reshape(-1))
        return out


class Frobenius(Beta):
    """Half the squared difference, d(x, y) = ½ (x − y)²: Gaussian noise."""

    quadratic = True

    def __init__(self) -> None:
        super().__init__(2.0)
        self.name = "Frobenius loss"


class KullbackLeibler(Beta):
    """Generalized Kullback–Leibler divergence, d(x, y) = x log(x/y) − x + y: counts."""

    flat_positive = 1.0
    rational = True

    def constant(self, x: np.ndarray) -> float:
        return float(kernels.sum_x_log_x(_flat(x)) - x.sum(dtype=np.float64))

    def __init__(self) -> None:
        super().__init__(1.0)
        self.name = "Kullback-Leibler divergence"


class ItakuraSaito(Beta):
    """Itakura–Saito divergence, d(x, y) = x/y − log(x/y) − 1: power spectra."""

    rational = True

    def constant(self, x: np.ndarray) -> float:
        return float(-kernels.sum_log(_flat(x)) - x.size)

    def __init__(self) -> None:
        super().__init__(0.0)
        self.name = "Itakura-Saito divergence"


_NAMED = {
    "frobenius": Frobenius,
    "kullback-leibler": KullbackLeibler,
    "itakura-saito": ItakuraSaito,
}
_NUMBERED = {2.0: Frobenius, 1.0: KullbackLeibler, 0.0: ItakuraSaito}


def as_loss(beta_loss: str | float | Loss) -> Loss:
    """Return the loss of a name, of a number β, or the loss itself."""
    if isinstance(beta_loss, Loss):
        return beta_loss
    if isinstance(beta_loss, str) and beta_loss in _NAMED:
        return _NAMED[beta_loss]()
    if isinstance(beta_loss, Real) and np.isfinite(float(beta_loss)):
        beta = float(beta_loss)
        return _NUMBERED[beta]() if beta in _NUMBERED else Beta(beta)
    raise ValueError(
        explain("beta_loss", repr(beta_loss), f"a finite number or one of {sorted(_NAMED)}")
    )


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1)
