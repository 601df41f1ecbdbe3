"""Weighted sums of rows of a table, kept in the registers of the machine."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._blocks import ask_for
from partwise.kernels._lines import CONTRACT, LINE, _Lines

__all__ = ["LINE", "sum_rows"]

# Vectors of a sum that are in registers together, and how many stored entries ahead rows of a
# large table are fetched: as many as cover the way to the outer caches.
MOST = 8
AHEAD = 16


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
            ask_for(builder, line)


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
