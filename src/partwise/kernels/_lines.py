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

__all__ = [
    "BLOCK",
    "LINE",
    "WIDE",
    "add_dots",
    "model_of_lines",
    "move_logarithmic",
    "move_logarithmic_kept",
    "move_reciprocal",
    "products",
    "put_block",
    "sums_of_products",
    "take_block",
    "transposed",
]

LINE = 64  # bytes
WIDE = 512  # bytes, for one number times many lines
TOGETHER = 4  # lines

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
        return cgutils.for_range(self.builder, self.number(count))

    def number(self, count: Any) -> Any:
        """Return how many lines so many entries fill."""
        return self.builder.udiv(count, ir.Constant(count.type, self.width))

    def add_product(self, total: Any, a: Any, b: Any) -> None:
        """Do ``total += a b`` for a `variable`."""
        product = self.builder.fmul(a, b, flags=REORDER)
        more = self.builder.fadd(self.builder.load(total), product, flags=REORDER)
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


BLOCK = 8


@intrinsic
def take_block(typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any) -> Any:
    """Do ``B[:, p + i] = A[indices[start + i]]`` for i < 8, in full blocks of 8 components.

    Arrays are in C order. A row of A is loaded and a row of B is stored as a vector of eight,
    and what is between is a transposition of vectors; entry by entry it costs several times as
    much.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        blocks = _Blocks(context, builder, signature, values)
        blocks.copy(blocks.places_in_rows, blocks.places_in_table)
        return context.get_dummy_value()

    return types.void(B, types.int64, A, indices, types.int64), emit


@intrinsic
def put_block(typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any) -> Any:
    """Do ``A[indices[start + i]] = B[:, p + i]`` for i < 8, in full blocks of 8 components."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        blocks = _Blocks(context, builder, signature, values)
        blocks.copy(blocks.places_in_table, blocks.places_in_rows)
        return context.get_dummy_value()

    return types.void(B, types.int64, A, indices, types.int64), emit


class _Blocks:
    """Eight rows of A that are eight columns of B, in blocks of eight components."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        B, _, A, indices, _ = signature.args
        B_, self.p, A_, indices_, start = values
        arrays = [context.make_array(t)(context, builder, v) for t, v in ((B, B_), (A, A_))]
        self.builder = builder
        self.table, rows = (array.data for array in arrays)
        self.width, self.k = (builder.extract_value(array.shape, 1) for array in arrays)
        self.vector = ir.VectorType(context.get_value_type(B.dtype), BLOCK)
        self.size = B.dtype.bitwidth // 8
        places = context.make_array(indices)(context, builder, indices_).data
        self.starts = []
        for i in range(BLOCK):
            found = builder.load(builder.gep(places, [builder.add(start, self.number(i))]))
            narrow = indices.dtype.bitwidth < 64
            found = builder.sext(found, ir.IntType(64)) if narrow else found
            self.starts.append(builder.gep(rows, [builder.mul(found, self.k)]))

    def number(self, i: int) -> Any:
        return ir.Constant(ir.IntType(64), i)

    def copy(self, source: Callable[[Any], list[Any]], target: Callable[[Any], list[Any]]) -> None:
        """Copy all blocks from one side to the other, transposed."""
        count = self.builder.udiv(self.k, self.number(BLOCK))
        with cgutils.for_range(self.builder, count) as loop:
            lines = [self.load(place) for place in source(loop.index)]
            for place, line in zip(
                target(loop.index), transposed(self.builder, lines), strict=True
            ):
                self.store(line, place)

    def places_in_rows(self, block: Any) -> list[Any]:
        l = self.builder.mul(block, self.number(BLOCK))
        return [self.builder.gep(start, [l]) for start in self.starts]

    def places_in_table(self, block: Any) -> list[Any]:
        builder, l = self.builder, self.builder.mul(block, self.number(BLOCK))
        rows = [builder.mul(builder.add(l, self.number(i)), self.width) for i in range(BLOCK)]
        return [builder.gep(self.table, [builder.add(row, self.p)]) for row in rows]

    def load(self, place: Any) -> Any:
        return self.builder.load(self._as_line(place), align=self.size)

    def store(self, line: Any, place: Any) -> None:
        self.builder.store(line, self._as_line(place), align=self.size)

    def _as_line(self, place: Any) -> Any:
        return self.builder.bitcast(place, self.vector.as_pointer())


def transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """Return the columns of a block of lines, by swaps of halves, quarters and entries."""
    for step in (4, 2, 1):
        after = list(lines)
        for i in range(BLOCK):
            if i & step:
                continue
            pair = lines[i], lines[i + step]
            for which in range(2):
                own, other = step * which, BLOCK - step * (1 - which)
                mask = [c + (other if c & step else own) for c in range(BLOCK)]
                entries = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), mask)
                after[i + step * which] = builder.shuffle_vector(*pair, entries)
        lines = after
    return lines


class _Sums:
    """Sums over a row b of a table of lines: ``Σ b q``, ``Σ b² t`` and, if there, ``Σ b p``."""

    def __init__(self, lines: _Lines, table: int, row: Any) -> None:
        self.lines = lines
        self.row = lines.row(table, row)
        self.totals = [lines.variable(lines.constant(0.0)) for _ in range(3)]

    def add(self, index: Any, q: Any, t: Any, p: Any = None) -> None:
        multiply = partial(self.lines.builder.fmul, flags=REORDER)
        b = self.lines.load_from(self.row, index)
        self._more(0, multiply(b, q))
        self._more(1, multiply(multiply(b, b), t))
        if p is not None:
            self._more(2, multiply(b, p))

    def _more(self, number: int, line: Any) -> None:
        builder, total = self.lines.builder, self.totals[number]
        builder.store(builder.fadd(builder.load(total), line, flags=REORDER), total)

    def write(self, out: int) -> None:
        builder, place = self.lines.builder, self.lines.arrays[out].data
        for number, total in enumerate(self.totals):
            index = ir.Constant(ir.IntType(64), number)
            builder.store(self.lines.sum(builder.load(total)), builder.gep(place, [index]))


@intrinsic
def sums_of_products(typingctx: Any, out: Any, B: Any, m: Any, values: Any) -> Any:
    """Write ``Σ b q``, ``Σ b² t`` and ``Σ b p`` into ``out`` (3,), for the row b = B[m].

    ``values`` (5, n) holds x, y, q, t and p of a row.
    """

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        out_, B_, m_, values_ = given
        lines = _Lines(context, builder, signature, [out_, B_, values_], LINE)
        sums = _Sums(lines, 1, m_)
        q, t, p = (lines.row(2, ir.Constant(ir.IntType(64), number)) for number in (2, 3, 4))
        count = builder.extract_value(lines.arrays[2].shape, 1)
        with lines.over(count) as loop:
            sums.add(loop.index, *(lines.load_from(part, loop.index) for part in (q, t, p)))
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
            step_, floor_, one = lines.spread(step_), lines.spread(floor_), lines.constant(1.0)
            along, sums = lines.row(2, l_), _Sums(lines, 2, m_)
            rows = [lines.row(1, ir.Constant(ir.IntType(64), n)) for n in range(5)]
            x, y, q, t, p = rows
            with lines.over(builder.extract_value(lines.arrays[1].shape, 1)) as loop:
                at = loop.index
                moved = builder.fmul(step_, lines.load_from(along, at), flags=CONTRACT)
                moved = builder.fadd(lines.load_from(y, at), moved, flags=CONTRACT)
                moved = builder.select(builder.fcmp_ordered(">", moved, floor_), moved, floor_)
                inverse = builder.fdiv(one, moved)
                up = builder.fmul(lines.load_from(x, at), inverse)
                up = builder.fmul(up, inverse) if beta == 0 else up
                bend = builder.fmul(up, inverse)
                kept = ((y, moved), (q, up), (t, bend), (p, inverse))
                for place, line in kept[: (4 if beta == 0 else 3) if keep else 1]:
                    lines.store_to(line, place, at)
                sums.add(at, up, bend, inverse if beta == 0 else None)
            sums.write(0)
            return context.get_dummy_value()

        number = values.dtype
        signature = types.void(out, values, B, types.int64, number, number, types.int64)
        return signature, emit

    return move


# Move the model of a row along the row b = B[l] of a table, and see what the component m makes
# of it, in one pass over whole lines: y = max(y + step b, floor), then with q = x / y^(2 − β),
# t = q / y, for β = 0 also p = 1 / y, the sums of `sums_of_products` for B[m]. Long rows fit
# in the first cache only if q, t and p are not kept.
move_logarithmic = _mover(1, keep=False)  # β = 1
move_logarithmic_kept = _mover(1, keep=True)
move_reciprocal = _mover(0, keep=False)  # β = 0


@intrinsic
def model_of_lines(typingctx: Any, values: Any, B: Any, f: Any) -> Any:
    """Write ``y = f @ B[:k]`` into the second row of ``values``, for f (k,), B (k or more, n)."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        lines = _Lines(context, builder, signature, given, LINE)
        y = lines.row(0, ir.Constant(ir.IntType(64), 1))
        totals = [lines.variable(lines.constant(0.0)) for _ in range(TOGETHER)]

        def some(at: Any, count: int) -> None:
            # So many lines at a time, for which an entry of f is loaded once.
            places = [builder.add(at, ir.Constant(at.type, i)) for i in range(count)]
            for total in totals[:count]:
                builder.store(lines.constant(0.0), total)
            with cgutils.for_range(builder, lines.length(2)) as loop:
                entry = builder.load(builder.gep(lines.arrays[2].data, [loop.index]))
                weight, along = lines.spread(entry), lines.row(1, loop.index)
                for total, place in zip(totals, places, strict=False):
                    lines.add_product(total, weight, lines.load_from(along, place))
            for total, place in zip(totals, places, strict=False):
                lines.store_to(builder.load(total), y, place)

        end = lines.number(builder.extract_value(lines.arrays[0].shape, 1))
        none, one, many = (ir.Constant(end.type, n) for n in (0, 1, TOGETHER))
        whole = builder.sub(end, builder.urem(end, many))
        with cgutils.for_range_slice(builder, none, whole, many, inc=True) as (at, _):
            some(at, TOGETHER)
        with cgutils.for_range_slice(builder, whole, end, one, inc=True) as (at, _):
            some(at, 1)
        return context.get_dummy_value()

    return types.void(values, B, f), emit
