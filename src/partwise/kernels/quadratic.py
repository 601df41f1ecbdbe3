"""Coordinate descent (HALS) for the non-negative quadratic program, many rows at once."""

from __future__ import annotations

import numpy as np

from partwise.kernels._blocks import BLOCK, put_block, take_block
from partwise.kernels._compile import compiled
from partwise.kernels._descent import LANES, move_free_one, move_free_two, move_one, move_two
from partwise.kernels._rows import room_for

__all__ = ["coordinate_sweeps", "curvatures", "exchange", "sweep_once"]

NEVER = -1e30  # sweeps over a row that is not there: it is never done


@compiled()
def curvatures(G, F):  # type: ignore[no-untyped-def]
    """Return G in C order and the dtype of F, and 1 over its diagonal, 0 where that is not > 0."""
    k = len(G)
    gram = np.empty((k, k), F.dtype)
    inverse = np.zeros(k, F.dtype)
    for j in range(k):
        for l in range(k):
            gram[j, l] = G[j, l]
        if G[j, j] > 0:
            inverse[j] = 1 / G[j, j]
    return gram, inverse


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def _flat(T, R, G, j, M, use_free):  # type: ignore[no-untyped-def]
    # No curvature: the objective is linear in this entry, and falls towards zero if it has a
    # slope at all (a penalty on a component that explains nothing).
    k, width = T.shape
    for b in range(width):
        residual = R[j, b]
        for l in range(k):
            residual -= G[j, l] * T[l, b]
        if residual < 0 and not (use_free and M[j, b] == 0):
            T[j, b] = 0


@compiled(error_model="numpy")
def sweep_once(T, R, G, inverse, order, M, use_free, change):  # type: ignore[no-untyped-def]
    """Sweep once over the components of rows that are columns of T, each with its own ones of R.

    As `coordinate_sweeps`: entries where M is 0 stay with ``use_free``; ``change`` gets the squares
    of what each row moved. The lines of all arrays are ``LANES`` bytes.
    """
    change[:] = 0
    n = 0
    while n < len(order):
        j = order[n]
        n += 1
        if inverse[j] == 0:
            _flat(T, R, G, j, M, use_free)
        elif n < len(order) and inverse[order[n]] != 0:
            if use_free:
                move_two(T, R, G, inverse, change, M, j, order[n])
            else:
                move_free_two(T, R, G, inverse, change, M, j, order[n])
            n += 1
        elif use_free:
            move_one(T, R, G, inverse, change, M, j)
        else:
            move_free_one(T, R, G, inverse, change, M, j)


@compiled(error_model="numpy")
def exchange(F, C, free, T, R, M, row, enough, sweeps, done, first, taken):  # type: ignore[no-untyped-def]
    """Put rows that are done back into F, and take the next ones in their places.

    Rows of F are columns of T, those of C columns of R, those of ``free`` columns of M: eight of
    them, from ``first`` on, and of eight in a row all at once. ``row`` has their numbers, −1 for
    none, ``sweeps`` and ``enough`` start anew. Returns how many were put back and taken.
    """
    rows, k = F.shape
    plain = F.flags.c_contiguous and C.flags.c_contiguous
    together = plain
    for b in range(first, first + BLOCK):
        together = together and done[b] != 0 and row[b] >= 0
    if together:
        put_block(T, first, F, row, first)
    put = 0
    for b in range(first, first + BLOCK):
        if done[b] != 0 and row[b] >= 0:
            for j in range(0 if together else k):
                F[row[b], j] = T[j, b]
            put += 1
    now = taken
    for b in range(first, first + BLOCK):
        if done[b] != 0:
            row[b] = now if now < rows else -1
            sweeps[b] = 0 if now < rows else NEVER
            enough[b] = -1
            now += 1
    together = plain and now == taken + BLOCK and now <= rows
    if together:
        take_block(T, first, F, row, first)
        take_block(R, first, C, row, first)
    for b in range(first, first + BLOCK):
        if done[b] != 0 and row[b] >= 0:
            for j in range(0 if together else k):
                T[j, b] = F[row[b], j]
                R[j, b] = C[row[b], j]
            if free.shape[0] > 0:
                for j in range(k):
                    M[j, b] = free[row[b], j]
    return put, min(now, rows) - taken


@compiled(fastmath={"contract", "nsz", "reassoc"})
def _judge(change, enough, sweeps, repeats, share, done):  # type: ignore[no-untyped-def]
    # Mark the rows that had so many sweeps, or one that changed little, and count them.
    one = change.dtype.type(1)
    none, most, part = one * 0, one * repeats, one * share
    count = none
    for b in range(len(change)):
        first = part * change[b] if sweeps[b] == none else enough[b]
        enough[b] = first
        sweeps[b] += one
        over = none if sweeps[b] < most and change[b] > first else one
        done[b] = over
        count += over
    return count


@compiled()
def coordinate_sweeps(F, G, C, order, free, repeats, shrink):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by cyclic coordinate descent.

    ``F`` (rows, k) is updated in place. ``order`` holds the components in the order of
    their update. Entries where ``free`` (rows, k) is False stay; an array of no rows means
    that all are free. Each row is swept up to ``repeats`` times, until the change of a
    sweep falls to ``shrink`` times that of its first one; rows do not depend on each other,
    and a row that is done makes room for the next one. Every single update is an exact
    minimization, so the quadratic never rises. Cost O(rows · k² · repeats).

    Source: Cichocki & Phan (2009), IEICE Transactions E92-A, 708-721 (fast HALS); the
    stopping of the inner sweeps after Gillis & Glineur (2012), Neural Computation 24,
    section 4.
    """
    k = F.shape[1]
    use_free = free.shape[0] > 0
    width = LANES // F.itemsize  # so many rows are updated together
    gram, inverse = curvatures(G, F)
    T, R, M = room_for(3 * k * width, F).reshape(3, k, width)
    change, enough, sweeps, done = room_for(4 * width, F).reshape(4, width)
    M[:], done[:] = 1, 1
    row = np.full(width, -1)
    taken, busy = np.int64(0), 0  # a literal 0 would have an `exchange` of its own
    while True:
        for b in range(0, width, BLOCK):
            put, taken_now = exchange(F, C, free, T, R, M, row, enough, sweeps, done, b, taken)
            taken += taken_now
            busy += taken_now - put
        if busy == 0:
            return
        while True:
            sweep_once(T, R, gram, inverse, order, M, use_free, change)
            if _judge(change, enough, sweeps, repeats, shrink * shrink, done) > 0:
                break
