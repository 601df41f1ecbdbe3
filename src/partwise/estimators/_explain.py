"""How much of X each component, sample and feature explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from partwise import kernels
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

    Cost: two products with X in one pass, O(stored entries · k).
    """
    if not data.complete:
        return _explained_of_known(data, W, H)
    H64 = H.astype(np.float64)
    gram_H, gram_W = H64.T @ H64, np.zeros((H.shape[1], H.shape[1]))
    gained, cross_H = np.empty(len(W)), np.zeros(H.shape)
    component = np.zeros(H.shape[1])
    for rows, block in data.stream():
        W64 = W[rows].astype(np.float64)
        cross_W = (block @ H).astype(np.float64)
        cross_H += block.T @ W[rows]
        gram_W += W64.T @ W64
        gained[rows] = np.sum(W64 * (2 * cross_W - W64 @ gram_H), axis=1)
        component += 2 * np.sum(W64 * cross_W, axis=0)
    component -= np.diag(gram_W) * np.diag(gram_H)
    return _shares(data, component, gained, np.sum(H64 * (2 * cross_H - H64 @ gram_W), axis=1))


def _explained_of_known(data: Any, W: np.ndarray, H: np.ndarray) -> Explained:
    # Of the weighted sum of squares of what is known.
    W64, H64 = W.astype(np.float64), H.astype(np.float64)
    gained, component = np.empty(len(W)), np.zeros(H.shape[1])
    gained_of_columns = np.zeros(len(H))
    height = max(1, 2**20 // max(1, len(H)))
    for rows, block in data.stream(height=height):
        values, weights = block.stored if block.is_sparse else block.array, block.weights
        if block.is_sparse:
            model = np.empty(values.shape)
            kernels.product_at(block.indptr, block.indices, W64[rows], H64, model)
            part = sparse.csr_array(
                (weights * model * (2 * values - model), block.indices, block.indptr),
                shape=block.shape,
            )
        else:
            model = W64[rows] @ H64.T
            part = weights * model * (2 * values - model)
        gained[rows] = np.asarray(part.sum(axis=1)).ravel()
        gained_of_columns += np.asarray(part.sum(axis=0)).ravel()
        crosses = 2.0 * (block @ H) - W64[rows] * block.weigh(np.square(H))
        component += np.sum(W64[rows] * crosses, axis=0)
    return _shares(data, component, gained, gained_of_columns)


def _shares(
    data: Data, component: np.ndarray, of_rows: np.ndarray, of_columns: np.ndarray
) -> Explained:
    # From what components, rows and columns gain.
    squares = data.square_sums()
    total = np.array([squares[0].sum()])
    return Explained(
        total=_share(np.array([of_rows.sum()]), total)[0],
        component=_share(component, np.repeat(total, len(component))),
        sample=_share(of_rows, squares[0]),
        feature=_share(of_columns, squares[1]),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # A row without anything in it is explained by nothing, and completely so.
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
