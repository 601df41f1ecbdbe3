"""How much of X each component, sample and feature explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from partwise.data import Data

__all__ = ["Explained", "explained"]


@dataclass
class Explained:
    """Shares of the sum of squares, uncentred: 1 − ‖residual‖² / ‖X‖².

    ``component`` has the share that each component explains alone; they add up to the
    total only if components do not overlap.
    """

    total: float
    component: np.ndarray
    sample: np.ndarray
    feature: np.ndarray


def explained(data: Data, W: np.ndarray, H: np.ndarray) -> Explained:
    """Return the shares for W (n_samples, k) and H (n_features, k).

    Cost: two products with X, O(stored entries · k).
    """
    W64, H64 = W.astype(np.float64), H.astype(np.float64)
    cross_W = (data @ H).astype(np.float64)
    cross_H = np.asarray(data.T @ W, dtype=np.float64)
    gram_W, gram_H = W64.T @ W64, H64.T @ H64
    squares = data.square_sums()
    gained = [
        np.sum(F * (2 * cross - F @ gram), axis=1)
        for F, cross, gram in ((W64, cross_W, gram_H), (H64, cross_H, gram_W))
    ]
    total = float(squares[0].sum())
    component = 2 * np.sum(W64 * cross_W, axis=0) - np.diag(gram_W) * np.diag(gram_H)
    return Explained(
        total=_share(np.array([gained[0].sum()]), np.array([total]))[0],
        component=_share(component, np.full(len(component), total)),
        sample=_share(gained[0], squares[0]),
        feature=_share(gained[1], squares[1]),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # A row without anything in it is explained by nothing, and completely so.
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
