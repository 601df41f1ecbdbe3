"""A file on disk, larger than what the fit may hold in memory."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import call
from benchmarks.report import Table, number

COLUMNS = 1000
COMPONENTS = 10
BUFFER = 2**23


def make(path: Path, size: float) -> None:
    """Write planted float32 data of so many bytes as ``.npy``, block by block."""
    rows = max(4 * COMPONENTS, int(size / (4 * COLUMNS)))
    rng = np.random.default_rng(0)
    H = rng.gamma(0.5, size=(COMPONENTS, COLUMNS)).astype(np.float32)
    X = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS))
    width = 10_000
    for first in range(0, rows, width):
        part = X[first : first + width]
        W = rng.standard_gamma(0.5, (len(part), COMPONENTS), dtype=np.float32)
        part[:] = W @ H + 0.1 * rng.random(part.shape, dtype=np.float32)
    X.flush()


def evict(path: str) -> None:
    """Ask the system to forget its copy of the file, where it can be asked."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_seconds(path: str) -> float:
    """Return the seconds of reading the file from its begin to its end."""
    buffer = bytearray(BUFFER)
    begin = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - begin


def fit(path: str, iterations: int, cold: bool) -> dict[str, Any]:
    """Return rates of reading before and after a fit, seconds per iteration, and the peak."""
    from benchmarks.memory import forget_peak, resident
    from benchmarks.peers import quiet
    from partwise import NMF

    seen: list[float] = []

    def look(state: Any) -> None:
        seen.append(time.perf_counter())
        if cold:
            evict(path)

    model = NMF(COMPONENTS, init="random", tol=0, max_iter=iterations, random_state=0)
    with quiet():
        model.fit(np.ones((50, 40), np.float32))  # compiled
        evict(path)
        first_read = read_seconds(path)
        if cold:
            evict(path)
        read = [read_seconds(path)]
        forget_peak()
        begin = time.perf_counter()
        model.fit(np.load(path, mmap_mode="r"), callback=look)
        whole = time.perf_counter() - begin
        top = resident("VmHWM")
        if cold:
            evict(path)
        read.append(read_seconds(path))
    steps = np.diff(seen)
    return {
        "first_read": first_read,
        "read": float(np.median(read)),
        "first": float(steps[0]),
        "iteration": float(np.median(steps)),
        "whole": whole,
        "peak": top,
    }


def table(
    gigabytes: float = 6.0, iterations: int = 5, cold: bool = False, folder: str | None = None
) -> Table:
    """Make a file, fit it in a process of its own, and compare with plain reading."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = Path(made) / "X.npy"
        make(path, gigabytes * 1e9)
        size = path.stat().st_size
        found = call("disk", "fit", path=str(path), iterations=iterations, cold=cold)
    rate = size / found["read"]
    fitted = size / found["iteration"]
    lines = [
        [
            number(size / 1e9),
            number(rate / 1e9),
            number(size / found["first_read"] / 1e9),
            number(fitted / 1e9),
            number(size / found["first"] / 1e9),
            number(100 * fitted / rate, " %"),
            number(found["whole"]),
            number(found["peak"] / 1e9),
        ]
    ]
    head = [
        "file (GB)", "plain reading (GB/s)", "plain reading, first time", "fit (GB/s)",
        "fit, first iteration", "fit / reading", "whole fit (s)", "peak memory (GB)",
    ]  # fmt: skip
    setting = f"float32, {COLUMNS} columns, k = {COMPONENTS}, {iterations} iterations"
    notes = [
        "an iteration counts as one reading of the file; mapped pages count as memory",
        "the system was asked to forget the file between iterations, save what was mapped then"
        if cold
        else "the system keeps as much of the file as it has memory for",
    ]
    return Table("A file larger than the fit may hold", head, lines, setting, notes)
