"""Pieces of rows, which threads that make the same call side by side take one by one."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from partwise.kernels._compile import compiled

__all__ = ["add_to", "longest_piece", "take"]


@intrinsic
def take(typingctx: Any, counter: Any) -> Any:
    """Return the number in ``counter`` (1,) of int64 and add one to it, as one step."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), emit


@intrinsic
def add_to(typingctx: Any, numbers: Any, index: Any, amount: Any) -> Any:
    """Return an entry of int64 numbers and add to it, as one step, for all threads to see.

    Who sees the sum also sees what was written before it.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        place = builder.gep(array.data, [values[1]])
        return builder.atomic_rmw("add", place, values[2], "acq_rel")

    return types.int64(numbers, types.int64, types.int64), emit


@compiled()
def longest_piece(ends):  # type: ignore[no-untyped-def]
    """Return the rows of the longest piece, from where they begin and end."""
    longest = 0
    for number in range(len(ends) - 1):
        longest = max(longest, ends[number + 1] - ends[number])
    return longest
