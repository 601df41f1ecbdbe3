"""Multiplicative updates with both exponents of Févotte & Idier (2011), for ten betas."""

from __future__ import annotations

import numpy as np
import pytest

from partwise.data import as_data
from partwise.losses import as_loss
from partwise.models import Bilinear
from partwise.problem import Problem
from partwise.solvers import MultiplicativeUpdate

SEEDS = range(3)


class ExponentOne(MultiplicativeUpdate):
    """F ← F ∘ negative / positive, whatever the loss: proven for 0 ≤ β ≤ 2 only."""

    def powers(self, problem):
        return 0.0, 1.0


def half_steps(solver, beta, seed, count=600):
    """Return the objective at the start and after each update of one factor."""
    rng = np.random.default_rng(seed)
    X = rng.random((40, 60)) + 1e-3
    factors = {"W": rng.random((40, 5)), "H": rng.random((60, 5))}
    problem = Problem(as_data(X), Bilinear(5), as_loss(beta), factors)
    state, objectives = solver.start(problem, rng), [problem.objective()]
    for number in range(count):
        problem.free = (("W", "H")[number % 2],)
        objectives.append(solver.step(problem, state))
    return np.array(objectives)


@pytest.mark.parametrize("beta", [-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4])
def test_neither_exponent_raises_the_objective_in_any_half_step(beta):
    """40 × 60, k = 5, 600 half steps; exponent 1 gets further where it is the longer step."""
    ends = []
    for solver in (MultiplicativeUpdate(), ExponentOne()):
        runs = [half_steps(solver, beta, seed) for seed in SEEDS]
        for run in runs:
            assert np.all(run[1:] <= run[:-1] * (1 + 1e-9))
        ends.append([run[-1] for run in runs])
    minimum, one = np.mean(ends, axis=1)
    if 1 <= beta <= 2:
        np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)
    else:
        assert one < minimum
