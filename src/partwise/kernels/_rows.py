"""Rows of X beside the rows of a factor that belong to them, in whole lines of the cache."""

from __future__ import annotations

import numpy as np

from partwise.kernels._blocks import BLOCK, gather_block
from partwise.kernels._compile import compiled
from partwise.kernels._lines import LINE

__all__ = [
    "add",
    "gathered",
    "put",
    "put_row",
    "room_for",
    "row_of",
    "table_for",
    "turned",
    "weight_of",
    "whole_lines",
]


@compiled()
def whole_lines(count, like):  # type: ignore[no-untyped-def]
    """Return the first multiple of a line's entries, in the dtype of an array, from a count on."""
    line = LINE // like.itemsize
    return (count + line - 1) // line * line


@compiled()
def room_for(count, like):  # type: ignore[no-untyped-def]
    """Return so many zeros in the dtype of another array, on a border between lines.

    A vector of a whole line that lies across a border costs two looks at the cache.
    """
    spare = LINE // like.itemsize
    room = np.zeros(count + spare, like.dtype)
    skipped = -room.ctypes.data % LINE // like.itemsize
    return room[skipped : skipped + count]


@compiled()
def _height(A):  # type: ignore[no-untyped-def]
    # Rows of a table of gathered components: they come in blocks.
    return (A.shape[1] + BLOCK - 1) // BLOCK * BLOCK


@compiled()
def table_for(indptr, A):  # type: ignore[no-untyped-def]
    """Return the length of the longest row in whole lines, and room for its `gathered` table."""
    longest = 1
    for i in range(len(indptr) - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    longest = whole_lines(longest, A)
    return longest, room_for(_height(A) * longest, A)


@compiled(error_model="numpy")
def gathered(table, A, indices, start, stored):  # type: ignore[no-untyped-def]
    """Return, in the room of ``table``, the rows of A of so many stored entries as columns.

    Shape (k or more, stored entries in whole lines), zero beyond the stored ones.
    """
    height, n = _height(A), whole_lines(stored, A)
    B = table[: height * n].reshape(height, n)
    for p in range(0, stored, BLOCK):
        gather_block(B, p, A, indices, start + p, min(BLOCK, stored - p))
    B[:, (stored + BLOCK - 1) // BLOCK * BLOCK :] = 0
    return B


@compiled()
def put(to, values):  # type: ignore[no-untyped-def]
    """Write a flat array into another one.

    ``to[:] = values`` also compiles words about shapes that differ, which takes seconds.
    """
    for p in range(len(to)):
        to[p] = values[p]


@compiled(inline="always")
def add(total, part):  # type: ignore[no-untyped-def]
    """Add a table to another one."""
    for j in range(part.shape[0]):
        for l in range(part.shape[1]):
            total[j, l] += part[j, l]


@compiled()
def put_row(out, data, start, stored):  # type: ignore[no-untyped-def]
    """Write so many entries of ``data`` into ``out``, and zeros after them."""
    for p in range(stored):
        out[p] = data[start + p]
    for p in range(stored, len(out)):
        out[p] = 0


@compiled()
def turned(A):  # type: ignore[no-untyped-def]
    """Return A (columns, k) as (k, columns in whole lines), zero beyond."""
    columns, k = A.shape
    n = whole_lines(columns, A)
    B = room_for(k * n, A).reshape(k, n)
    for p in range(columns):
        for l in range(k):
            B[l, p] = A[p, l]
    return B


@compiled(inline="always")
def row_of(table, i, other):  # type: ignore[no-untyped-def]
    """Return the row i of a table, or its only one, which is that of all; of none ``other``."""
    return table[min(i, len(table) - 1)] if len(table) > 0 else other


@compiled(inline="always")
def weight_of(weights, indices, p):  # type: ignore[no-untyped-def]
    """Return the weight of the stored entry p; of fewer weights than entries all are the same."""
    return weights[p] if len(weights) >= len(indices) else weights[0]
