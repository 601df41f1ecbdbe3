"""Gradient steps for the non-negative quadratic program, many rows at once.

Rows lie side by side, so that a product with the Gram matrix is one for all of them. Every
decision is one row's own: its step, its momentum, and when it is done; a row that is done makes
room for the next one. Steps are taken in units in which G has ones on its diagonal, so that the
scale of a component does not matter.
"""

from __future__ import annotations

import numpy as np

from partwise.kernels._blocks import BLOCK
from partwise.kernels._compile import compiled
from partwise.kernels._descent import LANES
from partwise.kernels._rows import put, room_for
from partwise.kernels._tiles import ROWS, write_residual_tiles
from partwise.kernels.quadratic import curvatures, exchange

__all__ = ["multiplicative_steps", "nesterov", "projected_gradient", "residuals"]

# Lin (2007), section 5: share of the promised decrease that is enough, factor between steps
# that are tried, and how many are tried.
ENOUGH, FACTOR, TRIALS = 0.01, 0.1, 20
POWERS = 20  # iterations for the largest eigenvalue

# Letters: rows are columns of the tables ``T``, of their values, ``R`` of C and ``M`` of what is
# free. ``D`` is the residual of T, R − G T, which points downhill. ``N`` is what is tried, and
# ``P`` its residual. All tables are (k, width); what is of a row is (width,).


@compiled()
def residuals(T, R, G, D):  # type: ignore[no-untyped-def]
    """Write ``R − G T`` into D, for T, R and D (k, line) and G (k, k) symmetric, C order."""
    for j in range(0, len(T), ROWS):
        write_residual_tiles(T, R, G, D, max(0, min(j, len(T) - ROWS)))


@compiled(error_model="numpy")
def _largest_eigenvalue(gram, inverse):  # type: ignore[no-untyped-def]
    # A bound from above for that of G in units of a unit diagonal, which powers of the sizes of
    # its entries bring close: Collatz (1942), Mathematische Zeitschrift 48.
    k = len(gram)
    scaled = np.zeros((k, k))
    for j in range(k):
        for l in range(k):
            scaled[j, l] = abs(gram[j, l]) * np.sqrt(np.float64(inverse[j]) * inverse[l])
    vector, bound = np.ones(k), 1.0
    for _ in range(POWERS):
        product = scaled @ vector
        bound, top = 0.0, product.max()
        if top == 0:
            return 1.0
        for j in range(k):
            if product[j] > 0:
                bound = max(bound, product[j] / vector[j])
                vector[j] = product[j] / top
    return max(bound, 1.0)


@compiled()
def _units(F, G, C, free):  # type: ignore[no-untyped-def]
    # G, its curvatures' inverses and roots, after entries without one, in which the quadratic is
    # linear, were set to zero where it falls there.
    gram, inverse = curvatures(G, F)
    root = np.zeros(len(gram), gram.dtype)
    for j in range(len(gram)):
        if inverse[j] > 0:
            root[j] = np.sqrt(gram[j, j])
        for i in range(len(F) if inverse[j] == 0 else 0):
            if C[i, j] < 0 and (free.shape[0] == 0 or free[i, j]):
                F[i, j] = 0
    return gram, inverse, root


@compiled(error_model="numpy")
def _renew(F, C, free, T, R, M, row, enough, sweeps, done, taken, busy):  # type: ignore[no-untyped-def]
    # Returns the numbers of rows that were taken up to now, and that are at work.
    for b in range(0, T.shape[1], BLOCK):
        put, now = exchange(F, C, free, T, R, M, row, enough, sweeps, done, b, taken)
        taken += now
        busy += now - put
    return taken, busy


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _look(T, D, M, root, inverse, left):  # type: ignore[no-untyped-def]
    # The largest min(t, slope), by size, of the free entries of each row.
    left[:] = 0
    for j in range(len(T)):
        t, d, m = T[j], D[j], M[j]
        unit, to_slope = root[j], -root[j] * inverse[j]
        for b in range(len(t)):
            value, slope = t[b] * unit, d[b] * to_slope
            gap = m[b] * abs(value if value < slope else slope)
            left[b] = gap if gap > left[b] else left[b]


@compiled(error_model="numpy")
def _bounds(R, root, inverse, bound):  # type: ignore[no-untyped-def]
    bound[:] = 0
    for j in range(len(R)):
        unit = root[j] * inverse[j]
        for b in range(R.shape[1]):
            bound[b] = max(bound[b], abs(R[j, b]) * unit)


@compiled(error_model="numpy")
def _finish(left, bound, enough, sweeps, stop, done, looked):  # type: ignore[no-untyped-def]
    # Mark the rows that are done, of those at whose residual was looked, and count them.
    tol, shrink, max_iter = stop
    count = 0
    for b in range(len(left)):
        done[b] = 0
        if looked[b] != 0:
            if enough[b] < 0:
                enough[b] = max(tol * bound[b], shrink * left[b])
            if not left[b] > enough[b] or sweeps[b] >= max_iter:
                done[b] = 1
                count += 1
            sweeps[b] += 1
    return count


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _ahead(T, D, B, E, steps, going, momentum, N):  # type: ignore[no-untyped-def]
    # A gradient step from where momentum leads; B and E are T and D before the last step.
    none = steps[0] * 0
    for j in range(len(T)):
        t, d, before, e, n = T[j], D[j], B[j], E[j], N[j]
        step = steps[j]
        for b in range(len(t)):
            ahead = t[b] + momentum[b] * (t[b] - before[b])
            down = d[b] + momentum[b] * (d[b] - e[b])
            new = ahead + going[b] * step * down
            n[b] = new if new > none else none


@compiled()
def _hold(T, M, N):  # type: ignore[no-untyped-def]
    for j in range(len(T)):
        for b in range(T.shape[1]):
            if M[j, b] == 0:
                N[j, b] = T[j, b]


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _fall(T, N, D, P, fall):  # type: ignore[no-untyped-def]
    # Twice the fall of the quadratic from T to N.
    fall[:] = 0
    for j in range(len(T)):
        t, n, d, p = T[j], N[j], D[j], P[j]
        for b in range(len(t)):
            fall[b] += (n[b] - t[b]) * (d[b] + p[b])


@compiled()
def _return(T, D, N, P, good):  # type: ignore[no-untyped-def]
    for j in range(len(T)):
        for b in range(len(good)):
            if good[b] == 0:
                N[j, b], P[j, b] = T[j, b], D[j, b]


@compiled(error_model="numpy")
def _weigh(fall, going, momentum, weight, good):  # type: ignore[no-untyped-def]
    # Which rows keep what was tried, and their next momentum: none where the quadratic rose.
    # Returns how many do not.
    bad = 0
    for b in range(len(fall)):
        good[b] = 0 if going[b] != 0 and fall[b] < 0 and momentum[b] > 0 else 1
        weight[b] = _heavier(weight[b]) if good[b] != 0 and going[b] != 0 else 1
        momentum[b] = (weight[b] - 1) / _heavier(weight[b])
        bad += good[b] == 0
    return bad


@compiled()
def _heavier(weight):  # type: ignore[no-untyped-def]
    return (1 + np.sqrt(1 + 4 * weight * weight)) / 2


@compiled()
def nesterov(F, G, C, free, stop):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by Nesterov's accelerated gradient.

    ``F`` (rows, k) is updated in place; entries where ``free`` is False stay. The step is one
    over a bound on the largest eigenvalue of G. A row whose quadratic would rise stays and loses
    its momentum, so it never rises. ``stop`` is (tol, shrink, max_iter): a row is done when its
    residual (`row_residuals`) is at most ``tol``, or ``shrink`` times that of the start. Cost
    O(rows · k²) per step.

    Source: Guan, Tao, Luo & Yuan (2012), IEEE Transactions on Signal Processing 60,
    2882-2898 (NeNMF), algorithm 1; the restarts after O'Donoghue & Candès (2015), Foundations
    of Computational Mathematics 15, section 3.2.
    """
    k, use_free = F.shape[1], free.shape[0] > 0
    width = LANES // F.itemsize
    gram, inverse, root = _units(F, G, C, free)
    steps = inverse / F.dtype.type(_largest_eigenvalue(gram, inverse))
    T, R, M, D, B, E, N, P = room_for(8 * k * width, F).reshape(8, k, width)
    of_rows = room_for(10 * width, F).reshape(10, width)
    enough, sweeps, done, bound, left, going, momentum, weight, fall, good = of_rows
    M[:], done[:], weight[:] = 1, 1, 1
    row = np.full(width, -1)
    taken, busy = np.int64(0), 0
    while True:
        for b in range(width):
            going[b] = 1 - done[b]
            momentum[b] *= going[b]
        taken, busy = _renew(F, C, free, T, R, M, row, enough, sweeps, done, taken, busy)
        if busy == 0:
            return
        _bounds(R, root, inverse, bound)
        while True:
            _ahead(T, D, B, E, steps, going, momentum, N)
            if use_free:
                _hold(T, M, N)
            residuals(N, R, gram, P)
            _fall(T, N, D, P, fall)
            if _weigh(fall, going, momentum, weight, good) > 0:
                _return(T, D, N, P, good)
            B, T, N = T, N, B
            E, D, P = D, P, E
            _look(T, D, M, root, inverse, left)
            going[:] = 1
            if _finish(left, bound, enough, sweeps, stop, done, going) > 0:
                break


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _along(T, D, inverse, size, N):  # type: ignore[no-untyped-def]
    none = inverse[0] * 0
    for j in range(len(T)):
        t, d, n = T[j], D[j], N[j]
        for b in range(len(t)):
            new = t[b] + size[b] * inverse[j] * d[b]
            n[b] = new if new > none else none


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _compare(T, N, D, P, root, fall, promised, length):  # type: ignore[no-untyped-def]
    # Of the move from T to N: twice the fall of the quadratic, the fall that the slope promises,
    # and the square of the length.
    fall[:], promised[:], length[:] = 0, 0, 0
    for j in range(len(T)):
        t, n, d, p = T[j], N[j], D[j], P[j]
        curve = root[j] * root[j]
        for b in range(len(t)):
            move = n[b] - t[b]
            fall[b] += move * (d[b] + p[b])
            promised[b] += move * d[b]
            length[b] += curve * move * move


@compiled(error_model="numpy")
def _search(fall, promised, length, least, size, tries, good, ended):  # type: ignore[no-untyped-def]
    # Which rows keep what was tried, what they try next, and whose search for a step has ended.
    # Returns how many keep nothing.
    bad = 0
    for b in range(len(fall)):
        fresh = size[b] == 0
        curved = 2 * promised[b] - fall[b]
        good[b] = fresh or fall[b] >= 2 * ENOUGH * promised[b]
        ended[b] = good[b] != 0 or tries[b] >= TRIALS
        tries[b] = 0 if ended[b] != 0 else tries[b] + 1
        if good[b] == 0:
            size[b] *= FACTOR
        else:
            size[b] = length[b] / curved if curved > 0 and not fresh else least
        bad += good[b] == 0
    return bad


@compiled()
def projected_gradient(F, G, C, free, stop):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` by projected gradient steps.

    ``F`` (rows, k) is updated in place; entries where ``free`` is False stay. Each row has a
    step size of its own: the inverse of the curvature along its last step, lowered tenfold until
    it brings a hundredth of the promised decrease. ``stop`` is (tol, shrink, max_iter): a row is
    done when its residual (`row_residuals`) is at most ``tol``, or ``shrink`` times that of
    the start. No step raises the quadratic. Cost O(rows · k²) per step tried.

    Source: Lin (2007), Neural Computation 19, 2756-2779, section 4; the first size that is tried
    after Barzilai & Borwein (1988), IMA Journal of Numerical Analysis 8, 141-148.
    """
    k, use_free = F.shape[1], free.shape[0] > 0
    width = LANES // F.itemsize
    gram, inverse, root = _units(F, G, C, free)
    least = F.dtype.type(1 / _largest_eigenvalue(gram, inverse))
    T, R, M, D, N, P = room_for(6 * k * width, F).reshape(6, k, width)
    of_rows = room_for(12 * width, F).reshape(12, width)
    enough, sweeps, done, bound, left, fall, promised, length = of_rows[:8]
    size, tries, good, ended = of_rows[8:]
    M[:], done[:] = 1, 1
    row = np.full(width, -1)
    taken, busy = np.int64(0), 0
    while True:
        size *= 1 - done
        taken, busy = _renew(F, C, free, T, R, M, row, enough, sweeps, done, taken, busy)
        if busy == 0:
            return
        _bounds(R, root, inverse, bound)
        while True:
            _along(T, D, inverse, size, N)
            if use_free:
                _hold(T, M, N)
            residuals(N, R, gram, P)
            _compare(T, N, D, P, root, fall, promised, length)
            if _search(fall, promised, length, least, size, tries, good, ended) > 0:
                _return(T, D, N, P, good)
            T, N = N, T
            D, P = P, D
            _look(T, D, M, root, inverse, left)
            if _finish(left, bound, enough, sweeps, stop, done, ended) > 0:
                break


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _beyond(T, B, momentum, N):  # type: ignore[no-untyped-def]
    # Extrapolate by ratios where entries fall, so that none turns negative.
    none = T[0, 0] * 0
    for j in range(len(T)):
        t, before, n = T[j], B[j], N[j]
        for b in range(len(t)):
            move = momentum[b] * (t[b] - before[b])
            rises, falls = t[b] + move, t[b] * t[b] / (t[b] - move)
            n[b] = falls if move < none else rises


@compiled(fastmath={"contract", "nsz", "nnan"}, error_model="numpy")
def _multiply(N, P, Q, R, floor, B):  # type: ignore[no-untyped-def]
    # Multiply N by Q / P, but not below a floor; where there is no curvature the slope decides.
    none = N[0, 0] * 0
    for j in range(len(N)):
        n, p, q, r, new = N[j], P[j], Q[j], R[j], B[j]
        for b in range(len(n)):
            up = q[b] if q[b] > none else none
            moved = n[b] * up / p[b] if p[b] > none else (n[b] if r[b] >= none else none)
            new[b] = moved if moved > floor else floor


@compiled(error_model="numpy")
def _restart(T, N, P, Q, weight, momentum, against):  # type: ignore[no-untyped-def]
    # The next momentum, or none where the last move, from T to N, went uphill at its end.
    against[:] = 0
    for j in range(len(T)):
        t, n, p, q = T[j], N[j], P[j], Q[j]
        for b in range(len(t)):
            against[b] += (p[b] - q[b]) * (n[b] - t[b])
    for b in range(len(weight)):
        weight[b] = 1 if against[b] > 0 else _heavier(weight[b])
        momentum[b] = (weight[b] - 1) / _heavier(weight[b])


@compiled()
def multiplicative_steps(F, G, C, free, floor, repeats, extrapolate):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over F > 0 by multiplicative updates.

    ``F`` (rows, k) is updated in place, ``repeats`` times; entries where ``free`` is False stay,
    and no other one falls below ``floor``. With A the sizes of the entries of G an update is
    ``F ∘ max(C + F (A − G), 0) / (F A)``, which does not raise the quadratic. ``extrapolate``:
    each row is updated from where its last move leads, unless that was uphill, and may rise. Cost
    O(rows · k² · repeats).

    Sources: Lee & Seung (2001), NIPS; of the extrapolation Hien, Leplat & Gillis (2024),
    arXiv:2401.06646; of its restarts O'Donoghue & Candès (2015), Foundations of Computational
    Mathematics 15, section 3.2.
    """
    k, use_free = F.shape[1], free.shape[0] > 0
    width = LANES // F.itemsize
    gram = curvatures(G, F)[0]
    less = -np.abs(gram)
    pull, signed = gram + less, gram.min() < 0
    T, R, M, N, B, P, Q, none = room_for(8 * k * width, F).reshape(8, k, width)
    enough, sweeps, done, momentum, weight, against = room_for(6 * width, F).reshape(6, width)
    M[:] = 1
    row = np.full(width, -1)
    taken, busy = np.int64(0), 0
    while True:
        done[:], momentum[:], weight[:] = 1, 0, 1
        taken, busy = _renew(F, C, free, T, R, M, row, enough, sweeps, done, taken, busy)
        if busy == 0:
            return
        for n in range(repeats):
            if extrapolate and n > 0:
                _beyond(T, B, momentum, N)
            else:
                for j in range(k):
                    put(N[j], T[j])
            residuals(N, none, less, P)
            if signed:
                residuals(N, R, pull, Q)
            up = Q if signed else R
            _multiply(N, P, up, R, floor, B)
            if use_free:
                _hold(T, M, B)
            T, B = B, T
            if extrapolate:
                _restart(B, T, P, up, weight, momentum, against)
