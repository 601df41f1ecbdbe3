"""The beta-divergences: Frobenius, Kullback–Leibler, Itakura–Saito and all between."""

from __future__ import annotations

import numpy as np
from scipy import special

from partwise import kernels
from partwise._errors import explain
from partwise.losses.base import Loss, Parts

__all__ = ["Beta", "Frobenius", "ItakuraSaito", "KullbackLeibler"]

# Below this share of its terms a sum has lost too many digits and is formed with more care.
CANCELLED = 1e-3
# Of these β such a sum has logarithms or square roots for its terms.
QUICK = (0.0, 0.5, 1.0, 1.5)


class Beta(Loss):
    """Beta-divergence d(x, y) = (x^β + (β−1) y^β − β x y^(β−1)) / (β (β−1)).

    - Distribution: Tweedie with variance φ · mean^(2 − β); β = 2 Gaussian, 1 Poisson (times φ),
      between 1 and 0 compound Poisson-gamma (zeros and positive numbers), 0 gamma, −1 inverse
      Gaussian. There is none for 1 < β < 2. `draw` serves those named.
    - Domain: x ≥ 0 for β > 0, x > 0 for β ≤ 0.
    - Majorizer: (p, q) with p = min(β − 1, 1), q = max(β, 1).
    - Kompass's divergence of parameter a is (1 + a) times that with β = 1 + a.
    - Source: Févotte & Idier (2011), Neural Computation 23, tables 1 and 2; Jørgensen (1987),
      Journal of the Royal Statistical Society B 49 (Tweedie); Kompass (2007), Neural
      Computation 19.
    """

    def __init__(self, beta: float) -> None:
        self.beta = float(beta)
        if not np.isfinite(self.beta):
            raise ValueError(explain("beta", repr(beta), "a finite number"))
        self.name = f"beta-divergence with beta_loss={self.beta:g}"
        self.degree = self.beta
        self.powers: tuple[float, float] = (min(self.beta - 1.0, 1.0), max(self.beta, 1.0))
        self.needs_positive_data = self.beta <= 0
        self.quadratic = self.beta == 2
        self.flat_positive = 1.0 if self.beta == 1 else None
        self.rational = self.beta in (0.0, 1.0)
        self.dispersion = 1.0 if 0 <= self.beta <= 1 or self.beta in (2.0, -1.0) else None

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.empty(np.shape(x))
        kernels.beta_values(_flat(x), _flat(y), self.beta, out.reshape(-1))
        return out

    def total(self, x: np.ndarray, y: np.ndarray) -> float:
        if self.beta in QUICK:
            total, size = kernels.quick_total(_flat(x), _flat(y), self.beta)
            if total > CANCELLED * size:
                return float(total)
        return float(kernels.beta_total(_flat(x), _flat(y), self.beta))

    def split(self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float) -> Parts:
        of_F = self._parts_for(F)
        kernels.product_split(X, F, A, self.beta, F.dtype.type(floor), of_F, of_F[:0])
        return _pair(of_F)

    def splits(
        self, X: np.ndarray, F: np.ndarray, A: np.ndarray, floor: float
    ) -> tuple[Parts, Parts]:
        of_F, of_A = self._parts_for(F), self._parts_for(A)
        kernels.product_split(X, F, A, self.beta, F.dtype.type(floor), of_F, of_A)
        return _pair(of_F), _pair(of_A)

    def _parts_for(self, F: np.ndarray) -> np.ndarray:
        # Room for those of a factor's gradient; of β = 1 the rising one has equal rows.
        return np.empty((1 if self.beta == 1 else 2, *F.shape), F.dtype)

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

    def constant(self, x: np.ndarray, weights: np.ndarray | None = None) -> float:
        if self.beta == 1 and weights is not None:
            x, weights = x.astype(np.float64), weights.astype(np.float64)
            return float(np.sum(weights * (special.xlogy(x, x) - x)))
        if self.beta == 1:
            return float(kernels.sum_x_log_x(_flat(x)) - x.sum(dtype=np.float64))
        return float(-kernels.sum_log(_flat(x)) - x.size) if self.beta == 0 else 0.0

    def flat(self, mean: float) -> float | None:
        if not self.rational:
            return None
        return float(mean - mean * np.log(mean) if self.beta == 1 else 1 + np.log(mean))

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        beta = self.beta
        if beta == 2:
            return rng.normal(y, np.sqrt(phi))
        if beta == 1:
            return phi * rng.poisson(y / phi)
        if beta == 0:
            return rng.gamma(1 / phi, phi * y)
        if beta == -1:
            return rng.wald(y, 1 / phi)
        # A Poisson number of jumps of gamma size.
        jumps = rng.poisson(y**beta / (beta * phi))
        return rng.gamma(jumps * (beta / (1 - beta)), (1 - beta) * phi * y ** (1 - beta))


class Frobenius(Beta):
    """Half the squared difference, d(x, y) = ½ (x − y)²: Gaussian noise.

    `draw` adds noise of variance φ to y, so draws may be negative. Clipping them at zero, as
    a fit needs it, raises their mean where y is not large beside the noise.
    """

    def __init__(self) -> None:
        super().__init__(2.0)
        self.name = "Frobenius loss"


class KullbackLeibler(Beta):
    """Generalized Kullback–Leibler divergence, d(x, y) = x log(x/y) − x + y: counts.

    `draw` gives Poisson counts; with another φ than 1, φ times such counts of mean y / φ.
    """

    def __init__(self) -> None:
        super().__init__(1.0)
        self.name = "Kullback-Leibler divergence"


class ItakuraSaito(Beta):
    """Itakura–Saito divergence, d(x, y) = x/y − log(x/y) − 1: power spectra.

    `draw` gives gamma data of shape 1 / φ, exponential ones for φ = 1.
    """

    def __init__(self) -> None:
        super().__init__(0.0)
        self.name = "Itakura-Saito divergence"


def _pair(parts: np.ndarray) -> Parts:
    return parts[0], parts[1] if len(parts) > 1 else None


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1)
