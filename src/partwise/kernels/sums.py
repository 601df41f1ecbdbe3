"""Non-negative least squares, each row by its own products, with given sums over all rows."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled
from partwise.kernels.interior import interior_rows_to_sums
from partwise.kernels.nnls import _factor, _solve, _solve_row

__all__ = ["mixed_rows_to_sums", "solve_rows_to_sums"]

# Solutions of all rows at most, and what is left of sums, as a share: where a search ends, and
# where it ends as soon as a step does not halve it.
PASSES, ENOUGH, ROUNDING = 40, 1e-12, 1e-8


@compiled()
def _add_inverse(R, passive, count, unit, s, D):  # type: ignore[no-untyped-def]
    # By how much entries of a row fall for a price of one, from the factor of their block.
    for t in range(count):
        unit[:] = 0
        unit[passive[t]] = 1
        _solve(R, unit, passive, count, s)
        for a in range(count):
            D[passive[t], passive[a]] += s[a]


@compiled()
def _at_prices(U, G, C, prices, total, D, tolerance):  # type: ignore[no-untyped-def]
    # All rows for given prices. Their sums are written to ``total``, by how much these fall per
    # price to D. Returns the minimum, with the prices of what there is, and the size of its terms.
    n, k = U.shape
    total[:], D[:] = 0, 0
    R, work = np.zeros((k, k)), np.zeros((4, k))
    c, unit, s = np.empty(k), np.empty(k), np.empty(k)
    passive, open_ = np.empty(k + 1, np.intp), np.ones(k, np.bool_)
    value = size = 0.0
    for i in range(n):
        for a in range(k):
            c[a] = C[i, a] - prices[a]
        passive[:] = -1
        solved = _solve_row(G[i], U[i], c, open_, passive, R, work, tolerance)
        count = 0
        for a in range(k):
            count += solved and U[i, a] > 0
            total[a] += U[i, a]
            value -= 0.5 * c[a] * U[i, a]
            size += abs(c[a] * U[i, a])
        _add_inverse(R, passive, count, unit, s, D)
    return value, size


@compiled()
def _first_prices(U, G, C, sums, D, tolerance):  # type: ignore[no-untyped-def]
    # Those for which entries > 0 have the sums if no other entry moves from zero.
    n, k = U.shape
    D[:] = 0
    R, c = np.zeros((k, k)), np.empty(k)
    unit, s, passive = np.empty(k), np.empty(k), np.empty(k, np.intp)
    rest = -sums
    for i in range(n):
        count = 0
        for a in range(k):
            c[a] = C[i, a]
            if U[i, a] > 0 and G[i, a, a] > 0:
                passive[count] = a
                count += 1
        _factor(G[i], passive, 0, count, R, tolerance)
        _solve(R, c, passive, count, s)
        for a in range(count):
            rest[passive[a]] += s[a]
        _add_inverse(R, passive, count, unit, s, D)
    return _newton(D, rest, G)


@compiled()
def _newton(D, rest, G):  # type: ignore[no-untyped-def]
    # The change of prices that takes away what sums have too much. Of components without entries
    # > 0 the price falls as if all their entries moved.
    k = len(rest)
    for a in range(k):
        if D[a, a] == 0:
            for i in range(len(G)):
                if G[i, a, a] > 0:
                    D[a, a] += 1 / G[i, a, a]
        if D[a, a] == 0:
            D[a, a] = 1
    R, step = np.zeros((k, k)), np.empty(k)
    order = np.arange(k)
    _factor(D, order, 0, k, R, 1e-14)
    _solve(R, rest, order, k, step)
    return step


@compiled()
def _left(total, sums):  # type: ignore[no-untyped-def]
    worst = 0.0
    for a in range(len(sums)):
        if sums[a] > 0:
            worst = max(worst, abs(total[a] - sums[a]) / sums[a])
    return worst


@compiled()
def _search(U, G, C, sums, tolerance):  # type: ignore[no-untyped-def]
    # Prices for which sums are right, and how far they are from it, by Newton's method.
    k = U.shape[1]
    total, D = np.empty(k), np.empty((k, k))
    prices = _first_prices(U, G, C, sums, D, tolerance)
    value, size = _at_prices(U, G, C, prices, total, D, tolerance)
    value -= np.sum(prices * sums)
    left = _left(total, sums)
    gain, step, rest = 0.0, np.zeros(k), np.empty(k)
    old, before, accepted, base = value, left, True, prices
    for _ in range(PASSES):
        if left <= ENOUGH:
            break
        if accepted:
            for a in range(k):
                rest[a] = total[a] - sums[a] if sums[a] > 0 else 0.0
            step = _newton(D, rest, G)
            old, before, gain, base = value, left, np.sum(rest * step), prices
        else:
            step, gain = step / 2, gain / 2
        prices = base + step
        value, size = _at_prices(U, G, C, prices, total, D, tolerance)
        value -= np.sum(prices * sums)
        left = _left(total, sums)
        if before <= ROUNDING and left > before / 2:
            break
        accepted = left <= before / 2 or value - old >= 1e-4 * gain - 1e-14 * size
    return prices, left


@compiled()
def solve_rows_to_sums(U, G, C, sums, tolerance):  # type: ignore[no-untyped-def]
    """Minimize ``Σ ½ uᵢ Gᵢ uᵢ − uᵢ cᵢ`` over ``U ≥ 0`` with the sums ``Σ uᵢ = sums``.

    ``U`` (rows, k), of which the entries > 0 are the first guess of those that are, is overwritten.
    ``G`` (rows, k, k) and ``C`` (rows, k) are the products of each row; entries with
    ``G[i, a, a]`` = 0 become zero, and ``sums`` (k,) are > 0 for every component with others.

    With a price per unit of every component rows are alone, and solved by `solve_rows`, to whose
    ``tolerance`` see there. Prices at which sums are right are the maximum of a concave function
    that is quadratic in pieces: found by Newton's method, with steps that are halved until it
    rises. Rows that are not determined make kinks of it, where such steps come to nothing; then
    `interior_rows_to_sums` takes over.

    Returns the prices (k,), and the largest relative error of a sum. Cost O(rows · k³) per step,
    of which there are few.

    Source: Qi & Sun (1993), Mathematical Programming 58, 353-367 (Newton's method where slopes have
    kinks), on the dual of the quadratic program.
    """
    prices, left = _search(U, G, C, sums, tolerance)
    if left > ROUNDING:
        prices, left = interior_rows_to_sums(U, G, C, sums)
    return prices, left


@compiled(error_model="numpy")
def mixed_rows_to_sums(V, VR, H, W, G, moves, place, out):  # type: ignore[no-untyped-def]
    """Write rows whose products with each other tell what profiles lose of their own curvature.

    As `mixed_rows`, for entries of W (n, p) that add up to given sums. With A = ``G[i]`` of the
    entries of a row that move, by the mask ``moves`` (n, p), C their mixed derivatives with the
    entries of H, and E the columns of these entries of the unit matrix: the rows of ``out``, zero
    before, are L⁻¹ (C, E) with A = L Lᵀ, so that ``outᵀ out`` has the sums of Cᵀ A⁻¹ C, of Eᵀ A⁻¹ C
    and of Eᵀ A⁻¹ E as blocks. Columns of E are the last p. Returns how many rows were written.

    Cost O(n p² m p), for p entries of a row.
    """
    n, p = W.shape
    m, last = H.shape[1], out.shape[1] - p
    R, passive = np.zeros((p, p)), np.empty(p, np.intp)
    written = 0
    for i in range(n):
        count = 0
        for a in range(p):
            if moves[i, a]:
                passive[count] = a
                count += 1
        _factor(G[i], passive, 0, count, R, 1e-14)
        for s in range(count):
            a, row = passive[s], out[written + s]
            row[last + a] = 1
            for j in range(m):
                for b in range(p):
                    if place[j, b] >= 0:
                        row[place[j, b]] = V[i, j] * H[a, j] * W[i, b]
                if place[j, a] >= 0:
                    row[place[j, a]] -= VR[i, j]
            for u in range(s):
                other, share = out[written + u], R[u, s]
                for l in range(out.shape[1]):
                    row[l] -= share * other[l]
            for l in range(out.shape[1]):
                row[l] *= R[s, s]
        written += count
    return written
