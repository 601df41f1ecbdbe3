"""Partwise from a given start: for a number of iterations, and how many a target takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.objective import objective
from benchmarks.peers import quiet
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
    unstored: str = "zero",
    callback: Callable[[Any], bool] | None = None,
) -> Run:
    """Return a fit of so many iterations, or fewer if a callback ends it.

    The objective of the run knows no missing entries.
    """
    model = NMF(
        len(H), init="custom", solver=solver, beta_loss=float(beta), tol=0, max_iter=iterations,
        unstored=unstored,
    )  # fmt: skip
    with quiet():
        begin = time.perf_counter()
        model.fit(X, W=W, H=H, callback=callback)
        whole = time.perf_counter() - begin
    steps = np.diff(model.time_history_)
    return Run(
        model.time_history_[-1],
        whole,
        model.n_iter_,
        objective(X, model.W_, model.components_, beta),
        float(np.median(steps)) if steps.size else np.nan,
    )


def fewest(
    X: Any,
    W: np.ndarray,
    H: np.ndarray,
    beta: float,
    target: float,
    *,
    solver: str = "auto",
    most: int = 1000,
) -> int | None:
    """Return the iterations after which a fit is at the target by our own reckoning, or None."""
    aim = target
    for _ in range(TRIES):

        def there(state: Any, aim: float = aim) -> bool:
            return bool(state.objective <= aim)

        run = fit(X, W, H, beta, solver=solver, iterations=most, callback=there)
        if run.objective <= target:
            return max(1, run.iterations)
        if run.iterations == most:
            return None
        aim -= 2 * (run.objective - target)
    return None
