"""Peak memory of a fit beyond X."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import call
from benchmarks.report import Table, number

STATUS = Path("/proc/self/status")
MEGA = 1e6


def resident(field: str) -> int:
    """Return a field of this process's memory in bytes: VmRSS now, VmHWM at most."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith(field + ":"):
                return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def forget_peak() -> None:
    """Give freed memory back, and let the peak start from what is held now (Linux)."""
    if STATUS.exists():
        if hasattr(library := ctypes.CDLL(None), "malloc_trim"):
            library.malloc_trim(0)
        with contextlib.suppress(OSError):  # some containers refuse
            Path("/proc/self/clear_refs").write_text("5")


def peak(name: str, size: str, iterations: int) -> dict[str, Any]:
    """Return the bytes of X, of the factors, and of the peak beyond what was held before."""
    from scipy import sparse

    from benchmarks.peers import quiet
    from benchmarks.workloads import WORKLOADS
    from partwise import NMF

    work = WORKLOADS[name]
    with quiet():  # kernels are loaded before the measurement
        X, k = work.make("tiny")
        model = NMF(k, init="random", beta_loss=float(work.beta), max_iter=2, random_state=0)
        model.fit(X)
        X, k = work.make(size)
        model.set_params(n_components=k, max_iter=iterations, tol=0)
        forget_peak()
        before = resident("VmRSS")
        model.fit(X)
        beyond = resident("VmHWM") - before
    stored = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if sparse.issparse(X) else X.nbytes
    return {
        "X": stored,
        "factors": model.W_.nbytes + model.components_.nbytes,
        "beyond": max(0, beyond),
    }


def table(size: str, rows: Sequence[str], iterations: int = 5) -> Table:
    """Measure the rows, each in a process of its own."""
    lines: list[Sequence[str]] = []
    setting = f"{size} size, {iterations} iterations from a random start; resident memory"
    notes = []
    for name in rows:
        found = call("memory", "peak", name=name, size=size, iterations=iterations)
        if "missing" in found:
            notes.append(f"{name} is left out: {found['missing']}")
            continue
        over = max(0.0, found["beyond"] - 100 * MEGA)
        lines.append(
            [
                name,
                *(number(found[key] / MEGA) for key in ("X", "factors", "beyond")),
                number(found["beyond"] / found["factors"]),
                number(over / found["factors"]),
                number(over / found["X"]),
            ]
        )
    head = [
        "work", "X (MB)", "factors (MB)", "beyond X (MB)", "beyond / factors",
        "(beyond − 100 MB) / factors", "(beyond − 100 MB) / X",
    ]  # fmt: skip
    return Table("Peak memory beyond X", head, lines, setting, notes)
