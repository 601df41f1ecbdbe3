"""Least squares over rows of a factor whose entries may have any sign."""

from __future__ import annotations

import numpy as np

__all__ = ["solve_signed"]


def solve_signed(F: np.ndarray, gram: np.ndarray, cross: np.ndarray, free: np.ndarray) -> None:
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over F of any sign, in place.

    ``F`` (rows, k) is the start; entries where ``free`` (rows, k) is False stay, and an array
    of no rows means that all are free. Among many minimizers that next to the start, in the unit
    of each component, is taken, so that the quadratic does not rise even where G is singular.
    Cost O(rows · k² + k³), and k³ for each pattern of free entries.
    """
    k, eps = len(gram), float(np.finfo(F.dtype).eps)
    gram = gram.astype(np.float64)
    falling = cross - F @ gram
    if not free.shape[0]:
        F += (falling @ _inverse(gram, eps)).astype(F.dtype)
        return
    patterns, which = np.unique(free, axis=0, return_inverse=True)
    for number, open_ in enumerate(patterns):
        rows, inverse = which.reshape(-1) == number, np.zeros((k, k))
        inverse[np.ix_(open_, open_)] = _inverse(gram[np.ix_(open_, open_)], eps)
        F[rows] += (falling[rows] @ inverse).astype(F.dtype)


def _inverse(gram: np.ndarray, eps: float) -> np.ndarray:
    # The pseudo-inverse, up to the scales of the components.
    size = np.sqrt(np.maximum(np.diag(gram), 0))
    unit = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
    values, axes = np.linalg.eigh(gram * np.outer(unit, unit))
    kept = values > len(gram) * eps * values.max(initial=0)
    axes = axes[:, kept] * unit[:, None]
    inverse: np.ndarray = (axes / values[kept]) @ axes.T
    return inverse
