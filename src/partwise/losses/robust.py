"""Losses that gross errors in X do not rule: Huber, absolute error, Student's t."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import genhyperbolic

from partwise._errors import explain
from partwise.losses.base import Loss, positive

__all__ = ["Absolute", "HalfQuadratic", "Huber", "StudentT"]


class HalfQuadratic(Loss):
    """Losses of the residual, d(x, y) = ρ(x − y), whose weight ρ'(r) / r falls with its size.

    They are majorized by the squared loss with the weights of the current residuals, so that
    multiplicative updates are those of the weighted squared loss. Weights of single entries
    take part in every product, so each iteration forms the model for all entries of X, stored
    or not.

    Source: Geman & Reynolds (1992), IEEE PAMI 14 (half-quadratic); Du, Li & Shen (2012), IEEE
    ICDM (multiplicative updates for NMF).
    """

    powers = (1.0, 2.0)

    @abstractmethod
    def weight(self, r: np.ndarray) -> np.ndarray:
        """Return ρ'(r) / r."""

    @abstractmethod
    def cost(self, r: np.ndarray) -> np.ndarray:
        """Return ρ(r)."""

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.cost(np.subtract(x, y, dtype=np.float64))

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.weight(x - y) * x

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.weight(x - y) * y


class Huber(HalfQuadratic):
    """Huber's loss: ½ r² for errors r = x − y of size up to δ, and `δ (|r| − ½ δ)` beyond.

    - Meaning: the squared loss, but an error of any size pulls no more than one of size δ. The
      estimate with the least largest variance when a part of Gaussian noise is replaced by
      any other symmetric one.
    - Distribution: y plus noise of density ∝ exp(−ρ(r) / φ): Gaussian of variance φ in the
      middle, with exponential tails. φ = δ² / 1.345² unless said, as δ = 1.345 standard
      deviations is the usual choice, 95 % as efficient as least squares on Gaussian noise.
    - Majorizer: (p, q) = (1, 2), as for every `HalfQuadratic`.
    - Source: Huber (1964), Annals of Mathematical Statistics 35.

    Parameters
    ----------
    delta : float
        The threshold δ, in the unit of X: fit(c X) with c δ is the same fit.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import Huber
    >>> Huber(1.0).value(np.array([3.0, 1.5]), np.array([1.0, 1.0]))
    array([1.5  , 0.125])
    """

    degree = 2.0

    def __init__(self, delta: float) -> None:
        self.delta = positive("delta", delta)
        self.name = f"Huber loss with delta={self.delta:g}"
        self.dispersion = (self.delta / 1.345) * (self.delta / 1.345)

    def cost(self, r: np.ndarray) -> np.ndarray:
        far = np.abs(r)
        return np.where(far <= self.delta, r * r / 2, self.delta * (far - self.delta / 2))

    def weight(self, r: np.ndarray) -> np.ndarray:
        delta = r.dtype.type(self.delta)
        return delta / np.maximum(np.abs(r), delta)

    def rescaled(self, c: float) -> Huber:
        return Huber(c * self.delta)

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        sigma = np.sqrt(phi)
        bound = self.delta / sigma
        inside = np.sqrt(2 * np.pi) * (2 * ndtr(bound) - 1)
        tails = 2 * np.exp(-(bound**2) / 2) / bound
        middle = ndtri(rng.uniform(ndtr(-bound), ndtr(bound), y.shape))
        far = (bound + rng.exponential(1 / bound, y.shape)) * rng.choice([-1, 1], y.shape)
        return y + sigma * np.where(rng.random(y.shape) * (inside + tails) < inside, middle, far)


class Absolute(HalfQuadratic):
    """Absolute error, smoothed: d(x, y) = √(r² + ε²) − ε with r = x − y.

    - Meaning: least absolute deviations; the model follows the median of the data, and every
      error beyond ε pulls alike. The smoothing makes the derivative continuous, without which
      a descent can get stuck at a kink that is no minimum.
    - Distribution: y plus noise of a symmetric hyperbolic distribution, Laplace's of scale φ
      with the tip within ε made round. φ = ε unless said.
    - Majorizer: (p, q) = (1, 2), as for every `HalfQuadratic`.
    - Source: Ke & Kanade (2005), IEEE CVPR (absolute error in factorizations); Charbonnier,
      Blanc-Féraud, Aubert & Barlaud (1997), IEEE Transactions on Image Processing 6 (smoothing).

    Parameters
    ----------
    smoothing : float
        ε, in the unit of X, well below the noise: the smaller it is, the slower multiplicative
        updates are, since entries that are fitted weigh 1 / ε.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import Absolute
    >>> Absolute(0.3).value(np.array([5.0]), np.array([4.6])).round(9)
    array([0.2])
    """

    degree = 1.0

    def __init__(self, smoothing: float) -> None:
        self.smoothing = positive("smoothing", smoothing)
        self.name = f"absolute error with smoothing={self.smoothing:g}"
        self.dispersion = self.smoothing

    def cost(self, r: np.ndarray) -> np.ndarray:
        return r * r / (np.hypot(r, self.smoothing) + self.smoothing)

    def weight(self, r: np.ndarray) -> np.ndarray:
        return 1 / np.hypot(r, r.dtype.type(self.smoothing))

    def rescaled(self, c: float) -> Absolute:
        return Absolute(c * self.smoothing)

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        ratio, size = self.smoothing / phi, y.shape
        noise = genhyperbolic.rvs(1.0, ratio, 0.0, scale=1.0, size=size, random_state=rng)
        return y + self.smoothing * np.asarray(noise)


class StudentT(HalfQuadratic):
    """Student's t: d(x, y) = ½ ν s² log(1 + r² / (ν s²)) with r = x − y.

    - Meaning: the squared loss for errors far below s √ν; an error far above it pulls less the
      larger it is, so that gross errors count for almost nothing. ν = 1 is Cauchy's
      distribution; the larger ν is, the nearer is the squared loss. Not convex in y: give it
      a start near the answer, such as a fit with `Huber`, or several starts.
    - Distribution: y plus s times t-distributed noise of ν degrees of freedom, with
      φ = ν s² / (ν + 1). A smaller φ means more degrees of freedom and a smaller scale.
    - Majorizer: (p, q) = (1, 2), as for every `HalfQuadratic`.
    - Source: Lange, Little & Taylor (1989), Journal of the American Statistical Association 84.

    Parameters
    ----------
    scale : float
        The size s of the noise, in the unit of X: fit(c X) with c s is the same fit.
    df : float, default=1
        The degrees of freedom ν.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import StudentT
    >>> StudentT(2.0).value(np.array([9.0]), np.array([1.0])).round(3)
    array([5.666])
    """

    degree = 2.0

    def __init__(self, scale: float, df: float = 1.0) -> None:
        self.scale, self.df = positive("scale", scale), positive("df", df)
        self.name = f"Student-t loss with scale={self.scale:g}, df={self.df:g}"
        self.width = self.df * self.scale * self.scale  # ν s²
        self.dispersion = self.width / (self.df + 1)

    def cost(self, r: np.ndarray) -> np.ndarray:
        return self.width / 2 * np.log1p(r * r / self.width)

    def weight(self, r: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.square(r / r.dtype.type(self.scale * np.sqrt(self.df))))

    def rescaled(self, c: float) -> StudentT:
        return StudentT(c * self.scale, self.df)

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        df = self.width / phi - 1
        if df <= 0:
            bound = f"a number below {self.width:g}"
            raise ValueError(
                explain("dispersion", f"{phi:g}", bound, "No density falls so slowly.")
            )
        return y + np.sqrt(self.width / df) * rng.standard_t(df, y.shape)
