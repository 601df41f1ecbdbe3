"""Greedy coordinate descent for the non-negative quadratic program, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._compile import compiled
from partwise.kernels._lines import CONTRACT, LINE, _Lines
from partwise.kernels._rows import put, room_for, whole_lines
from partwise.kernels.quadratic import curvatures

__all__ = ["greedy_updates"]

ENTRIES, SLOPES, INVERSES, CURVES, NUMBERS = range(5)  # the lines of what is known of a row
FAST = ("nnan", "nsz")


class _Search(_Lines):
    """Lines of a row, of a row of G, and what is found: the most, and the number of its entry."""

    def place(self, index: Any, number: int) -> Any:
        return self.builder.gep(self.row(0, ir.Constant(index.type, number)), [index])

    def least_or_most(self, which: str, line: Any) -> Any:
        name = f"llvm.vector.reduce.{which}.v{self.width}f{8 * self.size}"
        kind = ir.FunctionType(self.scalar, [self.vector])
        reduce = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(reduce, [line], fastmath=FAST)

    def look(self, index: Any, by: Any, best: Any, at: Any) -> None:
        """Move the slopes of one line, and see how far each of its entries could fall."""
        builder, places = self.builder, [self.place(index, number) for number in range(5)]
        f, slope, inverse, curve, number = (builder.load(p, align=self.size) for p in places)
        change = builder.fmul(by, self.load(1, index), flags=CONTRACT)
        slope = builder.fadd(slope, change, flags=CONTRACT)
        builder.store(slope, places[SLOPES], align=self.size)
        down, most = builder.fneg(builder.fmul(slope, inverse)), builder.fneg(f)
        move = builder.select(builder.fcmp_ordered(">", down, most), down, most)
        bent = builder.fmul(move, curve, flags=CONTRACT)
        twice = builder.fadd(builder.fadd(slope, slope), bent, flags=CONTRACT)
        fall = builder.fneg(builder.fmul(move, twice))
        better = builder.fcmp_ordered(">", fall, builder.load(best))
        builder.store(builder.select(better, fall, builder.load(best)), best)
        builder.store(builder.select(better, number, builder.load(at)), at)


@intrinsic
def _steepest(typingctx: Any, known: Any, along: Any, by: Any, found: Any) -> Any:
    """Add ``by`` times a row of G to the slopes, and find the entry that lowers the quadratic most.

    ``known`` (5, n), ``along`` (n,), whole lines. Writes twice the decrease into ``found[0]``, 0
    where there is none, and the number of the first such entry into ``found[1]``.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        known_, along_, by_, found_ = values
        kinds = types.void(known, along, found)
        lines = _Search(context, builder, kinds, [known_, along_, found_], LINE)
        best, at = (lines.variable(lines.constant(0.0)) for _ in range(2))
        step = lines.spread(by_)
        with lines.over(lines.length(1)) as loop:
            lines.look(loop.index, step, best, at)
        most = lines.least_or_most("fmax", builder.load(best))
        same = builder.fcmp_ordered("==", builder.load(best), lines.spread(most))
        numbers = builder.select(same, builder.load(at), lines.constant(2.0**23))
        first = lines.least_or_most("fmin", numbers)
        for number, value in enumerate((most, first)):
            place = builder.gep(lines.arrays[2].data, [ir.Constant(ir.IntType(64), number)])
            builder.store(value, place)
        return context.get_dummy_value()

    return types.void(known, along, known.dtype, found), emit


@compiled(fastmath={"contract", "nsz"}, error_model="numpy")
def greedy_updates(F, G, C, free, updates, shrink):  # type: ignore[no-untyped-def]
    """Lower ``½ tr(F G Fᵀ) − tr(F Cᵀ)`` over ``F ≥ 0``, the best single entry first.

    ``F`` (rows, k) is updated in place; entries where ``free`` (rows, k) is False stay, and an
    array of no rows means that all are free. In each row the entry whose exact minimization
    lowers the quadratic most is moved, up to ``updates`` times, until that decrease is at
    most ``shrink`` times the first one of the row. Rows do not depend on each other. Cost
    O(k²) per row, and O(k) per update.

    Source: Hsieh & Dhillon (2011), KDD, algorithm 1; its stopping rule looks at the first
    decreases of all rows instead.
    """
    rows, k = F.shape
    use_free = free.shape[0] > 0
    plain, inverse = curvatures(G, F)
    n = whole_lines(k, F)
    gram, known = room_for(k * n, F).reshape(k, n), room_for(5 * n, F).reshape(5, n)
    f, slope, open_, found = known[ENTRIES], known[SLOPES], known[INVERSES], np.zeros(2, F.dtype)
    for j in range(k):
        put(gram[j, :k], plain[j])
        known[CURVES, j], known[NUMBERS, j] = plain[j, j], j
    zero = F.dtype.type(0)
    for i in range(rows):
        for j in range(k):
            f[j], slope[j] = F[i, j], -C[i, j]
            open_[j] = inverse[j] if not use_free or free[i, j] else zero
        for l in range(k):
            value, along = f[l], gram[l]
            if value != 0:
                for j in range(n):
                    slope[j] += value * along[j]
        enough = by = zero
        best = 0
        for update in range(updates):
            _steepest(known, gram[best], by, found)
            enough = enough if update > 0 else shrink * found[0]
            if found[0] <= 0 or (update > 0 and not found[0] > enough):
                break
            best = int(found[1])
            by = max(-slope[best] * inverse[best], -f[best])
            f[best] = max(f[best] + by, zero)
        for j in range(k):
            if inverse[j] == 0 and slope[j] > 0 and not (use_free and not free[i, j]):
                f[j] = 0  # no curvature: the objective falls towards zero all the way
            F[i, j] = f[j]
