"""The divergence of any convex function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from partwise._errors import explain
from partwise.losses.base import Loss, positive

__all__ = ["Bregman"]

Function = Callable[[np.ndarray], np.ndarray]
# Where x and y differ by less than this share, the divergence is an integral of the curvature:
# the difference of two values of φ would cancel.
NEAR = 0.1
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)


class Bregman(Loss):
    """Bregman divergence d(x, y) = φ(x) − φ(y) − φ'(y) (x − y) of a convex function φ.

    - Meaning: the likelihood of an exponential family, each of which has its φ, up to terms of
      x alone; φ'' is one over the variance at mean y. φ = ½ y² is the squared loss,
      y log y − y the Kullback–Leibler, −log y the Itakura–Saito divergence.
    - Distribution: none that it could draw from.
    - Domain: x ≥ 0 where φ(0) is finite, else say ``needs_positive_data``.
    - Majorizer: the slope is φ''(y) y − φ''(y) x. Where ``low ≤ y φ'''(y) / φ''(y) ≤ high``
      for all y > 0, φ''(r y) / φ''(y) lies between r^low and r^high, and so d(x, ·) has the
      majorizer (p, q) = (min(1, 1 + low), max(1, 2 + high)). With these bounds, ``elasticity``,
      every multiplicative solver serves the loss; for φ'' = y^(β−2) both are β − 2, which gives
      the powers of the beta-divergence. Without them it is left to 'pgd'.
    - Source: Banerjee, Merugu, Dhillon & Ghosh (2005), JMLR 6 (families); Dhillon & Sra (2005),
      NIPS 18 (NMF). Their update is F ∘ negative / positive, here with the exponent
      1 / (q − p), with which the objective cannot rise.

    Parameters
    ----------
    phi, slope, curvature : callable
        φ, φ' and φ'' > 0 of arrays of float64, in the unit of X. Linear terms and constants of
        φ make no difference, but where they are large beside d they cost digits.
    elasticity : tuple of float, optional
        Bounds (low, high) of y φ'''(y) / φ''(y). They are believed.
    needs_positive_data : bool, default=False
        Whether φ(0) is infinite.
    name : str
        The name in messages.

    Notes
    -----
    ``degree`` is 0: `rescaled` evaluates the functions in the old unit. A model with functions
    that have no name, such as lambdas, cannot be pickled.

    Examples
    --------
    Between counts and noise of the same size everywhere, with variance y / (1 + y):

    >>> import numpy as np
    >>> from partwise.losses import Bregman
    >>> from scipy.special import xlogy
    >>> loss = Bregman(lambda y: xlogy(y, y) - y + y**2 / 2, lambda y: np.log(y) + y,
    ...                lambda y: 1 / y + 1, elasticity=(-1, 0))
    >>> loss.value(np.array([0.0, 2.0]), np.array([1.0, 1.0])).round(4), loss.powers
    (array([1.5   , 0.8863]), (0.0, 2.0))
    """

    degree = 0.0

    def __init__(
        self,
        phi: Function,
        slope: Function,
        curvature: Function,
        *,
        elasticity: tuple[float, float] | None = None,
        needs_positive_data: bool = False,
        name: str = "Bregman divergence",
    ) -> None:
        for word, function in (("phi", phi), ("slope", slope), ("curvature", curvature)):
            if not callable(function):
                raise TypeError(explain(word, repr(function), "a function of an array"))
        self.phi, self.slope, self.curvature = phi, slope, curvature
        self.elasticity, self.needs_positive_data = elasticity, needs_positive_data
        self.name = name
        self.unit = 1.0
        if elasticity is None:
            self.powers = None
            return
        low, high = map(float, elasticity)
        if not (-np.inf < low <= high < np.inf):
            raise ValueError(explain("elasticity", repr(elasticity), "finite bounds, low ≤ high"))
        self.powers = (min(1.0, 1 + low), max(1.0, 2 + high))

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = (np.asarray(part, np.float64) / self.unit for part in (x, y))
        step = x - y
        found = self.phi(x) - self.phi(y) - self.slope(y) * step
        near = np.abs(step) <= NEAR * np.maximum(x, y)
        if near.any():
            found[near] = self._integral(y[near], step[near])
        return np.maximum(found, 0)

    def _integral(self, y: np.ndarray, step: np.ndarray) -> np.ndarray:
        # step² ∫ (1 − s) φ''(y + s step) ds for s from 0 to 1.
        total = np.zeros_like(y)
        for node, weight in zip((1 + NODES) / 2, WEIGHTS / 2, strict=True):
            total += weight * (1 - node) * self.curvature(y + node * step)
        return total * step * step

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._bent(y) * x

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._bent(y) * y

    def _bent(self, y: np.ndarray) -> np.ndarray:
        found = self.curvature(np.asarray(y, np.float64) / self.unit) / self.unit**2
        return np.asarray(found).astype(y.dtype)

    def typical(self, mean: float) -> float:
        at = mean / self.unit
        return float(at**2 * self.curvature(np.array([at]))[0])

    def rescaled(self, c: float) -> Bregman:
        other = Bregman(
            self.phi,
            self.slope,
            self.curvature,
            elasticity=self.elasticity,
            needs_positive_data=self.needs_positive_data,
            name=self.name,
        )
        other.unit = positive("c", c * self.unit)
        return other
