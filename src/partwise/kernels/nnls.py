"""Exact non-negative least squares, row by row, on the normal equations."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["solve_rows"]

# Letters: ``passive`` lists the components of a row that are not held at zero, ``count`` of
# them; ``U`` is the upper Cholesky factor of their block of G, with the reciprocals of its
# diagonal in place of that, and ``s`` the minimum over them.


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def _factor(G, passive, first, count, U, rounding):  # type: ignore[no-untyped-def]
    # Columns ``first`` to ``count`` of U; those before depend on earlier components alone and
    # are kept. A pivot that is lost in rounding gets the size of that rounding: of many
    # minimizers any is as good, and this one is finite.
    for b in range(count):
        row, line = G[passive[b]], U[b]
        for l in range(max(b, first), count):
            line[l] = row[passive[l]]
    for b in range(count):
        line = U[b]
        if b >= first:
            least = rounding * G[passive[b], passive[b]]
            line[b] = 1 / np.sqrt(max(line[b], least))
        for l in range(np.uint64(max(b + 1, first)), np.uint64(count)):
            line[l] *= line[b]
        for a in range(b + 1, count):
            later, value = U[a], line[a]
            for l in range(np.uint64(max(a, first)), np.uint64(count)):
                later[l] -= value * line[l]


@compiled(fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")
def _solve(U, c, passive, count, s):  # type: ignore[no-untyped-def]
    for a in range(count):
        s[a] = c[passive[a]]
    for a in range(count):
        row = U[a]
        s[a] *= row[a]
        for l in range(np.uint64(a + 1), np.uint64(count)):
            s[l] -= s[a] * row[l]
    for a in range(count - 1, -1, -1):
        row, value = U[a], s[a]
        for l in range(np.uint64(a + 1), np.uint64(count)):
            value -= row[l] * s[l]
        s[a] = value * row[a]


@compiled()
def _shrink_to_feasible(G, f, c, passive, known, count, U, s, rounding):  # type: ignore[no-untyped-def]
    # Move to the minimum over the passive entries, dropping those that would turn negative.
    # The first ``known`` columns of U are up to date.
    while count > 0:
        _factor(G, passive, known, count, U, rounding)
        _solve(U, c, passive, count, s)
        step = 1.0
        for a in range(count):
            if s[a] <= 0:
                old = f[passive[a]]
                step = min(step, old / (old - s[a]) if old > s[a] else 0.0)
        kept = known = 0
        for a in range(count):
            j = passive[a]
            moved = (1 - step) * f[j] + step * s[a]
            if s[a] <= 0 and moved <= 1e-15 * (f[j] - s[a]):
                f[j] = 0.0
            else:
                f[j] = moved
                passive[kept] = j
                kept += 1
                known = kept if kept == a + 1 else known
        if kept == count:
            return count
        count = kept
    return count


@compiled(fastmath={"contract", "nsz"})
def _slopes(G, f, c, passive, count, slope, size):  # type: ignore[no-untyped-def]
    # The gradient, and the size of its terms.
    k = len(f)
    for j in range(k):
        slope[j] = -c[j]
        size[j] = abs(c[j])
    for a in range(count):
        l = passive[a]
        for j in range(k):
            slope[j] += f[l] * G[l, j]
            size[j] += f[l] * abs(G[l, j])


@compiled()
def _solve_row(G, f, c, open_, passive, U, work, tolerance):  # type: ignore[no-untyped-def]
    # Returns whether the row is solved. Columns of U that another row left there serve as
    # far as its list of passive components, ``passive``, starts like this one's.
    k = len(f)
    s, slope, size, refused = work[0], work[1], work[2], work[3]
    count = known = 0
    entered = -1
    same = True
    for j in range(k):
        refused[j] = 0.0
        if open_[j] and f[j] > 0 and G[j, j] > 0:
            same = same and passive[count] == j
            passive[count] = j
            count += 1
            known = count if same else known
        elif open_[j]:
            f[j] = 0.0
    for _ in range(3 * k + 10):
        count = _shrink_to_feasible(G, f, c, passive, known, count, U, s, tolerance)
        if entered >= 0 and f[entered] > 0:
            refused[:] = 0.0
        elif entered >= 0:
            # It falls in this direction, but by less than the solution can show.
            refused[entered] = 1.0
        _slopes(G, f, c, passive, count, slope, size)
        best, steepest = -1, 0.0
        for j in range(k):
            if open_[j] and f[j] == 0.0 and G[j, j] > 0 and not refused[j]:
                gain = -slope[j] / np.sqrt(G[j, j])
                if slope[j] < -tolerance * size[j] and gain > steepest:
                    best, steepest = j, gain
        if best < 0:
            passive[count] = -1
            return True
        entered = passive[count] = best
        known = count
        count += 1
    passive[0] = -1
    return False


@compiled()
def solve_rows(F, G, C, free, tolerance):  # type: ignore[no-untyped-def]
    """Minimize ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0`` exactly, each row on its own.

    ``F`` (rows, k) is the start (its support is the first guess of the active set) and is
    overwritten; entries where ``free`` (rows, k) is False stay, and an array of no rows
    means that all are free. A slope counts as zero below ``tolerance``, a few units of the
    rounding of G and C, times the size of its terms; a pivot below that share of the diagonal
    gets that size. Rows are solved in float64 and do not depend on each other; consecutive ones
    share the Cholesky factor as far as their passive components agree. Returns how many
    rows were not done after 3 k + 10 components had entered. Cost O(k²) per component that
    enters, O(k³) per one that leaves.

    Source: Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23, on the
    normal equations and from a warm start, as in Kim & Park (2008), SIAM J. Matrix Analysis
    30, section 3.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    G64 = np.ascontiguousarray(G.astype(np.float64))
    U = np.zeros((k, k))
    work = np.zeros((4, k))
    f = np.empty(k)
    c = np.empty(k)
    open_ = np.ones(k, np.bool_)
    passive = np.full(k + 1, -1)
    undone = 0
    for i in range(rows):
        for j in range(k):
            f[j] = F[i, j]
            c[j] = C[i, j]
            if use_free:
                open_[j] = free[i, j]
        if use_free:
            for j in range(k):
                if not open_[j]:
                    for l in range(k):
                        if open_[l]:
                            c[l] -= G64[l, j] * f[j]
                    f[j] = 0.0
        if not _solve_row(G64, f, c, open_, passive, U, work, tolerance):
            undone += 1
        for j in range(k):
            if open_[j]:
                F[i, j] = f[j]
    return undone
