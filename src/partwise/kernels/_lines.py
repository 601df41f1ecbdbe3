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

__all__ = [
    "LINE",
    "WIDE",
    "add_dots",
    "move_model",
    "products",
    "subtract_products",
    "sums_of_products",
]

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

    def row(self, number: int, index: Any) -> Any:
        """Return where a row of a table starts, whose rows are whole lines."""
        per_row = self.builder.extract_value(self.arrays[number].shape, 1)
        width = ir.Constant(per_row.type, self.width)
        skipped = self.builder.mul(index, self.builder.udiv(per_row, width))
        return self.builder.gep(self.places[number], [skipped])

    def load_from(self, start: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(start, [index]), align=self.size)

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
def products(typingctx: Any, y: Any, T: Any, f: Any, floor: Any) -> Any:
    """Do ``y = max(f @ T, floor)`` for y (line,), T (k, line), f (k,), lines of ``WIDE`` bytes."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lines = _Lines(context, builder, signature, values[:3], WIDE)
        least = lines.spread(values[3])
        total = lines.variable(lines.constant(0.0))
        with cgutils.for_range(builder, lines.length(2)) as loop:
            weight = lines.spread(builder.load(builder.gep(lines.arrays[2].data, [loop.index])))
            product = builder.fmul(weight, lines.load(1, loop.index), flags=CONTRACT)
            builder.store(builder.fadd(builder.load(total), product, flags=CONTRACT), total)
        found = builder.load(total)
        found = builder.select(builder.fcmp_ordered(">", found, least), found, least)
        lines.store(found, 0, ir.Constant(lines.length(2).type, 0))
        return context.get_dummy_value()

    return types.void(y, T, f, y.dtype), emit


@intrinsic
def add_dots(typingctx: Any, total: Any, T: Any, q: Any) -> Any:
    """Do ``total += T @ q`` for total (k,), T (k, line), q (line,); a line has ``WIDE`` bytes."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lines = _Lines(context, builder, signature, values, WIDE)
        weights = lines.load(2, ir.Constant(lines.length(0).type, 0))
        with cgutils.for_range(builder, lines.length(0)) as loop:
            product = builder.fmul(lines.load(1, loop.index), weights, flags=REORDER)
            place = builder.gep(lines.arrays[0].data, [loop.index])
            more = builder.fadd(builder.load(place), lines.sum(product), flags=REORDER)
            builder.store(more, place)
        return context.get_dummy_value()

    return types.void(total, T, q), emit


@intrinsic
def sums_of_products(typingctx: Any, out: Any, B: Any, m: Any, q: Any, t: Any) -> Any:
    """Write ``Σ b q`` and ``Σ b² t`` into ``out`` (2,), for the row b = B[m] of whole lines."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out_, B_, m_, q_, t_ = values
        lines = _Lines(context, builder, signature, [out_, B_, q_, t_], LINE)
        sums = _Sums(lines, 1, m_)
        with lines.over(lines.length(2)) as loop:
            sums.add(loop.index, lines.load(2, loop.index), lines.load(3, loop.index))
        sums.write(0)
        return context.get_dummy_value()

    return types.void(out, B, types.int64, q, t), emit


@intrinsic
def move_model(
    typingctx: Any,
    out: Any,
    x: Any,
    y: Any,
    q: Any,
    t: Any,
    B: Any,
    l: Any,
    step: Any,
    floor: Any,
    m: Any,
) -> Any:
    """Move the model of a row along one component, and see what the next one makes of it.

    ``y = max(y + step b, floor); q = x / y; t = q / y`` with b = B[l], and then the sums of
    `sums_of_products` for B[m], in one pass over whole lines.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out_, x_, y_, q_, t_, B_, l_, step_, floor_, m_ = values
        lines = _Lines(context, builder, signature, [out_, x_, y_, q_, t_, B_], LINE)
        step, floor = lines.spread(step_), lines.spread(floor_)
        one = lines.constant(1.0)
        along, sums = lines.row(5, l_), _Sums(lines, 5, m_)
        with lines.over(lines.length(1)) as loop:
            at = loop.index
            moved = builder.fmul(step, lines.load_from(along, at), flags=CONTRACT)
            moved = builder.fadd(lines.load(2, at), moved, flags=CONTRACT)
            moved = builder.select(builder.fcmp_ordered(">", moved, floor), moved, floor)
            inverse = builder.fdiv(one, moved)
            ratio = builder.fmul(lines.load(1, at), inverse)
            bend = builder.fmul(ratio, inverse)
            for number, line in ((2, moved), (3, ratio), (4, bend)):
                lines.store(line, number, at)
            sums.add(at, ratio, bend)
        sums.write(0)
        return context.get_dummy_value()

    signature = types.void(out, x, y, q, t, B, types.int64, x.dtype, x.dtype, types.int64)
    return signature, emit


class _Sums:
    """The two sums over a row of a table of lines."""

    def __init__(self, lines: _Lines, table: int, row: Any) -> None:
        self.lines = lines
        self.row = lines.row(table, row)
        self.totals = [lines.variable(lines.constant(0.0)) for _ in range(2)]

    def add(self, index: Any, q: Any, t: Any) -> None:
        builder = self.lines.builder
        b = self.lines.load_from(self.row, index)
        products = (
            builder.fmul(b, q, flags=REORDER),
            builder.fmul(builder.fmul(b, b, flags=REORDER), t, flags=REORDER),
        )
        for total, product in zip(self.totals, products, strict=True):
            builder.store(builder.fadd(builder.load(total), product, flags=REORDER), total)

    def write(self, out: int) -> None:
        builder, place = self.lines.builder, self.lines.arrays[out].data
        for number, total in enumerate(self.totals):
            index = ir.Constant(ir.IntType(64), number)
            builder.store(self.lines.sum(builder.load(total)), builder.gep(place, [index]))
