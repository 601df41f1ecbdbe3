"""Exact minimization over one component, or two in turn, of many rows that lie side by side."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._lines import CONTRACT, _Lines
from partwise.kernels._registers import REGISTERS

__all__ = ["LANES", "move_free_one", "move_free_two", "move_one", "move_two", "subtract_product"]

# Vectors of a line, and their bytes together. With two components at a time they keep all
# arithmetic units of a core busy and fit into its registers; for fifty components all that a sweep
# needs stays in its first cache.
VECTORS = REGISTERS.number // 4
LANES = VECTORS * REGISTERS.bytes

Line = list[Any]


class _Descent(_Lines):
    """Lines of T, R, M and ``change``, vector by vector; G and ``inverse`` are read as numbers."""

    vectors = VECTORS

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        super().__init__(context, builder, signature, values, REGISTERS.bytes)

    def places_of(self, array: int, j: Any = None) -> Line:
        """Return where the vectors of a line lie, of row j or of a flat array."""
        start = self.places[array] if j is None else self.row(array, j)
        return [
            self.builder.gep(start, [ir.Constant(ir.IntType(64), n)]) for n in range(self.vectors)
        ]

    def line(self, array: int, j: Any = None) -> Line:
        places = self.places_of(array, j)
        return [self.builder.load(place, align=self.size) for place in places]

    def put(self, line: Line, array: int, j: Any = None) -> None:
        for vector, place in zip(line, self.places_of(array, j), strict=True):
            self.builder.store(vector, place, align=self.size)

    def number(self, array: int, *index: Any) -> Any:
        place = index[0]
        if len(index) == 2:
            per_row = self.builder.extract_value(self.arrays[array].shape, 1)
            place = self.builder.add(self.builder.mul(place, per_row), index[1])
        return self.builder.load(self.builder.gep(self.arrays[array].data, [place]))

    def less(self, total: Any, spread: Any, vector: Any) -> Any:
        product = self.builder.fmul(spread, vector, flags=CONTRACT)
        return self.builder.fsub(total, product, flags=CONTRACT)

    def residuals(self, components: list[Any]) -> list[Line]:
        """Return ``R[j] − Σ_l G[j, l] T[l]`` for each component j."""
        builder = self.builder
        totals = [[self.variable(vector) for vector in self.line(1, j)] for j in components]
        with cgutils.for_range(builder, builder.extract_value(self.arrays[0].shape, 0)) as loop:
            numbers = [self.spread(self.number(2, j, loop.index)) for j in components]
            # One vector after the other, so that few of them need a register at a time.
            for place, *own in zip(self.places_of(0, loop.index), *totals, strict=True):
                vector = builder.load(place, align=self.size)
                for number, total in zip(numbers, own, strict=True):
                    builder.store(self.less(builder.load(total), number, vector), total)
        return [[builder.load(total) for total in own] for own in totals]

    def move(self, j: Any, residual: Line, *, masked: bool) -> Line:
        """Do ``T[j] = max(T[j] + residual · inverse[j], 0)`` where M[j] is 1; return its change."""
        builder, none = self.builder, self.constant(0.0)
        inverse, old = self.spread(self.number(3, j)), self.line(0, j)
        new, moved, change = [], [], []
        masks = self.line(5, j) if masked else [None] * self.vectors
        before = self.line(4)
        for rest, from_, mask, sum_ in zip(residual, old, masks, before, strict=True):
            step = builder.fmul(rest, inverse, flags=CONTRACT)
            to = builder.fadd(from_, step, flags=CONTRACT)
            to = builder.select(builder.fcmp_ordered(">", to, none), to, none)
            if mask is not None:
                to = builder.select(builder.fcmp_ordered(">", mask, none), to, from_)
            way = builder.fsub(to, from_)
            square = builder.fmul(way, way, flags=CONTRACT)
            new.append(to)
            moved.append(way)
            change.append(builder.fadd(sum_, square, flags=CONTRACT))
        self.put(new, 0, j)
        self.put(change, 4)
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
            own = lines.spread(lines.number(2, components[1], components[0]))
            pairs = zip(residuals[1], moved, strict=True)
            rest = [lines.less(residual, own, way) for residual, way in pairs]
            lines.move(components[1], rest, masked=masked)
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


@intrinsic
def subtract_product(typingctx: Any, T: Any, R: Any, G: Any, j: Any) -> Any:
    """Do ``R[j] −= Σ_l G[j, l] T[l]`` for T and R (k, line) and G (k, k)."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lines = _Descent(context, builder, signature, values[:3])
        lines.put(lines.residuals([values[3]])[0], 1, values[3])
        return context.get_dummy_value()

    return types.void(T, R, G, types.int64), emit
