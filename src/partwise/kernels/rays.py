"""How far rows go in a direction, to the minimum of their own quadratic over entries ≥ 0."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["go_along"]


@compiled(inline="always")
def _length_of(f, old, size, slope, curve, fall, bend):  # type: ignore[no-untyped-def]
    # How far to go from ``old`` towards and past f: to the minimum, or until one is zero. The unit
    # is ``f − old`` over ``size``: the weighted squares, halved, fall by ``fall`` per length and
    # bend by ``bend``; penalties add ``slope · f + ½ curve ‖f‖²``.
    room = np.inf
    for l in range(len(f)):
        step = (np.float64(f[l]) - np.float64(old[l])) / size
        fall -= (np.float64(slope[l]) + np.float64(curve) * np.float64(old[l])) * step
        bend += np.float64(curve) * step * step
        if step < 0:
            room = min(room, np.float64(old[l]) / -step)
    if not fall > 0:
        return 0.0
    if bend > 0:
        return min(fall / bend, room)
    return room if room < np.inf else size


@compiled(inline="always")
def _go(f, old, length, rounding):  # type: ignore[no-untyped-def]
    # So far from ``old`` towards and past f; what is left of an entry within rounding is 0.
    more = f.dtype.type(length - 1)
    for l in range(len(f)):
        new = f[l] + more * (f[l] - old[l]) if length > 0 else old[l]
        f[l] = new if new > rounding * old[l] else f.dtype.type(0)


@compiled(error_model="numpy")
def go_along(F, old, left, slope, curve, moved, sizes):  # type: ignore[no-untyped-def]
    """Move each row of F on the ray from ``old`` through it to where its objective is least.

    ``left`` (rows, k) are the weighted squares, halved, per change of entries of ``old``, with
    their sign turned, and ``moved`` (rows,) their curvature along the rows of ``F − old`` over
    ``sizes`` (rows,), which keep squares of any row in the range of numbers. Returns by how much
    their sum rose, in float64. Cost O(rows · k).
    """
    rounding = F.dtype.type(4 * np.finfo(F.dtype).eps)
    rise = 0.0
    for i in range(len(F)):
        fall, bend, size = 0.0, moved[i], sizes[i]
        for l in range(F.shape[1]):
            step = (np.float64(F[i, l]) - np.float64(old[i, l])) / size
            fall += np.float64(left[i, l]) * step
        length = _length_of(F[i], old[i], size, slope, curve, fall, bend)
        rise += length * (0.5 * length * bend - fall)
        _go(F[i], old[i], length / size, rounding)
    return rise
