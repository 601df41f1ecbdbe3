"""Coordinate descent on the Kullback–Leibler divergence, row by row, by Newton steps."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import model_of_lines, move_logarithmic
from partwise.kernels._logarithm import log
from partwise.kernels._rows import gathered, put_row, room_for, row_of, table_for, turned

__all__ = ["newton_dense", "newton_sparse"]

# The root of u + log(1 − u) + u² = 0: with a decrement up to that a full step does not rise.
FULL = 0.683802


@compiled(error_model="numpy")
def _step(old, slope, bend):  # type: ignore[no-untyped-def]
    # Newton's, to no less than zero.
    if bend > 0:
        return max(-slope / bend, -old)
    return -old if slope > 0 else 0.0


@compiled(error_model="numpy")
def _damped(step, old, bend, smallest):  # type: ignore[no-untyped-def]
    # A step down that does not raise −Σ x log y: its decrement, by the curvature and the
    # smallest x, or by its share of the entry, which no y depends on more than wholly.
    if step >= 0:
        return step
    decrement = min(np.sqrt(bend / smallest) * -step, -step / old)
    return step if decrement <= FULL else step / (1 + decrement)


@compiled(error_model="numpy")
def _descend(f, B, values, sums, slope, curve, free, how, floor, smallest):  # type: ignore[no-untyped-def]
    # Sweeps over the entries of a row f ≥ 0 whose model is y = f B; ``sums`` belong to the
    # component that comes next.
    k = len(f)
    none = f.dtype.type(0)
    sweeps, inner, damped = how
    first = 0.0
    fresh = True
    for sweep in range(sweeps):
        change = 0.0
        for l in range(k):
            begin = f[l]
            for n in range(inner):
                if not fresh:
                    move_logarithmic(sums, values, B, l, none, floor, l)
                fresh = True
                old = float(f[l])
                up, bend = float(sums[0]), float(sums[1]) + curve
                g = slope[l] + curve * old - up
                if not free[l] or (old == 0 and g >= 0):
                    fresh = False
                    break
                step = _step(old, g, bend)
                if damped:
                    step = _damped(step, old, bend, smallest)
                f[l] = max(f[l] + f.dtype.type(step), none)
                move = f.dtype.type(f[l] - f.dtype.type(old))
                following = l + 1 if l + 1 < k else 0
                small = abs(step) < 0.5 * old
                if damped or small or (step > 0 and n + 1 == inner):
                    move_logarithmic(sums, values, B, l, move, floor, following)
                    break
                move_logarithmic(sums, values, B, l, move, floor, l)
                if step < 0 and float(sums[0]) - slope[l] - curve * f[l] > g:
                    # As the slope is concave, its integral from here to the old entry is at
                    # least that of its chord, which is negative: the objective may have risen.
                    back = f.dtype.type(old + step / (1 - step / old)) - f[l]
                    f[l] += back
                    move_logarithmic(sums, values, B, l, back, floor, following)
                    break
                fresh = n + 1 < inner
            change += (f[l] - begin) ** 2
        if sweep == 0:
            first = change
        if not change > 0.04 * first:
            break


@compiled(error_model="numpy")
def _improve(f, B, values, sums, stored, slope, curve, free, how, floor):  # type: ignore[no-untyped-def]
    # Sweeps over a row; returns its −Σ x log y, in float64.
    model_of_lines(values, B, f)
    move_logarithmic(sums, values, B, 0, f.dtype.type(0), floor, 0)
    smallest = np.inf
    for p in range(stored):
        if values[0, p] > 0:
            smallest = min(smallest, float(values[0, p]))
    _descend(f, B, values, sums, slope, curve, free, how, floor, smallest)
    total = 0.0
    for p in range(stored):
        total -= np.float64(values[0, p]) * log(np.float64(values[1, p]))
    return total


@compiled(error_model="numpy")
def newton_sparse(indptr, indices, data, F, A, slope, curve, free, how, floor):  # type: ignore[no-untyped-def]
    """Lower the Kullback–Leibler divergence of compressed rows from ``F Aᵀ`` over ``F ≥ 0``.

    ``F`` (rows, k) is updated in place, row by row, with A (columns, k) known, visiting stored
    entries of X only. ``slope`` (k,) is the column sums of A plus what linear penalties add,
    ``curve`` the strength of a quadratic penalty. Entries where ``free`` (rows, k; no rows:
    all are free) is False stay. The model is seen as at least ``floor``. ``how`` is (sweeps
    over a row, Newton steps on an entry, whether they are damped): sweeps end when one
    changes a row by less than 0.2 times the first, steps on an entry when one is shorter than
    half of it.

    The objective of one entry f has the concave slope ``slope + curve f − Σ b x / y``: a step
    up never passes the minimum. A step down is damped, if so asked, as that of a self-concordant
    function; else one after which the objective may be higher is replaced by a damped one.
    So no step raises it.

    Returns ``−Σ x log y`` over stored entries at the new F, in float64. Cost O(stored · k ·
    steps).

    Sources: Hsieh & Dhillon (2011), KDD, section 3.2 (steps on an entry); Hien & Gillis (2021),
    Journal of Scientific Computing 87, section 3.2 (damped steps).
    """
    rows, k = F.shape
    longest, table = table_for(indptr, A)
    room = room_for(3 * longest, F)
    sums, everywhere = np.zeros(3, F.dtype), np.ones(k, np.bool_)
    total = 0.0
    for i in range(rows):
        start, stored = indptr[i], indptr[i + 1] - indptr[i]
        B = gathered(table, A, indices, start, stored)
        n = B.shape[1]
        values = room[: 3 * n].reshape(3, n)
        put_row(values[0], data, start, stored)
        allowed = row_of(free, i, everywhere)
        own = row_of(slope, i, slope[0])
        total += _improve(F[i], B, values, sums, stored, own, curve, allowed, how, floor)
    return total


@compiled(error_model="numpy")
def newton_dense(X, F, A, slope, curve, free, how, floor):  # type: ignore[no-untyped-def]
    """Do as `newton_sparse` for dense rows X (rows, columns). Cost O(entries · k · steps)."""
    rows, k = F.shape
    columns = X.shape[1]
    B = turned(A)
    values = room_for(3 * B.shape[1], F).reshape(3, B.shape[1])
    sums, everywhere = np.zeros(3, F.dtype), np.ones(k, np.bool_)
    total = 0.0
    for i in range(rows):
        put_row(values[0], X[i], 0, columns)
        allowed = row_of(free, i, everywhere)
        own = row_of(slope, i, slope[0])
        total += _improve(F[i], B, values, sums, columns, own, curve, allowed, how, floor)
    return total
