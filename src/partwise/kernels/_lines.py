"""Loops over whole lines of an array, written as vectors.

A compiler that vectorizes a loop by itself leaves the last entries of every array, and all of
a short one, to scalar code. Arrays here are padded to a multiple of a line instead, and each
line is one vector of the machine's registers, or a few of them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LINE", "move_model", "subtract_products", "sum_of_products"]

LINE = 128  # bytes
WIDE = 512  # bytes, for one number times many lines

CONTRACT = ("contract",)
REORDER = ("contract", "reassoc", "nsz")


class _Lines:
    """Arrays of one dtype, seen as lines."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any, bytes_: int):
        self.builder = builder
        array_types = [t for t in signature.args if isinstance(t, types.Array)]
        self.size = array_types[0].dtype.bitwidth // 8
        self.width = bytes_ // self.size
        self.scalar = context.get_value_type(array_types[0].dtype)
        self.vector = ir.VectorType(self.scalar, self.width)
        pairs = zip(array_types, values, strict=False)
        self.arrays = [context.make_array(t)(context, builder, value) for t, value in pairs]
        self.places = [builder.bitcast(a.data, self.vector.as_pointer()) for a in self.arrays]

    def length(self, number: int) -> Any:
        """Return the number of entries of a flat array."""
        return self.builder.extract_value(self.arrays[number].shape, 0)

    def load(self, number: int, index: Any) -> Any:
        place = self.builder.gep(self.places[number], [index])
        return self.builder.load(place, align=self.size)

    def store(self, value: Any, number: int, index: Any) -> None:
        place = self.builder.gep(self.places[number], [index])
        self.builder.store(value, place, align=self.size)

    def spread(self, value: Any) -> Any:
        """Return a line that repeats one number."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(
            self.builder.insert_element(nothing, value, first), nothing, mask
        )

    def variable(self, value: Any) -> Any:
        place = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(value, place)
        return place

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.width)

    def sum(self, line: Any) -> Any:
        """Return the sum of the entries of a line."""
        name = f"llvm.vector.reduce.fadd.v{self.width}f{8 * self.size}"
        kind = ir.FunctionType(self.scalar, [self.scalar, self.vector])
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(reduce, [ir.Constant(self.scalar, -0.0), line], fastmath=REORDER)

    def over(self, count: Any) -> Any:
        """Loop over the lines of so many entries."""
        width = ir.Constant(count.type, self.width)
        return cgutils.for_range(self.builder, self.builder.udiv(count, width))


@intrinsic
def subtract_products(typingctx: Any, r: Any, T: Any, g: Any) -> Any:
    """Do ``r −= g @ T`` for r (line,), T (k, line), g (k,); a line has ``WIDE`` bytes."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lines = _Lines(context, builder, signature, values, WIDE)
        first = ir.Constant(lines.length(2).type, 0)
        total = lines.variable(lines.load(0, first))
        with cgutils.for_range(builder, lines.length(2)) as loop:
            weight = lines.spread(builder.load(builder.gep(lines.arrays[2].data, [loop.index])))
            product = builder.fmul(weight, lines.load(1, loop.index), flags=CONTRACT)
            builder.store(builder.fsub(builder.load(total), product, flags=CONTRACT), total)
        lines.store(builder.load(total), 0, first)
        return context.get_dummy_value()

    return types.void(r, T, g), emit


@intrinsic
def sum_of_products(typingctx: Any, count: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``Σ a b c`` over the first ``count`` entries, a multiple of a line; c may be None."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lines = _Lines(context, builder, signature, values[1:], LINE)
        total = lines.variable(lines.constant(0.0))
        with lines.over(values[0]) as loop:
            product = lines.load(1, loop.index)
            if len(lines.arrays) == 3:
                product = builder.fmul(product, lines.load(2, loop.index), flags=REORDER)
            product = builder.fmul(product, lines.load(0, loop.index), flags=REORDER)
            builder.store(builder.fadd(builder.load(total), product, flags=REORDER), total)
        return lines.sum(builder.load(total))

    return a.dtype(types.int64, a, b, c), emit


@intrinsic
def move_model(typingctx: Any, count: Any, x: Any, y: Any, q: Any, t: Any, b: Any, d: Any, f: Any):  # type: ignore[no-untyped-def]
    """Do ``y = max(y + d b, f); q = x / y; t = q / y`` over the first ``count`` entries.

    ``d`` and the floor ``f`` are numbers.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lines = _Lines(context, builder, signature, values[1:6], LINE)
        step, floor = (lines.spread(value) for value in values[6:])
        one = lines.constant(1.0)
        with lines.over(values[0]) as loop:
            at = loop.index
            moved = builder.fmul(step, lines.load(4, at), flags=CONTRACT)
            moved = builder.fadd(lines.load(1, at), moved, flags=CONTRACT)
            above = builder.fcmp_ordered(">", moved, floor)
            moved = builder.select(above, moved, floor)
            lines.store(moved, 1, at)
            inverse = builder.fdiv(one, moved)
            ratio = builder.fmul(lines.load(0, at), inverse)
            lines.store(ratio, 2, at)
            lines.store(builder.fmul(ratio, inverse), 3, at)
        return context.get_dummy_value()

    return types.void(types.int64, x, y, q, t, b, x.dtype, x.dtype), emit
