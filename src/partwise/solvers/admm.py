"""Alternating optimization by the alternating direction method of multipliers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from partwise.penalties import conflict
from partwise.problem import Normal, Problem
from partwise.solvers.base import Solver, State, not_quadratic
from partwise.solvers.proximal_gradient import enter

__all__ = ["AlternatingDirections"]


@dataclass
class _Multipliers(State):
    # Of every factor, in the unit of the slope of the objective.
    of: dict[str, np.ndarray] = field(default_factory=dict)


class AlternatingDirections(Solver):
    """Alternating least squares, each solved roughly by ADMM (AO-ADMM).

    A factor F has a copy Z with the same value at the solution: Z goes to the minimum of the
    squared loss and of linear and quadratic penalties plus ½ ρ ‖Z − F‖², F to the proximal point
    of all other penalties, non-negativity included, and multipliers, kept from one iteration to
    the next, draw the two together. ρ is the mean of the diagonal of the Gram matrix, whose
    Cholesky factor serves all steps on a factor. F is what is returned: it obeys every
    constraint at any time. The objective can rise.

    Parameters
    ----------
    repeats : int
        Steps on a factor per product with X, at most.
    tol : float
        Steps end when ‖F − Z‖ and the last move of F are at most this part of the sizes of F and
        of the multipliers.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus O(k³ + repeats ·
    (n_samples + n_features) · k²), and ``repeats`` proximal points for each factor.

    Source: Huang, Sidiropoulos & Liavas (2016), IEEE Transactions on Signal Processing 64,
    5052-5065, algorithm 1.
    """

    name = "admm"
    needs = "the squared (Frobenius) loss with penalties that are convex quadratic, or have a prox"
    monotone = False

    def __init__(self, repeats: int = 10, tol: float = 0.003) -> None:
        self.repeats = repeats
        self.tol = tol

    def lacks(self, problem: Problem) -> str | None:
        if missing := not_quadratic(problem):
            return missing
        for name in problem.free:
            for penalty in problem.penalties[name]:
                if penalty.smooth and not penalty.shifts:
                    return f"the penalty {penalty.name} of {name} ties its rows together"
                if penalty.shifts and not penalty.convex:
                    return (
                        f"the penalty {penalty.name} of {name} leaves a quadratic that bends down"
                    )
            if missing := conflict(problem.penalties[name]):
                return f"for {name} {missing}"
        return None

    def start(self, problem: Problem, rng: Any) -> _Multipliers:
        for name in problem.free:
            enter(problem, name)
        factors = problem.factors
        return _Multipliers(of={name: np.zeros_like(factors[name]) for name in problem.free})

    def step(self, problem: Problem, state: _Multipliers) -> float:
        for name in problem.free:
            normal = problem.normal(name)
            self._move(problem, name, normal, state.of[name])
        return problem.objective((name, normal))

    def _move(self, problem: Problem, name: str, normal: Normal, multipliers: np.ndarray) -> None:
        F, k = problem.factors[name], len(normal.gram)
        mean = float(np.trace(normal.gram, dtype=np.float64)) / k
        if mean <= 0:  # all other factors are zero: every F is a minimum
            return
        # At most k + 1 times worse conditioned than a multiple of one: the inverse is precise.
        shifted = normal.gram.astype(np.float64) + mean * np.eye(k)
        inverse = cho_solve(cho_factor(shifted), np.eye(k)).astype(F.dtype)
        rho = F.dtype.type(mean)
        U = multipliers / rho
        for _ in range(self.repeats):
            Z = (normal.cross + rho * (F + U)) @ inverse
            before = F.copy()
            F[...] = problem.prox(name, 1 / mean, Z - U)
            gap = F - Z
            U += gap
            apart, moved = float(np.linalg.norm(gap)), float(np.linalg.norm(F - before))
            sizes = float(np.linalg.norm(F)), float(np.linalg.norm(U))
            if apart <= self.tol * sizes[0] and moved <= self.tol * sizes[1]:
                break
        multipliers[...] = rho * U
