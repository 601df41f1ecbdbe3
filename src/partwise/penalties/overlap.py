"""Components that overlap little, or not at all."""

from __future__ import annotations

import numpy as np

from partwise.penalties._thresholds import shrink_rows
from partwise.penalties.base import ByProx, Penalty, Scaled, checked

__all__ = ["Decorrelated", "OnePerRow", "Orthogonal"]


class Orthogonal(Scaled):
    """strength · Σ over pairs of components of f_j · f_l, for F ≥ 0: components hardly overlap.

    It adds a matrix of ones with a zero diagonal to the Gram matrix. Not convex. Larger
    components are cheaper to avoid than to shrink all: bound the scale of both factors, by a
    penalty on the other one.

    Notes
    -----
    `prox` is exact, with non-negativity in it, O(dimension · k log k).

    Sources: Li, Hou, Zhang & Cheng (2001), CVPR (local NMF, the term Σ u_jl); Cichocki & Phan
    (2009), IEICE E92-A, 708-721 (in coordinate descent).
    """

    name = "orthogonality"
    separable = "rows"
    smooth = True
    shifts = True
    convex = False
    power = 2
    degree = 2.0

    def value(self, F: np.ndarray) -> float:
        sums = F.sum(axis=1, dtype=np.float64)
        twice = float(sums @ sums - np.sum(np.square(F, dtype=np.float64)))
        return 0.5 * self.strength * max(twice, 0.0)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        slope = step * self.strength
        # A row costs ½ (1 − slope) ‖z‖² + ½ slope (Σ z)² − f · z: from slope = 1 on it is
        # concave for a given sum, and the minimum has one entry alone.
        return shrink_rows(F, slope, 1 - slope) if slope < 1 else _largest_of_rows(F)

    def shift(self, gram: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ones = gram.dtype.type(self.strength) * (1 - np.eye(len(gram), dtype=gram.dtype))
        return gram + ones, cross

    def slope(self, F: np.ndarray) -> np.ndarray:
        others = np.maximum(F.sum(axis=1, keepdims=True) - F, 0)
        return F.dtype.type(self.strength) * others

    def of_any_sign(self) -> Penalty:
        return ByProx(self, None)  # nothing is known of it


class Decorrelated(Scaled):
    """½ strength · (Σ log R_jj − log det R), R = FᵀF + delta I: components are orthogonal.

    It is 0 where the components are orthogonal, and positive elsewhere; with a small delta it
    does not depend on their scale. Not convex. It has a gradient, and no proximal map in closed
    form.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    delta : float > 0
        In the unit of F²: keeps the logarithms finite at dependent and at empty components.

    Notes
    -----
    `gradient` costs O(dimension · k²). Source: Chen & Cichocki (2005), Nonnegative matrix
    factorization with temporal smoothness and/or spatial decorrelation constraints, RIKEN.
    """

    name = "decorrelation"
    smooth = True
    stage = None
    convex = False
    degree = 0.0

    def __init__(self, strength: float, delta: float = 1e-6) -> None:
        super().__init__(strength)
        self.delta = checked("delta", delta, np.finfo(float).tiny)

    def _gram(self, F: np.ndarray) -> np.ndarray:
        wide = F.astype(np.float64)
        return wide.T @ wide + self.delta * np.eye(F.shape[1])

    def value(self, F: np.ndarray) -> float:
        R = self._gram(F)
        root = np.sqrt(np.diag(R))
        _, log_det = np.linalg.slogdet(R / np.outer(root, root))
        return 0.5 * self.strength * max(-float(log_det), 0.0)

    def gradient(self, F: np.ndarray) -> np.ndarray:
        R = self._gram(F)
        sizes, axes = np.linalg.eigh(R)
        inverse = (axes / np.maximum(sizes, self.delta)) @ axes.T
        slope = self.strength * (np.diag(1 / np.diag(R)) - inverse)
        return F @ slope.astype(F.dtype)

    def rescaled(self, value: float, argument: float) -> Decorrelated:
        return Decorrelated(self.strength * value, self.delta / argument**2)


class OnePerRow(Penalty):
    """F ≥ 0 with at most one entry of each row that is not zero: each row has one component.

    The columns of F then are orthogonal, and the components are clusters of rows. `prox` keeps
    the largest entry, O(dimension · k), and has non-negativity in it. Not convex: start from a
    fit without it, or from several random ones.

    Source: Ding, Li, Peng & Park (2006), KDD; Pompili, Gillis, Absil & Glineur (2014),
    Neurocomputing 141, 15-25.
    """

    name = "one component per row"
    constraint = True
    separable = "rows"
    convex = False
    cone = True

    def value(self, F: np.ndarray) -> float:
        inside = F.size == 0 or (F.min() >= 0 and np.count_nonzero(F, axis=1).max() <= 1)
        return 0.0 if inside else np.inf

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        return _largest_of_rows(F)


def _largest_of_rows(F: np.ndarray) -> np.ndarray:
    Z = np.zeros_like(F)
    place = F.argmax(axis=1)[:, None]
    np.put_along_axis(Z, place, np.maximum(np.take_along_axis(F, place, axis=1), 0), axis=1)
    return Z
