"""Threads that stay awake for a moment after each piece of work.

A thread that sleeps takes as long to wake up as a small piece of work takes, and is often woken
on the core of the thread that wakes it, where both wait for each other. Between two pieces of a
fit there are some hundredths of a millisecond: a thread that looks out for its next one that long
stays on a core of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from partwise import kernels

__all__ = ["Crew"]

ROUNDS = 8000  # of some 25 to 50 ns
SPACED = 16  # entries between two numbers: each has a line of memory for itself
NAP = 1e-4  # seconds between two looks at what takes long


class _Worker:
    """One thread, and the number of the job that it has been given and has done."""

    def __init__(self) -> None:
        self.given = np.zeros(SPACED, np.int64)
        self.done = np.zeros(SPACED, np.int64)
        self.job: Callable[[], Any] | None = None
        self.error: BaseException | None = None
        self.asleep = False
        self.woken = threading.Condition()
        self.thread = threading.Thread(target=self._work, name="partwise", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        seen = 0
        while True:
            self._await(seen)
            seen += 1
            if self.job is None:
                return
            try:
                self.job()
            except BaseException as error:  # raised again by the thread that waits
                self.error = error
            self.done[0] = seen

    def _await(self, seen: int) -> None:
        if kernels.wait_for_change(self.given, 0, seen, ROUNDS):
            return
        with self.woken:
            self.asleep = True
            while self.given[0] == seen:
                self.woken.wait()
            self.asleep = False

    def give(self, job: Callable[[], Any] | None) -> None:
        self.job, self.error = job, None
        self.given[0] += 1
        if self.asleep:
            with self.woken:
                self.woken.notify()

    def finish(self) -> None:
        wanted = int(self.given[0])
        while not kernels.wait_for_change(self.done, 0, wanted - 1, ROUNDS):
            time.sleep(NAP)
        self.job = _nothing  # the last one may hold large arrays


def _nothing() -> None:
    """Do nothing."""


@cache
def _core_of_this_thread() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


def _core() -> int | None:
    ask = _core_of_this_thread()
    found = -1 if ask is None else ask()
    return found if found >= 0 else None


class Crew:
    """Threads for one caller at a time, made when they are first needed."""

    def __init__(self) -> None:
        self.workers: list[_Worker] = []
        self.placed: tuple[int, int] | None = None
        atexit.register(self._dismiss)

    def run(self, job: Callable[[], Any], threads: int) -> None:
        """Call ``job()`` here and in other threads, ``threads`` times in all; return at the end.

        Errors are raised here, the first one of them.
        """
        while len(self.workers) < threads - 1:
            self.workers.append(_Worker())
        self._make_room()
        others = self.workers[: threads - 1]
        for worker in others:
            worker.give(job)
        try:
            job()
        finally:
            for worker in others:
                worker.finish()
        errors = [worker.error for worker in others if worker.error is not None]
        for worker in others:
            worker.error = None
        if errors:
            raise errors[0]

    def _make_room(self) -> None:
        # A scheduler may leave two threads that never sleep on one core beside an idle one.
        here = _core()
        if here is None or (here, len(self.workers)) == self.placed:
            return
        allowed = os.sched_getaffinity(0)
        elsewhere = allowed - {here} or allowed
        for worker in self.workers:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(worker.thread.native_id or 0, elsewhere)
        self.placed = here, len(self.workers)

    def _dismiss(self) -> None:
        for worker in self.workers:
            worker.give(None)
        for worker in self.workers:
            worker.thread.join(timeout=1)
