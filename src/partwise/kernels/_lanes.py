"""Small systems of equations side by side: one system per lane of a vector.

Systems that differ have no matrix product in common, but the same steps. Entry (a, b) of
``LANES`` systems is one vector, and every step of an elimination is one instruction for all.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "eliminate", "substitute"]

LANES = 8  # of float64: one line of memory
LINE = ir.VectorType(ir.DoubleType(), LANES)
CONTRACT = ("contract",)


def _line(context: Any, builder: Any, kind: Any, array: Any, *index: Any) -> Any:
    """Return the place of the line that an index of all axes but the last points at."""
    found = context.make_array(kind)(context, builder, array)
    shape = cgutils.unpack_tuple(builder, found.shape)
    place = index[0]
    for length, step in zip(shape[1:], index[1:], strict=False):
        place = builder.add(builder.mul(place, length), step)
    return builder.gep(builder.bitcast(found.data, LINE.as_pointer()), [place])


def _load(builder: Any, place: Any, index: Any = None) -> Any:
    return builder.load(place if index is None else builder.gep(place, [index]), align=8)


@intrinsic
def eliminate(typingctx: Any, U: Any, inverse: Any, a: Any, b: Any, stop: Any) -> Any:
    """Do ``U[b, b:stop] −= U[a, b] · inverse[a] · U[a, b:stop]`` in every lane.

    ``U`` (rows, columns, LANES) and ``inverse`` (rows, LANES) are contiguous float64.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds, (system, inverses, a, b, stop) = signature.args, values
        nothing = ir.Constant(a.type, 0)
        above = _line(context, builder, kinds[0], system, a, nothing)
        below = _line(context, builder, kinds[0], system, b, nothing)
        share = _load(builder, _line(context, builder, kinds[1], inverses, a))
        weight = builder.fmul(_load(builder, above, b), share)
        with cgutils.for_range_slice(builder, b, stop, ir.Constant(a.type, 1)) as (index, _):
            product = builder.fmul(weight, _load(builder, above, index), flags=CONTRACT)
            rest = builder.fsub(_load(builder, below, index), product, flags=CONTRACT)
            builder.store(rest, builder.gep(below, [index]), align=8)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(U, inverse, integer, integer, integer), emit


@intrinsic
def substitute(typingctx: Any, U: Any, inverse: Any, s: Any, a: Any, count: Any) -> Any:
    """Do ``s[a] = inverse[a] · (U[a, count] − U[a, a+1:count] · s[a+1:count])`` in every lane."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds, (system, inverses, solution, a, count) = signature.args, values
        nothing, one = ir.Constant(a.type, 0), ir.Constant(a.type, 1)
        row = _line(context, builder, kinds[0], system, a, nothing)
        found = _line(context, builder, kinds[2], solution, nothing)
        total = cgutils.alloca_once_value(builder, _load(builder, row, count))
        after = builder.add(a, one)
        with cgutils.for_range_slice(builder, after, count, one) as (index, _):
            product = builder.fmul(
                _load(builder, row, index), _load(builder, found, index), flags=CONTRACT
            )
            builder.store(builder.fsub(builder.load(total), product, flags=CONTRACT), total)
        share = _load(builder, _line(context, builder, kinds[1], inverses, a))
        value = builder.fmul(builder.load(total), share)
        builder.store(value, builder.gep(found, [a]), align=8)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(U, inverse, s, integer, integer), emit
