"""Scalar Newton steps for the Kullback–Leibler divergence, row by row."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._lines import LINE, move_model, sum_of_products
from partwise.kernels._logarithm import log

__all__ = ["newton_dense", "newton_sparse"]

# A Newton step upwards on the gradient may be taken whole below this decrement.
WHOLE = 0.683802


@compiled(error_model="numpy")
def _descend(f, B, x, y, q, t, slope, curve, free, repeats, floor):  # type: ignore[no-untyped-def]
    # Lower Σ (y − x log y) + slope·f + ½ curve ‖f‖² over f ≥ 0, y = f B, where the part of y
    # that is linear in f is in the slopes. Needs and keeps y, q = x / y, t = q / y.
    k, n = B.shape
    smallest = np.inf
    for p in range(n):
        if x[p] > 0 and x[p] < smallest:
            smallest = x[p]
    scale = 1 / np.sqrt(smallest)
    first = 0.0
    for sweep in range(repeats):
        change = 0.0
        for l in range(k):
            if not free[l]:
                continue
            old = f[l]
            g = slope[l] + f.dtype.type(curve) * old - sum_of_products(n, B[l], q, None)
            if old == 0 and g >= 0:
                continue
            h = sum_of_products(n, B[l], B[l], t) + curve
            if h > 0:
                new = max(old - g / h, old * 0)
                decrement = scale * np.sqrt(h) * abs(new - old)
                if g > 0 and decrement > WHOLE:
                    new = old + (new - old) / (1 + decrement)
            else:
                new = old * 0 if g > 0 else old
            step = f.dtype.type(new - old)
            if step != 0:
                f[l] = new
                change += step * step
                move_model(n, x, y, q, t, B[l], step, floor)
        if sweep == 0:
            first = change
        if not change > 0.04 * first:
            break


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _see(f, B, x, y, q, t, floor):  # type: ignore[no-untyped-def]
    # y = f B, q = x / y, t = q / y; where B is zero, beyond the data, x is too.
    k, n = B.shape
    for p in range(n):
        y[p] = f[0] * B[0, p]
    for l in range(1, k - 1):
        for p in range(n):
            y[p] += f[l] * B[l, p]
    move_model(n, x, y, q, t, B[k - 1], f[k - 1] if k > 1 else f[0] * 0, floor)


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
    x, y, q, t = (
        np.zeros(longest, F.dtype),
        np.ones(longest, F.dtype),
        np.zeros(longest, F.dtype),
        np.zeros(longest, F.dtype),
    )
    everywhere = np.ones(k, np.bool_)
    total = 0.0
    for i in range(rows):
        start, stored = indptr[i], indptr[i + 1] - indptr[i]
        n = (stored + line - 1) // line * line
        B = table[: k * n].reshape(k, n)
        f = F[i]
        for p in range(stored):
            a = A[indices[start + p]]
            for l in range(k):
                B[l, p] = a[l]
        for l in range(k):
            B[l, stored:n] = 0
        x[:stored] = data[start : start + stored]
        x[stored:n] = 0
        _see(f, B, x, y, q, t, floor)
        allowed = free[i] if free.shape[0] > 0 else everywhere
        _descend(f, B, x, y, q, t, slope, curve, allowed, repeats, floor)
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
        np.ones(n, F.dtype),
        np.zeros(n, F.dtype),
        np.zeros(n, F.dtype),
    )
    everywhere = np.ones(k, np.bool_)
    total = 0.0
    for i in range(rows):
        f = F[i]
        x[:columns] = X[i]
        _see(f, B, x, y, q, t, floor)
        allowed = free[i] if free.shape[0] > 0 else everywhere
        _descend(f, B, x, y, q, t, slope, curve, allowed, repeats, floor)
        total += _cost(x, q, columns)
    return total
