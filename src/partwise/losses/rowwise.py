"""Losses of whole samples: the L2,1 norm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from partwise import kernels
from partwise.losses.base import Loss, positive

__all__ = ["L21"]

# Sums of squares within these bounds have lost nothing that counts to under- or overflow.
SMALL, LARGE = 1e-280, 1e300


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

    With weights v of its entries, the largest of which is w, a sample costs
    w (√(‖x − y‖² + ε²) − ε), where both norms are those of the known part: ‖r‖² = Σ (v / w) r². So
    the weight of a whole sample multiplies its cost, and one of which nothing is known costs
    nothing.

    Arrays have one sample per entry of their first axis; `value` shares the cost of a sample among
    its entries. Each iteration forms the model for all entries of X, stored or not, and of listed
    ones, ``unstored="missing"``, for these alone.

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
        _, length, least = self._lengths(x, r)
        return r * (r / _spread(_divisors(length + least), r))

    def negative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._pull(x, x, y)

    def positive(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._pull(y, x, y)

    def weighted_slopes(
        self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        heaviest, root, (_, length, _) = self._weighted_lengths(x, y, weights, starts)
        unit = _spread(_divisors(length), x, starts)
        back = root * _spread(heaviest, x, starts)
        for part in (x, y):
            # In this order nothing is too large for a number, also where it is not known.
            pull = root * part
            pull /= unit
            pull *= back
            yield pull.astype(y.dtype, copy=False)

    def weighted_total(
        self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray | None = None
    ) -> float:
        heaviest, _, (far, length, least) = self._weighted_lengths(x, y, weights, starts)
        return kernels.inner(heaviest, far * (far / _divisors(length + least)))

    def _pull(self, part: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # One of x and y, over the length of its sample.
        _, length, _ = self._lengths(x, np.subtract(x, y, dtype=np.float64))
        return (part / _spread(_divisors(length), x)).astype(y.dtype, copy=False)

    def _weighted_lengths(
        self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, starts: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        # The largest weight w of each sample, √(v / w) of each entry, and `_lengths` with these.
        heaviest = _by_sample(np.maximum, weights, starts).astype(np.float64)
        root = weights / _spread(np.where(heaviest > 0, heaviest, 1), x, starts)
        np.sqrt(root, out=root)
        r = np.subtract(x, y, dtype=np.float64)
        r *= root
        return heaviest, root, self._lengths(root * x, r, starts)

    def _lengths(
        self, x: np.ndarray, r: np.ndarray, starts: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Of each sample ‖r‖, √(‖r‖² + ε²) and ε, in float64.
        far = _norms(r, starts)
        least = self.smoothing * _norms(x.astype(np.float64, copy=False), starts)
        return far, np.hypot(far, least), least

    def _drawn(self, y: np.ndarray, rng: np.random.Generator, phi: float) -> np.ndarray:
        noise = rng.standard_normal(y.shape)
        features = y[:1].size
        lengths = rng.gamma(features, phi, (len(y), *(1,) * (y.ndim - 1)))
        return y + lengths * noise / _spread(_norms(noise), noise)


def _by_sample(function: np.ufunc, Z: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    # A sum, or a maximum, over the entries of each sample; 0 where it has none.
    if starts is None:
        return np.asarray(function.reduce(Z.reshape(len(Z), -1), axis=1))
    found = np.zeros(len(starts) - 1)
    some = np.diff(starts) > 0
    found[some] = function.reduceat(Z, starts[:-1][some])
    return found


def _divisors(lengths: np.ndarray) -> np.ndarray:
    # A length of 0 is one of nothing but zeros, which stay zeros.
    return np.where(lengths > 0, lengths, np.inf)


def _spread(values: np.ndarray, Z: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
    # One value for each sample, to be used with entries of samples.
    if starts is None:
        return values.reshape(-1, *(1,) * (Z.ndim - 1))
    return np.repeat(values, np.diff(starts))


def _norms(Z: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
    with np.errstate(over="ignore"):
        sums = _by_sample(np.add, np.square(Z), starts)
    if ((sums >= SMALL) & (sums <= LARGE)).all():
        return np.sqrt(sums)
    # Powers of two change no digit, and no square of what is left is too small or too large.
    _, size = np.frexp(_by_sample(np.maximum, np.abs(Z), starts))
    unit = np.ldexp(Z, -_spread(size, Z, starts))
    return np.ldexp(np.sqrt(_by_sample(np.add, np.square(unit), starts)), size)
