"""Loops over whole lines of an array, written as vectors.

A compiler that vectorizes a loop by itself leaves the last entries of every array, and all of
a short one, to scalar code. Arrays here are padded to a multiple of a line instead, and each
line is one vector of the machine's registers, or a few of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._registers import REGISTERS

__all__ = [
    "LINE",
    "WIDE",
    "add_dots",
    "fall_logarithmic",
    "fall_reciprocal",
    "model_of_lines",
    "move_logarithmic",
    "move_logarithmic_kept",
    "move_reciprocal",
    "move_squares",
    "products",
    "subtract_model",
    "sums_of_products",
]

LINE = 64  # bytes
WIDE = 8 * REGISTERS.bytes  # for one number times many lines, which all stay in registers
# Lines of which sums are formed side by side, of one kind and of two or three, as registers allow.
LARGE = REGISTERS.bytes * REGISTERS.number >= 2048
TOGETHER, WAYS = (8, 4) if LARGE else (4, 1)

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
        return self.load_from(self.places[number], index)

    def store(self, value: Any, number: int, index: Any) -> None:
        self.store_to(value, self.places[number], index)

    def row(self, number: int, index: Any) -> Any:
        """Return where a row of a table starts, whose rows are whole lines."""
        per_row = self.builder.extract_value(self.arrays[number].shape, 1)
        width = ir.Constant(per_row.type, self.width)
        skipped = self.builder.mul(index, self.builder.udiv(per_row, width))
        return self.builder.gep(self.places[number], [skipped])

    def load_from(self, start: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(start, [index]), align=self.size)

    def store_to(self, value: Any, start: Any, index: Any) -> None:
        self.builder.store(value, self.builder.gep(start, [index]), align=self.size)

    def spread(self, value: Any) -> Any:
        """Return a line that repeats one number."""
        nothing = ir.Constant(ir.VectorType(value.type, self.width), ir.Undefined)
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
        return cgutils.for_range(self.builder, self.number(count))

    def side_by_side(self, count: Any, emit: Callable[[list[Any]], None], ways: int) -> None:
        """Emit a loop over the lines of so many entries, some lines at a time.

        ``emit(places)`` writes what is done with so many lines, or with one that is left. With a
        sum of its own for each of them additions need not wait for each other.
        """
        end = self.number(count)
        none, one, many = (ir.Constant(end.type, n) for n in (0, 1, ways))
        whole = self.builder.sub(end, self.builder.urem(end, many))
        with cgutils.for_range_slice(self.builder, none, whole, many, inc=True) as (at, _):
            emit([self.builder.add(at, ir.Constant(at.type, way)) for way in range(ways)])
        with cgutils.for_range_slice(self.builder, whole, end, one, inc=True) as (at, _):
            emit([at])

    def inverses(self, several: list[Any]) -> list[Any]:
        """Return 1 over some lines, two of doubles by one division of their product."""
        builder, one = self.builder, self.constant(1.0)
        if self.size == 4 or len(several) % 2:
            return [builder.fdiv(one, line) for line in several]
        found = []
        for a, b in zip(several[::2], several[1::2], strict=True):
            both = builder.fdiv(one, builder.fmul(a, b))
            found += [builder.fmul(both, b), builder.fmul(both, a)]
        return found

    def added(self, totals: list[Any]) -> Any:
        """Return the sum of the entries of some `variable`."""
        first, *others = (self.builder.load(total) for total in totals)
        for other in others:
            first = self.builder.fadd(first, other, flags=REORDER)
        return self.sum(first)

    def number(self, count: Any) -> Any:
        """Return how many lines so many entries fill."""
        return self.builder.udiv(count, ir.Constant(count.type, self.width))

    def add_product(self, total: Any, a: Any, b: Any) -> None:
        """Do ``total += a b`` for a `variable`."""
        self.add_line(total, self.builder.fmul(a, b, flags=REORDER))

    def add_line(self, total: Any, line: Any) -> None:
        """Do ``total += line`` for a `variable`."""
        more = self.builder.fadd(self.builder.load(total), line, flags=REORDER)
        self.builder.store(more, total)


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


class _Sums:
    """Sums over a row b of a table of lines, with u = b / y.

    For β = 1 ``Σ x u`` and ``Σ x u²``, for β = 0 ``Σ u x / y``, ``Σ u² x / y`` and ``Σ u``.
    """

    def __init__(self, lines: _Lines, table: int, row: Any, beta: int = 1) -> None:
        self.lines = lines
        self.row = lines.row(table, row)
        self.beta = beta
        self.totals = [
            [lines.variable(lines.constant(0.0)) for _ in range(WAYS)] for _ in range(3 - beta)
        ]

    def add(self, index: Any, way: int, x: Any, inverse: Any) -> None:
        """Add a line of the row, to the sums of one of the ways."""
        multiply = partial(self.lines.builder.fmul, flags=REORDER)
        u = multiply(self.lines.load_from(self.row, index), inverse)
        v = multiply(u, x if self.beta == 1 else multiply(x, inverse))
        for totals, line in zip(self.totals, [v, multiply(v, u), u], strict=False):
            self.lines.add_line(totals[way], line)

    def write(self, out: int) -> None:
        builder, place = self.lines.builder, self.lines.arrays[out].data
        for number, totals in enumerate(self.totals):
            index = ir.Constant(ir.IntType(64), number)
            builder.store(self.lines.added(totals), builder.gep(place, [index]))


@intrinsic
def sums_of_products(typingctx: Any, out: Any, B: Any, m: Any, values: Any) -> Any:
    """Write ``Σ b x / y`` and ``Σ b² x / y²`` into ``out``, for the row b = B[m].

    ``values`` (3 or more, n) holds x, y and 1 / y of a row.
    """

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        out_, B_, m_, values_ = given
        lines = _Lines(context, builder, signature, [out_, B_, values_], LINE)
        sums = _Sums(lines, 1, m_)
        x, _, inverse = (lines.row(2, ir.Constant(ir.IntType(64), n)) for n in range(3))
        count = builder.extract_value(lines.arrays[2].shape, 1)

        def look(places: list[Any]) -> None:
            for way, at in enumerate(places):
                sums.add(at, way, *(lines.load_from(part, at) for part in (x, inverse)))

        lines.side_by_side(count, look, WAYS)
        sums.write(0)
        return context.get_dummy_value()

    return types.void(out, B, types.int64, values), emit


def _mover(beta: int, *, keep: bool) -> Any:
    @intrinsic
    def move(
        typingctx: Any, out: Any, values: Any, B: Any, l: Any, step: Any, floor: Any, m: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            out_, values_, B_, l_, step_, floor_, m_ = given
            lines = _Lines(context, builder, signature, [out_, values_, B_], LINE)
            step_, floor_ = lines.spread(step_), lines.spread(floor_)
            along, sums = lines.row(2, l_), _Sums(lines, 2, m_, beta)
            x, y, kept = (lines.row(1, ir.Constant(ir.IntType(64), n)) for n in range(3))

            def step(at: Any) -> Any:
                moved = builder.fmul(step_, lines.load_from(along, at), flags=CONTRACT)
                moved = builder.fadd(lines.load_from(y, at), moved, flags=CONTRACT)
                moved = builder.select(builder.fcmp_ordered(">", moved, floor_), moved, floor_)
                lines.store_to(moved, y, at)
                return moved

            def step_and_look(places: list[Any]) -> None:
                inverses = lines.inverses([step(at) for at in places])
                for way, (at, inverse) in enumerate(zip(places, inverses, strict=True)):
                    if keep:
                        lines.store_to(inverse, kept, at)
                    sums.add(at, way, lines.load_from(x, at), inverse)

            count = builder.extract_value(lines.arrays[1].shape, 1)
            lines.side_by_side(count, step_and_look, WAYS)
            sums.write(0)
            return context.get_dummy_value()

        number = values.dtype
        signature = types.void(out, values, B, types.int64, number, number, types.int64)
        return signature, emit

    return move


# Move the model of a row along the row b = B[l] of a table, and see what the component m makes
# of it, in one pass over whole lines: y = max(y + step b, floor), then for B[m] the sums of
# `sums_of_products`, or for β = 0 Σ b x / y², Σ b² x / y³ and Σ b / y. 1 / y is kept where it may
# be needed again and rows are short enough for the first cache. The square of the floor is a normal
# number.
move_logarithmic = _mover(1, keep=False)  # β = 1
move_logarithmic_kept = _mover(1, keep=True)
move_reciprocal = _mover(0, keep=False)  # β = 0


@intrinsic
def move_squares(typingctx: Any, out: Any, values: Any, B: Any, l: Any, step: Any, m: Any) -> Any:
    """Do ``r −= step B[l]``, then write ``Σ v r b`` and ``Σ v b²`` into ``out``, for b = B[m].

    ``values`` (2, n) holds r and v. One pass over whole lines.
    """

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        out_, values_, B_, l_, step_, m_ = given
        lines = _Lines(context, builder, signature, [out_, values_, B_], LINE)
        step_ = lines.spread(builder.fneg(step_))
        along, here = lines.row(2, l_), lines.row(2, m_)
        r, v = (lines.row(1, ir.Constant(ir.IntType(64), n)) for n in range(2))
        totals = [[lines.variable(lines.constant(0.0)) for _ in range(WAYS)] for _ in range(2)]
        multiply = partial(builder.fmul, flags=REORDER)

        def step_and_look(places: list[Any]) -> None:
            for way, at in enumerate(places):
                left = multiply(step_, lines.load_from(along, at))
                left = builder.fadd(lines.load_from(r, at), left, flags=REORDER)
                lines.store_to(left, r, at)
                b = lines.load_from(here, at)
                weighted = multiply(lines.load_from(v, at), b)
                lines.add_product(totals[0][way], weighted, left)
                lines.add_product(totals[1][way], weighted, b)

        lines.side_by_side(builder.extract_value(lines.arrays[1].shape, 1), step_and_look, WAYS)
        for number, some in enumerate(totals):
            index = ir.Constant(ir.IntType(64), number)
            place = builder.gep(lines.arrays[0].data, [index])
            builder.store(lines.added(some), place)
        return context.get_dummy_value()

    return types.void(out, values, B, types.int64, values.dtype, types.int64), emit


def _bound(beta: int) -> Any:
    @intrinsic
    def bound(typingctx: Any, values: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            lines = _Lines(context, builder, signature, given, LINE)
            x, y, _, old = (lines.row(0, ir.Constant(ir.IntType(64), n)) for n in range(4))
            totals = [lines.variable(lines.constant(0.0)) for _ in range(WAYS)]
            one, half, third = (lines.constant(1.0 / n) for n in (1, 2, 3))
            multiply, add = (partial(what, flags=REORDER) for what in (builder.fmul, builder.fadd))

            def look(places: list[Any]) -> None:
                for total, at in zip(totals, places, strict=False):
                    x_, new, before = (lines.load_from(part, at) for part in (x, y, old))
                    if beta == 1:
                        ratio = builder.fdiv(before, new)
                    else:
                        inverses = lines.inverses([before, new])
                        ratio = multiply(new, inverses[0])
                    u = builder.fsub(one, ratio, flags=CONTRACT)
                    series = multiply(u, add(one, multiply(u, add(half, multiply(u, third)))))
                    if beta == 1:
                        lines.add_product(total, x_, series)
                    else:
                        lines.add_line(total, series)
                        lines.add_product(total, x_, builder.fsub(*inverses, flags=REORDER))

            lines.side_by_side(builder.extract_value(lines.arrays[0].shape, 1), look, WAYS)
            return lines.added(totals)

        return values.dtype(values), emit

    return bound


# By how much the cost of a row fell at least since its model was ``values[3]``: that is
# Σ x log(y / old) for β = 1, Σ x / old − x / y + log(old / y) for β = 0, with log r at least
# u + u² / 2 + u³ / 3, u = 1 − 1 / r, for every r > 0.
fall_logarithmic = _bound(1)
fall_reciprocal = _bound(0)


def _modeller(*, subtract: bool) -> Any:
    @intrinsic
    def model(typingctx: Any, values: Any, B: Any, f: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            lines = _Lines(context, builder, signature, given, LINE)
            out = lines.row(0, ir.Constant(ir.IntType(64), 0 if subtract else 1))
            totals = [lines.variable(lines.constant(0.0)) for _ in range(TOGETHER)]

            def some(places: list[Any]) -> None:
                # So many lines at a time, for which an entry of f is loaded once.
                for total, place in zip(totals, places, strict=False):
                    before = lines.load_from(out, place) if subtract else lines.constant(0.0)
                    builder.store(before, total)
                with cgutils.for_range(builder, lines.length(2)) as loop:
                    entry = builder.load(builder.gep(lines.arrays[2].data, [loop.index]))
                    weight = lines.spread(builder.fneg(entry) if subtract else entry)
                    along = lines.row(1, loop.index)
                    for total, place in zip(totals, places, strict=False):
                        lines.add_product(total, weight, lines.load_from(along, place))
                for total, place in zip(totals, places, strict=False):
                    lines.store_to(builder.load(total), out, place)

            count = builder.extract_value(lines.arrays[0].shape, 1)
            lines.side_by_side(count, some, TOGETHER)
            return context.get_dummy_value()

        return types.void(values, B, f), emit

    return model


# For f (k,) and B (k or more, n): write ``f @ B[:k]`` into the second row of ``values``, or
# subtract it from the first.
model_of_lines = _modeller(subtract=False)
subtract_model = _modeller(subtract=True)
