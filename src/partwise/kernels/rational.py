"""Coordinate descent on divergences with poles, row by row, by steps of a rational model."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import (
    fall_logarithmic,
    fall_reciprocal,
    model_of_lines,
    move_logarithmic,
    move_logarithmic_kept,
    move_reciprocal,
    sums_of_products,
)
from partwise.kernels._logarithm import log
from partwise.kernels._pieces import take
from partwise.kernels._rows import gathered, put, put_row, room_for, row_of, table_for, turned
from partwise.kernels.extrapolation import follow, leave
from partwise.kernels.reductions import inner_rows

__all__ = ["rational_dense", "rational_sparse"]


@compiled(error_model="numpy")
def _meeting(a, level, curve, beta):  # type: ignore[no-untyped-def]
    # The u > 0 with level + curve u = a / u^(2 − β).
    if beta == 1.0:
        return 2 * a / (level + np.sqrt(level * level + 4 * curve * a))
    u = np.sqrt(a / level) if level > 0 else np.inf
    if curve > 0:
        # From above, Newton's method on a convex function does not pass its root.
        u = min(u, (a / curve) ** (1 / 3) + max(-level, 0.0) / curve)
        for _ in range(50):
            excess = (level + curve * u) * u * u - a
            step = excess / ((2 * level + 3 * curve * u) * u)
            u -= step
            if not step > 1e-13 * u:
                break
    return u


@compiled(error_model="numpy")
def _no_further(new, old, up, bend):  # type: ignore[no-untyped-def]
    # An entry on which much of the model rests falls in steps: its own pole is near zero.
    if new < 0.1 * old:
        new = 0.1 * old if old * bend > 0.1 * up else max(new, 0.0)
    return new


@compiled(error_model="numpy")
def _root(old, up, bend, level, curve, beta):  # type: ignore[no-untyped-def]
    # Where level + curve f = a / (f + d)^(2 − β), whose right side has at the old f the value
    # ``up`` and the derivative −(2 − β) bend.
    if bend <= 0:
        return 0.0
    if curve == 0 and level > 0:
        # What follows from the rest, in the fewest operations that wait for each other.
        new = old + up * (up - level) / (bend * level)
        if beta != 1.0:
            new = old + up / bend * (np.sqrt(up / level) - 1)
        return _no_further(new, old, up, bend)
    u = up / bend
    d = u - old
    a = up * u if beta == 1.0 else up * u * u
    return _no_further(_meeting(a, level - curve * d, curve, beta) - d, old, up, bend)


@compiled(error_model="numpy")
def _move(sums, values, B, l, step, floor, m, beta, keep):  # type: ignore[no-untyped-def]
    if beta != 1.0:
        move_reciprocal(sums, values, B, l, step, floor, m)
    elif keep:
        move_logarithmic_kept(sums, values, B, l, step, floor, m)
    else:
        move_logarithmic(sums, values, B, l, step, floor, m)


@compiled(error_model="numpy")
def _descend(f, B, values, sums, slope, curve, free, repeats, floor, beta, keep):  # type: ignore[no-untyped-def]
    # Sweeps over the entries of a row f ≥ 0 whose model is y = f B. Needs and keeps
    # ``values``, x, y, and if so asked 1 / y, and the ``sums`` of the component that
    # comes next.
    k = len(f)
    none = f.dtype.type(0)
    first = 0.0
    fresh = True
    for sweep in range(repeats):
        change = 0.0
        for l in range(k):
            if not fresh:
                if keep:
                    sums_of_products(sums, B, l, values)
                else:
                    _move(sums, values, B, l, none, floor, l, beta, keep)
            fresh = False
            old, up, bend = float(f[l]), float(sums[0]), float(sums[1])
            level = slope[l] + float(sums[2])
            if not free[l] or (old == 0 and level >= up):
                continue
            step = f.dtype.type(_root(old, up, bend, level, curve, beta) - old)
            if step != 0:
                f[l] += step
                change += step * step
                _move(sums, values, B, l, step, floor, l + 1 if l + 1 < k else 0, beta, keep)
                fresh = True
        if sweep == 0:
            first = change
        if not change > 0.04 * first:
            break


@compiled(error_model="numpy")
def _see(f, B, values, sums, floor, beta, keep):  # type: ignore[no-untyped-def]
    # y = f B, and what follows from it; where B is zero, beyond the data, x is too.
    model_of_lines(values, B, f)
    _move(sums, values, B, 0, f.dtype.type(0), floor, 0, beta, keep)


@compiled(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _cost(values, n, beta):  # type: ignore[no-untyped-def]
    # What depends on y and is not linear in it: −Σ x log y, or Σ x / y + log y; in float64.
    total = 0.0
    for p in range(n):
        x, y = np.float64(values[0, p]), np.float64(values[1, p])
        total += -x * log(y) if beta == 1.0 else x / y + log(y)
    return total


@compiled(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _fall(values, n, beta):  # type: ignore[no-untyped-def]
    # By how much that cost fell since the model was values[3].
    total = 0.0
    for p in range(n):
        x, y, old = np.float64(values[0, p]), np.float64(values[1, p]), np.float64(values[3, p])
        inverse = 1.0 / (y * old)
        gained = log(y * y * inverse)
        total += x * gained if beta == 1.0 else x * ((y - old) * inverse) - gained
    return total


@compiled(error_model="numpy")
def _penalty(f, slope, curve):  # type: ignore[no-untyped-def]
    total = 0.0
    for l in range(len(f)):
        total += (slope[l] + 0.5 * curve * f[l]) * f[l]
    return total


@compiled(error_model="numpy")
def _rose(f, old, values, stored, slope, curve, beta):  # type: ignore[no-untyped-def]
    # Whether the objective of a row is above that at the old f, whose model is values[3]. Mostly
    # a bound says that it is not, at a fifth of the cost of logarithms.
    rise, digits = _penalty(f, slope, curve), 1e-12 if f.itemsize == 8 else 1e-5
    size = abs(rise) + (stored if beta == 0.0 else 0)  # what a cost of that kind is about
    rise -= _penalty(old, slope, curve)
    fall = fall_logarithmic(values) if beta == 1.0 else fall_reciprocal(values)
    if rise <= float(fall) + digits * size:
        return False
    fall = _fall(values, stored, beta)
    return not rise <= fall + digits * (size + abs(fall))


@compiled(error_model="numpy")
def _improve(  # type: ignore[no-untyped-def]
    f, B, values, sums, stored, slope, curve, free, repeats, floor, beta, keep, old, judge
):
    # Sweeps over a row, or, should they have raised its objective, one multiplicative update,
    # the minimum of a majorizer, whose poles are at zero. Returns the row's cost, if so asked.
    put(old, f)
    _see(f, B, values, sums, floor, beta, keep)
    for p in range(values.shape[1]):
        values[3, p] = values[1, p]
    _descend(f, B, values, sums, slope, curve, free, repeats, floor, beta, keep)
    if _rose(f, old, values, stored, slope, curve, beta):
        put(f, old)
        _see(f, B, values, sums, floor, beta, keep)
        for l in range(len(f)):
            _move(sums, values, B, l, f.dtype.type(0), floor, l, beta, keep)
            up, level = float(sums[0]), slope[l] + float(sums[2])
            if free[l] and level + curve * old[l] > 0:
                a = up * old[l] if beta == 1.0 else up * float(old[l]) ** 2
                f[l] = _meeting(a, level, curve, beta) if a > 0 else 0.0
        _see(f, B, values, sums, floor, beta, keep)
    return _cost(values, stored, beta) if judge else 0.0


@compiled()
def _worth(total, F, a, b, of_loss):  # type: ignore[no-untyped-def]
    # With what the loss adds to the slopes of rows, where they differ.
    return total + inner_rows(F[a:b], of_loss[a:b]) if len(of_loss) > 0 else total


@compiled(error_model="numpy")
def rational_sparse(  # type: ignore[no-untyped-def]
    indptr, indices, data, F, A, slope, curve, free, repeats, floor, of_loss, before, weight,
    ends, values, counter,
):  # fmt: skip
    """Lower the Kullback–Leibler divergence of compressed rows from ``F Aᵀ`` over ``F ≥ 0``.

    ``F`` (rows, k) is updated in place, row by row, with A (columns, k) known: up to
    ``repeats`` sweeps over its entries, which visit stored entries of X only, until a sweep
    changes a row by less than 0.2 times its first one. ``slope`` (1, k), or (rows, k) where rows
    differ, is the column sums of A plus what linear penalties add, ``curve`` the strength of a
    quadratic penalty. Entries where ``free`` (rows, k; no rows: all are free) is False stay. The
    model is seen as at least ``floor``.

    The derivative in one entry f is ``slope + curve f − Σ b x / (rest + f b)``. The sum is
    replaced by one pole ``a / (f + d)`` with its value and derivative: as 1 / Σ is concave,
    the sum is at least that, so that a step upwards never passes the minimum, and is longer
    than Newton's. A row whose objective rose all the same is updated from where it was by the
    multiplicative update, which cannot raise it.

    Pieces of rows end at ``ends``; ``counter`` (1,) starts at 0 and is shared by all threads, which
    make the same call side by side and take pieces one by one. Where ``values`` is of the number of
    pieces it gets ``−Σ x log y`` over their stored entries at the new F, in float64, and the sum of
    f times ``of_loss`` (rows, k; no rows: none). ``before`` are two arrays: the first one gets F as
    it was; afterwards F is extrapolated by ``weight`` along its move from the second one, never
    below zero. Nothing of that is done where they have no rows.

    Cost O(stored · k · repeats).

    Source: coordinate descent after Hsieh & Dhillon (2011), KDD, section 3.2, and Hien &
    Gillis (2021), Journal of Scientific Computing 87, section 3.2, with another model.
    """
    k = F.shape[1]
    longest, table = table_for(indptr, A)
    room = room_for(4 * longest, F)
    sums = np.zeros(3, F.dtype)
    spare = np.zeros(k, F.dtype)
    everywhere = np.ones(k, np.bool_)
    judge = len(values) > 0
    while True:
        number = take(counter)
        if number >= len(ends) - 1:
            return
        a, b, total = ends[number], ends[number + 1], 0.0
        leave(F, a, b, before)
        for i in range(a, b):
            start, stored = indptr[i], indptr[i + 1] - indptr[i]
            B = gathered(table, A, indices, start, stored)
            n = B.shape[1]
            x = room[: 4 * n].reshape(4, n)
            put_row(x[0], data, start, stored)
            allowed = row_of(free, i, everywhere)
            own = row_of(slope, i, slope[0])
            total += _improve(
                F[i], B, x, sums, stored, own, curve, allowed,
                repeats, floor, 1.0, True, spare, judge,
            )  # fmt: skip
        if judge:
            values[number] = _worth(total, F, a, b, of_loss)
        follow(F, a, b, before, weight, True)


@compiled(error_model="numpy")
def rational_dense(  # type: ignore[no-untyped-def]
    X, F, A, slope, curve, free, repeats, floor, beta, of_loss, before, weight,
    ends, values, counter,
):  # fmt: skip
    """Do as `rational_sparse` for dense rows X (rows, columns), also for Itakura–Saito.

    For ``beta`` = 0 the derivative in f is ``slope + curve f + Σ b / y − Σ b x / y²``: the
    first sum belongs to a concave part, and stays what it is at the old f; the second one is
    replaced by one pole ``a / (f + d)²``, below it since 1 / √Σ is concave.

    ``values`` gets ``−Σ x log y``, for ``beta`` = 0 ``Σ x / y + log y``. Cost O(rows · columns · k
    · repeats).
    """
    k = F.shape[1]
    columns = X.shape[1]
    B = turned(A)
    x = room_for(4 * B.shape[1], F).reshape(4, B.shape[1])
    sums = np.zeros(3, F.dtype)
    spare = np.zeros(k, F.dtype)
    everywhere = np.ones(k, np.bool_)
    judge = len(values) > 0
    while True:
        number = take(counter)
        if number >= len(ends) - 1:
            return
        a, b, total = ends[number], ends[number + 1], 0.0
        leave(F, a, b, before)
        for i in range(a, b):
            put_row(x[0], X[i], 0, columns)
            allowed = row_of(free, i, everywhere)
            own = row_of(slope, i, slope[0])
            total += _improve(
                F[i], B, x, sums, columns, own, curve, allowed,
                repeats, floor, beta, False, spare, judge,
            )  # fmt: skip
        if judge:
            values[number] = _worth(total, F, a, b, of_loss)
        follow(F, a, b, before, weight, True)
