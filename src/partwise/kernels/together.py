"""Several iterations in one call, for problems so small that calls would take the time."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._rows import put
from partwise.kernels.dense import narrow_product, turned_product
from partwise.kernels.extrapolation import extrapolate
from partwise.kernels.pace import nothing_new, set_out, settle
from partwise.kernels.places import ACTIVE, ITERATION, OBJECTIVE, PLAIN, WINDOW
from partwise.kernels.quadratic import coordinate_sweeps
from partwise.kernels.reductions import inner_rows

__all__ = ["descend_dense"]


@compiled()
def _clip(F):  # type: ignore[no-untyped-def]
    for i in range(F.shape[0]):
        for l in range(F.shape[1]):
            F[i, l] = max(F[i, l], F.dtype.type(0))


@compiled(error_model="numpy")
def descend_dense(  # type: ignore[no-untyped-def]
    X, turned, W, H, memory, order, repeats, shrink, pace, squares, history, done, rule
):
    """Lower ``½ ‖X − W Hᵀ‖²`` over W, H ≥ 0 by iterations of extrapolated coordinate descent.

    X (rows, columns), or if ``turned`` its transpose, with entries of a row side by side.
    W (rows, k) and H (columns, k) are updated in place, as is ``memory``: W to return to, W
    before it was extrapolated, and H to return to. Both factors are swept up to ``repeats``
    times, see `coordinate_sweeps` for ``order`` and ``shrink``. ``squares`` is ½ ‖X‖², and the
    share of it below which an objective is not known from products.

    ``history`` is of the objectives: the last few up to iteration ``done``, then room for those
    to come. Iterations end when the room does, or where `nothing_new` with ``rule`` = (next
    check, limits) is False, or before one whose objective is not known from products is settled.
    Returns the number of iterations that were settled, and ``½ ‖X − W Hᵀ‖² − ½ ‖X‖²`` after one
    that is not, 0 where there is none. Cost O(rows · columns · k) per iteration.

    Source: see `partwise.solvers.CoordinateDescent`.
    """
    rows, k = W.shape
    columns = len(H)
    accepted, solved, kept = memory
    half, least = squares
    next_check, limits = rule
    # Gram matrices of both factors, and products of X with each.
    G, own, free = np.empty((k, k), W.dtype), np.empty((k, k), W.dtype), np.empty((0, k), np.bool_)
    of_rows, of_columns = np.empty((rows, k), W.dtype), np.empty((columns, k), W.dtype)
    first = min(done, WINDOW)  # the place in ``history`` of the iteration that is done
    for n in range(len(history) - 1 - first):
        plain = pace[ITERATION] < pace[PLAIN]
        set_out(pace)
        weight = W.dtype.type(pace[ACTIVE])
        extrapolate(H.reshape(-1), kept.reshape(-1), weight, False, False)
        turned_product(H, H, G, True)
        put(accepted.reshape(-1), W.reshape(-1))
        # Products and sweeps are called from here, since each function between them and this
        # one would have them compiled once more.
        if turned:
            turned_product(X, H, of_rows, False)
        else:
            narrow_product(X, H, of_rows)
        coordinate_sweeps(W, G, of_rows, order, free, 1 if plain else repeats[0], shrink)
        extrapolate(W.reshape(-1), solved.reshape(-1), weight, False, True)
        turned_product(W, W, G, True)
        if turned:
            narrow_product(X, W, of_columns)
        else:
            turned_product(X, W, of_columns, False)
        _clip(H)
        coordinate_sweeps(H, G, of_columns, order, free, 1 if plain else repeats[1], shrink)
        turned_product(H, H, own, True)
        moved = 0.5 * inner_rows(own, G) - inner_rows(H, of_columns)
        objective = half + moved
        if objective < least * half:
            return n, moved
        if settle(pace, objective):
            put(W.reshape(-1), accepted.reshape(-1))
            put(solved.reshape(-1), accepted.reshape(-1))
            put(H.reshape(-1), kept.reshape(-1))
        place = first + 1 + n
        history[place] = pace[OBJECTIVE]
        before = history[max(0, place - WINDOW)]
        if not nothing_new(before, history[place], done + 1 + n, next_check, limits):
            return n + 1, 0.0
    return len(history) - 1 - first, 0.0
