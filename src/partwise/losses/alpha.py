"""The alpha-divergences: Pearson, Hellinger, Neyman and all between."""

from __future__ import annotations

import numpy as np

from partwise import kernels
from partwise._errors import explain
from partwise.losses.base import Loss

__all__ = ["Alpha"]


class Alpha(Loss):
    """Alpha-divergence d(x, y) = (x^α y^(1−α) − α x + (α−1) y) / (α (α−1)).

    α = 2 is half of Pearson's χ², (x − y)² / (2 y); 1 the Kullback–Leibler divergence; ½ twice
    the squared Hellinger distance, 2 (√x − √y)²; 0 the reverse Kullback–Leibler divergence,
    y log(y/x) + x − y; −1 half of Neyman's χ², (x − y)² / (2 x).

    - Meaning: weights of counts of like size. All have the curvature 1 / y at y = x, that of
      Poisson noise; a large α minds most data above their model, a small one data below it.
    - Distribution: Poisson for α = 1, else none.
    - Domain: x ≥ 0 for α > 0, where d(0, y) = y / α; x > 0 for α ≤ 0.
    - Majorizer: (p, q) = (1 − α, 1) for α > 0 and (1, 1 − α) for α < 0, so that
      multiplicative updates have the exponent 1 / α, as in the sources. For α = 0 the slope
      log(y / x) is divided into two parts with the product ¼, and (p, q) = (0, 2): as
      u + 1 / (4 u) ≥ 1, the majorizer is above y log y on both sides.
    - Source: Cichocki, Lee, Kim & Choi (2008), Pattern Recognition Letters 29; Cichocki,
      Cruces & Amari (2011), Entropy 13, section 3.

    Cost: a power for every entry of X, and for α > 0 of sparse X for every stored one.

    Parameters
    ----------
    alpha : float
        α, any number.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import Alpha
    >>> Alpha(2).value(np.array([3.0]), np.array([2.0]))
    array([0.25])
    """

    degree = 1.0

    def __init__(self, alpha: float) -> None:
        self.alpha = float(alpha)
        if not np.isfinite(self.alpha):
            raise ValueError(explain("alpha", repr(alpha), "a finite number"))
        self.name = f"alpha-divergence with alpha={self.alpha:g}"
        self.needs_positive_data = self.alpha <= 0
        self.flat_positive = 1 / self.alpha if self.alpha > 0 else None
        self.dispersion = 1.0 if self.alpha == 1 else None
        falls, rises = min(1 - self.alpha, 1.0), max(1 - self.alpha, 1.0)
        self.powers = (0.0, 2.0) if self.alpha == 0 else (falls, rises)

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # y times the beta-divergence of x / y from one, with the order α.
        ratio = np.divide(x, y, dtype=np.float64)
        out = np.empty(ratio.shape)
        flat = ratio.reshape(-1)
        kernels.beta_values(flat, np.ones_like(flat), self.alpha, out.reshape(-1))
        out *= y
        return out

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if self.alpha > 0:
            return self._power(x, y)
        return _roots(x, y) if self.alpha == 0 else np.full_like(y, -1 / self.alpha)

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if self.alpha > 0:
            return np.full_like(y, 1 / self.alpha)
        return _roots(y, x) if self.alpha == 0 else self._power(x, y)

    def _power(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # (x / y)^α / |α|; entries that no model explains are large, not infinite.
        power = np.divide(x, y, dtype=np.float64) ** self.alpha / abs(self.alpha)
        return np.minimum(power, np.finfo(y.dtype).max).astype(y.dtype)

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        return phi * rng.poisson(y / phi)


def _roots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # u with u − 1 / (4 u) = log(x / y): half of exp(arsinh(log(x / y))).
    found = np.exp(np.arcsinh(np.log(np.divide(x, y, dtype=np.float64)))) / 2
    return found.astype(y.dtype)
