"""The nearest increasing and unimodal sequences, by pooling adjacent violators."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["increasing_columns", "unimodal_columns"]


@compiled()
def _cost(mean, count, spread, positive):  # type: ignore[no-untyped-def]
    # Squared distance of a block from its value, its mean or, at least, zero.
    return spread + count * mean * mean if positive and mean < 0 else spread


@compiled()
def _pool(y, positive, mean, count, below, error):  # type: ignore[no-untyped-def]
    # Blocks of the best increasing fit of y: ``mean`` and ``count`` (length), their number is
    # returned. ``error[i]`` is the squared distance of y[:i] from its own best fit, ``below[b]``
    # that of what lies in the blocks before b.
    n = len(y)
    spread = np.zeros(n)
    error[0] = 0.0
    top = -1
    for i in range(n):
        if top >= 0:
            below[top + 1] = below[top] + _cost(mean[top], count[top], spread[top], positive)
        else:
            below[0] = 0.0
        top += 1
        mean[top], count[top], spread[top] = y[i], 1, 0.0
        while top > 0 and mean[top - 1] > mean[top]:
            a, b = count[top - 1], count[top]
            gap = mean[top] - mean[top - 1]
            spread[top - 1] += spread[top] + gap * gap * a * b / (a + b)
            mean[top - 1] += gap * b / (a + b)
            count[top - 1] = a + b
            top -= 1
        error[i + 1] = below[top] + _cost(mean[top], count[top], spread[top], positive)
    return top + 1


@compiled()
def _write(mean, count, blocks, positive, out):  # type: ignore[no-untyped-def]
    place = 0
    for b in range(blocks):
        value = max(mean[b], 0.0) if positive else mean[b]
        for _ in range(count[b]):
            out[place] = value
            place += 1


@compiled()
def increasing_columns(F, out):  # type: ignore[no-untyped-def]
    """Write the nearest increasing sequence of every column of F (rows, k) to ``out``; O(size).

    Source: Barlow, Bartholomew, Bremner & Brunk (1972), Statistical Inference under Order
    Restrictions, chapter 1 (pool adjacent violators).
    """
    n, k = F.shape
    mean, count, below = np.empty(n), np.empty(n, np.int64), np.zeros(n)
    error, fit = np.empty(n + 1), np.empty(n)
    for j in range(k):
        blocks = _pool(F[:, j].astype(np.float64), False, mean, count, below, error)
        _write(mean, count, blocks, False, fit)
        for i in range(n):
            out[i, j] = fit[i]


@compiled()
def unimodal_columns(F, out):  # type: ignore[no-untyped-def]
    """Write the nearest sequence ≥ 0 that rises, then falls, of every column to ``out``.

    F is (rows, k). One pass from each end gives the error of the best fit to all first and to
    all last entries; the mode is where their sum is least, the first one of several.
    O(size).

    Source: Stout (2008), Computational Statistics & Data Analysis 53, 289-297, section 3; the
    bound at zero enters as the error of blocks that would be negative.
    """
    n, k = F.shape
    mean, count, below = np.empty(n), np.empty(n, np.int64), np.zeros(n)
    rising, falling, fit = np.empty(n + 1), np.empty(n + 1), np.empty(n)
    for j in range(k):
        y = F[:, j].astype(np.float64)
        _pool(y, True, mean, count, below, rising)
        _pool(y[::-1].copy(), True, mean, count, below, falling)
        mode = 0
        for m in range(1, n + 1):
            if rising[m] + falling[n - m] < rising[mode] + falling[n - mode]:
                mode = m
        blocks = _pool(y[:mode], True, mean, count, below, rising)
        _write(mean, count, blocks, True, fit)
        blocks = _pool(y[mode:][::-1].copy(), True, mean, count, below, falling)
        _write(mean, count, blocks, True, fit[mode:][::-1])
        for i in range(n):
            out[i, j] = fit[i]
