"""How much of X each component, sample and feature explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from partwise import kernels
from partwise._threads import each, in_turns
from partwise.data import Data
from partwise.data.base import small_blocks

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


def explained(
    data: Data, W: np.ndarray, H: np.ndarray, slopes: tuple[np.ndarray, np.ndarray] | None = None
) -> Explained:
    """Return the shares for W (n_samples, k) and H (n_features, k).

    ``slopes``: of ½ ‖X − W Hᵀ‖² in W and in H, if they are known, of complete data; the cost is
    O((n_samples + n_features) · k²) then, else two products with X in one pass, O(stored entries ·
    k).
    """
    if not data.complete:
        return _explained_of_known(data, W, H)
    if slopes is not None:
        gram_H, gram_W = _gram(H), _gram(W)
        gained, sloped = _gains(W, gram_H, slopes[0], slopes=True)
        crossed = np.sum(gram_W * gram_H, axis=0) - sloped
        component = 2 * crossed - np.diag(gram_W) * np.diag(gram_H)
        of_columns = _gains(H, gram_W, slopes[1], slopes=True)[0]
        return _shares(data, component, gained, of_columns)
    gram_H, gram_W = _gram(H), np.zeros((H.shape[1], H.shape[1]))
    gained, component = np.empty(len(W)), np.zeros(H.shape[1])
    cross_H: np.ndarray | None = None
    for rows, block in data.stream():
        gained[rows], crossed = _gains(W[rows], gram_H, block @ H)
        component += 2 * crossed
        gram_W += _gram(W[rows])
        product = block.T @ W[rows]
        if cross_H is None:
            cross_H = product.astype(np.float64, copy=False)
        else:
            cross_H += product
    assert cross_H is not None
    component -= np.diag(gram_W) * np.diag(gram_H)
    return _shares(data, component, gained, _gains(H, gram_W, cross_H)[0])


def _gram(F: np.ndarray) -> np.ndarray:
    # Fᵀ F in float64, of which no copy as large as F is made.
    k = F.shape[1]

    def piece(rows: slice) -> np.ndarray:
        part = F[rows].astype(np.float64, copy=False)
        return np.asarray(part.T @ part)

    total = np.zeros((k, k))
    for part in in_turns(piece, small_blocks(F, 8 * k)):  # larger than what they give
        total += part
    return total


def _gains(
    F: np.ndarray, gram: np.ndarray, known: np.ndarray, *, slopes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    # What each row explains, Σ F ∘ (2 cross − F gram), and the sums of columns of F ∘ known. Known
    # are cross products, or slopes, F gram − cross.
    gained = np.empty(len(F))

    def piece(rows: slice) -> np.ndarray:
        part = F[rows].astype(np.float64, copy=False)
        own = np.einsum("ij,ij->i", part, part @ gram)
        crossed = known[rows].astype(np.float64, copy=False)
        other = 2 * np.einsum("ij,ij->i", part, crossed)
        gained[rows] = own - other if slopes else other - own
        return np.einsum("ij,ij->j", part, crossed)

    return gained, np.sum(each(piece, small_blocks(F)), axis=0)


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
