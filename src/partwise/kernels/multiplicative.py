"""The multiplicative update of one factor."""

from __future__ import annotations

import math

from partwise.kernels._compile import compiled

__all__ = ["multiplicative_update"]


# The logarithm of zero, as far as sums of exponentials are concerned.
NEVER = -1e300


@compiled()
def _log(x):  # type: ignore[no-untyped-def]
    return math.log(x) if x > 0.0 else NEVER


@compiled(error_model="numpy")
def _best_ratio(up, down, linear, curved, p, q):  # type: ignore[no-untyped-def]
    # The root r of −up r^(p−1) + down r^(q−1) + linear + curved r, which rises with r.
    if up <= 0.0:
        return 0.0
    if q == 1.0:
        down, linear = down + linear, 0.0
    if p == 1.0 and q == 2.0:
        return max(up - linear, 0.0) / (down + curved)
    if linear == 0.0 and curved == 0.0:
        return (up / down) ** (1.0 / (q - p)) if q - p != 1.0 else up / down
    if p == 0.0 and q == 1.0:
        # Written so that it does not cancel where curved is small.
        return 2.0 * up / (down + math.sqrt(down * down + 4.0 * curved * up))
    if p == 1.0 and up <= linear:
        return 0.0
    if p == 1.0 and curved == 0.0:
        return ((up - linear) / down) ** (1.0 / (q - 1.0))
    # Newton's method on log(rising) = log(falling) in s = log r: convex, rising and close to
    # straight lines, so that it converges from anywhere in a few steps.
    logs = _log(down), _log(linear), _log(curved)
    powers = (q - 1.0, 0.0, 1.0)
    s = (math.log(up) - max(logs[0], max(logs[1], logs[2]))) / (max(q, 2.0) - p)
    for _ in range(100):
        top = NEVER
        for n in range(3):
            top = max(top, logs[n] + powers[n] * s)
        total, slope = 0.0, 0.0
        for n in range(3):
            term = math.exp(logs[n] + powers[n] * s - top)
            total += term
            slope += powers[n] * term
        value = top + math.log(total) - math.log(up) - (p - 1.0) * s
        step = value / (slope / total + 1.0 - p)
        s = min(max(s - step, -800.0), 800.0)  # a flat start may point beyond all numbers
        if abs(step) < 1e-14 * max(1.0, abs(s)):
            break
    return math.exp(s)


@compiled()
def multiplicative_update(F, negative, positive, slopes, powers, floor, free):  # type: ignore[no-untyped-def]
    """Move every entry of ``F`` to the minimum of its majorizer, but not below a floor.

    ``positive − negative`` is the gradient of the loss, both parts non-negative, all of
    shape (rows, k). ``slopes`` is a pair of such arrays, or of arrays without rows for
    none: the derivatives at F of penalties that are linear and quadratic in F. With
    ``powers`` = (p, q) the new entry is r times the old one, where

        −negative r^(p−1) + positive r^(q−1) + slopes[0] + slopes[1] r = 0,

    without penalties r = (negative / positive)^(1 / (q − p)). ``floor`` (rows,) keeps an
    entry able to return from zero. Where everything vanishes the entry stays; so do entries
    where ``free`` (rows, k; no rows: all are free) is False. Cost O(rows · k).

    Source: Févotte & Idier (2011), Neural Computation 23, section 4; the floor after
    Gillis & Glineur (2008), arXiv:0810.4225.
    """
    rows, k = F.shape
    linear, curved = slopes
    p, q = powers
    for i in range(rows):
        for j in range(k):
            if free.shape[0] > 0 and not free[i, j]:
                continue
            a = float(linear[i, j]) if linear.shape[0] > 0 else 0.0
            b = float(curved[i, j]) if curved.shape[0] > 0 else 0.0
            up, down = float(negative[i, j]), float(positive[i, j])
            if down + a + b > 0:
                F[i, j] = max(F[i, j] * _best_ratio(up, down, a, b, p, q), floor[i])
