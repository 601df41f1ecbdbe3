"""The proximal map of the total variation of sequences."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["variation_columns"]


@compiled()
def _trim(x, slope, offset, first, last, edge, strength, y):  # type: ignore[no-untyped-def]
    # The derivative of the cost so far is −edge left of the knots ``x[first..last]`` and edge
    # right of them; at a knot its slope and offset change by ``slope`` and ``offset``. Add
    # b − y, cut the result at ±strength, and return the knots that are left, with the two where
    # it is cut.
    s, o = 1.0, -edge - y
    while first <= last and s * x[first] + o <= -strength:
        s += slope[first]
        o += offset[first]
        first += 1
    low = (-strength - o) / s
    low_slope, low_offset = s, o + strength
    s, o = 1.0, edge - y
    while first <= last and s * x[last] + o >= strength:
        s -= slope[last]
        o -= offset[last]
        last -= 1
    high = (strength - o) / s
    first -= 1
    x[first], slope[first], offset[first] = low, low_slope, low_offset
    last += 1
    x[last], slope[last], offset[last] = high, -s, strength - o
    return first, last


@compiled()
def _line(y, strength, x, slope, offset, low, high):  # type: ignore[no-untyped-def]
    # The minimum replaces y. Knots grow from the middle of their arrays.
    n = len(y)
    first, last = n + 1, n
    for i in range(n - 1):
        edge = strength if i > 0 else 0.0
        first, last = _trim(x, slope, offset, first, last, edge, strength, y[i])
        low[i], high[i] = x[first], x[last]
    s, o = 1.0, (-strength if n > 1 else 0.0) - y[n - 1]
    while first <= last and s * x[first] + o < 0:
        s += slope[first]
        o += offset[first]
        first += 1
    y[n - 1] = -o / s
    for i in range(n - 2, -1, -1):
        y[i] = min(max(y[i + 1], low[i]), high[i])


@compiled()
def variation_columns(F, strength, out):  # type: ignore[no-untyped-def]
    """Write argmin of ``½ Σ (z − f)² + strength · Σ |z[i+1] − z[i]|`` of every column to ``out``.

    F and ``out`` are (rows, k). Exact, by dynamic programming over the derivative of the cost
    of the first entries as a function of the last of them, which is piecewise linear. O(size).

    Source: Johnson (2013), Journal of Computational and Graphical Statistics 22, 246-260.
    """
    n, k = F.shape
    x, slope, offset = np.empty(2 * n + 2), np.empty(2 * n + 2), np.empty(2 * n + 2)
    low, high, y = np.empty(n), np.empty(n), np.empty(n)
    for j in range(k):
        mean = 0.0
        for i in range(n):
            mean += F[i, j]
        mean /= max(n, 1)
        for i in range(n):
            y[i] = F[i, j] - mean  # so that little cancels
        if n > 0:
            _line(y, strength, x, slope, offset, low, high)
        for i in range(n):
            out[i, j] = y[i] + mean
