"""How far every solver gets in the time that the default needs to converge, and in more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.data import MissingDataError
from benchmarks.peers import quiet
from benchmarks.report import Table, middle
from benchmarks.workloads import WORKLOADS, start
from partwise import compare
from partwise.comparison import SolverRun

TIMES = (1, 3, 10)
ENOUGH = 0.01  # of the best objective


def excess_at(run: SolverRun, seconds: float) -> float:
    """Return how far a run was above the best objective at a time."""
    last = int(np.searchsorted(run.time_history, seconds, side="right")) - 1
    return float(run.excess_history[max(last, 0)])


def runs(name: str, size: str, seed: int) -> list[tuple[SolverRun, list[float]]]:
    """Run all solvers from one start; return each run with its excesses at the times."""
    work = WORKLOADS[name]
    X, k = work.make(size)
    job = {"init": start, "beta_loss": work.beta, "seeds": [seed], "max_iter": 10**6}
    with quiet():
        (default,) = compare(X, k, solvers=["auto"], **job).runs
        unit = float(default.time_history[-1])
        found = compare(X, k, max_time=max(TIMES) * unit, **job).runs
    return [(run, [excess_at(run, times * unit) for times in TIMES]) for run in found]


def table(size: str, rows: Sequence[str], seeds: int = 3) -> Table:
    """Compare all solvers that can serve each row, from the same starts."""
    lines: list[Sequence[str]] = []
    notes = []
    for name in rows:
        try:
            found = [pair for seed in range(seeds) for pair in runs(name, size, seed)]
        except MissingDataError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        late = []
        for solver in dict.fromkeys(run.solver for run, _ in found):
            own = [(run, excess) for run, excess in found if run.solver == solver]
            excesses = np.median([excess for _, excess in own], axis=0)
            converged = sum(run.converged for run, _ in own)
            lines.append(
                [name, solver, *(f"{100 * excess:.2f} %" for excess in excesses),
                 f"{middle(run.n_iter for run, _ in own):.0f}", f"{converged} of {len(own)}"]
            )  # fmt: skip
            if excesses[-1] > ENOUGH:
                late.append(solver)
        notes.append(
            f"{name}: above {ENOUGH:.0%} after {max(TIMES)} times: {', '.join(late) or 'none'}"
        )
    head = ["work", "solver", *(f"in {times} ×" for times in TIMES), "iterations", "converged"]
    setting = (
        f"{size} size, {seeds} start{'s' * (seeds > 1)}; how far the objective is above the "
        "lowest that any solver saw from the same start, median, in so many times the time that "
        "the default solver needs to converge at its tolerance"
    )
    return Table("Solvers in the time of the default", head, lines, setting, notes)
