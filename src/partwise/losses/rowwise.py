"""Losses of whole samples: the L2,1 norm."""

from __future__ import annotations

import numpy as np

from partwise.losses.base import Loss, positive

__all__ = ["L21"]


class L21(Loss):
    """The sum over samples of the Euclidean norm of the residual (L2,1), smoothed.

    A sample x and its model y cost √(‖x − y‖² + ε²) − ε with ε = ``smoothing`` · ‖x‖.

    - Meaning: the squared loss, with a weight 1 / ‖x − y‖ for each sample: a sample that is
      no mixture of the parts pulls no more than any other, however far off it is. For single
      entries that are wrong see `Huber`. The smoothing makes the derivative continuous, without
      which a descent can get stuck where a sample is fitted exactly.
    - Distribution: y plus noise of density ∝ exp(−‖r‖ / φ), a multivariate Laplace
      distribution, smoothing aside: its length is gamma distributed with shape n_features and
      scale φ, its direction uniform. φ = 1 unless said, in the unit of X.
    - Majorizer: (p, q) = (1, 2), the weighted squared loss with the weights of the current
      residuals.
    - Source: Kong, Ding & Huang (2011), ACM CIKM, 673-682, whose updates are those of 'mu'
      without smoothing.

    Arrays have one sample per entry of their first axis; `value` shares the cost of a sample among
    its entries. Each iteration forms the model for all entries of X, stored or not. It is not
    defined here for entries that are missing or have weights.

    Parameters
    ----------
    smoothing : float
        ε as a share of the norm of the sample, well below the noise. The smaller it is, the
        slower multiplicative updates are once samples are fitted as closely.

    Examples
    --------
    >>> import numpy as np
    >>> from partwise.losses import L21
    >>> L21().value(np.array([[4.0, 0.0]]), np.array([[1.0, 4.0]])).sum().round(2)
    np.float64(5.0)
    """

    powers = (1.0, 2.0)
    degree = 1.0
    rowwise = True
    dispersion = 1.0

    def __init__(self, smoothing: float = 1e-3) -> None:
        self.smoothing = positive("smoothing", smoothing)
        self.name = f"L21 norm with smoothing={self.smoothing:g}"

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = np.subtract(x, y, dtype=np.float64)
        length, least = self._lengths(x, r)
        return np.divide(r * r, length + least, out=np.zeros(r.shape), where=length > 0)

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._weight(x, y) * x

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._weight(x, y) * y

    def _weight(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        length, _ = self._lengths(x, np.subtract(x, y, dtype=np.float64))
        found = np.divide(1, length, out=np.zeros(length.shape), where=length > 0)
        return found.astype(y.dtype)

    def _lengths(self, x: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Of each sample √(‖r‖² + ε²) and ε, in float64, with the axes of X.
        least = self.smoothing * _norms(x.astype(np.float64))
        return np.hypot(_norms(r), least), least

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        noise = rng.standard_normal(y.shape)
        features = y[:1].size
        lengths = rng.gamma(features, phi, (len(y), *(1,) * (y.ndim - 1)))
        return y + lengths * noise / _norms(noise)


def _norms(Z: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.square(Z.reshape(len(Z), -1)).sum(axis=1))
    return norms.reshape(-1, *(1,) * (Z.ndim - 1))
