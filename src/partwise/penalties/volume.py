"""The volume that components span."""

from __future__ import annotations

import numpy as np

from partwise.penalties.base import Penalty, Scaled, checked

__all__ = ["MinVolume"]


class MinVolume(Scaled):
    """½ strength · (log det(FᵀF + delta I) − k log delta): components span a small volume.

    It makes the answer unique where the data are spread well enough, together with a sum of
    each row or component of the factors (`Simplex`): else a factor shrinks at the cost of the
    other one.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    delta : float > 0
        In the unit of F²: much smaller, and the logarithm rises steeply at dependent
        components; of the size of F², and the penalty is like an L2 norm.

    Notes
    -----
    `prox` is exact for F of any sign, through the singular values, O(dimension · k²). The
    logarithm is concave in FᵀF, so `majorizer` gives a quadratic above it, with which solvers of
    quadratics lower the penalty too: a (k, k) matrix more in the Gram matrix.

    Sources: Fu, Huang, Yang, Ma & Sidiropoulos (2016), IEEE Transactions on Signal Processing
    64; Leplat, Ang & Gillis (2019), ICASSP.
    """

    name = "minimum volume"
    smooth = True
    stage = None
    convex = False
    bounded = True

    def __init__(self, strength: float, delta: float = 1.0) -> None:
        super().__init__(strength)
        self.delta = checked("delta", delta, np.finfo(float).tiny)

    def value(self, F: np.ndarray) -> float:
        scaled = F.astype(np.float64) / self.delta**0.5
        _, log_det = np.linalg.slogdet(scaled.T @ scaled + np.eye(F.shape[1]))
        return 0.5 * self.strength * float(log_det)

    def majorizer(self, F: np.ndarray) -> np.ndarray:
        """Return M (k, k): value(Z) ≤ value(F) + ½ tr(M (ZᵀZ − FᵀF)) for all Z, equal at F."""
        wide = F.astype(np.float64)
        sizes, axes = np.linalg.eigh(wide.T @ wide)
        return self.strength * (axes / (np.maximum(sizes, 0) + self.delta)) @ axes.T

    def majorized(self, F: np.ndarray) -> Penalty:
        return _Curved(self.majorizer(F))

    def gradient(self, F: np.ndarray) -> np.ndarray:
        return F @ self.majorizer(F).astype(F.dtype)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        left, sizes, right = np.linalg.svd(F.astype(np.float64), full_matrices=False)
        bound = step * self.strength
        moved = np.array([_nearest(size, bound, self.delta) for size in sizes])
        return ((left * moved) @ right).astype(F.dtype)

    def rescaled(self, value: float, argument: float) -> MinVolume:
        return MinVolume(self.strength * value, self.delta / argument**2)


class _Curved(Penalty):
    """½ tr(M FᵀF): a (k, k) matrix more in the Gram matrix."""

    name = "curvature"
    separable = "rows"
    smooth = True
    shifts = True

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def value(self, F: np.ndarray) -> float:
        wide = F.astype(np.float64)
        return 0.5 * float(np.sum((wide.T @ wide) * self.matrix))

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gram + self.matrix.astype(gram.dtype), cross


def _nearest(size: float, bound: float, delta: float) -> float:
    # argmin over x ≥ 0 of ½ (x − size)² + ½ bound log(1 + x² / delta): the best of the roots of
    # its derivative, a cubic.
    roots = np.roots([1.0, -size, delta + bound, -size * delta])
    real = np.maximum(roots.real[np.abs(roots.imag) < 1e-6 * (size + delta**0.5)], 0.0)
    if real.size == 0:
        return 0.0
    cost = 0.5 * (real - size) ** 2 + 0.5 * bound * np.log1p(real**2 / delta)
    return float(real[np.argmin(cost)])
