"""Quadratic penalties of differences between rows: along an axis, on a graph, within classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import solveh_banded

from partwise._errors import explain
from partwise.penalties.base import Scaled

__all__ = ["Graph", "Labels", "Smooth"]


class Smooth(Scaled):
    """½ strength · Σ of squared differences of neighbouring rows: smooth components.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    order : {1, 2}
        1 for differences f[i+1] − f[i], 2 for those of differences, which leave straight lines
        free.

    Notes
    -----
    `prox` solves one banded system, O(dimension · k). Sources: Whittaker (1922), Proceedings
    of the Edinburgh Mathematical Society 41; in factorization Chen & Cichocki (2005), and
    Virtanen (2007), IEEE Transactions on Audio, Speech and Language Processing 15.
    """

    name = "smoothness"
    separable = "columns"
    smooth = True
    stage = None
    degree = 2.0

    def __init__(self, strength: float, order: int = 1) -> None:
        super().__init__(strength)
        if order not in (1, 2):
            raise ValueError(explain("order", order, "1 or 2"))
        self.order = order

    def value(self, F: np.ndarray) -> float:
        steps = np.diff(F.astype(np.float64), n=self.order, axis=0)
        return 0.5 * self.strength * float(np.sum(steps * steps))

    def gradient(self, F: np.ndarray) -> np.ndarray:
        steps = np.diff(F, n=self.order, axis=0)
        for _ in range(self.order):
            # The transpose of a difference: minus the difference of what zeros enclose.
            steps = -np.diff(steps, axis=0, prepend=0, append=0)
        return F.dtype.type(self.strength) * steps

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        n, order = len(F), self.order
        if n <= order:
            return F.copy()
        coefficients = np.array([-1.0, 1.0] if order == 1 else [1.0, -2.0, 1.0])
        bands = np.zeros((order + 1, n))  # upper form: the diagonal is the last row
        for first in range(order + 1):
            for second in range(first, order + 1):
                part = bands[order - (second - first), second : n - order + second]
                part += step * self.strength * coefficients[first] * coefficients[second]
        bands[order] += 1
        return solveh_banded(bands, F.astype(np.float64)).astype(F.dtype)


class Graph(Scaled):
    """½ strength · ½ Σ weights[a, b] ‖f_a − f_b‖²: rows that are linked are alike.

    Equal to ½ strength tr(Fᵀ L F) with the Laplacian L of the graph.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    weights : array-like or sparse matrix of shape (dimension, dimension)
        Entries ≥ 0; made symmetric as (weights + weightsᵀ) / 2, the diagonal does not matter.
    normalized : bool
        Take the Laplacian D^(−½) L D^(−½), with D the sums of weights of each row.

    Notes
    -----
    `prox` factorizes one sparse matrix. `gradient` costs O(links · k). Source: Cai, He, Han &
    Huang (2011), IEEE Transactions on Pattern Analysis and Machine Intelligence 33, 1548-1560.
    """

    name = "graph"
    smooth = True
    stage = None
    separable = "columns"
    degree = 2.0

    def __init__(self, strength: float, weights: Any, *, normalized: bool = False) -> None:
        super().__init__(strength)
        A = sparse.csr_array(weights, dtype=np.float64)
        low, high = (A.data.min(), A.data.max()) if A.nnz else (0.0, 0.0)
        if A.ndim != 2 or A.shape[0] != A.shape[1] or not 0 <= low <= high < np.inf:
            got = f"shape {A.shape}, entries from {low:g} to {high:g}"
            raise ValueError(explain("weights", got, "a square matrix of finite entries ≥ 0"))
        A = (A + A.T) / 2
        A = sparse.csr_array(A - sparse.diags_array(A.diagonal()))
        self.weights = A
        self.normalized = normalized
        self.dimension = A.shape[0]
        degrees = np.asarray(A.sum(axis=1)).reshape(-1)
        self._laplacian = sparse.csr_array(sparse.diags_array(degrees) - A)
        if normalized:
            root = sparse.diags_array(np.where(degrees > 0, degrees, 1.0) ** -0.5)
            self._laplacian = sparse.csr_array(root @ self._laplacian @ root)

    def value(self, F: np.ndarray) -> float:
        return 0.5 * self.strength * float(np.sum(F * (self._laplacian @ F), dtype=np.float64))

    def gradient(self, F: np.ndarray) -> np.ndarray:
        return (self.strength * (self._laplacian @ F)).astype(F.dtype)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        from scipy.sparse.linalg import splu

        one = sparse.eye_array(len(F), format="csc")
        system = sparse.csc_array(one + step * self.strength * self._laplacian)
        return splu(system).solve(np.ascontiguousarray(F, np.float64)).astype(F.dtype)


class Labels(Scaled):
    """½ strength · Σ over rows of ‖f − mean of its class‖²: rows of one class are alike.

    Parameters
    ----------
    strength : float
        In the scale of the objective.
    labels : array-like of int or str, of shape (dimension,)
        The class of each row; −1, NaN or None for rows whose class is not known, which are
        free.

    Notes
    -----
    The scatter within classes of discriminant analysis. It is `Graph` with the weight 1 / size
    between all rows of a class, at the cost O(dimension · k). Sources: Wang, Jia, Hu & Turk
    (2004), ACCV (Fisher NMF); Zafeiriou, Tefas, Buciu & Pitas (2006), IEEE Transactions on
    Neural Networks 17. The scatter between classes, which they subtract, is left
    out, since the objective would have no lower bound.
    """

    name = "labels"
    smooth = True
    stage = None
    separable = "columns"
    degree = 2.0

    def __init__(self, strength: float, labels: Any) -> None:
        super().__init__(strength)
        self.labels = np.asarray(labels)
        known = np.array([not (v is None or v != v or v == -1) for v in self.labels.tolist()])
        self._known = np.flatnonzero(known)
        chosen = np.array([str(v) for v in self.labels[known].tolist()])
        self._class = np.unique(chosen, return_inverse=True)[1].reshape(-1)
        self._counts = np.bincount(self._class)
        self.dimension = len(self.labels)

    def _centred(self, F: np.ndarray) -> np.ndarray:
        # What known rows differ from the mean of their class; zero for the others.
        own = F[self._known].astype(np.float64)
        sums = np.zeros((len(self._counts), F.shape[1]))
        np.add.at(sums, self._class, own)
        rest = np.zeros(F.shape)
        if len(self._known):
            rest[self._known] = own - (sums / self._counts[:, None])[self._class]
        return rest

    def value(self, F: np.ndarray) -> float:
        rest = self._centred(F)
        return 0.5 * self.strength * float(np.sum(rest * rest))

    def gradient(self, F: np.ndarray) -> np.ndarray:
        return (self.strength * self._centred(F)).astype(F.dtype)

    def prox(self, F: np.ndarray, step: float) -> np.ndarray:
        bound = step * self.strength
        return (F - bound / (1 + bound) * self._centred(F)).astype(F.dtype)
