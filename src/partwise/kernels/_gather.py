"""Weighted sums of rows of a table, kept in the registers of the machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._lines import BLOCK, CONTRACT, LINE, _Lines, transposed

__all__ = ["LINE", "gather_block", "sum_rows"]

# Vectors of a sum that are in registers together, and how many stored entries ahead rows of a
# large table are fetched: as many as cover the way to the outer caches.
MOST = 8
AHEAD = 16
FURTHER = 64  # where rows are copied first, about as many as a row of texts has


class _Gather(_Lines):
    """Sums of rows of A (array 0); ``places`` and ``weights`` are arrays 1 and 2, 3 the result."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        super().__init__(context, builder, signature, values, LINE)
        self.k = builder.extract_value(self.arrays[0].shape, 1)
        self.whole = signature.args[1].dtype.bitwidth == 64

    def number(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def row_of(self, p: Any) -> Any:
        """Return where the row of the stored entry p starts."""
        found = self.builder.load(self.builder.gep(self.arrays[1].data, [p]))
        found = found if self.whole else self.builder.sext(found, ir.IntType(64))
        return self.builder.gep(self.arrays[0].data, [self.builder.mul(found, self.k)])

    def starts(self, first: Any, count: int) -> list[Any]:
        """Return where so many vectors start; the last one of a row over components before it."""
        builder, most = self.builder, self.builder.sub(self.k, self.number(self.width))
        found = [builder.add(first, self.number(n * self.width)) for n in range(count)]
        found[-1] = builder.select(builder.icmp_signed("<", found[-1], most), found[-1], most)
        return found

    def at(self, start: Any, component: Any) -> Any:
        """Return where a vector of a row lies."""
        place = self.builder.gep(start, [component])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def add(self, totals: list[Any], p: Any, starts: list[Any]) -> None:
        """Add the weighted row of one stored entry."""
        weight = self.spread(self.builder.load(self.builder.gep(self.arrays[2].data, [p])))
        row = self.row_of(p)
        for total, start in zip(totals, starts, strict=True):
            line = self.builder.load(self.at(row, start), align=self.size)
            product = self.builder.fmul(weight, line, flags=CONTRACT)
            more = self.builder.fadd(self.builder.load(total), product, flags=CONTRACT)
            self.builder.store(more, total)

    def fetch(self, p: Any, last: Any) -> None:
        """Ask for the row of the stored entry p ahead of its use."""
        builder = self.builder
        p = builder.select(builder.icmp_signed("<", p, last), p, last)
        start = builder.bitcast(self.row_of(p), ir.IntType(8).as_pointer())
        size = builder.mul(self.k, self.number(self.size))
        count = builder.udiv(builder.add(size, self.number(LINE - 1)), self.number(LINE))
        with cgutils.for_range(builder, count) as loop:
            line = builder.gep(start, [builder.mul(loop.index, self.number(LINE))])
            _ask_for(builder, line)


@intrinsic
def sum_rows(
    typingctx: Any, A: Any, indices: Any, weights: Any, out: Any, i: Any, p: Any, end: Any, far: Any
) -> Any:
    """Do ``out[i] = Σ weights[p] A[indices[p]]`` from p to the end; A and out in C order.

    A row has at least as many components as a vector. ``far``: A is so large that its rows are
    fetched ahead, up to the end of ``indices``.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *arrays, i_, begin_, end_, far_ = values
        gather = _Gather(context, builder, signature, arrays)
        last = builder.sub(builder.extract_value(gather.arrays[1].shape, 0), gather.number(1))
        wide = gather.number(MOST * gather.width)
        target = builder.gep(gather.arrays[3].data, [builder.mul(i_, gather.k)])
        chunks = builder.udiv(builder.add(gather.k, builder.sub(wide, gather.number(1))), wide)
        with cgutils.for_range(builder, chunks) as loop:
            first = builder.mul(loop.index, wide)
            rest = builder.sub(gather.k, first)
            for count in range(1, MOST + 1):
                low = builder.icmp_signed(">", rest, gather.number((count - 1) * gather.width))
                high = builder.icmp_signed("<=", rest, gather.number(count * gather.width))
                here = builder.and_(low, high) if count < MOST else low
                with builder.if_then(here):
                    _sum_chunk(gather, target, (begin_, end_, last, far_), first, count)
        return context.get_dummy_value()

    place = types.int64
    return types.void(A, indices, weights, out, place, place, place, types.boolean), emit


def _sum_chunk(gather: _Gather, target: Any, ends: Any, first: Any, count: int) -> None:
    # A few vectors of the sum; with few of them two sums, so that one need not wait for itself.
    builder = gather.builder
    begin, end, last, far = ends
    starts = gather.starts(first, count)
    sets = 2 if count <= MOST // 2 else 1
    totals = [[gather.variable(gather.constant(0.0)) for _ in range(count)] for _ in range(sets)]
    new = builder.and_(far, builder.icmp_signed("==", first, gather.number(0)))
    with cgutils.for_range_slice(
        builder, begin, builder.sub(end, gather.number(sets - 1)), gather.number(sets)
    ) as (p, _):
        for number, some in enumerate(totals):
            at = builder.add(p, gather.number(number))
            with builder.if_then(new):
                gather.fetch(builder.add(at, gather.number(AHEAD)), last)
            gather.add(some, at, starts)
    if sets == 2:
        odd = builder.and_(builder.sub(end, begin), gather.number(1))
        with builder.if_then(builder.icmp_signed("==", odd, gather.number(1))):
            gather.add(totals[0], builder.sub(end, gather.number(1)), starts)
    for number, start in enumerate(starts):
        line = builder.load(totals[0][number])
        for some in totals[1:]:
            line = builder.fadd(line, builder.load(some[number]))
        builder.store(line, gather.at(target, start), align=gather.size)


@intrinsic
def gather_block(
    typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any, count: Any
) -> Any:
    """Do ``B[:k, p + i] = A[indices[start + i]]`` for i < 8; up to k = 8 B has eight rows.

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
            row(_least(builder, builder.add(start_, number(FURTHER + i)), end))
            for i in range(BLOCK)
        ]

        def copy(l: Any, load: Callable[[Any], Any]) -> None:
            for begin in later:
                _ask_for(builder, builder.gep(begin, [l]))
            lines = [load(builder.gep(begin, [l])) for begin in starts]
            for i, line in enumerate(transposed(builder, lines)):
                first = builder.mul(builder.add(l, number(i)), width)
                place = builder.gep(table, [builder.add(first, p_)])
                builder.store(line, builder.bitcast(place, vector.as_pointer()), align=size)

        def whole(place: Any) -> Any:
            return builder.load(builder.bitcast(place, vector.as_pointer()), align=size)

        with builder.if_else(builder.icmp_signed("<", k, number(BLOCK))) as (few, many):
            with few:
                copy(number(0), lambda place: _load_some(builder, vector, place, k, size))
            with many:
                # The last block begins earlier, over components that are done.
                most = builder.sub(k, number(BLOCK))
                steps = cgutils.for_range_slice(builder, number(0), k, number(BLOCK), inc=True)
                with steps as (l, _):
                    copy(_least(builder, l, most), whole)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(B, integer, A, indices, integer, integer), emit


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _ask_for(builder: Any, place: Any) -> None:
    # To read, into all caches.
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    how = [ir.Constant(flag, n) for n in (0, 3, 1)]
    builder.call(prefetch, [builder.bitcast(place, byte), *how])


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
