"""Several iterations in one call, of problems so small that what is between calls is felt.

Several threads make the same call side by side. They take pieces of rows by tickets, which are
handed out in the order of the work: the rows of one factor, then those of the other, and so on.
Whoever is done with the last piece of a factor does what is to be done once and lets the next
tickets in. So no thread needs another one to come: one that is late finds the work done.
"""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels._pieces import add_to, longest_piece
from partwise.kernels._rows import add, put
from partwise.kernels.dense import narrow_product, turned_product
from partwise.kernels.extrapolation import extrapolate, follow, leave
from partwise.kernels.pace import hardly_fell, nothing_new, set_out, settle
from partwise.kernels.places import (
    ACTIVE,
    DONE,
    ENDED,
    ITERATION,
    OBJECTIVE,
    OPEN,
    PLAIN,
    TICKETS,
    WINDOW,
)
from partwise.kernels.quadratic import coordinate_sweeps
from partwise.kernels.reductions import inner_rows
from partwise.kernels.waiting import wait_for_turn

__all__ = ["descend_dense"]


@compiled()
def _clip(F):  # type: ignore[no-untyped-def]
    for i in range(F.shape[0]):
        for l in range(F.shape[1]):
            F[i, l] = max(F[i, l], F.dtype.type(0))


@compiled(error_model="numpy")
def _judge(n, factors, memory, pace, values, squares, history, done, rule, found):  # type: ignore[no-untyped-def]
    # After the n-th iteration: keep or undo it, and return whether another one comes. ``found`` is
    # as in `descend_dense`.
    W, H = factors
    accepted, solved, kept = memory
    half, least = squares
    moved = 0.0
    for number in range(len(values)):
        moved += values[number]
    objective = half + moved
    found[0], found[1] = n, moved
    if objective < least * half:
        return False
    if settle(pace, objective):
        put(W.reshape(-1), accepted.reshape(-1))
        put(solved.reshape(-1), accepted.reshape(-1))
        put(H.reshape(-1), kept.reshape(-1))
    first = min(done, WINDOW)  # the place in ``history`` of the iteration that is done
    place = first + 1 + n
    history[place] = pace[OBJECTIVE]
    found[0], found[1] = n + 1, 0.0
    next_check, limits, least_fall = rule
    now = history[place]
    if hardly_fell(history[max(0, place - 2)], now, least_fall) or place + 1 == len(history):
        return False
    return nothing_new(history[max(0, place - WINDOW)], now, done + 1 + n, next_check, limits)


@compiled(error_model="numpy")
def descend_dense(  # type: ignore[no-untyped-def]
    X, turned, factors, memory, order, repeats, shrink, pace, squares, history, done, rule,
    ends, grams, sums, values, found, gate,
):  # fmt: skip
    """Lower ``½ ‖X − W Hᵀ‖²`` over W, H ≥ 0 by iterations of extrapolated coordinate descent.

    X (rows, columns), or if ``turned`` its transpose, with entries of a row side by side.
    ``factors`` W (rows, k) and H (columns, k) are updated in place, as is ``memory``: W to return
    to, W before it was extrapolated, and H to return to. Both factors are swept up to ``repeats``
    times, see `coordinate_sweeps` for ``order`` and ``shrink``. ``squares`` is ½ ‖X‖², and the
    share of it below which an objective is not known from products.

    ``history`` is of the objectives: the last few up to iteration ``done``, then room for those
    to come. Iterations end when the room does, or where by ``rule`` = (next check, limits, least
    fall) `nothing_new` is False or `hardly_fell` True, or before one whose objective is not known
    from products is settled.
    ``found`` (2,) gets the number of iterations that were settled, and ``½ ‖X − W Hᵀ‖² − ½ ‖X‖²``
    after one that is not, 0 where there is none.

    Threads share all arguments. Pieces of rows of both factors end at ``ends``; ``grams`` (2, k,
    k), ``sums`` (pieces of W, k, k) and ``values`` (pieces of H,) are room. ``gate`` holds
    `places.GATE` zeros but for one ticket that is open; 1 at `places.ENDED` ends all calls.

    Cost O(rows · columns · k) per iteration.

    Source: see `partwise.solvers.CoordinateDescent`.
    """
    (W, H), kept = factors, memory[2]
    k = W.shape[1]
    own, free = np.empty((k, k), W.dtype), np.empty((0, k), np.bool_)
    room = np.empty((max(longest_piece(ends[0]), longest_piece(ends[1])), k), W.dtype)
    of_w, of_both = len(ends[0]) - 1, len(ends[0]) + len(ends[1]) - 2
    while True:
        ticket = add_to(gate, TICKETS, 1)
        if not wait_for_turn(gate, ticket):
            return
        n, number = ticket // of_both, ticket % of_both
        if number == 0:
            set_out(pace)
            weight = W.dtype.type(pace[ACTIVE])
            extrapolate(H.reshape(-1), kept.reshape(-1), weight, False, False)
            turned_product(H[:, :k], H, grams[0], np.bool_(True))
            add_to(gate, OPEN, of_w - 1)
        first, plain = number < of_w, pace[ITERATION] <= pace[PLAIN]
        F, A, G, most = (W, H, grams[0], repeats[0]) if first else (H, W, grams[1], repeats[1])
        number = number if first else number - of_w
        a = ends[0][number] if first else ends[1][number]
        b = ends[0][number + 1] if first else ends[1][number + 1]
        f, C = F[a:b], room[: b - a]
        # Products and sweeps are called from here, since each function between them and this
        # one would have them compiled once more.
        if first == turned:
            turned_product(X[:, a:b], A, C, np.bool_(False))
        else:
            narrow_product(X[a:b], A, C)
        if first:
            leave(W, a, b, memory)
        _clip(f)
        coordinate_sweeps(f, G, C, order, free, 1 if plain else most, shrink)
        if first:
            follow(W, a, b, memory, W.dtype.type(pace[ACTIVE]), False)
        turned_product(f[:, :k], f, own, np.bool_(True))
        if first:
            put(sums[number].reshape(-1), own.reshape(-1))
        else:
            values[number] = 0.5 * inner_rows(own, G) - inner_rows(f, C)
        if add_to(gate, DONE, 1) + 1 != n * of_both + (of_w if first else of_both):
            continue
        if first:
            put(grams[1].reshape(-1), sums[0].reshape(-1))
            for part in range(1, len(sums)):
                add(grams[1], sums[part])
            add_to(gate, OPEN, of_both - of_w)
        elif _judge(n, factors, memory, pace, values, squares, history, done, rule, found):
            add_to(gate, OPEN, 1)
        else:
            add_to(gate, ENDED, 1)
