"""Exact minimization over one component, or two in turn, of many rows that lie side by side."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._lines import CONTRACT, _Lines

__all__ = ["LANES", "move_free_one", "move_free_two", "move_one", "move_two"]

# Bytes of a line. With two components at a time it keeps all arithmetic units of a core busy,
# and for fifty components all that a sweep needs stays in its first cache.
LANES = 512


class _Descent(_Lines):
    """Lines of T, R, M and ``change``; G and ``inverse`` are read number by number."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        super().__init__(context, builder, signature, values, LANES)
        self.zero = ir.Constant(ir.IntType(64), 0)

    def line(self, array: int, j: Any) -> Any:
        return self.load_from(self.row(array, j), self.zero)

    def number(self, array: int, *index: Any) -> Any:
        place = index[0]
        if len(index) == 2:
            per_row = self.builder.extract_value(self.arrays[array].shape, 1)
            place = self.builder.add(self.builder.mul(place, per_row), index[1])
        return self.builder.load(self.builder.gep(self.arrays[array].data, [place]))

    def less(self, total: Any, number: Any, line: Any) -> Any:
        product = self.builder.fmul(self.spread(number), line, flags=CONTRACT)
        return self.builder.fsub(total, product, flags=CONTRACT)

    def residuals(self, components: list[Any]) -> list[Any]:
        """Return ``R[j] − Σ_l G[j, l] T[l]`` for each component j."""
        builder = self.builder
        totals = [self.variable(self.line(1, j)) for j in components]
        with cgutils.for_range(builder, builder.extract_value(self.arrays[0].shape, 0)) as loop:
            line = self.line(0, loop.index)
            for j, total in zip(components, totals, strict=True):
                number = self.number(2, j, loop.index)
                builder.store(self.less(builder.load(total), number, line), total)
        return [builder.load(total) for total in totals]

    def move(self, j: Any, residual: Any, *, masked: bool) -> Any:
        """Do ``T[j] = max(T[j] + residual · inverse[j], 0)`` where M[j] is 1; return its change."""
        builder = self.builder
        old, none = self.line(0, j), self.constant(0.0)
        step = builder.fmul(residual, self.spread(self.number(3, j)), flags=CONTRACT)
        new = builder.fadd(old, step, flags=CONTRACT)
        new = builder.select(builder.fcmp_ordered(">", new, none), new, none)
        if masked:
            open_ = builder.fcmp_ordered(">", self.line(5, j), none)
            new = builder.select(open_, new, old)
        self.store_to(new, self.row(0, j), self.zero)
        moved = builder.fsub(new, old)
        square = builder.fmul(moved, moved, flags=CONTRACT)
        self.store(builder.fadd(self.load(4, self.zero), square, flags=CONTRACT), 4, self.zero)
        return moved


def _mover(*, masked: bool, two: bool) -> Any:
    def signature_of(T: Any, R: Any, G: Any, inverse: Any, change: Any, M: Any, count: int) -> Any:
        return types.void(T, R, G, inverse, change, M, *[types.int64] * count)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arrays, components = values[:6], list(values[6:])
        lines = _Descent(context, builder, signature, arrays)
        residuals = lines.residuals(components)
        moved = lines.move(components[0], residuals[0], masked=masked)
        if two:
            own = lines.number(2, components[1], components[0])
            lines.move(components[1], lines.less(residuals[1], own, moved), masked=masked)
        return context.get_dummy_value()

    @intrinsic
    def move_one(
        typingctx: Any, T: Any, R: Any, G: Any, inverse: Any, change: Any, M: Any, j: Any
    ) -> Any:
        return signature_of(T, R, G, inverse, change, M, 1), emit

    @intrinsic
    def move_two(
        typingctx: Any, T: Any, R: Any, G: Any, inverse: Any, change: Any, M: Any, i: Any, j: Any
    ) -> Any:
        return signature_of(T, R, G, inverse, change, M, 2), emit

    return move_two if two else move_one


# For T (k, line), R (k, line), G (k, k), inverse (k,), change (line,), and M like T: minimize the
# quadratic over T[j] ≥ 0, or over T[i] and then T[j], and add the squares of the changes to
# ``change``. The free ones move every entry, the others those where M is 1.
move_free_one = _mover(masked=False, two=False)
move_free_two = _mover(masked=False, two=True)
move_one = _mover(masked=True, two=False)
move_two = _mover(masked=True, two=True)
