"""Scalar Newton steps for the Kullback–Leibler divergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Entries, Problem
from partwise.solvers.base import Solver
from partwise.solvers.momentum import Momentum
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

    def __init__(self, repeats: int = 5, *, extrapolate: bool = True) -> None:
        self.repeats = repeats
        self.extrapolate = extrapolate

    def lacks(self, problem: Problem) -> str | None:
        if not problem.loss.rational:
            return f"the {problem.loss.name} is another loss"
        if len(problem.model.names) != 2:
            return f"the model {type(problem.model).__name__} is not bilinear"
        if problem.data.is_sparse and problem.loss.flat_positive is None:
            return f"the data are sparse, and every zero counts in the {problem.loss.name}"
        if problem.data.led_by(1) is None:
            return "the data come in blocks of rows"
        bad = [p.name for ps in problem.penalties.values() for p in ps if not p.shifts]
        return f"the penalty {bad[0]} has no slope of one sign" if bad else None

    def start(self, problem: Problem, rng: Any) -> Momentum:
        lift_zeros(problem)
        state = Momentum(plain=0, positive=True)
        if self.extrapolate:
            state.prepare(problem)
        return state

    def step(self, problem: Problem, state: Momentum) -> float:
        state.begin(problem)
        floor = problem.factors[problem.free[0]].dtype.type(problem.floor)

        def update(
            name: str, rows: slice, F: np.ndarray, entries: Entries, free: np.ndarray
        ) -> float:
            data: Any = entries.data
            how = (entries.slope, entries.curve, free, self.repeats, floor)
            if data.is_sparse:
                stored = (data.indptr, data.indices, data.stored)
                cost = kernels.rational_sparse(*stored, F, entries.design, *how)
            else:
                beta = problem.loss.degree
                cost = kernels.rational_dense(data.array, F, entries.design, *how, beta)
            state.follow(name, rows, F)
            return cost

        objective = problem.sweep(update, "entries")
        assert objective is not None
        return state.judge(problem, objective)
