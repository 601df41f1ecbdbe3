"""Loops over whole lines of an array, written as vectors.

A compiler that vectorizes a loop by itself leaves the last entries of every array, and all of
a short one, to scalar code. Arrays here are padded to a multiple of a line instead, and each
line is one vector of the machine's registers, or a few of them.
"""

from __future__ import annotations

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
    "subtract_products",
    "sums_of_products",
    "take_block",
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


BLOCK = 8
AHEAD = 64  # entries: about a row of texts


@intrinsic
def take_block(typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any, count: Any) -> Any:
    """Do ``B[:k, p + i] = A[indices[start + i]]`` for i < 8, with zeros in B up to full blocks.

    Of fewer than eight entries, ``count``, the last one is repeated. A row of A, which has k
    entries, is loaded and a row of B is stored as vectors of eight, and what is between is a
    transposition of vectors. Rows of A that are soon to come are asked for ahead.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        B_, p_, A_, indices_, start_, count_ = values
        given = ((B, B_), (A, A_), (indices, indices_))
        *arrays, known = (context.make_array(t)(context, builder, v) for t, v in given)
        table, rows = (array.data for array in arrays)
        width, k = (builder.extract_value(array.shape, 1) for array in arrays)
        vector = ir.VectorType(context.get_value_type(B.dtype), BLOCK)
        size = B.dtype.bitwidth // 8
        index_type = ir.IntType(64)
        number = partial(ir.Constant, index_type)

        def row(place: Any) -> Any:
            found = builder.load(builder.gep(known.data, [place]))
            found = builder.sext(found, index_type) if indices.dtype.bitwidth < 64 else found
            return builder.gep(rows, [builder.mul(found, k)])

        last = builder.add(start_, builder.sub(count_, number(1)))
        end = builder.sub(builder.extract_value(known.shape, 0), number(1))
        starts = [row(_least(builder, builder.add(start_, number(i)), last)) for i in range(BLOCK)]
        later = [
            row(_least(builder, builder.add(start_, number(AHEAD + i)), end)) for i in range(BLOCK)
        ]
        with cgutils.for_range_slice(builder, number(0), k, number(BLOCK), inc=True) as (l, _):
            for begin in later:
                _ask_for(builder, builder.gep(begin, [l]))
            lines = [
                _load_some(builder, vector, builder.gep(begin, [l]), builder.sub(k, l), size)
                for begin in starts
            ]
            for i, line in enumerate(_transposed(builder, lines)):
                first = builder.mul(builder.add(l, number(i)), width)
                place = builder.gep(table, [builder.add(first, p_)])
                builder.store(line, builder.bitcast(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(B, integer, A, indices, integer, integer), emit


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _ask_for(builder: Any, place: Any) -> None:
    # To read, into all caches.
    pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    how = [ir.Constant(number, n) for n in (0, 3, 1)]
    builder.call(prefetch, [builder.bitcast(place, pointer), *how])


def _load_some(builder: Any, vector: Any, place: Any, count: Any, size: int) -> Any:
    # A vector of which only so many entries are there, and zeros.
    index, flags = ir.IntType(64), ir.VectorType(ir.IntType(1), BLOCK)
    mask = ir.Constant(flags, ir.Undefined)
    for i in range(BLOCK):
        there = builder.icmp_signed("<", ir.Constant(index, i), count)
        mask = builder.insert_element(mask, there, ir.Constant(ir.IntType(32), i))
    kind = ir.FunctionType(vector, [vector.as_pointer(), ir.IntType(32), flags, vector])
    name = f"llvm.masked.load.v{BLOCK}f{8 * size}.p0"
    load = cgutils.get_or_insert_function(builder.module, kind, name)
    place = builder.bitcast(place, vector.as_pointer())
    zeros = ir.Constant(vector, [0.0] * BLOCK)
    return builder.call(load, [place, ir.Constant(ir.IntType(32), size), mask, zeros])


def _transposed(builder: Any, lines: list[Any]) -> list[Any]:
    # Swaps of halves, of quarters, of single entries between pairs of lines.
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
