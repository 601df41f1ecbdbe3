"""Python's garbage collector, at rest while many objects are made of which none is garbage."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_at_rest"]

_lock = threading.Lock()
_depth, _was_on = 0, False


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let nothing be collected on its own until all threads have left, then as it was before.

    The compiler's import, and its work, make objects by the hundred thousand that stay; what the
    collector takes to look at them again and again is a quarter of the start of a process.
    """
    global _depth, _was_on
    with _lock:
        if _depth == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _was_on:
                gc.enable()
