"""Scalar Newton steps for the Kullback–Leibler divergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Entries, Problem
from partwise.solvers.base import Solver, State
from partwise.solvers.multiplicative import lift_zeros

__all__ = ["ScalarNewton"]


class ScalarNewton(Solver):
    """Cyclic coordinate descent by damped Newton steps on the Kullback–Leibler divergence.

    Each entry of a row moves to the minimum of the second-order model of the row's
    objective, or a part of the way where the whole step could raise the objective. Up to
    ``repeats`` sweeps over a row share one look at its data, of which only the stored
    entries are visited.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration, at most.

    Notes
    -----
    Cost per iteration: O(stored entries · k · repeats). Sparse data are held a second time,
    transposed.

    Source: Hien & Gillis (2021), Journal of Scientific Computing 87 (algorithm SN), after
    Hsieh & Dhillon (2011), KDD (CCD).
    """

    name = "newton"
    needs = (
        "the Kullback-Leibler divergence, a bilinear model of data in memory, and penalties "
        "that are linear or quadratic"
    )

    def __init__(self, repeats: int = 5) -> None:
        self.repeats = repeats

    def lacks(self, problem: Problem) -> str | None:
        if not problem.loss.logarithmic:
            return f"the {problem.loss.name} is another loss"
        if len(problem.model.names) != 2:
            return f"the model {type(problem.model).__name__} is not bilinear"
        if problem.data.led_by(1) is None:
            return "the data come in blocks of rows"
        bad = [p.name for ps in problem.penalties.values() for p in ps if not p.shifts]
        return f"the penalty {bad[0]} has no slope of one sign" if bad else None

    def start(self, problem: Problem, rng: Any) -> State:
        lift_zeros(problem)
        return State()

    def step(self, problem: Problem, state: State) -> float | None:
        floor = problem.factors[problem.free[0]].dtype.type(problem.floor)

        def update(
            name: str, rows: slice, F: np.ndarray, entries: Entries, free: np.ndarray
        ) -> float:
            data: Any = entries.data
            how = (entries.slope, entries.curve, free, self.repeats, floor)
            if not data.is_sparse:
                return kernels.newton_dense(data.array, F, entries.design, *how)
            stored = (data.indptr, data.indices, data.stored)
            return kernels.newton_sparse(*stored, F, entries.design, *how)

        return problem.sweep(update, "entries")
