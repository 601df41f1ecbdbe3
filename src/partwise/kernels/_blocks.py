"""Rows of one array that become columns of another: eight of them at once, by vectors.

A row is loaded and a column's entries are stored as vectors of eight, and what is between is a
transposition of vectors; entry by entry it costs several times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["BLOCK", "ask_for", "gather_block", "put_block", "take_block"]

BLOCK = 8
# How many rows ahead one is asked for: about as many as a row of texts has.
FURTHER = 64

_INDEX = ir.IntType(64)
_number = partial(ir.Constant, _INDEX)


class _Blocks:
    """Rows of A (rows, k) with their numbers in ``indices``, and columns of B; both in C order."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        B, _, A, indices = signature.args[:4]
        B_, self.p, A_, indices_ = values[:4]
        given = ((B, B_), (A, A_), (indices, indices_))
        arrays = [context.make_array(t)(context, builder, v) for t, v in given]
        self.builder = builder
        self.table, self.rows, self.indices = (array.data for array in arrays)
        shapes = [array.shape for array in arrays]
        self.height, self.width = (builder.extract_value(shapes[0], axis) for axis in (0, 1))
        self.k = builder.extract_value(shapes[1], 1)
        self.known = builder.extract_value(shapes[2], 0)
        self.narrow = indices.dtype.bitwidth < 64
        self.vector = ir.VectorType(context.get_value_type(B.dtype), BLOCK)
        self.size = B.dtype.bitwidth // 8

    def start(self, place: Any) -> Any:
        """Return where the row of A with the number at this place begins."""
        found = self.builder.load(self.builder.gep(self.indices, [place]))
        found = self.builder.sext(found, _INDEX) if self.narrow else found
        return self.builder.gep(self.rows, [self.builder.mul(found, self.k)])

    def starts(self, place: Any, last: Any = None) -> list[Any]:
        """Return where eight rows begin, with numbers at this place and after it.

        After ``last``, if that is given, its row is repeated.
        """
        places = [self.builder.add(place, _number(i)) for i in range(BLOCK)]
        return [self.start(at if last is None else self.least(at, last)) for at in places]

    def least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def in_steps(self, some: Callable[[Any, Any], None]) -> None:
        """Call with the first of eight components and None, or where k < 8 with 0 and a mask.

        The last eight begin earlier, over components that are done.
        """
        builder = self.builder
        with builder.if_else(builder.icmp_signed("<", self.k, _number(BLOCK))) as (few, many):
            with few:
                some(_number(0), self.mask())
            with many:
                most = builder.sub(self.k, _number(BLOCK))
                steps = cgutils.for_range_slice(
                    builder, _number(0), self.k, _number(BLOCK), inc=True
                )
                with steps as (l, _):
                    some(self.least(l, most), None)

    def mask(self) -> Any:
        """Return which of eight components there are."""
        mask = ir.Constant(ir.VectorType(ir.IntType(1), BLOCK), ir.Undefined)
        for i in range(BLOCK):
            there = self.builder.icmp_signed("<", _number(i), self.k)
            mask = self.builder.insert_element(mask, there, ir.Constant(ir.IntType(32), i))
        return mask

    def from_row(self, start: Any, l: Any, mask: Any) -> Any:
        """Load eight entries of a row, zeros where the mask is False."""
        place = self._line(self.builder.gep(start, [l]))
        if mask is None:
            return self.builder.load(place, align=self.size)
        zeros = ir.Constant(self.vector, [0.0] * BLOCK)
        return self._masked("load", self.vector, [place, *self._how(mask), zeros])

    def to_row(self, line: Any, start: Any, l: Any, mask: Any) -> None:
        place = self._line(self.builder.gep(start, [l]))
        if mask is None:
            self.builder.store(line, place, align=self.size)
        else:
            self._masked("store", ir.VoidType(), [line, place, *self._how(mask)])

    def columns(self, l: Any) -> list[Any]:
        """Return where eight entries of the rows of B from l on lie, of its last one at most."""
        last = self.builder.sub(self.height, _number(1))
        numbers = [self.least(self.builder.add(l, _number(i)), last) for i in range(BLOCK)]
        rows = [self.builder.mul(number, self.width) for number in numbers]
        return [self._line(self.builder.gep(self.table, [self.builder.add(row, self.p)]))
                for row in rows]  # fmt: skip

    def to_columns(self, lines: list[Any], l: Any) -> None:
        """Store eight components of eight rows; those there is no row of B for come first."""
        pairs = zip(self._transposed(lines), self.columns(l), strict=True)
        for line, place in reversed(list(pairs)):
            self.builder.store(line, place, align=self.size)

    def from_columns(self, l: Any) -> list[Any]:
        lines = [self.builder.load(place, align=self.size) for place in self.columns(l)]
        return self._transposed(lines)

    def _transposed(self, lines: list[Any]) -> list[Any]:
        # By swaps of halves, quarters and entries.
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
                    after[i + step * which] = self.builder.shuffle_vector(*pair, entries)
            lines = after
        return lines

    def _line(self, place: Any) -> Any:
        return self.builder.bitcast(place, self.vector.as_pointer())

    def _how(self, mask: Any) -> list[Any]:
        return [ir.Constant(ir.IntType(32), self.size), mask]

    def _masked(self, what: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        name = f"llvm.masked.{what}.v{BLOCK}f{8 * self.size}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)


@intrinsic
def take_block(typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any) -> Any:
    """Do ``B[:, p + i] = A[indices[start + i]]`` for i < 8; B has a row for each component."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        blocks = _Blocks(context, builder, signature, values)
        starts = blocks.starts(values[4])

        def some(l: Any, mask: Any) -> None:
            blocks.to_columns([blocks.from_row(row, l, mask) for row in starts], l)

        blocks.in_steps(some)
        return context.get_dummy_value()

    return types.void(B, types.int64, A, indices, types.int64), emit


@intrinsic
def put_block(typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any) -> Any:
    """Do ``A[indices[start + i]] = B[:, p + i]`` for i < 8; B has a row for each component."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        blocks = _Blocks(context, builder, signature, values)
        starts = blocks.starts(values[4])

        def some(l: Any, mask: Any) -> None:
            for line, row in zip(blocks.from_columns(l), starts, strict=True):
                blocks.to_row(line, row, l, mask)

        blocks.in_steps(some)
        return context.get_dummy_value()

    return types.void(B, types.int64, A, indices, types.int64), emit


@intrinsic
def gather_block(
    typingctx: Any, B: Any, p: Any, A: Any, indices: Any, start: Any, count: Any
) -> Any:
    """Do ``B[:k, p + i] = A[indices[start + i]]`` for i < 8, for A (rows, k) and B (k or more, n).

    Of fewer than eight entries, ``count``, the last one is repeated. Rows of A that are soon to
    come are asked for ahead.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        start_, count_ = values[4:]
        blocks = _Blocks(context, builder, signature, values)
        last = builder.add(start_, builder.sub(count_, _number(1)))
        end = builder.sub(blocks.known, _number(1))
        starts = blocks.starts(start_, last)
        later = blocks.starts(builder.add(start_, _number(FURTHER)), end)

        def some(l: Any, mask: Any) -> None:
            for row in later:
                ask_for(builder, builder.gep(row, [l]))
            blocks.to_columns([blocks.from_row(row, l, mask) for row in starts], l)

        blocks.in_steps(some)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(B, integer, A, indices, integer, integer), emit


def ask_for(builder: Any, place: Any) -> None:
    """Read what lies at a place into all caches, without waiting for it."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    how = [ir.Constant(flag, n) for n in (0, 3, 1)]
    builder.call(prefetch, [builder.bitcast(place, byte), *how])
