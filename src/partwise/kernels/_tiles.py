"""Tiles of a matrix product that stay in the registers of the machine.

Products of large matrices with narrow ones, of 10 or 50 columns, leave the matrix product of
BLAS at a fraction of its speed: it copies both operands into its own layout first, and each
copied number is used a few times only. Tiles here read the large matrix where it lies.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._lines import CONTRACT, _Lines
from partwise.kernels._registers import REGISTERS

__all__ = [
    "COLUMNS",
    "ROWS",
    "add_squares",
    "add_squares_down",
    "add_turned_tile",
    "tile_bytes",
    "tile_of",
    "write_half_tile",
    "write_left_tile",
    "write_residual_tiles",
    "write_tile",
]


ROWS = REGISTERS.rows
COLUMNS = 2  # vectors


def tile_bytes() -> int:
    """Return the bytes of a row of a tile."""
    return COLUMNS * REGISTERS.bytes


@intrinsic
def tile_of(typingctx: Any, A: Any) -> Any:
    """Return the columns of a tile in the dtype of an array, which the compiler knows."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        columns = 8 * tile_bytes() // signature.args[0].dtype.bitwidth
        return ir.Constant(ir.IntType(64), columns)

    return types.int64(A), emit


class _Tile(_Lines):
    """Arrays of one dtype, seen as vectors of the machine."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        super().__init__(context, builder, signature, values, REGISTERS.bytes)

    def number(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def stride(self, array: int, axis: int) -> Any:
        return self.builder.extract_value(self.arrays[array].strides, axis)

    def address(self, array: int) -> Any:
        return self.builder.ptrtoint(self.arrays[array].data, ir.IntType(64))

    def start(self, array: int, row: Any) -> Any:
        """Return the address of a row."""
        shift = self.builder.mul(row, self.stride(array, 0))
        return self.builder.add(self.address(array), shift)

    def pointer(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())

    def product(
        self, X: int, first: Any, j: Any, P: int, count: Any, vectors: int, p: Any = None
    ) -> list[Any]:
        """Return `variable` for ``X[first : first + ROWS, j : j + count] @ P[p : p + count]``."""
        builder, along = self.builder, self.stride(X, 1)
        shift = builder.mul(j, along)
        rows = [builder.add(first, self.number(r)) for r in range(ROWS)]
        starts = [builder.add(self.start(X, row), shift) for row in rows]
        totals = [[self.variable(self.constant(0.0)) for _ in range(vectors)] for _ in starts]
        with cgutils.for_range(builder, count) as loop:
            at = loop.index if p is None else builder.add(loop.index, p)
            start = builder.mul(at, self.number(COLUMNS))
            lines = [self.load(P, builder.add(start, self.number(c))) for c in range(vectors)]
            offset = builder.mul(loop.index, along)
            for begin, row in zip(starts, totals, strict=True):
                weight = builder.load(self.pointer(builder.add(begin, offset), self.scalar))
                spread = self.spread(weight)
                for place, line in zip(row, lines, strict=True):
                    self.add_product(place, spread, line)
        return totals

    def add_product(self, place: Any, weight: Any, line: Any) -> None:
        product = self.builder.fmul(weight, line, flags=CONTRACT)
        self.builder.store(self.builder.fadd(self.builder.load(place), product, CONTRACT), place)


class _Known(_Tile):
    """Tiles of a product, and what is known of the entries that they stand for."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        super().__init__(context, builder, signature, values)
        self.dtypes = [t.dtype for t in signature.args if isinstance(t, types.Array)]

    def rows_of(self, L: int, i: Any, P: int, p: Any) -> list[list[Any]]:
        """Return `variable` for ``L[i : i + ROWS] @ P[p : p + k]``."""
        count = self.builder.extract_value(self.arrays[L].shape, 1)
        return self.product(L, i, self.number(0), P, count, COLUMNS, p)

    def vector_at(self, row: Any, column: Any) -> Any:
        place = self.builder.add(row, self.builder.mul(column, self.number(self.size)))
        return self.pointer(place, self.vector)

    def weighed(self, line: Any, known: int, row: Any, at: Any) -> Any:
        """Return a vector times weights, or zero where a byte is, whatever it holds there."""
        start = self.start(known, row)
        if self.dtypes[known] == self.dtypes[0]:
            weights = self.builder.load(self.vector_at(start, at), align=self.size)
            return self.builder.fmul(line, weights)
        byte = ir.VectorType(ir.IntType(8), self.width)
        told = self.builder.load(self.pointer(self.builder.add(start, at), byte), align=1)
        there = self.builder.icmp_unsigned("!=", told, ir.Constant(byte, [0] * self.width))
        return self.builder.select(there, line, self.constant(0.0))


def _tile_writer(vectors: int) -> Any:
    @intrinsic
    def write(typingctx: Any, S: Any, X: Any, first: Any, j: Any, P: Any, count: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            S_, X_, first_, j_, P_, count = values
            tile = _Tile(context, builder, signature, [S_, X_, P_])
            totals = tile.product(1, first_, j_, 2, count, vectors)
            for r, row in enumerate(totals):
                for c, place in enumerate(row):
                    tile.store(builder.load(place), 0, tile.number(COLUMNS * r + c))
            return context.get_dummy_value()

        return types.void(S, X, types.int64, types.int64, P, types.int64), emit

    return write


# Do ``S = X[first : first + ROWS, j : j + count] @ P[:count]``, for S and P of tile columns, or of
# the first half of them.
write_tile = _tile_writer(COLUMNS)
write_half_tile = _tile_writer(COLUMNS // 2)


@intrinsic
def write_left_tile(
    typingctx: Any,
    R: Any, to: Any, L: Any, i: Any, P: Any, p: Any, X: Any, known: Any, x: Any, j: Any,
) -> Any:  # fmt: skip
    """Write ``known ∘ (X − L[i : i + ROWS] @ P[p : p + k])``, of a tile, into R.

    The tile of X is that from row x and column j on, that of R the one from column ``to`` on.
    Entries of a row of X, of R (ROWS, columns) and of ``known`` follow each other in memory; P
    (rows, tile) is in C order, L (rows, k) in any. ``known`` holds weights, or bytes: the result
    is zero where a byte is, whatever X holds there.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        R_, to_, L_, i_, P_, p_, X_, known_, x_, j_ = values
        tile = _Known(context, builder, signature, [R_, L_, P_, X_, known_])
        for r, row in enumerate(tile.rows_of(1, i_, 2, p_)):
            place = builder.add(x_, tile.number(r))
            of_x, of_r = tile.start(3, place), tile.start(0, tile.number(r))
            for c, total in enumerate(row):
                at = builder.add(j_, tile.number(c * tile.width))
                x = builder.load(tile.vector_at(of_x, at), align=tile.size)
                line = tile.weighed(builder.fsub(x, builder.load(total)), 4, place, at)
                shift = builder.add(to_, tile.number(c * tile.width))
                builder.store(line, tile.vector_at(of_r, shift), align=tile.size)
        return context.get_dummy_value()

    place = types.int64
    return types.void(R, place, L, place, P, place, X, known, place, place), emit


def _square_adder(*, down: bool) -> Any:
    @intrinsic
    def add(
        typingctx: Any,
        M: Any, to: Any, L: Any, i: Any, P: Any, p: Any, known: Any, x: Any, j: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            M_, to_, L_, i_, P_, p_, known_, x_, j_ = values
            tile = _Known(context, builder, signature, [M_, L_, P_, known_])
            sums: dict[int, Any] = {}  # one vector for each row, or one row
            for r, row in enumerate(tile.rows_of(1, i_, 2, p_)):
                place = builder.add(x_, tile.number(r))
                for c, total in enumerate(row):
                    at = builder.add(j_, tile.number(c * tile.width))
                    value = builder.load(total)
                    line = tile.weighed(builder.fmul(value, value), 3, place, at)
                    own = c if down else r
                    sums[own] = builder.fadd(sums[own], line) if own in sums else line
            for own, line in sums.items():
                start = tile.start(0, tile.number(0 if down else own))
                shift = tile.number(own * tile.width if down else 0)
                target = tile.vector_at(start, builder.add(to_, shift))
                more = builder.fadd(builder.load(target, align=tile.size), line)
                builder.store(more, target, align=tile.size)
            return context.get_dummy_value()

        place = types.int64
        return types.void(M, place, L, place, P, place, known, place, place), emit

    return add


# Add ``known ∘ (L[i : i + ROWS] @ P[p : p + k])²``, of a tile that lies in ``known`` from row x and
# column j on, to the vectors of M (ROWS, …) from column ``to`` on, row by row; or summed over rows
# to M (1, …) from that column on. The rest is as for `write_left_tile`.
add_squares = _square_adder(down=False)
add_squares_down = _square_adder(down=True)


@intrinsic
def add_turned_tile(
    typingctx: Any, T: Any, i: Any, X: Any, first: Any, j: Any, A: Any, begin: Any
) -> Any:
    """Do ``T[:, i : i + tile] += A[:ROWS].T @ X[first : first + ROWS, j : j + tile]``.

    For rows of T from ``begin`` on. Entries of a row of X and of T follow each other in memory; A
    is in C order.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        T_, i_, X_, first_, j_, A_, begin_ = values
        tile = _Tile(context, builder, signature, [T_, X_, A_])
        shift = builder.mul(j_, tile.number(tile.size))
        lines = []
        for r in range(ROWS):
            start = builder.add(tile.start(1, builder.add(first_, tile.number(r))), shift)
            start = tile.pointer(start, tile.vector)
            lines.append([tile.load_from(start, tile.number(c)) for c in range(COLUMNS)])
        place = builder.add(tile.address(0), builder.mul(i_, tile.number(tile.size)))
        per_row = builder.extract_value(tile.arrays[2].shape, 1)
        steps = (begin_, per_row, tile.number(1))
        with cgutils.for_range_slice(builder, *steps, inc=True) as (at, _):
            shift = builder.mul(at, tile.stride(0, 0))
            target = tile.pointer(builder.add(place, shift), tile.vector)
            totals = [tile.load_from(target, tile.number(c)) for c in range(COLUMNS)]
            for r, row in enumerate(lines):
                weight = builder.add(at, builder.mul(per_row, tile.number(r)))
                weight = builder.load(builder.gep(tile.arrays[2].data, [weight]))
                spread = tile.spread(weight)
                for c, line in enumerate(row):
                    product = builder.fmul(spread, line, flags=CONTRACT)
                    totals[c] = builder.fadd(totals[c], product, flags=CONTRACT)
            for c, total in enumerate(totals):
                tile.store_to(total, target, tile.number(c))
        return context.get_dummy_value()

    place = types.int64
    return types.void(T, place, X, place, place, A, place), emit


@intrinsic
def write_residual_tiles(typingctx: Any, T: Any, R: Any, G: Any, D: Any, j: Any) -> Any:
    """Do ``D[i] = R[i] − Σ_l G[l, i] T[l]`` for ``ROWS`` components i from j on.

    T, R and D (k, lines), G (k, k), all in C order. Where there are fewer the last is repeated.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        tile, j_ = _Tile(context, builder, signature, values[:4]), values[4]
        k, width = (builder.extract_value(tile.arrays[0].shape, axis) for axis in (0, 1))
        last = builder.sub(k, tile.number(1))
        places = [builder.add(j_, tile.number(r)) for r in range(ROWS)]
        few = [builder.icmp_signed("<", place, last) for place in places]
        chosen = [builder.select(is_, place, last) for is_, place in zip(few, places, strict=True)]

        def emit_tile(vectors: list[Any]) -> None:
            totals = [
                [tile.variable(tile.load_from(tile.row(1, i), at)) for at in vectors]
                for i in chosen
            ]
            with cgutils.for_range(builder, k) as loop:
                lines = [tile.load_from(tile.row(0, loop.index), at) for at in vectors]
                above = builder.gep(tile.arrays[2].data, [builder.mul(loop.index, k)])
                for i, own in zip(chosen, totals, strict=True):
                    weight = tile.spread(builder.load(builder.gep(above, [i])))
                    for total, line in zip(own, lines, strict=True):
                        product = builder.fmul(weight, line, flags=CONTRACT)
                        rest = builder.fsub(builder.load(total), product, flags=CONTRACT)
                        builder.store(rest, total)
            for i, own in zip(chosen, totals, strict=True):
                for total, at in zip(own, vectors, strict=True):
                    tile.store_to(builder.load(total), tile.row(3, i), at)

        lines_of_width = builder.udiv(width, tile.number(tile.width))
        steps = (tile.number(0), lines_of_width, tile.number(COLUMNS))
        with cgutils.for_range_slice(builder, *steps, inc=True) as (at, _):
            emit_tile([builder.add(at, tile.number(n)) for n in range(COLUMNS)])
        return context.get_dummy_value()

    return types.void(T, R, G, D, types.int64), emit
