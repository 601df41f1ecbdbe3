"""Two threads against one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.floor import SQUARE, square_product
from benchmarks.processes import call
from benchmarks.report import Table, spread


def seconds(name: str, size: str, iterations: int) -> dict[str, Any]:
    """Return the seconds per iteration of a warm fit, and of the whole call."""
    from benchmarks import partwise_runs
    from benchmarks.peers import rest
    from benchmarks.workloads import begun

    work, X, W, H = begun(name, size)
    partwise_runs.fit(X, W, H, work.beta, iterations=partwise_runs.WARM)
    rest()
    run = partwise_runs.fit(X, W, H, work.beta, iterations=iterations)
    return {"per_iteration": run.per_iteration, "whole": run.whole, "product": square_product()}


def table(
    size: str, rows: Sequence[str], iterations: int = 20, repeats: int = 3, threads: int = 2
) -> Table:
    """Measure the rows with one thread and with more, in turn, in processes of their own."""
    lines: list[Sequence[str]] = []
    setting = f"{size} size, {iterations} iterations, {repeats} repeats: median (least–largest)"
    notes = []
    if threads > (os.cpu_count() or 1):
        notes.append(f"this machine has {os.cpu_count()} cores only")
    for name in rows:
        few: list[dict] = []
        many: list[dict] = []
        for _ in range(repeats):
            for allowed, found in ((1, few), (threads, many)):
                job = {"name": name, "size": size, "iterations": iterations}
                found.append(call("threads", "seconds", threads=allowed, **job))
            if "missing" in few[0]:
                break
        if "missing" in few[0]:
            notes.append(f"{name} is left out: {few[0]['missing']}")
            continue
        one, more = (np.array([run["per_iteration"] for run in runs]) for runs in (few, many))
        whole, product = (
            [a[what] / b[what] for a, b in zip(few, many, strict=True)]
            for what in ("whole", "product")
        )
        lines.append(
            [name, spread(1e3 * one), spread(1e3 * more), spread(one / more, "×"),
             spread(whole, "×"), spread(product, "×")]
        )  # fmt: skip
    head = [
        "work", "one thread (ms per iteration)", f"{threads} threads", "times faster", "whole fit",
        "a product of NumPy",
    ]  # fmt: skip
    notes.append(
        f"the last column is a product of two {SQUARE} × {SQUARE} matrices in the same processes: "
        "what the second core of the machine is worth"
    )
    return Table(f"{threads} threads against one", head, lines, setting, notes)
