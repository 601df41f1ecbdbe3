"""Stochastic gradient steps on weighted squares, one entry of X after the other."""

from __future__ import annotations

import numpy as np

from partwise.kernels._compile import compiled

__all__ = ["shuffle", "stochastic_block"]


@compiled(error_model="numpy")
def shuffle(order, seed):  # type: ignore[no-untyped-def]
    """Shuffle a flat array in place; Fisher–Yates, by numbers of xorshift (Marsaglia 2003)."""
    state = np.uint64(seed)
    for p in range(len(order) - 1, 0, -1):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        other = np.int64((state >> np.uint64(11)) % np.uint64(p + 1))
        kept = order[p]
        order[p] = order[other]
        order[other] = kept


@compiled(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _dot(w, h):  # type: ignore[no-untyped-def]
    total = w.dtype.type(0)
    for l in range(len(w)):
        total += w[l] * h[l]
    return total


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def stochastic_block(  # type: ignore[no-untyped-def]
    places, entries, order, factors, free, shares, slopes, step, lowest, seed
):
    """Take one step of size ``step`` for each of some entries of X, in a random order.

    ``places`` are the row and the column of every entry, ``entries`` its value x and weight v. Row
    w of W and row h of H, the ``factors``, move at the same time against the gradients of
    ``½ v (x − w · h)² + share (slope · w + ½ curve ‖w‖²)`` and the same for h. ``shares`` are one
    over the number of entries of each row of W and of H, times one and times the curvature of the
    penalty, ``slopes`` (2, k) its linear parts. Entries of W and H below ``lowest`` (2,) are set to
    it, and those where ``free`` is False (no rows: nowhere) stay. Only rows that occur in
    ``places`` are touched. ``order``, the numbers of the entries, is shuffled in place by ``seed``
    > 0. Cost O(entries · k).

    Source: Gemulla, Nijkamp, Haas & Sismanis (2011), KDD, algorithm 2 and section 4.1.
    """
    rows, columns = places
    values, weights = entries
    W, H = factors
    free_W, free_H = free
    (share_W, curve_W), (share_H, curve_H) = shares
    k, one = W.shape[1], W.dtype.type(1)
    shuffle(order, seed)
    for number in order:
        i, j = rows[number], columns[number]
        w, h = W[i], H[j]
        pull = step * weights[number] * (values[number] - _dot(w, h))
        keep_w, keep_h = one - step * curve_W[i], one - step * curve_H[j]
        down_w, down_h = step * share_W[i], step * share_H[j]
        if free_W.shape[0] == 0 and free_H.shape[0] == 0:
            for l in range(k):
                before = w[l]
                w[l] = max(keep_w * before + pull * h[l] - down_w * slopes[0, l], lowest[0])
                h[l] = max(keep_h * h[l] + pull * before - down_h * slopes[1, l], lowest[1])
        else:
            for l in range(k):
                before = w[l]
                if free_W.shape[0] == 0 or free_W[i, l]:
                    w[l] = max(keep_w * before + pull * h[l] - down_w * slopes[0, l], lowest[0])
                if free_H.shape[0] == 0 or free_H[j, l]:
                    h[l] = max(keep_h * h[l] + pull * before - down_h * slopes[1, l], lowest[1])
