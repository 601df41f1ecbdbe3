"""Likelihoods of counts and of amounts: binomial, negative binomial, Tweedie."""

from __future__ import annotations

import numpy as np
from scipy import special

from partwise._errors import explain
from partwise.losses.base import Loss, positive
from partwise.losses.beta import Beta, KullbackLeibler

__all__ = ["Binomial", "NegativeBinomial", "Tweedie"]


class Binomial(Loss):
    """Binomial divergence d(x, y) = x log(x/y) + (u − x) log((u − x) / (u − y)), 0 ≤ x ≤ u.

    - Meaning: x of u trials went well, and y is u times the probability of that. With one trial
      (Bernoulli) X is a table of yes and no: clicks, presences of species, calls, links.
    - Distribution: binomial with u trials and mean y; with another φ than 1, φ times one of u / φ
      trials and mean y / φ.
    - Domain: x ≤ u; infinite for y > u, and at y = u unless x = u. Factors that cannot go there
      have rows with a sum of at most one and entries up to u: ``penalty_W=Simplex(at_most=True),
      penalty_H=Box(0, u)``. Parts are then tables of probabilities, and a sample is a mixture of
      them. Without these W and H have no meaning of their own, and steps are held back.
    - Majorizer: none of two powers, so that proximal gradient steps serve it.
    - Source: Kaban & Bingham (2008), Neurocomputing 71, 2291-2308 (mixtures of such parts).

    Every entry of X counts, stored or not. Where u is large beside all means it is the
    Kullback–Leibler divergence.

    Parameters
    ----------
    trials : float
        u, in the unit of X.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import Binomial
    >>> Binomial().value(np.array([1.0, 0.0]), np.array([0.5, 0.5])).round(3)
    array([0.693, 0.693])
    """

    powers = None
    degree = 1.0
    dispersion = 1.0

    def __init__(self, trials: float = 1.0) -> None:
        self.trials = positive("trials", trials)
        self.largest = self.trials
        self.name = f"binomial divergence with trials={self.trials:g}"

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, rounding = self.trials, 1e3 * self.trials * float(np.finfo(y.dtype).eps)
        rest = np.subtract(u, y, dtype=np.float64)
        others = np.maximum(np.subtract(u, x, dtype=np.float64), 0)
        # others log(others / rest) − others + rest, without the cancellation of large numbers
        excess = np.subtract(y, x, dtype=np.float64)
        ratio = np.divide(excess, rest, out=np.full(rest.shape, np.inf), where=rest > 0)
        second = np.maximum(special.xlog1py(others, ratio) - excess, 0)
        return np.where(rest < -rounding, np.inf, KullbackLeibler().value(x, y) + second)

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x / y

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u = y.dtype.type(self.trials)
        return np.maximum(u - x, 0) / np.maximum(u - y, u * np.finfo(y.dtype).eps)

    def typical(self, mean: float) -> float:
        return mean * self.trials / max(self.trials - mean, 1e-3 * self.trials)

    def rescaled(self, c: float) -> Binomial:
        return Binomial(c * self.trials)

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        trials = round(self.trials / phi)
        if abs(trials * phi - self.trials) > 1e-9 * self.trials or y.max(initial=0) > self.trials:
            got = f"{self.trials:g} / {phi:g} trials and means up to {y.max(initial=0):g}"
            raise ValueError(explain("draw", got, "a whole number of trials, and means below"))
        return phi * rng.binomial(trials, y / self.trials)


class NegativeBinomial(Loss):
    """Negative binomial divergence d(x, y) = x log(x/y) − (x + r) log((x + r) / (y + r)).

    - Meaning: counts that scatter more than Poisson ones, with variance y + y² / r, as Poisson
      counts do whose means vary by a gamma distribution of shape r. For r → ∞ it is the
      Kullback–Leibler divergence, for r → 0 it nears r times that of Itakura and Saito.
    - Distribution: negative binomial with mean y and r failures; with another φ than 1, φ times
      such counts of mean y / φ and r / φ.
    - Domain: x ≥ 0.
    - Majorizer: (p, q) = (0, 1), the tangent of the concave (x + r) log(y + r).
    - Source: Gouvert, Oberlin & Févotte (2020), IEEE Signal Processing Letters 27.

    Every entry of X counts, stored or not, as d(0, y) = r log(1 + y / r) is no line.

    Parameters
    ----------
    size : float
        r, in the unit of X: fit(c X) with c r is the same fit. 1 / r is called the dispersion of
        counts elsewhere; estimate it as that of the residuals of a Poisson fit,
        Σ ((x − y)² − y) / Σ y².

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import NegativeBinomial
    >>> NegativeBinomial(2.0).value(np.array([0.0]), np.array([6.0])).round(3)
    array([2.773])
    """

    powers = (0.0, 1.0)
    degree = 1.0
    dispersion = 1.0

    def __init__(self, size: float) -> None:
        self.size = positive("size", size)
        self.name = f"negative binomial divergence with size={self.size:g}"

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        poisson, r = KullbackLeibler(), self.size
        beside = np.add(x, r, dtype=np.float64), np.add(y, r, dtype=np.float64)
        found: np.ndarray = np.maximum(poisson.value(x, y) - poisson.value(*beside), 0)
        return found

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x / y

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = y.dtype.type(self.size)
        return (x + r) / (y + r)

    def typical(self, mean: float) -> float:
        return mean * self.size / (mean + self.size)

    def rescaled(self, c: float) -> NegativeBinomial:
        return NegativeBinomial(c * self.size)

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        r = self.size / phi
        return phi * rng.negative_binomial(r, r / (r + y / phi))


class Tweedie(Beta):
    """Half the Tweedie deviance of a power: the beta-divergence with β = 2 − power.

    - Meaning: variance φ · mean^power. 0 is Gaussian, 1 Poisson, 2 gamma, 3 inverse Gaussian;
      between 1 and 2 amounts that are sums of a random number of positive parts, with exact
      zeros: rain, claims, biomass.
    - Everything else is as for `Beta`.
    - Source: Jørgensen (1987), Journal of the Royal Statistical Society B 49.

    Parameters
    ----------
    power : float
        The power of the variance.

    Examples
    --------
    >>> from partwise.losses import Tweedie
    >>> Tweedie(1.5).beta, Tweedie(0).quadratic
    (0.5, True)
    """

    def __init__(self, power: float) -> None:
        super().__init__(2.0 - float(power))
        self.power = float(power)
        self.name = f"Tweedie deviance with power={self.power:g}"
