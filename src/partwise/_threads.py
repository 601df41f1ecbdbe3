"""One pool of threads: kernels and matrix products run in it, block by block.

A second pool beside that of BLAS would fight with it over the same cores, since both spin
while they wait. So a fit takes over as many threads as BLAS may use, holds BLAS to one, and
runs blocks of rows side by side, each with its own kernels and its own matrix products.
Blocks are cut by shape alone, and sums over them are formed in their order: results have the
same bits whatever the number of threads.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from partwise._crew import Crew

__all__ = [
    "each",
    "even_count",
    "even_spans",
    "held",
    "in_turns",
    "one_pool",
    "side_by_side",
    "spans",
]

Item = TypeVar("Item")
Value = TypeVar("Value")

# Work of a piece: well above the cost of handing it to a thread. And how many pieces are
# enough for any machine that a fit is likely to have for itself.
PIECE = 1.6e7
PIECES = 32
ENTRIES = 48  # fewer rows make a matrix product slow

_LOCK = threading.Lock()
_LOCAL = threading.local()
_USERS: dict[str, Any] = {"count": 0, "limits": None}


@cache
def _controller() -> Any:
    # Found once, since looking through the loaded libraries takes milliseconds.
    import scipy.linalg  # noqa: F401  brings its BLAS with it
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@cache
def _crew(process: int) -> Crew:
    # One per process: the threads of a parent do not live on in a forked child.
    return Crew()


def _allowance() -> int:
    found = [library["num_threads"] for library in _controller().info()]
    if found:
        return max(found)
    from joblib import cpu_count

    return int(cpu_count())


@contextmanager
def one_pool(*, share: bool = True) -> Iterator[None]:
    """Hold BLAS to one thread, and let `each` use as many threads as BLAS was allowed.

    Of callers in several threads the first one has the pool and the others work on their
    own. With ``share=False`` nobody has it: for callers that start threads of their own.
    """
    with _LOCK:
        first = _USERS["count"] == 0
        if first:
            threads = _allowance()
            _USERS["limits"] = _controller().limit(limits=1)
        _USERS["count"] += 1
    if first and share:
        _LOCAL.threads = threads
    try:
        yield
    finally:
        if first and share:
            _LOCAL.threads = 1
        with _LOCK:
            _USERS["count"] -= 1
            if _USERS["count"] == 0:
                _USERS["limits"].restore_original_limits()


def held() -> int:
    """Return the number of threads that the calling thread may use."""
    return getattr(_LOCAL, "threads", 1)


def each(function: Callable[[Item], Value], items: Iterable[Item]) -> list[Value]:
    """Return the function's value of each item, in order; side by side where threads are held.

    Called from inside itself it runs the items one after the other.
    """
    work = list(items)
    if len(work) == 1:
        return [function(work[0])]
    threads = min(held(), len(work))
    if threads <= 1:
        return [function(item) for item in work]
    values: list[Any] = [None] * len(work)
    numbers = itertools.count()

    def take() -> None:
        before, _LOCAL.threads = held(), 1
        try:
            while (number := next(numbers)) < len(work):
                values[number] = function(work[number])
        finally:
            _LOCAL.threads = before

    _crew(os.getpid()).run(take, threads)
    return values


def in_turns(
    function: Callable[[Item], Value], items: Sequence[Item], most: int = PIECES
) -> Iterator[Value]:
    """Yield what `each` returns, of which there are no more than ``most`` values at a time."""
    for start in range(0, len(items), most):
        yield from each(function, items[start : start + most])


def side_by_side(
    function: Callable[[Item], Value], items: Iterable[Item], n_jobs: int | None
) -> list[Value]:
    """Return the function's value of each item, in order, in ``n_jobs`` threads as joblib counts.

    For whole fits: one after the other they have the pool, side by side nobody has it, and `each`
    does their own work in one thread.
    """
    work = list(items)
    if len(work) <= 1 or n_jobs == 1:
        count = 1
    else:
        from joblib import effective_n_jobs

        count = effective_n_jobs(n_jobs)
    with one_pool(share=count == 1):
        if count == 1:
            return [function(item) for item in work]
        from joblib import Parallel, delayed

        return list(Parallel(n_jobs=n_jobs, prefer="threads")(map(delayed(function), work)))


def even_count(count: int) -> int:
    """Return how many pieces to make where so many are possible: even for few threads."""
    return max(1, count if count < 3 else max(2, count // 4 * 4))


def spans(length: int, work: float, least: int | None = None) -> list[slice]:
    """Cut ``range(length)`` into even slices for `each`, with so many operations per entry.

    ``least``: entries of a slice.
    """
    least = ENTRIES if least is None else least
    if length * work < 2 * PIECE:
        return [slice(0, length)]
    return even_spans(length, min(PIECES, length // least, int(length * work / PIECE)))


def even_spans(length: int, most: int) -> list[slice]:
    """Cut ``range(length)`` into even slices, as many as `even_count` makes of ``most``."""
    count = even_count(most)
    ends = [length * number // count for number in range(count + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]
