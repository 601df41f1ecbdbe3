"""Scalar Newton steps for the Kullback–Leibler divergence, row by row."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import LINE, move_model, sums_of_products
from partwise.kernels._logarithm import log

__all__ = ["newton_dense", "newton_sparse"]


@compiled(error_model="numpy")
def _root(old, up, bend, slope, curve):  # type: ignore[no-untyped-def]
    # Where slope + curve f = a / (f + d), whose right side has at the old f the value ``up``
    # and the derivative −bend.
    if bend <= 0:
        return 0.0
    d = up / bend - old
    a = up * up / bend
    b = slope - curve * d
    new = 2 * a / (b + np.sqrt(b * b + 4 * curve * a)) - d
    # An entry on which much of the model rests falls in steps: its own pole is near zero.
    if new < 0.1 * old:
        new = max(new, 0.1 * old) if old * bend > 0.1 * up else max(new, 0.0)
    return new


@compiled(error_model="numpy")
def _descend(f, B, x, y, q, t, slope, curve, free, repeats, floor, sums):  # type: ignore[no-untyped-def]
    # Lower Σ (y − x log y) + slope·f + ½ curve ‖f‖² over f ≥ 0, y = f B, where the part of y
    # that is linear in f is in the slopes. Needs and keeps y, q = x / y, t = q / y, and the
    # sums Σ b q and Σ b² t of the component that comes next.
    k = len(f)
    first = 0.0
    fresh = True
    for sweep in range(repeats):
        change = 0.0
        for l in range(k):
            if not fresh:
                sums_of_products(sums, B, l, q, t)
            fresh = False
            old, up, bend = f[l], sums[0], sums[1]
            if not free[l] or (old == 0 and slope[l] >= up):
                continue
            step = f.dtype.type(_root(float(old), float(up), float(bend), slope[l], curve) - old)
            if step != 0:
                f[l] += step
                change += step * step
                move_model(sums, x, y, q, t, B, l, step, floor, l + 1 if l + 1 < k else 0)
                fresh = True
        if sweep == 0:
            first = change
        if not change > 0.04 * first:
            break


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _see(f, B, x, y, q, t, floor, sums):  # type: ignore[no-untyped-def]
    # y = f B, q = x / y, t = q / y, and the sums of the first component; where B is zero,
    # beyond the data, x is too.
    k, n = B.shape
    for p in range(n):
        y[p] = f[0] * B[0, p]
    for l in range(1, k):
        for p in range(n):
            y[p] += f[l] * B[l, p]
    move_model(sums, x, y, q, t, B, 0, f.dtype.type(0), floor, 0)


@compiled(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _cost(x, q, n):  # type: ignore[no-untyped-def]
    # Σ x log(x / y) − x, in float64.
    total = 0.0
    for p in range(n):
        total += x[p] * (log(np.float64(q[p])) - 1.0)
    return total


@compiled(error_model="numpy")
def newton_sparse(indptr, indices, data, F, A, slope, curve, free, repeats, floor):  # type: ignore[no-untyped-def]
    """Lower the Kullback–Leibler divergence of compressed rows from ``F Aᵀ`` over ``F ≥ 0``.

    ``F`` (rows, k) is updated in place, row by row, with A (columns, k) known: up to
    ``repeats`` sweeps of scalar Newton steps, which visit stored entries only, until a sweep
    changes a row by less than 0.2 times its first one. ``slope`` (k,) is the column sums of
    A plus what linear penalties add, ``curve`` the strength of a quadratic penalty. Entries
    where ``free`` (rows, k; no rows: all are free) is False stay. The model is seen as at
    least ``floor``. A step is damped where the whole one could raise the objective.

    Returns ``Σ x log(x / y) − x`` over stored entries at the new F, in float64. Cost
    O(stored · k · repeats).

    Source: Hien & Gillis (2021), Journal of Scientific Computing 87, section 3.2.
    """
    rows, k = F.shape
    line = LINE // F.itemsize
    longest = line
    for i in range(rows):
        longest = max(longest, indptr[i + 1] - indptr[i])
    longest = (longest + line - 1) // line * line
    table = np.zeros(k * longest, F.dtype)
    values = np.zeros((4, longest), F.dtype)
    sums = np.zeros(2, F.dtype)
    everywhere = np.ones(k, np.bool_)
    total = 0.0
    for i in range(rows):
        start, stored = indptr[i], indptr[i + 1] - indptr[i]
        n = (stored + line - 1) // line * line
        B = table[: k * n].reshape(k, n)
        x, y, q, t = values[0, :n], values[1, :n], values[2, :n], values[3, :n]
        for p in range(stored):
            j = indices[start + p]
            x[p] = data[start + p]
            for l in range(k):
                B[l, p] = A[j, l]
        x[stored:] = 0
        for l in range(k):
            B[l, stored:] = 0
        f = F[i]
        allowed = free[i] if free.shape[0] > 0 else everywhere
        _see(f, B, x, y, q, t, floor, sums)
        _descend(f, B, x, y, q, t, slope, curve, allowed, repeats, floor, sums)
        total += _cost(x, q, stored)
    return total


@compiled(error_model="numpy")
def newton_dense(X, F, A, slope, curve, free, repeats, floor):  # type: ignore[no-untyped-def]
    """Do as `newton_sparse` for dense rows X (rows, columns).

    Cost O(rows · columns · k · repeats).
    """
    rows, k = F.shape
    line = LINE // F.itemsize
    columns = X.shape[1]
    n = (columns + line - 1) // line * line
    B = np.zeros((k, n), F.dtype)
    for p in range(columns):
        for l in range(k):
            B[l, p] = A[p, l]
    x, y, q, t = (
        np.zeros(n, F.dtype),
        np.zeros(n, F.dtype),
        np.zeros(n, F.dtype),
        np.zeros(n, F.dtype),
    )
    sums = np.zeros(2, F.dtype)
    everywhere = np.ones(k, np.bool_)
    total = 0.0
    for i in range(rows):
        f = F[i]
        x[:columns] = X[i]
        allowed = free[i] if free.shape[0] > 0 else everywhere
        _see(f, B, x, y, q, t, floor, sums)
        _descend(f, B, x, y, q, t, slope, curve, allowed, repeats, floor, sums)
        total += _cost(x, q, columns)
    return total
