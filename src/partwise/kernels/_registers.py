"""The vector registers of the machine that kernels are compiled for."""

from __future__ import annotations

import platform
from typing import NamedTuple

from llvmlite import binding
from numba.core import config

__all__ = ["REGISTERS"]


class _Registers(NamedTuple):
    """Bytes of a register, how many there are, and how many rows of two vectors fill them."""

    bytes: int
    number: int
    rows: int


def _registers() -> _Registers:
    told: str | None = vars(config)["CPU_FEATURES"]  # by the user, through NUMBA_CPU_FEATURES
    host = binding.get_host_cpu_features()
    has = {name for name, there in host.items() if there}
    if told is not None:
        has = {name.removeprefix("+") for name in told.split(",") if name.startswith("+")}
    if "avx512f" in has:
        return _Registers(64, 32, 12)
    if "avx2" in has:
        return _Registers(32, 16, 6)
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
    return _Registers(16, 16, 6) if x86 else _Registers(16, 32, 12)


REGISTERS = _registers()
