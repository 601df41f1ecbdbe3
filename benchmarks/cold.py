"""The first fit: with nothing compiled, and in a fresh process with kernels on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import call
from benchmarks.report import Table, number, spread


def first_fit(name: str) -> dict[str, Any]:
    """Return the seconds from the import of scikit-learn to the end of a fit."""
    import time
    import warnings

    from benchmarks.workloads import WORKLOADS

    work = WORKLOADS[name]
    # Small data, since the kernels are the same for any size.
    X, k = work.full() if name == "small" else work.tiny(), work.k if name == "small" else 4
    X = X.astype(work.dtype)
    import sklearn.decomposition  # noqa: F401

    begin = time.perf_counter()
    from partwise import NMF

    imported = time.perf_counter() - begin
    warnings.simplefilter("ignore")
    NMF(k, beta_loss=float(work.beta)).fit(X)
    return {"import": imported, "total": time.perf_counter() - begin}


def table(rows: Sequence[str], repeats: int = 5) -> Table:
    """Measure each row with an empty cache once, and then with that cache."""
    lines: list[Sequence[str]] = []
    for name in rows:
        with tempfile.TemporaryDirectory() as folder:
            cold, *warm = (
                call("cold", "first_fit", cache=Path(folder), name=name) for _ in range(1 + repeats)
            )
        lines.append(
            [
                name,
                number(cold["total"]),
                spread(run["total"] for run in warm),
                spread(run["import"] for run in warm),
            ]
        )
    setting = (
        "seconds from the import of scikit-learn to the end of the first fit of a fresh process, "
        f"on small data; {repeats} repeats with a warm cache: median (least–largest)"
    )
    head = ["work", "empty cache", "warm cache", "of which the import of partwise"]
    return Table("First fit of a process", head, lines, setting)
