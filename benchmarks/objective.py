"""The beta-divergence of X and W H in float64, the same for every library.

Block by block, so that nothing of the size of W H is formed. A zero of the model under a
positive entry of X counts as the smallest normal number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

# Entries of the model that are formed at a time.
BLOCK = 2**21
TINY = np.finfo(np.float64).tiny


def objective(X: Any, W: np.ndarray, H: np.ndarray, beta: float) -> float:
    """Return Σ d(X, W H), for β = 2 with d = ½ (x − y)²."""
    W, H = W.astype(np.float64, copy=False), H.astype(np.float64, copy=False)
    if sparse.issparse(X) and beta in (1, 2):
        part, rest = (_squares_apart, _overlap) if beta == 2 else (_kl_stored, _total)
        Ht = np.ascontiguousarray(H.T)
        return sum(part(X[rows], W[rows], Ht) for rows in _stored(X)) + rest(W, H)
    total = 0.0
    for rows in _blocks(X):
        x = X[rows].toarray() if sparse.issparse(X) else X[rows]
        total += divergence(x.astype(np.float64), W[rows] @ H, beta)
    return total


def divergence(x: np.ndarray, y: np.ndarray, beta: float) -> float:
    """Return Σ d(x, y) of dense arrays."""
    if beta == 2:
        return 0.5 * float(np.sum((x - y) ** 2))
    y = np.maximum(y, TINY)
    if beta == 1:
        return float(np.sum(_xlogy(x, y) - x + y))
    if beta == 0:
        return float(np.sum(x / y - np.log(x / y) - 1))
    cost = x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)
    return float(np.sum(cost)) / (beta * (beta - 1))


def _xlogy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0, x, 1) / np.where(x > 0, y, 1))


def _blocks(X: Any) -> Iterator[slice]:
    width = max(1, BLOCK // X.shape[1])
    yield from (slice(first, first + width) for first in range(0, X.shape[0], width))


def _stored(X: Any) -> Iterator[slice]:
    """Return blocks of rows with an even share of the stored entries, few of them."""
    width = max(1, BLOCK // 32 * X.shape[0] // max(1, X.nnz))
    yield from (slice(first, first + width) for first in range(0, X.shape[0], width))


def _squares_apart(x: Any, W: np.ndarray, Ht: np.ndarray) -> float:
    """Return ½ ‖x‖² − ⟨x, W H⟩."""
    values = x.data.astype(np.float64)
    return 0.5 * float(values @ values) - float(np.sum((x.astype(np.float64) @ Ht) * W))


def _overlap(W: np.ndarray, H: np.ndarray) -> float:
    """Return ½ ‖W H‖²."""
    return 0.5 * float(np.sum((W.T @ W) * (H @ H.T)))


def _kl_stored(x: Any, W: np.ndarray, Ht: np.ndarray) -> float:
    """Return Σ x log(x / (W H)) − x over the stored entries."""
    x = x.tocoo()
    values = x.data.astype(np.float64)
    model = np.einsum("ij,ij->i", W[x.row], Ht[x.col])
    return float(np.sum(_xlogy(values, np.maximum(model, TINY)) - values))


def _total(W: np.ndarray, H: np.ndarray) -> float:
    return float(W.sum(axis=0) @ H.sum(axis=1))
