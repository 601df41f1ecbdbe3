"""What an iteration is made of, in one thread: its parts alone, and at which rate they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks import floor
from benchmarks.processes import call
from benchmarks.report import Table, number

HEAD = ["work", "part", "ms", "of the iteration", "10⁹ operations per second"]
# Sweeps of the default solver over a factor, with one division per entry of X and component.
SWEEPS = {1.0: 2, 0.0: 3}
CACHED = 4096  # numbers of a vector that stays in the first cache

Part = tuple[str, float, float]  # its name, seconds, and operations; NaN where not counted


def rates() -> dict[str, float]:
    """Return what one thread does in a second: operations, divisions, and bytes that it reads."""
    x, out = np.linspace(0.5, 1.5, CACHED), np.empty(CACHED)
    hundred = floor.median_seconds(lambda: [np.divide(1.0, x, out=out) for _ in range(100)])
    return {
        "product": 2 * floor.SQUARE**3 / floor.square_product(),
        "divisions": 100 * CACHED / hundred,
        "bytes": floor.read_rate(),
    }


def measure(name: str, size: str, iterations: int) -> dict[str, Any]:
    """Return the parts of a row, in a process that has one thread."""
    from benchmarks import partwise_runs
    from benchmarks.peers import quiet
    from benchmarks.workloads import begun
    from partwise import NMF

    work, X, W, H = begun(name, size)
    k = len(H)
    with quiet():
        model = NMF(k, init="custom", beta_loss=float(work.beta), tol=0, max_iter=iterations)
        model.fit(X, W=W, H=H)
    run = partwise_runs.fit(X, W, H, work.beta, iterations=iterations)
    W, H, speed = model.W_, model.components_, rates()
    parts = [*_products(X, W, H)]
    if work.beta == 2:
        parts += _quadratic(X, W, H)
        known = sum(seconds for part, seconds, _ in parts if not part.startswith("("))
        parts.append(("the rest", run.per_iteration - known, np.nan))
    elif work.beta in SWEEPS:
        divisions = 2.0 * SWEEPS[work.beta] * k * (X.nnz if sparse.issparse(X) else X.size)
        parts.append(("(divisions of all sweeps)", divisions / speed["divisions"], divisions))
    return {"iteration": run.per_iteration, "parts": parts, "rates": speed}


def _products(X: Any, W: np.ndarray, H: np.ndarray) -> Iterator[Part]:
    operations = 4.0 * (X.nnz if sparse.issparse(X) else X.size) * W.shape[1]
    yield "two products with X", floor.own_products(X, W, H), operations
    if not sparse.issparse(X):
        yield "(those of NumPy)", floor.products(X, W, H), operations


def _quadratic(X: Any, W: np.ndarray, H: np.ndarray) -> Iterator[Part]:
    from partwise import kernels
    from partwise.data import as_data
    from partwise.losses import as_loss
    from partwise.models import Bilinear
    from partwise.problem import Problem
    from partwise.solvers.base import affordable
    from partwise.solvers.coordinate_descent import CoordinateDescent

    solver, k = CoordinateDescent(), W.shape[1]
    factors = {"W": W, "H": np.ascontiguousarray(H.T)}
    problem = Problem(as_data(X), Bilinear(k), as_loss(2), factors)
    order, free = np.arange(k), np.empty((0, k), bool)
    sweeps, grams = 0.0, 0.0
    for name, other, data in (
        ("W", "H", problem.data),
        ("H", "W", problem.data.led_by(1, k)),
    ):
        A, F = factors[other], np.empty_like(factors[name])
        G, C = kernels.gram(A), data @ A
        most = min(solver.repeats, affordable(problem, name))

        def sweep(F: Any = F, G: Any = G, C: Any = C, name: str = name, most: int = most) -> None:
            F[...] = factors[name]
            kernels.coordinate_sweeps(F, G, C, order, free, most, solver.shrink)

        sweeps += floor.median_seconds(sweep)
        grams += floor.median_seconds(lambda A=A: kernels.gram(A))
    yield "sweeps over both factors", sweeps, np.nan
    yield "Gram matrices", grams, 2.0 * (len(W) + H.shape[1]) * k * k


def table(size: str, rows: Sequence[str], iterations: int = 20) -> Table:
    """Measure the rows, each in a process of its own."""
    lines: list[Sequence[str]] = []
    notes = []
    for name in rows:
        job = {"name": name, "size": size, "iterations": iterations}
        found = call("parts", "measure", threads=1, **job)
        if "missing" in found:
            notes.append(f"{name} is left out: {found['missing']}")
            continue
        whole = found["iteration"]
        for part, seconds, operations in [("iteration", whole, np.nan), *found["parts"]]:
            share = f"{100 * seconds / whole:.0f} %"
            rate = number(operations / seconds / 1e9)
            lines.append([name, part, number(1e3 * seconds), share, rate])
        speed = found["rates"]
        notes.append(
            f"{name}: one thread does {number(speed['product'] / 1e9)}·10⁹ operations per second "
            f"in NumPy's product of two {floor.SQUARE} × {floor.SQUARE} matrices, "
            f"{number(speed['divisions'] / 1e9)} divisions in its first cache, and reads "
            f"{number(speed['bytes'] / 1e9)} GB/s"
        )
    notes.append(
        "each part is measured alone, on the factors after the fit; in brackets what the machine "
        "takes for the same: products of NumPy, and as many divisions if no sweep ends early"
    )
    setting = f"{size} size, one thread, {iterations} iterations"
    return Table("What an iteration is made of", HEAD, lines, setting, notes)
