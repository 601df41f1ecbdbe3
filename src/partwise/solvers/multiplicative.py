"""Multiplicative updates in majorize-minimize form, for every loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Normal, Problem, Split
from partwise.solvers.base import Solver, affordable, unfolded
from partwise.solvers.momentum import Momentum

# Iterations from which on updates are extrapolated.
PLAIN = 3
# Work of all updates of a factor but the first over that of its product with X: extrapolated they
# are worth more than plain ones.
WORTH = 3.0

__all__ = [
    "AcceleratedMultiplicative",
    "MaximizationEqualization",
    "MultiplicativeUpdate",
    "lift_zeros",
    "move",
]


def lift_zeros(problem: Problem) -> None:
    """Replace zeros of the start that would grow if they could, a thing they cannot do.

    They become a hundredth of the mean of their component. Zeros at which the objective
    hardly falls stay, so that a restart at a solution is still at the solution.
    """
    for name in problem.free:
        F, free = problem.factors[name], problem.free_entries(name)
        zeros = F == 0 if not free.shape[0] else (F == 0) & free
        if zeros.any():
            split = problem.split(name)
            level = (F.mean(axis=0, dtype=np.float64) / 100).astype(F.dtype)
            F[...] = np.where(zeros & (split.negative > 1.1 * split.positive), level, F)


@dataclass
class _Floors(Momentum):
    floors: dict[str, float] = field(default_factory=dict)


class MultiplicativeUpdate(Solver):
    """Multiplicative updates in majorize-minimize form, which never raise the objective.

    The loss is majorized, entry by entry, by ``−N f^p / p + P f^q / q``; the update goes to
    the minimum of that plus the penalties. Without penalties, and with L1 where q = 1, it is
    F ← F ∘ (negative / positive)^γ with γ = 1 / (q − p): for the beta-divergence 1 / (2 − β)
    for β < 1, 1 for 1 ≤ β ≤ 2, 1 / (β − 1) for β > 2. With other penalties it is the root of
    a scalar equation, for β = 2 with L1 the exact F ∘ max(negative − λ, 0) / positive.

    Zeros of the start at which the objective clearly falls are lifted to a hundredth of the
    mean of their component, and no entry falls below the rounding level of its factor during
    the run, so that no zero is locked in. At the end entries on their way to zero are set to
    zero, where that does not raise the objective.

    Notes
    -----
    Cost per iteration: six products of the size of X (fewer for sparse data and the
    Kullback–Leibler divergence: stored entries only); for the squared loss two, O(stored
    entries · k), plus O((n_samples + n_features) · k²).

    Sources: Lee & Seung (2001), NIPS; Févotte & Idier (2011), Neural Computation 23,
    table 2.
    """

    extrapolate = False
    repeats = 1
    name = "mu"
    needs = "a loss with a two-power majorizer and penalties with a slope"

    def lacks(self, problem: Problem) -> str | None:
        if problem.loss.powers is None:
            return f"none is known for the {problem.loss.name}"
        return unfolded(problem)

    def start(self, problem: Problem, rng: Any) -> _Floors:
        lift_zeros(problem)
        eps = float(np.finfo(problem.data.dtype).eps)
        means = {name: problem.factors[name].mean(dtype=np.float64) for name in problem.free}
        floors = {name: eps * float(mean) for name, mean in means.items()}
        state = _Floors(plain=PLAIN, positive=True, steadied=True, floors=floors)
        if self.extrapolate:
            state.prepare(problem)
        return state

    def step(self, problem: Problem, state: _Floors) -> float:
        powers = self.powers(problem)
        state.begin(problem)

        def update(name: str, rows: slice, F: np.ndarray, split: Split, free: np.ndarray) -> None:
            state.leave(name, rows, F)
            move(F, split, powers, np.full(len(F), state.floors[name], F.dtype), free)
            state.follow(name, rows, F)

        if problem.quadratic:
            objective = self.step_of_quadratic(problem, state)
        else:
            problem.sweep(update, "split")
            objective = problem.objective()
        return state.judge(problem, objective)

    def step_of_quadratic(self, problem: Problem, state: _Floors) -> float:
        """Do as `step` for the squared loss, whose objective comes with its Gram matrices."""
        repeats = {
            name: min(self.repeats, affordable(problem, name, WORTH)) for name in problem.free
        }

        def update(name: str, rows: slice, F: np.ndarray, normal: Normal, free: np.ndarray) -> None:
            state.leave(name, rows, F)
            how = (F.dtype.type(state.floors[name]), repeats[name], state.active > 0)
            kernels.multiplicative_steps(F, normal.gram, normal.cross, free, *how)
            state.follow(name, rows, F)

        objective = problem.sweep(update, "normal")
        assert objective is not None
        return objective

    def finish(self, problem: Problem, objective: float, tol: float) -> float:
        return drop_vanishing(problem, objective, tol)

    def powers(self, problem: Problem) -> tuple[float, float]:
        """Return the powers (p, q) of the majorizer that the update minimizes."""
        assert problem.loss.powers is not None
        return problem.loss.powers


def move(
    F: np.ndarray, split: Split, powers: tuple[float, float], floor: np.ndarray, free: np.ndarray
) -> None:
    """Update rows of a factor in place."""
    assert split.slopes is not None
    kernels.multiplicative_update(
        F, split.negative, split.loss_positive, split.slopes, powers, floor, free
    )


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
        falling, rising = problem.loss.powers or (0.0, 0.0)
        if not (-1 <= falling < 0 and rising == 1 and falling == problem.loss.degree - 1):
            return f"the {problem.loss.name} is none"
        fast = [p.name for ps in problem.penalties.values() for p in ps if p.power > 1]
        return f"{fast[0]} rises faster" if fast else super().lacks(problem)

    def powers(self, problem: Problem) -> tuple[float, float]:
        return 0.0, 1.0  # their update is F ∘ negative / positive


class AcceleratedMultiplicative(MultiplicativeUpdate):
    """Multiplicative updates, extrapolated along their last moves.

    The update is that of 'me' where that can serve the problem, and else that of 'mu'; for the
    squared loss a factor is updated several times for each product with X, each time from where
    the last move of a row leads. A step after which
    the objective is higher is undone, so that it never rises.

    Parameters
    ----------
    repeats : int
        Updates of a factor per iteration for the squared loss, at most, and no more than three
        times the work of its product with X is worth.

    Notes
    -----
    Cost per iteration: as for 'mu', for the squared loss plus O(repeats · (n_samples +
    n_features) · k²). Source of the updates: as for 'mu' and 'me'; of the repeats: Gillis &
    Glineur (2012), Neural Computation 24, section 4; of the extrapolation: Ang & Gillis (2019),
    Neural Computation 31, and between repeats Hien, Leplat & Gillis (2024), arXiv:2401.06646; for
    the Kullback–Leibler divergence compare Hien & Gillis (2021), Journal of Scientific Computing
    87, section 3.5.
    """

    extrapolate = True
    name = "amu"

    def __init__(self, repeats: int = 20) -> None:
        self.repeats = repeats

    def powers(self, problem: Problem) -> tuple[float, float]:
        longer = MaximizationEqualization()
        if longer.lacks(problem) is None:
            return longer.powers(problem)
        return super().powers(problem)


def drop_vanishing(problem: Problem, objective: float, tol: float) -> float:
    """Set entries on their way to zero to zero, where that is a better point.

    It is one if the objective does not rise, and the KKT residual stays within ``tol``, or
    within twice its value where it was not: a model entry that turns zero where X is not
    may cost little and yet leave an infinite slope.
    """
    residual = problem.kkt()
    bound = tol if residual <= tol else 2 * residual
    for share in (1e-3, 1e-6, 1e-12):
        kept = {name: problem.factors[name].copy() for name in problem.free}
        if sum(_drop_below(problem, name, share) for name in problem.free) == 0:
            return objective
        lower = problem.objective()
        if lower <= objective and problem.kkt() <= bound:
            return lower
        for name in problem.free:
            problem.factors[name][...] = kept[name]
    return objective


def _drop_below(problem: Problem, name: str, share: float) -> int:
    # Below a share of its component, or of nothing at all, and still pushed down.
    F, split, free = problem.factors[name], problem.split(name), problem.free_entries(name)
    nothing = 100 * np.finfo(F.dtype).eps * problem.level
    size = F
    if problem.scales is not None and name == problem.model.names[0]:
        scales = problem.scales[:, None]
        size = np.divide(F, scales, out=np.zeros_like(F), where=scales > 0)
    small = np.maximum(share * size.max(axis=0), nothing) >= size
    vanishing = small & (F > 0) & (split.positive > split.negative)
    if free.shape[0]:
        vanishing &= free
    F[vanishing] = 0
    return int(vanishing.sum())
