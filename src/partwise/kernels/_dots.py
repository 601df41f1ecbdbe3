"""Products of a row with rows of a table by their numbers, and what is made of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._gather import AHEAD, HALF, SHORTEST, Gather
from partwise.kernels._lines import REORDER
from partwise.kernels.places import FEW

__all__ = ["sum_half_left", "sum_half_moved", "sum_left", "sum_moved"]


class _Dots(Gather):
    """Products of one row with the rows of `FEW` stored entries, as a vector, or with one."""

    def __init__(
        self, context: Any, builder: Any, signature: Any, values: Any, bytes_: int
    ) -> None:
        super().__init__(context, builder, signature, values, bytes_)
        kind = ir.VectorType(ir.DoubleType(), FEW)
        self.squares = cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * FEW))

    def steps(self, begin: Any, end: Any) -> Iterator[tuple[Any, int]]:
        """Write code for stored entries: give the first one, and how many are at work together."""
        over = self.builder.urem(self.builder.sub(end, begin), self.number(FEW))
        middle = self.builder.sub(end, over)
        for first, last, count in ((begin, middle, FEW), (middle, end, 1)):
            step = self.number(count)
            with cgutils.for_range_slice(self.builder, first, last, step, inc=True) as (at, _):
                yield at, count

    def dots(self, own: list[Any], p: Any, starts: list[Any], count: int) -> Any:
        """Return the products of a row with those of so many stored entries."""
        found = []
        for n in range(count):
            lines = self.lines(self.after(p, n), starts)
            total = self.builder.fmul(own[0], lines[0], flags=REORDER)
            for f, line in zip(own[1:], lines[1:], strict=True):
                product = self.builder.fmul(f, line, flags=REORDER)
                total = self.builder.fadd(total, product, flags=REORDER)
            found.append(total)
        return self.sums(found) if count == FEW else self.sum(found[0])

    def sums(self, found: list[Any]) -> Any:
        """Return the sums of four vectors as one vector."""
        width = self.width
        while width > FEW:  # the upper half onto the lower one
            width //= 2
            halves = range(width), range(width, 2 * width)
            found = [self.folded(each, each, halves) for each in found]
        if width == 1:
            two = [self.shuffled(found[n], found[n + 1], range(2)) for n in (0, 2)]
            return self.shuffled(two[0], two[1], range(FEW))
        if width == 2:
            two = [self.folded(found[n], found[n + 1], ([0, 2], [1, 3])) for n in (0, 2)]
            return self.shuffled(two[0], two[1], range(FEW))
        even, odd = [0, 4, 2, 6], [1, 5, 3, 7]
        two = [self.folded(found[n], found[n + 1], (even, odd)) for n in (0, 2)]
        return self.folded(two[0], two[1], ([0, 1, 4, 5], [2, 3, 6, 7]))

    def folded(self, first: Any, second: Any, places: Any) -> Any:
        """Return the sum of two choices of the entries of two vectors."""
        chosen = [self.shuffled(first, second, numbers) for numbers in places]
        return self.builder.fadd(*chosen, flags=REORDER)

    def shuffled(self, first: Any, second: Any, numbers: Any) -> Any:
        kind = ir.VectorType(ir.IntType(32), len(numbers))
        return self.builder.shuffle_vector(first, second, ir.Constant(kind, list(numbers)))

    def after(self, p: Any, n: int) -> Any:
        return self.builder.add(p, self.number(n))

    def some(self, array: int, p: Any, count: int) -> Any:
        """Return so many entries of a flat array."""
        if count == 1:
            return self.entry(array, p)
        place = self.builder.gep(self.arrays[array].data, [p])
        kind = ir.VectorType(self.scalar, count).as_pointer()
        return self.builder.load(self.builder.bitcast(place, kind), align=self.size)

    def weight_of(self, p: Any, array: int) -> Any:
        """Return where the weight of the stored entry p is; of few weights all are the same."""
        count, known = (self.builder.extract_value(self.arrays[n].shape, 0) for n in (array, 1))
        few = self.builder.icmp_signed("<", count, known)
        return self.builder.select(few, self.number(0), p)

    def one(self, some: Any, n: int, count: int) -> Any:
        place = ir.Constant(ir.IntType(32), n)
        return some if count == 1 else self.builder.extract_element(some, place)

    def add_weighed(
        self, totals: list[Any], weighed: Any, p: Any, starts: list[Any], count: int
    ) -> None:
        """Add the rows of so many stored entries times their weights to the totals.

        Vector by vector, so that of many totals each is taken from memory once, and has to wait
        for itself once.
        """
        rows = [self.row_of(self.after(p, n)) for n in range(count)]
        weights = [self.spread(self.one(weighed, n, count)) for n in range(count)]
        for total, start in zip(totals, starts, strict=True):
            more = None
            for row, weight in zip(rows, weights, strict=True):
                line = self.builder.load(self.at(row, start), align=self.size)
                product = self.builder.fmul(weight, line, flags=REORDER)
                more = product if more is None else self.builder.fadd(more, product, flags=REORDER)
            self.builder.store(
                self.builder.fadd(self.builder.load(total), more, flags=REORDER), total
            )

    def add_squares(self, weighed: Any, rest: Any, count: int) -> None:
        """Add the products of some numbers with others to ``squares``."""
        kind = ir.DoubleType() if count == 1 else ir.VectorType(ir.DoubleType(), count)
        if self.size != 8:
            weighed, rest = (self.builder.fpext(each, kind) for each in (weighed, rest))
        product = self.builder.fmul(weighed, rest, flags=REORDER)
        if count == 1:
            none = ir.Constant(ir.VectorType(kind, FEW), [0.0] * FEW)
            product = self.builder.insert_element(none, product, ir.Constant(ir.IntType(32), 0))
        more = self.builder.fadd(self.builder.load(self.squares), product, flags=REORDER)
        self.builder.store(more, self.squares)

    def sum_of_squares(self) -> Any:
        line, total = self.builder.load(self.squares), ir.Constant(ir.DoubleType(), 0.0)
        for n in range(FEW):
            total = self.builder.fadd(total, self.one(line, n, FEW))
        return total


def _left(bytes_: int) -> Any:
    @intrinsic
    def left(
        typingctx: Any,
        A: Any, indices: Any, data: Any, weights: Any, F: Any, out: Any, i: Any, p: Any, end: Any,
        far: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            *arrays, i_, begin_, end_, far_ = values
            gather = _Dots(context, builder, signature, arrays, bytes_)
            last = builder.sub(builder.extract_value(gather.arrays[1].shape, 0), gather.number(1))
            shift = builder.mul(i_, gather.k)
            row, target = (builder.gep(gather.arrays[n].data, [shift]) for n in (4, 5))
            for first, width in gather.parts():
                starts = gather.starts(first, width)
                own = gather.own(row, first, starts)
                totals = [gather.variable(gather.constant(0.0)) for _ in starts]
                for at, count in gather.steps(begin_, end_):
                    with builder.if_then(far_):
                        for n in range(count):
                            gather.fetch(gather.after(at, AHEAD + n), last, first, width)
                    dots = gather.dots(own, at, starts, count)
                    rest = builder.fsub(gather.some(2, at, count), dots)
                    weights = gather.some(3, gather.weight_of(at, 3), count)
                    weighed = builder.fmul(weights, rest)
                    gather.add_weighed(totals, weighed, at, starts, count)
                    gather.add_squares(weighed, rest, count)
                gather.store_lines(totals, target, starts)
            return gather.sum_of_squares()

        place = types.int64
        how = (A, indices, data, weights, F, out, place, place, place, types.boolean)
        return types.float64(*how), emit

    return left


def _moved(bytes_: int) -> Any:
    @intrinsic
    def moved(
        typingctx: Any, A: Any, indices: Any, weights: Any, D: Any, i: Any, p: Any, end: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            *arrays, i_, begin_, end_ = values
            gather = _Dots(context, builder, signature, arrays, bytes_)
            row = builder.gep(gather.arrays[3].data, [builder.mul(i_, gather.k)])
            for first, width in gather.parts():
                starts = gather.starts(first, width)
                own = gather.own(row, first, starts)
                for at, count in gather.steps(begin_, end_):
                    moved = gather.dots(own, at, starts, count)
                    weights = gather.some(2, gather.weight_of(at, 2), count)
                    weighed = builder.fmul(weights, moved)
                    gather.add_squares(weighed, moved, count)
            return gather.sum_of_squares()

        place = types.int64
        return types.float64(A, indices, weights, D, place, place, place), emit

    return moved


# Do ``out[i] = Σ v r A[indices[q]]`` for q from p to the end, and return Σ v r² in float64. Here r
# is ``data[q] − F[i] @ A[indices[q]]`` and v is ``weights[q]``, or the same for all where there are
# fewer weights than indices, ``FEW`` at least. A row has from ``SHORTEST`` to ``LONGEST`` bytes, so
# that it is fetched once, or for `sum_half_left` from half a vector to a whole one; else as for
# `sum_rows`.
sum_left = _left(SHORTEST)
sum_half_left = _left(HALF)

# Return ``Σ v (D[i] @ A[indices[q]])²`` for q from p to the end, in float64. As for `sum_left`, of
# entries that it has just seen: nothing is fetched ahead.
sum_moved = _moved(SHORTEST)
sum_half_moved = _moved(HALF)
