"""Waiting for another thread without going to sleep."""

from __future__ import annotations

import os
import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from partwise.kernels._compile import compiled
from partwise.kernels.places import ENDED, OPEN

__all__ = ["wait_for_change", "wait_for_turn"]

ROUNDS = 2000  # of some 25 to 50 ns, before others may have the core

_X86 = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def _now(typingctx: Any, numbers: Any, index: Any) -> Any:
    """Return an entry as other threads have left it, and tell the core that this is a wait."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if _X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(
                cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), []
            )
        array = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.load_atomic(builder.gep(array.data, [values[1]]), "acquire", 8)

    return types.int64(numbers, types.int64), emit


@compiled()
def wait_for_change(numbers, index, old, rounds):  # type: ignore[no-untyped-def]
    """Look at ``numbers[index]`` up to so many times; return whether it is another than ``old``."""
    for _ in range(rounds):  # noqa: SIM110  compiled, where any() is slower
        if _now(numbers, index) != old:
            return True
    return False


@intrinsic
def _give_way(typingctx: Any) -> Any:
    """Let another thread have the core, where the system has a call for that."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), emit


@compiled()
def wait_for_turn(gate, ticket):  # type: ignore[no-untyped-def]
    """Wait until a ticket is let in, and return True; or False where there is an end.

    ``gate`` holds what `partwise.kernels.places` names.
    """
    while True:
        for _ in range(ROUNDS):
            if _now(gate, ENDED) != 0:
                return False
            if _now(gate, OPEN) > ticket:
                return True
        _give_way()
