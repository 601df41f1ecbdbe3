"""Rows of a factor when entries of X are missing or have weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Entries

__all__ = ["observed_rows"]


def observed_rows(
    F: np.ndarray,
    entries: Entries,
    free: np.ndarray,
    order: np.ndarray,
    limits: tuple[int, float],
    *,
    exact: bool,
) -> tuple[float, int]:
    """Sweep over rows of a factor in place, or solve them exactly, for weighted squares.

    Returns half the weighted squares that are left, and how many rows were not solved.
    """
    data: Any = entries.data
    A = np.ascontiguousarray(entries.design)
    tolerance = 16 * float(np.finfo(F.dtype).eps) if exact else 0.0
    slope, curve = entries.slope[0].astype(F.dtype), F.dtype.type(entries.curve)
    how = (A, F, slope, curve, free, order, limits, tolerance)
    if data.is_sparse:
        stored = (data.indptr, data.indices, data.stored, data.weights)
        return kernels.observed_sparse(*stored, *how)
    return kernels.observed_dense(data.array, data.weights, *how)
