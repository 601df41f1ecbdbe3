"""Rows of a table by their numbers, and their weighted sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._blocks import ask_for
from partwise.kernels._lines import CONTRACT, LINE, _Lines
from partwise.kernels._registers import REGISTERS

__all__ = [
    "HALF",
    "LONGEST",
    "NEAR",
    "QUARTER",
    "SHORTEST",
    "Gather",
    "sum_half_rows",
    "sum_quarter_rows",
    "sum_rows",
]

# Bytes of a row that all kernels here take, and of one that they take in one go.
SHORTEST, LONGEST = REGISTERS.bytes, 8 * LINE
HALF, QUARTER = SHORTEST // 2, max(SHORTEST // 4, 8)  # at least one number
# Vectors of a sum that are in registers together, at most; and numbers of them that have code of
# their own: of many, one or a few more than needed cost little.
MOST = LONGEST // REGISTERS.bytes
COUNTS = [n for n in range(1, MOST + 1) if n <= 6 or n % (2 if n <= 16 else 4) == 0]
# How many stored entries ahead rows of a large table are fetched: as many as cover the way to the
# outer caches.
AHEAD = 16
NEAR = 2**18  # bytes of a table that is soon in a core's own cache, beside all the rest


def _surely(count: int) -> int:
    # Vectors that are whole where there are so many of them.
    return max((n for n in COUNTS if n < count), default=0)


class Gather(_Lines):
    """Rows of A (array 0), by the numbers in array 1."""

    def __init__(
        self, context: Any, builder: Any, signature: Any, values: Any, bytes_: int = SHORTEST
    ) -> None:
        super().__init__(context, builder, signature, values, bytes_)
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
        """Return where so many vectors start; the last ones of a row over components before."""
        builder, most = self.builder, self.builder.sub(self.k, self.number(self.width))
        found = [builder.add(first, self.number(n * self.width)) for n in range(count)]
        for n in range(_surely(count), count):
            inside = builder.icmp_signed("<", found[n], most)
            found[n] = builder.select(inside, found[n], most)
        return found

    def parts(self) -> Iterator[tuple[Any, int]]:
        """Write code for some components at a time: give the first one, and how many vectors."""
        return self.chunks() if self.width * self.size == SHORTEST else self.one_or_two()

    def chunks(self) -> Iterator[tuple[Any, int]]:
        """Do so for rows of any length."""
        builder, wide = self.builder, self.number(MOST * self.width)
        chunks = builder.udiv(builder.add(self.k, builder.sub(wide, self.number(1))), wide)
        with cgutils.for_range(builder, chunks) as loop:
            first = builder.mul(loop.index, wide)
            rest = builder.sub(self.k, first)
            for count in COUNTS:
                low = builder.icmp_signed(">", rest, self.number(_surely(count) * self.width))
                high = builder.icmp_signed("<=", rest, self.number(count * self.width))
                with builder.if_then(builder.and_(low, high) if count < MOST else low):
                    yield first, count

    def one_or_two(self) -> Iterator[tuple[Any, int]]:
        """Do so for rows of one vector or two."""
        short = self.builder.icmp_signed("<=", self.k, self.number(self.width))
        with self.builder.if_else(short) as (then, otherwise):
            with then:
                yield self.number(0), 1
            with otherwise:
                yield self.number(0), 2

    def own(self, row: Any, first: Any, starts: list[Any]) -> list[Any]:
        """Return vectors of a row, zero where they lie over components before them."""
        found = [self.builder.load(self.at(row, start), align=self.size) for start in starts]
        for n in range(_surely(len(starts)), len(starts)):
            place = self.builder.add(first, self.number(n * self.width))
            over = self.spread(self.builder.sub(place, starts[n]))
            lanes = ir.Constant(over.type, list(range(self.width)))
            here = self.builder.icmp_signed(">=", lanes, over)
            found[n] = self.builder.select(here, found[n], self.constant(0.0))
        return found

    def at(self, start: Any, component: Any) -> Any:
        """Return where a vector of a row lies."""
        place = self.builder.gep(start, [component])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def add(self, totals: list[Any], p: Any, starts: list[Any]) -> None:
        """Add the weighted row of one stored entry."""
        self.add_lines(totals, self.entry(2, p), self.lines(p, starts))

    def add_lines(self, totals: list[Any], weight: Any, lines: list[Any]) -> None:
        weight = self.spread(weight)
        for total, line in zip(totals, lines, strict=True):
            product = self.builder.fmul(weight, line, flags=CONTRACT)
            more = self.builder.fadd(self.builder.load(total), product, flags=CONTRACT)
            self.builder.store(more, total)

    def store_lines(self, totals: list[Any], target: Any, starts: list[Any]) -> None:
        for total, start in zip(totals, starts, strict=True):
            line = self.builder.load(total)
            self.builder.store(line, self.at(target, start), align=self.size)

    def lines(self, p: Any, starts: list[Any]) -> list[Any]:
        """Return vectors of the row of one stored entry."""
        row = self.row_of(p)
        return [self.builder.load(self.at(row, start), align=self.size) for start in starts]

    def entry(self, array: int, p: Any) -> Any:
        """Return an entry of a flat array."""
        return self.builder.load(self.builder.gep(self.arrays[array].data, [p]))

    def fetch(self, p: Any, last: Any, first: Any, count: int) -> None:
        """Ask for so many vectors of the row of the stored entry p, or the last, ahead of use."""
        p = self.builder.select(self.builder.icmp_signed("<", p, last), p, last)
        start = self.builder.gep(self.row_of(p), [first])
        line = self.builder.bitcast(start, ir.IntType(8).as_pointer())
        for place in range(0, count * self.width * self.size, LINE):
            ask_for(self.builder, self.builder.gep(line, [self.number(place)]))


def _summer(bytes_: int) -> Any:
    @intrinsic
    def add(
        typingctx: Any,
        A: Any, indices: Any, weights: Any, out: Any, i: Any, p: Any, end: Any, far: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            *arrays, i_, begin_, end_, far_ = values
            gather = Gather(context, builder, signature, arrays, bytes_)
            last = builder.sub(builder.extract_value(gather.arrays[1].shape, 0), gather.number(1))
            target = builder.gep(gather.arrays[3].data, [builder.mul(i_, gather.k)])
            for first, count in gather.parts():
                _sum_chunk(gather, target, (begin_, end_, last, far_), first, count)
            return context.get_dummy_value()

        place = types.int64
        return types.void(A, indices, weights, out, place, place, place, types.boolean), emit

    return add


# Do ``out[i] = Σ weights[p] A[indices[p]]`` from p to the end; A and out in C order. A row has at
# least as many components as a vector; in `sum_half_rows` as half a vector and fewer than a whole
# one, in `sum_quarter_rows` as a quarter and fewer than half. ``far``: A is so large that its rows
# are fetched ahead, up to the end of ``indices``.
sum_rows = _summer(SHORTEST)
sum_half_rows = _summer(HALF)
sum_quarter_rows = _summer(QUARTER)


def _sum_chunk(gather: Gather, target: Any, ends: Any, first: Any, count: int) -> None:
    # A few vectors of the sum; with few of them two sums, so that one need not wait for itself.
    builder = gather.builder
    begin, end, last, far = ends
    starts = gather.starts(first, count)
    sets = 2 if count <= MOST // 2 else 1
    totals = [[gather.variable(gather.constant(0.0)) for _ in range(count)] for _ in range(sets)]
    with cgutils.for_range_slice(
        builder, begin, builder.sub(end, gather.number(sets - 1)), gather.number(sets)
    ) as (p, _):
        for number, some in enumerate(totals):
            at = builder.add(p, gather.number(number))
            with builder.if_then(far):
                gather.fetch(builder.add(at, gather.number(AHEAD)), last, first, count)
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
