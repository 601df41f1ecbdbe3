"""Updates of all rows of a factor in one call: products with X, sweeps and extrapolation.

Several threads make the same call side by side. Each takes the next piece of rows that nobody
has taken, so that between two looks at X no thread waits for the interpreter.
"""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._pieces import longest_piece, take
from partwise.kernels._rows import add
from partwise.kernels.dense import narrow_product, turned_product
from partwise.kernels.extrapolation import follow, leave
from partwise.kernels.quadratic import coordinate_sweeps
from partwise.kernels.reductions import inner_rows
from partwise.kernels.sparse import sparse_product

__all__ = ["sweep_dense_rows", "sweep_sparse_rows"]


@compiled(inline="always")  # a function of its own would have all that it calls compiled once more
def _move(C, a, b, F, G, offset, free, order, limits, before, weight, judge, own):  # type: ignore[no-untyped-def]
    # Sweeps over some rows, whose products with X are C; returns what they are worth, if asked.
    f, value = F[a:b], 0.0
    leave(F, a, b, before)
    for i in range(f.shape[0]):
        for l in range(f.shape[1]):
            C[i, l] += offset[l]
            f[i, l] = max(f[i, l], F.dtype.type(0))
    coordinate_sweeps(f, G, C, order, free[a:b] if free.shape[0] > 0 else free, *limits)
    if judge:
        turned_product(f, f, own, np.bool_(True))
        value = 0.5 * inner_rows(own, G) - inner_rows(f, C)
    follow(F, a, b, before, weight, False)
    return value


@compiled(inline="always")
def _add_gram(f, own, total):  # type: ignore[no-untyped-def]
    turned_product(f, f, own, np.bool_(True))
    add(total[len(total) - len(own) :], own)


@compiled(error_model="numpy")
def sweep_dense_rows(  # type: ignore[no-untyped-def]
    X, turned, A, F, G, offset, free, order, limits, before, weight, height, sums,
    ends, values, counter,
):  # fmt: skip
    """Lower ``½ ‖X − F Aᵀ‖²`` over F ≥ 0 as `coordinate_sweeps` does, for dense X.

    X (rows, columns), or if ``turned`` its transpose, read along its rows; A (columns, k); G (k,
    k) is the Gram matrix and ``offset`` (k,) what penalties add to each row of the cross
    products. ``limits`` holds the sweeps and the share of `coordinate_sweeps`. ``before`` are two
    arrays: the first one gets F as it was; afterwards F is extrapolated by ``weight`` along its
    move from the second one. Nothing of that is done where they have no rows. Pieces of rows end
    at ``ends``; where ``values`` is of their number it gets the quadratic of each.
    ``counter`` (1,) starts at 0 and is shared by all threads.

    With ``sums`` (pieces, k, k) that gets ``Fᵀ F`` of each piece from F as it is left. With one of
    (pieces, columns + k, k) each piece goes by ``height`` rows, whose ``Xᵀ F`` is summed up above
    ``Fᵀ F`` while their part of X is still in the cache.

    Cost O(rows · columns · k).
    """
    k = F.shape[1]
    counted, once = len(sums) > 0, sums.shape[1] > k
    most = min(height, longest_piece(ends)) if once else longest_piece(ends)
    room, own = np.empty((most, k), F.dtype), np.empty((k, k), F.dtype)
    fresh = np.empty((len(A) if once else 0, k), F.dtype)
    while True:
        number = take(counter)
        if number >= len(ends) - 1:
            return
        value = 0.0
        if counted:
            sums[number] = 0
        for a in range(ends[number], ends[number + 1], most):
            b = min(a + most, ends[number + 1])
            C = room[: b - a]
            if turned:
                turned_product(X[:, a:b], A, C, np.bool_(False))
            else:
                narrow_product(X[a:b], A, C)
            judge = len(values) > 0
            value += _move(C, a, b, F, G, offset, free, order, limits, before, weight, judge, own)
            if once:
                if turned:
                    narrow_product(X[:, a:b], F[a:b], fresh)
                else:
                    turned_product(X[a:b], F[a:b], fresh, np.bool_(False))
                add(sums[number], fresh)
            if counted:
                _add_gram(F[a:b], own, sums[number])
        if len(values) > 0:
            values[number] = value


@compiled(error_model="numpy")
def sweep_sparse_rows(  # type: ignore[no-untyped-def]
    indptr,
    indices,
    data,
    A,
    F,
    G,
    offset,
    free,
    order,
    limits,
    before,
    weight,
    sums,
    ends,
    values,
    counter,
):
    """Do as `sweep_dense_rows` for X in compressed rows, with ``sums`` (pieces, k, k) or empty."""
    k = F.shape[1]
    room, own = np.empty((longest_piece(ends), k), F.dtype), np.empty((k, k), F.dtype)
    while True:
        number = take(counter)
        if number >= len(ends) - 1:
            return
        a, b, judge = ends[number], ends[number + 1], len(values) > 0
        C = room[: b - a]
        sparse_product(indptr[a : b + 1], indices, data, A, C)
        value = _move(C, a, b, F, G, offset, free, order, limits, before, weight, judge, own)
        if judge:
            values[number] = value
        if len(sums) > 0:
            sums[number] = 0
            _add_gram(F[a:b], own, sums[number])
