"""The nearest non-negative vector of a given ratio of L1 and L2 norm."""

from __future__ import annotations

import math

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["sparseness_columns"]


@compiled()
def _shape_of_ties(v, top, ratio):  # type: ignore[no-untyped-def]
    # The maxima tie, and there are too many of them: any vector on them with the right norms is
    # as near as any other. One large entry, and equal ones beside it, on as few as possible.
    m = max(math.ceil(ratio * ratio - 1e-12), 1)
    first = (ratio + math.sqrt(max((m - 1) * (m - ratio * ratio), 0.0))) / m
    seen = 0
    for i in range(len(v)):
        v[i] = 0.0
        if top[i] and seen < m:
            v[i] = first if seen == 0 else (ratio - first) / (m - 1)
            seen += 1


@compiled()
def _direction(v, ratio):  # type: ignore[no-untyped-def]
    # Replace v by the u ≥ 0 with ‖u‖₂ = 1 and ‖u‖₁ = ratio that is nearest to it.
    n = len(v)
    ordered = np.sort(v)[::-1]
    mean, spread = 0.0, 0.0  # of the m largest, spread = Σ (f − mean)²
    cut = -np.inf
    for m in range(1, n + 1):
        gap = ordered[m - 1] - mean
        mean += gap / m
        spread += gap * (ordered[m - 1] - mean)
        if m > ratio * ratio:
            # max(v − cut, 0) has these norms, if only the m largest are above the cut; with
            # fewer than the right ones there is always one more above it.
            cut = mean - ratio * math.sqrt(spread / (m * (m - ratio * ratio)))
            if m == n or cut >= ordered[m]:
                break
    top = v == ordered[0]
    for i in range(n):
        v[i] = max(v[i] - cut, 0.0) if cut > -np.inf else 1.0
    norm = math.sqrt(np.sum(v * v))
    if norm > 0:
        v /= norm
        return
    _shape_of_ties(v, top, ratio)


@compiled()
def sparseness_columns(F, ratio, norm, out):  # type: ignore[no-untyped-def]
    """Write the nearest z ≥ 0 with ‖z‖₁ = ratio · ‖z‖₂ of every column of F to ``out``.

    F and ``out`` are (rows, k), 1 ≤ ratio ≤ √rows. With ``norm`` > 0 also ‖z‖₂ = norm.
    O(rows · k · log rows).

    The direction of z is that of max(f − cut, 0); with the m largest entries of f above the
    cut, their mean and their spread around it give the cut in closed form. The length is
    ⟨f, direction⟩, or zero where that is negative.

    Source: Hoyer (2004), JMLR 5, 1457-1469 (the set); Thom & Palm (2013), JMLR 14, 1091-1143
    (the form of the projection).
    """
    n, k = F.shape
    for j in range(k):
        f = F[:, j].astype(np.float64)
        size = np.abs(f).max()
        v = f / size if size > 0 else f.copy()
        _direction(v, ratio)
        _direction(v, ratio)  # once more, to all digits where maxima nearly tied
        length = norm if norm > 0 else max(np.sum(v * f), 0.0)
        for i in range(n):
            out[i, j] = length * v[i]
