"""Partwise from a given start: until a target is reached, or for a number of iterations."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from benchmarks.objective import objective
from benchmarks.peers import quiet, rest
from partwise import NMF

# The solver's own objective and ours differ by rounding; more tries than that are no rounding.
TRIES = 4
# Iterations after which a solver has done all that it ever does, so that nothing is compiled later.
WARM = 8


class Run(NamedTuple):
    """What a run took; ``seconds`` of the solver alone, ``whole`` of the call."""

    seconds: float
    whole: float
    iterations: int
    objective: float
    per_iteration: float


def fit(
    X: Any,
    W: np.ndarray,
    H: np.ndarray,
    beta: float,
    *,
    solver: str = "auto",
    iterations: int = 100,
    aim: float = -np.inf,
    unstored: str = "zero",
) -> Run:
    """Return a fit of so many iterations, which ends sooner where the objective is ``aim``.

    The objective of the run knows no missing entries.
    """
    model = NMF(
        len(H), init="custom", solver=solver, beta_loss=float(beta), tol=0, max_iter=iterations,
        unstored=unstored,
    )  # fmt: skip
    seen = []

    def look(state: Any) -> bool:
        seen.append(state.seconds)
        return state.objective <= aim

    with quiet():
        begin = time.perf_counter()
        model.fit(X, W=W, H=H, callback=look)
        whole = time.perf_counter() - begin
    steps = np.diff(seen)
    return Run(
        seen[-1],
        whole,
        model.n_iter_,
        objective(X, model.W_, model.components_, beta),
        float(np.median(steps)) if steps.size else np.nan,
    )


def reach(
    X: Any,
    W: np.ndarray,
    H: np.ndarray,
    beta: float,
    target: float,
    *,
    solver: str = "auto",
    iterations: int = 1000,
) -> Run | None:
    """Return the fit that reaches the target by our own reckoning, or None."""
    aim = target
    for number in range(TRIES):
        if number:
            rest()  # the objective of the last run was formed by BLAS
        run = fit(X, W, H, beta, solver=solver, iterations=iterations, aim=aim)
        if run.objective <= target:
            return run
        if run.iterations == iterations:
            return None
        aim -= 2 * (run.objective - target)
    return None
