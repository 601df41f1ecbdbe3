"""How kernels are compiled: without the global lock, and once per machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import njit

__all__ = ["compiled"]


@cache
def _warn_once() -> None:
    warnings.warn(
        "No folder for compiled kernels is writable: every process compiles them anew, "
        "some seconds each. Set NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=4,
    )


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return numba's decorator with a cache on disk, or without where no folder is writable."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            _warn_once()
            return njit(nogil=True, **options)(function)

    return decorate
