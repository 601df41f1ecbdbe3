"""How kernels are compiled: without the global lock, and once per machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

from partwise.kernels._rest import collector_at_rest

__all__ = ["compiled"]


@cache
def _warn_once() -> None:
    warnings.warn(
        "No folder for compiled kernels is writable: every process compiles them anew, "
        "some seconds each. Set NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=4,
    )


@cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, (seen := file.stat()).st_mtime_ns, seen.st_size) for file in files)


def _watched(function: Any) -> Any:
    # A kernel on disk counts as old once its own file has changed. Those that it calls, and
    # what is written into it, lie in other files of this folder: they count too. Numba has no
    # public way to say so; without this one, only its own rule is left.
    index: Any = getattr(getattr(function, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _stamp())
    return function


def _undisturbed(function: Any) -> Any:
    # What numba calls for types that are new. It has no public way to do something around it.
    compile_for: Any = getattr(function, "_compile_for_args", None)
    if compile_for is not None:
        function._compile_for_args = collector_at_rest()(compile_for)
    return function


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return numba's decorator with a cache on disk, or without where no folder is writable.

    A function whose name begins with an underscore can be called by other kernels alone: the code
    that takes arguments from Python takes a fifth of the time of compilation.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        inner = function.__name__.startswith("_")
        how = {"nogil": True, "no_cpython_wrapper": inner, "no_cfunc_wrapper": inner, **options}
        try:
            made = _watched(njit(cache=True, **how)(function))
        except RuntimeError:
            _warn_once()
            made = njit(**how)(function)
        return made if inner else _undisturbed(made)

    return decorate
