"""Several iterations in one call, for problems so small that calls would take the time."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._rows import put
from partwise.kernels.dense import turned_product
from partwise.kernels.extrapolation import extrapolate
from partwise.kernels.pace import nothing_new, set_out, settle
from partwise.kernels.places import ACTIVE, ITERATION, OBJECTIVE, PLAIN, WINDOW
from partwise.kernels.whole import sweep_dense_rows

__all__ = ["descend_dense"]


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
    G, offset = np.empty((k, k), W.dtype), np.zeros(k, W.dtype)
    free, none = np.empty((0, k), np.bool_), np.empty((0, k), W.dtype)
    value, nothing = np.zeros(1), np.zeros(0)
    ends = np.array([0, rows]), np.array([0, columns])
    counter = np.zeros(1, np.int64)
    first = min(done, WINDOW)  # the place in ``history`` of the iteration that is done
    for n in range(len(history) - 1 - first):
        plain = pace[ITERATION] < pace[PLAIN]
        set_out(pace)
        weight = W.dtype.type(pace[ACTIVE])
        extrapolate(H.reshape(-1), kept.reshape(-1), weight, False, False)
        turned_product(H, H, G)
        counter[0] = 0
        most = (1 if plain else repeats[0], shrink)
        sweep_dense_rows(
            X, turned, H, W, G, offset, free, order, most,
            solved, weight, ends[0], nothing, counter,
        )  # fmt: skip
        turned_product(W, W, G)
        counter[0] = 0
        most = (1 if plain else repeats[1], shrink)
        sweep_dense_rows(
            X, not turned, W, H, G, offset, free, order, most,
            none, weight, ends[1], value, counter,
        )  # fmt: skip
        objective = half + value[0]
        if objective < least * half:
            return n, value[0]
        if settle(pace, objective):
            put(W.reshape(-1), accepted.reshape(-1))
            put(solved.reshape(-1), accepted.reshape(-1))
            put(H.reshape(-1), kept.reshape(-1))
        else:
            put(accepted.reshape(-1), W.reshape(-1))
        place = first + 1 + n
        history[place] = pace[OBJECTIVE]
        before = history[max(0, place - WINDOW)]
        if not nothing_new(before, history[place], done + 1 + n, next_check, limits):
            return n + 1, 0.0
    return len(history) - 1 - first, 0.0
