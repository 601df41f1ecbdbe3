"""Rows of a factor that lie side by side, as columns, while they are swept over."""

from __future__ import annotations

from partwise.kernels._blocks import BLOCK, put_block, take_block
from partwise.kernels._compile import compiled

__all__ = ["let_rest", "put_columns", "take_columns", "take_free"]


@compiled()
def take_columns(T, F, first, count, numbers):  # type: ignore[no-untyped-def]
    """Write rows of F, so many from ``first`` on, into the columns of T (k, columns).

    ``numbers`` counts columns from 0 on; those beyond ``count`` stay.
    """
    whole = count // BLOCK * BLOCK
    for b in range(0, whole, BLOCK):
        take_block(T, b, F[first:], numbers, b)
    for b in range(whole, count):
        for j in range(len(T)):
            T[j, b] = F[first + b, j]


@compiled()
def put_columns(T, F, first, count, numbers):  # type: ignore[no-untyped-def]
    """Write columns of T back into rows of F, see `take_columns`."""
    whole = count // BLOCK * BLOCK
    for b in range(0, whole, BLOCK):
        put_block(T, b, F[first:], numbers, b)
    for b in range(whole, count):
        for j in range(len(T)):
            F[first + b, j] = T[j, b]


@compiled()
def take_free(M, T, free, first, count):  # type: ignore[no-untyped-def]
    """Write 1 into M where an entry of T may move, 0 where not, and clip T at 0.

    Not beyond ``count`` columns, and where ``free`` (rows, k) has rows, only where it is True.
    """
    k, width = T.shape
    none = T.dtype.type(0)
    for j in range(k):
        for b in range(width):
            T[j, b] = max(T[j, b], none)
            M[j, b] = 1 if b < count else 0
    for b in range(count if free.shape[0] > 0 else 0):
        for j in range(k):
            M[j, b] = free[first + b, j]


@compiled()
def let_rest(M, change, enough, first, shrink):  # type: ignore[no-untyped-def]
    """Write 0 into M for columns that moved little in a sweep, and return how many others are left.

    ``change`` (columns,) are sums of squares; little is ``shrink`` times that of the ``first``
    sweep, which ``enough`` keeps.
    """
    busy = 0
    for b in range(len(change)):
        if first:
            enough[b] = shrink * shrink * change[b]
        if change[b] > enough[b]:
            busy += 1
        else:
            for j in range(len(M)):
                M[j, b] = 0
    return busy
