"""Gram matrices of rows that know entries of their own, and descent on many of them at once."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._blocks import ask_for
from partwise.kernels._descent import _Descent
from partwise.kernels._gather import AHEAD
from partwise.kernels._lines import CONTRACT, LINE, _Lines
from partwise.kernels._registers import REGISTERS

__all__ = ["HIGH", "SIDE", "VECTOR", "add_products", "lay_out", "left_own", "move_own"]

# Bytes of a vector of a row of components: longer ones are filled less.
VECTOR = 32
# Rows of a Gram matrix, and vectors of each, that are summed up together: as registers allow.
HIGH, BROAD = 4, 3
# Bytes of a line of numbers of rows that lie side by side.
SIDE = 128


class _Tile(_Lines):
    """Tables of entries (array 0: as they are, array 1: times their weights), line by line."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        super().__init__(context, builder, signature, values, VECTOR)
        self.pad = builder.extract_value(self.arrays[0].shape, 1)

    def number_of(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def at(self, array: int, *steps: Any) -> Any:
        """Return where a vector lies, so many numbers after the start of an array."""
        place = self.arrays[array].data
        for step in steps:
            place = self.builder.gep(place, [step])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def take(self, place: Any) -> Any:
        return self.builder.load(place, align=self.size)

    def take_some(self, place: Any, mask: Any) -> Any:
        """Load the entries of a vector that a mask says are there, zero for others."""
        how = [ir.Constant(ir.IntType(32), self.size), mask, self.constant(0.0)]
        kind = ir.FunctionType(self.vector, [place.type, *(each.type for each in how)])
        name = f"llvm.masked.load.v{self.width}f{8 * self.size}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [place, *how])

    def put(self, line: Any, place: Any) -> None:
        self.builder.store(line, place, align=self.size)

    def put_both(self, line: Any, weight: Any, *steps: Any) -> None:
        """Store a line into array 0, and times a weight into array 1."""
        self.put(line, self.at(0, *steps))
        self.put(self.builder.fmul(weight, line), self.at(1, *steps))

    def shape(self, array: int, axis: int) -> Any:
        return self.builder.extract_value(self.arrays[array].shape, axis)

    def entry(self, array: int, number: Any) -> Any:
        return self.builder.load(self.builder.gep(self.arrays[array].data, [number]))

    def row_of(self, number: Any, k: Any) -> Any:
        """Return where the row of array 2 starts that an entry of array 3 has the number of."""
        index = self.entry(3, number)
        index = index if index.type.width == 64 else self.builder.sext(index, ir.IntType(64))
        return self.builder.mul(index, k)

    def fetch(self, row: Any, k: Any) -> None:
        """Ask for the lines of memory of a row of array 2."""
        bytes_ = self.builder.mul(k, self.number_of(self.size))
        place = self.builder.gep(self.arrays[2].data, [row])
        start = self.builder.bitcast(place, ir.IntType(8).as_pointer())
        with cgutils.for_range_slice(
            self.builder, self.number_of(0), bytes_, self.number_of(LINE), inc=True
        ) as (at, _):
            ask_for(self.builder, self.builder.gep(start, [at]))


@intrinsic
def lay_out(
    typingctx: Any, B: Any, V: Any, A: Any, indices: Any, data: Any, weights: Any, p: Any,
    count: Any, far: Any,
) -> Any:  # fmt: skip
    """Do ``B[i] = (a, x, 0 …)`` and ``V[i] = v · B[i]`` for ``count`` stored entries from p on.

    With a = A[indices[p + i]], x and v those of ``data`` and ``weights``, of which v is the first
    one where there are fewer than indices. B and V (rows, more than
    k), A (columns, k). ``far``: A is so large that its rows are fetched ahead.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *arrays, p_, count_, far_ = values
        tile = _Tile(context, builder, signature, arrays)
        k, none, step = tile.shape(2, 1), tile.number_of(0), tile.number_of(tile.width)
        over = builder.urem(k, step)
        whole, end = builder.sub(k, over), tile.spread(over)
        lanes = ir.Constant(end.type, list(range(tile.width)))
        there, own = (builder.icmp_signed(how, lanes, end) for how in ("<", "=="))
        last = builder.sub(tile.shape(3, 0), tile.number_of(1))
        with cgutils.for_range(builder, count_) as loop:
            number = builder.add(p_, loop.index)
            with builder.if_then(far_):
                later = builder.add(number, tile.number_of(AHEAD))
                later = builder.select(builder.icmp_signed("<", later, last), later, last)
                tile.fetch(tile.row_of(later, k), k)
            row, to = tile.row_of(number, k), builder.mul(loop.index, tile.pad)
            few = builder.icmp_signed("<", tile.shape(5, 0), tile.shape(3, 0))
            own_weight = builder.select(few, none, number)
            places = ((4, number), (5, own_weight))
            x, weight = (tile.spread(tile.entry(array, place)) for array, place in places)
            with cgutils.for_range_slice(builder, none, whole, step, inc=True) as (l, _):
                tile.put_both(tile.take(tile.at(2, row, l)), weight, to, l)
            line = tile.take_some(tile.at(2, row, whole), there)
            tile.put_both(builder.select(own, x, line), weight, to, whole)
        return context.get_dummy_value()

    integer = types.int64
    how = (B, V, A, indices, data, weights, integer, integer, types.boolean)
    return types.void(*how), emit


def _add_block(tile: _Tile, out: Any, j: Any, l: Any, broad: int, count: Any, fresh: Any) -> None:
    # ``out[j : j + HIGH, l : l + broad vectors] += Vᵀ B`` over so many entries, or = if ``fresh``.
    builder = tile.builder
    columns = [tile.number_of(n * tile.width) for n in range(broad)]
    starts = [
        builder.add(out, builder.add(builder.mul(builder.add(j, tile.number_of(r)), tile.pad), l))
        for r in range(HIGH)
    ]
    places = [[tile.at(2, start, column) for column in columns] for start in starts]
    zero = tile.constant(0.0)
    before = [[builder.select(fresh, zero, tile.take(place)) for place in row] for row in places]
    totals = [[tile.variable(line) for line in row] for row in before]
    with cgutils.for_range(builder, count) as loop:
        entry = builder.mul(loop.index, tile.pad)
        lines = [tile.take(tile.at(0, entry, l, column)) for column in columns]
        first = builder.gep(tile.arrays[1].data, [builder.add(entry, j)])
        for r, row in enumerate(totals):
            weight = tile.spread(builder.load(builder.gep(first, [tile.number_of(r)])))
            for total, line in zip(row, lines, strict=True):
                product = builder.fmul(weight, line, flags=CONTRACT)
                builder.store(builder.fadd(builder.load(total), product, flags=CONTRACT), total)
    for row, to in zip(totals, places, strict=True):
        for total, place in zip(row, to, strict=True):
            tile.put(builder.load(total), place)


@intrinsic
def add_products(
    typingctx: Any, B: Any, V: Any, P: Any, i: Any, rows: Any, count: Any, fresh: Any
) -> Any:
    """Do ``P[i] += V[:count].T @ B[:count]``, or = if ``fresh``, of so many rows of the product.

    B and V (entries, pad), in whole vectors; a row of P has (rows, in whole `HIGH`, pad) entries.
    What it gets beyond the diagonal is not all of the product, and none of it is needed.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *arrays, i_, rows_, count_, fresh_ = values
        tile = _Tile(context, builder, signature, arrays)
        out = builder.mul(i_, builder.extract_value(tile.arrays[2].shape, 1))
        none, high, width = tile.number_of(0), tile.number_of(HIGH), tile.number_of(tile.width)
        with cgutils.for_range_slice(builder, none, rows_, high, inc=True) as (j, _):
            last = builder.udiv(builder.add(j, tile.number_of(HIGH - 1)), width)
            end = builder.add(last, tile.number_of(1))
            broad = tile.number_of(BROAD)
            with cgutils.for_range_slice(builder, none, end, broad, inc=True) as (n, _):
                rest, l = builder.sub(end, n), builder.mul(n, width)
                for some in range(1, BROAD + 1):
                    compare = ">=" if some == BROAD else "=="
                    with builder.if_then(builder.icmp_signed(compare, rest, tile.number_of(some))):
                        _add_block(tile, out, j, l, some, count_, fresh_)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(B, V, P, integer, integer, integer, types.boolean), emit


class _Own(_Descent):
    """Lines of rows that have Gram matrices of their own: G and ``inverse`` are lines as well."""

    vectors = SIDE // REGISTERS.bytes

    def residual(self, j: Any, pad: Any) -> Any:
        """Return ``R[j] − Σ_l G[j, l] T[l]``, of G its lower half."""
        builder, none = self.builder, ir.Constant(ir.IntType(64), 0)
        k = builder.extract_value(self.arrays[0].shape, 0)
        totals = [self.variable(vector) for vector in self.line(1, j)]
        row = builder.mul(j, pad)
        one = ir.Constant(ir.IntType(64), 1)
        for first, last, lower in ((none, j, True), (j, k, False)):
            with cgutils.for_range_slice(builder, first, last, one, inc=True) as (l, _):
                at = builder.add(row, l) if lower else builder.add(builder.mul(l, pad), j)
                pairs = zip(totals, self.line(2, at), self.line(0, l), strict=True)
                for total, own, vector in pairs:
                    builder.store(self.less(builder.load(total), own, vector), total)
        return [builder.load(total) for total in totals]

    def move_line(self, j: Any, residual: Any) -> None:
        """Do ``T[j] = max(T[j] + residual · inverse[j], 0)`` where M[j] is 1; add up the change.

        Where the inverse is 0, T[j] is 0 if the residual is below zero and stays if not.
        """
        builder, none = self.builder, self.constant(0.0)
        new, change = [], []
        lines = (self.line(array, j) for array in (0, 3, 5))
        for rest, old, inverse, mask, before in zip(residual, *lines, self.line(4), strict=True):
            step = builder.fmul(rest, inverse, flags=CONTRACT)
            to = builder.fadd(old, step, flags=CONTRACT)
            to = builder.select(builder.fcmp_ordered(">", to, none), to, none)
            falls = builder.select(builder.fcmp_ordered("<", rest, none), none, old)
            to = builder.select(builder.fcmp_ordered(">", inverse, none), to, falls)
            to = builder.select(builder.fcmp_ordered(">", mask, none), to, old)
            way = builder.fsub(to, old)
            new.append(to)
            change.append(
                builder.fadd(before, builder.fmul(way, way, flags=CONTRACT), flags=CONTRACT)
            )
        self.put(new, 0, j)
        self.put(change, 4)


@intrinsic
def move_own(
    typingctx: Any, T: Any, R: Any, G: Any, inverse: Any, change: Any, M: Any, j: Any, pad: Any
) -> Any:
    """Minimize ``½ tᵀ G t − rᵀ t`` over t[j] ≥ 0 where M[j] is 1, for rows side by side.

    T, R, inverse and M (k, rows), change (rows,), to which the squares of what they move are added;
    G (k pad or more, rows), of which entry (j, l ≤ j) of a row is in line j pad + l; rows are
    ``SIDE`` bytes.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *arrays, j_, pad_ = values
        lines = _Own(context, builder, signature, arrays)
        lines.move_line(j_, lines.residual(j_, pad_))
        return context.get_dummy_value()

    integer = types.int64
    return types.void(T, R, G, inverse, change, M, integer, integer), emit


@intrinsic
def left_own(typingctx: Any, T: Any, R: Any, G: Any, out: Any, j: Any, pad: Any) -> Any:
    """Do ``out[0] = r[j] − G[j] t`` for rows side by side, as for `move_own`; out (1, rows)."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *arrays, j_, pad_ = values
        lines = _Own(context, builder, signature, arrays)
        lines.put(lines.residual(j_, pad_), 3)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(T, R, G, out, integer, integer), emit
