"""One factor when the other is known, and low-rank steps: what several starts share."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise._threads import each, spans

__all__ = ["balanced", "lower", "weights"]

# Sweeps over a row at most, and the share of its first change at which they end.
SWEEPS, ENOUGH = 30, 1e-3


def weights(X: Any, H: np.ndarray) -> np.ndarray:
    """Return W ≥ 0 with X ≈ W Hᵀ in least squares, to the precision of a start.

    ``X``: data, or their transpose. Cost O(stored entries · k + rows · k²).
    """
    cross, gram = np.ascontiguousarray(X @ H), H.T @ H
    W = np.zeros_like(cross)
    lower(W, gram, cross, SWEEPS, ENOUGH)
    # What a component explains at the rounding level of its row is nothing.
    share = W * np.sqrt(np.diagonal(gram))
    W[share <= 100 * np.finfo(W.dtype).eps * share.max(axis=1, keepdims=True)] = 0
    return W


def lower(F: np.ndarray, gram: np.ndarray, cross: np.ndarray, sweeps: int, enough: float) -> None:
    """Lower ½ tr(F G Fᵀ) − tr(F Cᵀ) over F ≥ 0 in place by sweeps of coordinate descent."""
    k = F.shape[1]
    order, free = np.arange(k), np.empty((0, k), np.bool_)

    def piece(rows: slice) -> None:
        kernels.coordinate_sweeps(F[rows], gram, cross[rows], order, free, sweeps, enough)

    each(piece, spans(len(F), 20.0 * k**2))


def balanced(W: np.ndarray, H: np.ndarray) -> dict[str, np.ndarray]:
    """Return both factors with each component scaled so that ‖W[:, j]‖ = ‖H[:, j]‖."""
    norms = [np.sqrt(kernels.squares_of_columns(F)) for F in (W, H)]
    alive = (norms[0] > 0) & (norms[1] > 0)
    ratio = np.sqrt(np.divide(norms[1], norms[0], out=np.ones_like(norms[0]), where=alive))
    return {"W": (W * ratio).astype(W.dtype), "H": (H / ratio).astype(H.dtype)}
