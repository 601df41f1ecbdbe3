"""Multiplicative updates in majorize-minimize form, for every loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise.kernels import multiplicative_update
from partwise.problem import Problem, Split
from partwise.solvers.base import Solver, State

__all__ = ["MaximizationEqualization", "MultiplicativeUpdate", "exponent", "lift_zeros"]


def exponent(problem: Problem, name: str) -> float:
    """Return the exponent of the update that cannot raise the objective.

    The loss is majorized by a falling power p and a rising power q of each entry; a
    penalty that rises faster than the loss takes the place of q. The minimum of
    ``−N f^p / p + P f^q / q`` is at the current entry times (N / P)^(1 / (q − p)).
    """
    p, q = problem.loss.powers
    return 1.0 / (max(q, *(penalty.power for penalty in problem.penalties[name])) - p)


def lift_zeros(problem: Problem) -> None:
    """Replace zeros of the start that would grow if they could, a thing they cannot do.

    They become a hundredth of the mean of their component. Zeros at which the objective
    does not fall stay, so that a restart at a solution is still at the solution.
    """
    for name in problem.free:
        F, free = problem.factors[name], problem.free_entries(name)
        zeros = F == 0 if not free.shape[0] else (F == 0) & free
        if zeros.any():
            split = problem.split(name)
            level = (F.mean(axis=0, dtype=np.float64) / 100).astype(F.dtype)
            F[...] = np.where(zeros & (split.negative > split.positive), level, F)


@dataclass
class _Floors(State):
    floors: dict[str, float] = field(default_factory=dict)


class MultiplicativeUpdate(Solver):
    """Multiplicative updates F ← F ∘ (negative / positive)^γ, which never raise the objective.

    γ comes from the majorizer of the loss: for the beta-divergence 1 / (2 − β) for β < 1,
    1 for 1 ≤ β ≤ 2, 1 / (β − 1) for β > 2; with an L2 penalty 1 / (3 − β) for β < 2.

    Zeros of the start at which the objective falls are lifted to a hundredth of the mean of
    their component, and no entry falls below the rounding level of its factor during the run, so
    that no zero is locked in. At the end entries on their way to zero are set to zero,
    where that does not raise the objective.

    Notes
    -----
    Cost per iteration: six products of the size of X (fewer for sparse data and the
    Kullback–Leibler divergence: stored entries only).

    Sources: Lee & Seung (2001), NIPS; Févotte & Idier (2011), Neural Computation 23,
    table 2; with an L2 penalty Tan & Févotte (2013), IEEE TPAMI 35, section IV.
    """

    name = "mu"
    needs = "a loss with a two-power majorizer and penalties with a slope"

    def lacks(self, problem: Problem) -> str | None:
        bad = [p.name for ps in problem.penalties.values() for p in ps if not p.shifts]
        return f"the penalty {bad[0]} has no slope of one sign" if bad else None

    def start(self, problem: Problem, rng: Any) -> _Floors:
        lift_zeros(problem)
        eps = float(np.finfo(problem.data.dtype).eps)
        means = {name: problem.factors[name].mean(dtype=np.float64) for name in problem.free}
        return _Floors(floors={name: eps * float(mean) for name, mean in means.items()})

    def step(self, problem: Problem, state: _Floors) -> None:
        powers = {name: self.exponent(problem, name) for name in problem.free}

        def update(name: str, rows: slice, F: np.ndarray, split: Split, free: np.ndarray) -> None:
            floor = F.dtype.type(state.floors[name])
            multiplicative_update(F, split.negative, split.positive, powers[name], floor, free)

        problem.sweep(update, "split")

    def exponent(self, problem: Problem, name: str) -> float:
        """Return γ for one factor."""
        return exponent(problem, name)

    def finish(self, problem: Problem, objective: float) -> float:
        return drop_vanishing(problem, objective)


class MaximizationEqualization(MultiplicativeUpdate):
    """Multiplicative updates with exponent 1 where that is beyond the minimum of the majorizer.

    For the beta-divergence with 0 ≤ β < 1 the step to where the majorizer has its old value
    again is at least as long as F ∘ negative / positive, which therefore cannot raise the
    objective either, and gets further per iteration than 'mu'; for β = 0 it is that step.

    Notes
    -----
    Cost as for 'mu'. Source: Févotte & Idier (2011), Neural Computation 23, section 4.3 and
    theorem 3.
    """

    name = "me"
    needs = "a beta-divergence with 0 ≤ β < 1, and no penalty that rises faster than L1"

    def lacks(self, problem: Problem) -> str | None:
        p, q = problem.loss.powers
        if not (-1 <= p < 0 and q == 1):
            return f"the {problem.loss.name} is none"
        fast = [n.name for ns in problem.penalties.values() for n in ns if n.power > 1]
        return f"{fast[0]} rises faster" if fast else super().lacks(problem)

    def exponent(self, problem: Problem, name: str) -> float:
        return 1.0


def drop_vanishing(problem: Problem, objective: float) -> float:
    """Set entries on their way to zero to zero, where that is a better point.

    It is one if neither the objective nor the KKT residual rises: a model entry that turns
    zero where X is not may cost little and yet leave an infinite slope.
    """
    residual = problem.kkt()
    for share in (1e-3, 1e-6, 1e-12):
        kept = {name: problem.factors[name].copy() for name in problem.free}
        for name in problem.free:
            F = problem.factors[name]
            split, free = problem.split(name), problem.free_entries(name)
            vanishing = (share * F.max(axis=0) >= F) & (split.positive > split.negative)
            F[vanishing & free if free.shape[0] else vanishing] = 0
        lower = problem.objective()
        if lower <= objective and problem.kkt() <= residual:
            return lower
        for name in problem.free:
            problem.factors[name][...] = kept[name]
    return objective
