"""Coordinate descent for the squared loss: HALS, accelerated and extrapolated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise._threads import each, spans
from partwise.problem import Normal, Problem
from partwise.solvers.base import Solver, State

__all__ = ["CoordinateDescent"]

# Extrapolation: first weight, its division after a rise, its growth and that of its bound
# after a fall. Ang & Gillis (2019), section 3.4.
BETA, ETA, GAMMA, GAMMA_BOUND = 0.5, 1.5, 1.01, 1.005
# The first iterations are plain: far from a solution, solving for one factor to the end can
# drive a penalized component to zero, from where no coordinate leads back.
PLAIN = 3


@dataclass
class _Momentum(State):
    rng: Any = None
    weight: float = BETA
    bound: float = 1.0
    before: float = BETA
    resting: bool = False
    iteration: int = 0
    objective: float = np.inf
    # Of all factors but the last: where to return to, and the last solution before it was
    # extrapolated. The last factor is extrapolated at the beginning of a step, so that one
    # array serves both: its previous solution between steps, where to return to within one.
    accepted: dict[str, np.ndarray] = field(default_factory=dict)
    solved: dict[str, np.ndarray] = field(default_factory=dict)
    kept: np.ndarray | None = None


class CoordinateDescent(Solver):
    """Cyclic coordinate descent on ``½‖X − X̂‖²`` plus L1 and L2 penalties.

    One iteration updates every factor by up to ``repeats`` sweeps over its entries, each
    an exact minimization (HALS), then extrapolates it along its last move; the first five
    iterations are single sweeps. A step after
    which the objective is higher is undone and taken again without extrapolation, so the
    objective never rises. When all other factors are known, the remaining one is found
    exactly.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration, at most.
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
        bad = [p.name for ps in problem.penalties.values() for p in ps if not p.shifts]
        return f"the penalty {bad[0]} cannot be folded into a quadratic" if bad else None

    def start(self, problem: Problem, rng: Any) -> _Momentum:
        state = _Momentum(rng=rng)
        if self.extrapolate and len(problem.free) > 1:
            *others, last = problem.free
            state.accepted = {name: problem.factors[name].copy() for name in others}
            state.solved = {name: problem.factors[name].copy() for name in others}
            state.kept = problem.factors[last].copy()
        return state

    def step(self, problem: Problem, state: _Momentum) -> float:
        last = problem.free[-1]
        order = np.arange(problem.model.n_components)
        if self.shuffle:
            order = state.rng.permutation(order)
        plain = state.iteration < PLAIN
        state.iteration += 1
        weight = 0.0 if plain or state.resting or state.kept is None else state.weight
        each_of = self.repeats if isinstance(self.repeats, tuple) else (self.repeats,) * 2
        if state.kept is not None:
            # Only this factor enters the others' products without being projected first.
            _extrapolate(problem.factors[last], state.kept, weight)

        def update(name: str, rows: slice, F: np.ndarray, normal: Normal, free: np.ndarray) -> None:
            np.maximum(F, 0, out=F)
            if len(problem.free) == 1:
                tolerance = 16 * float(np.finfo(F.dtype).eps)
                kernels.solve_rows(F, normal.gram, normal.cross, free, tolerance)
                return
            repeats = 1 if plain else each_of[int(name == last)]
            kernels.coordinate_sweeps(
                F, normal.gram, normal.cross, order, free, repeats, self.shrink
            )
            if name in state.solved:
                before = state.solved[name][rows]
                move = F - before
                before[...] = F
                if weight:
                    F += F.dtype.type(weight) * move
                    np.maximum(F, 0, out=F)

        objective = problem.sweep(update, "normal")
        assert objective is not None
        if state.kept is None:
            return objective
        return self._accept(problem, state, objective, weight)

    @staticmethod
    def _accept(problem: Problem, state: _Momentum, objective: float, weight: float) -> float:
        if objective > state.objective and weight:
            for name, before in state.accepted.items():
                problem.factors[name][...] = before
                state.solved[name][...] = before
            problem.factors[problem.free[-1]][...] = state.kept
            state.bound = state.before
            state.weight /= ETA
            state.resting = True
            return state.objective
        if weight:
            state.before = state.weight
            state.weight = min(state.bound, GAMMA * state.weight)
            state.bound = min(1.0, GAMMA_BOUND * state.bound)
        state.resting = False
        for name, before in state.accepted.items():
            before[...] = problem.factors[name]
        state.objective = min(objective, state.objective)
        return state.objective


def _extrapolate(F: np.ndarray, kept: np.ndarray, weight: float) -> None:
    # F moves on from ``kept``, which becomes the F of before.
    def piece(rows: slice) -> None:
        old = F[rows].copy()
        if weight:
            F[rows] += F.dtype.type(weight) * (old - kept[rows])
        kept[rows] = old

    each(piece, spans(len(F), 100.0 * F.shape[1]))
