"""Coordinate descent for the squared loss: HALS, accelerated and extrapolated."""

from __future__ import annotations

from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Normal, Problem
from partwise.solvers.base import Solver, unfolded
from partwise.solvers.momentum import Momentum

__all__ = ["CoordinateDescent"]

# The first iterations are single sweeps, not extrapolated: far from a solution, solving for
# one factor to the end can drive a penalized component to zero, from where no coordinate
# leads back.
PLAIN, PLAIN_PENALIZED = 3, 5
# Work of all sweeps but the first over that of the product, as if X were dense: the answer does
# not depend on how X is stored. Gillis & Glineur (2012), section 4.
WORTH = 0.5


class CoordinateDescent(Solver):
    """Cyclic coordinate descent on ``½‖X − X̂‖²`` plus L1 and L2 penalties.

    One iteration updates every factor by up to ``repeats`` sweeps over its entries, each
    an exact minimization (HALS), then extrapolates it along its last move; the first three
    iterations, with penalties five, are single sweeps. A step after which the objective is
    higher is undone and taken again without extrapolation, so the objective never rises. When
    all other factors are known, the remaining one is found exactly.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration, at most, and no more than half the work of its
        product with X is worth.
    shrink : float
        Sweeps over a row end when its change is at most this part of that of the first.
    extrapolate : bool
        False gives accelerated HALS; with ``repeats=1`` plain HALS.
    shuffle : bool
        Update the components in random order.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O(repeats · (n_samples + n_features) · k²).

    Sources: Cichocki & Phan (2009), IEICE E92-A (HALS); Gillis & Glineur (2012), Neural
    Computation 24 (repeats); Ang & Gillis (2019), Neural Computation 31 (extrapolation);
    for more than two factors Ang, Cohen, Hien & Gillis (2020), arXiv:2001.04321.
    """

    name = "cd"
    needs = "the squared (Frobenius) loss with penalties that are linear or quadratic"

    def __init__(
        self,
        repeats: int = 10,
        shrink: float = 0.1,
        *,
        extrapolate: bool = True,
        shuffle: bool = False,
    ) -> None:
        self.repeats = repeats
        self.shrink = shrink
        self.extrapolate = extrapolate
        self.shuffle = shuffle

    def lacks(self, problem: Problem) -> str | None:
        if not problem.loss.quadratic:
            return f"the {problem.loss.name} is not quadratic"
        return unfolded(problem)

    def start(self, problem: Problem, rng: Any) -> Momentum:
        penalized = any(
            np.any(penalty.slope(problem.factors[name]))
            for name, obeyed in problem.penalties.items()
            for penalty in obeyed
        )
        state = Momentum(plain=PLAIN_PENALIZED if penalized else PLAIN, rng=rng)
        if self.extrapolate:
            state.prepare(problem)
        return state

    def step(self, problem: Problem, state: Momentum) -> float:
        order = np.arange(problem.model.n_components)
        if self.shuffle:
            order = state.rng.permutation(order)
        plain = state.iteration < state.plain
        convex = all(penalty.convex for name in problem.free for penalty in problem.penalties[name])
        state.begin(problem)

        def update(name: str, rows: slice, F: np.ndarray, normal: Normal, free: np.ndarray) -> None:
            np.maximum(F, 0, out=F)
            if len(problem.free) == 1 and convex:
                tolerance = 16 * float(np.finfo(F.dtype).eps)
                kernels.solve_rows(F, normal.gram, normal.cross, free, tolerance)
                return
            sweep = len(problem.factors[name]) * problem.model.n_components
            worth = 1 + int(WORTH * problem.data.size / sweep)
            repeats = 1 if plain else min(self.repeats, worth)
            kernels.coordinate_sweeps(
                F, normal.gram, normal.cross, order, free, repeats, self.shrink
            )
            state.follow(name, rows, F)

        objective = problem.sweep(update, "normal")
        assert objective is not None
        return state.judge(problem, objective)
