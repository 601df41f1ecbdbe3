"""Contributions that may go somewhat below zero, each factor's down to a share of its mean."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from partwise._stationarity import column_squares, factor_residual
from partwise.penalties import Free, NonNegative
from partwise.problem import Problem
from partwise.result import Result

__all__ = ["lower_contributions"]

# Of tol, the relative fall of the objective in one iteration at which the residual is first
# looked at, and the fall below which nothing more is to be had.
FIRST, LAST = 1e-2, 1e-15


class _Objective:
    """Half of Q of U ≥ 0 and H ≥ 0, where W = U − share · (mean of U) over rows with known data.

    So w ≥ −depth · (mean of w) in every column, with share = depth / (1 + depth). Q is Huber's
    beyond ``distance``. The variables are the entries of U and H, each times ``scale``, the root of
    its own curvature at the start: the method takes all to be alike.
    """

    def __init__(
        self, data: Any, W: np.ndarray, H: np.ndarray, depth: float, distance: float
    ) -> None:
        self.rows = np.flatnonzero(data.weights.any(axis=1))
        self.X = data.array[self.rows].astype(np.float64)
        self.weights = data.weights[self.rows].astype(np.float64)
        self.roots, self.k = np.sqrt(self.weights), W.shape[1]
        self.share, self.distance = depth / (1 + depth), distance
        W, H = W[self.rows].astype(np.float64), H.astype(np.float64)
        U = W + self.share / (1 - self.share) * W.mean(axis=0)
        squares = self.joined(self.weights @ (H * H), self.weights.T @ (W * W))
        least = 1e-6 * squares.max()
        self.scale = np.sqrt(np.maximum(squares, least if least > 0 else 1.0))
        self.start = self.joined(U, H) * self.scale

    def shifted(self, U: np.ndarray) -> np.ndarray:
        return U - self.share * U.mean(axis=0)

    def joined(self, U: np.ndarray, H: np.ndarray) -> np.ndarray:
        return np.concatenate([U.ravel(), H.ravel()])

    def parts(self, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place = len(self.X) * self.k
        return both[:place].reshape(-1, self.k), both[place:].reshape(-1, self.k)

    def __call__(self, scaled: np.ndarray) -> tuple[float, np.ndarray]:
        U, H = self.parts(scaled / self.scale)
        W = self.shifted(U)
        z = self.roots * (W @ H.T - self.X)
        near = np.clip(z, -self.distance, self.distance)
        pull = self.roots * near
        slope = self.joined(self.shifted(pull @ H), pull.T @ W) / self.scale
        return float(np.sum(near * (z - near / 2))), slope

    def kkt(self, scaled: np.ndarray) -> float:
        """Return the residual of the fit's stopping rule, for U and H."""
        U, H = self.parts(scaled / self.scale)
        slopes = self.parts(self(scaled)[1] * self.scale)
        weighed = self.weights * self.X
        sizes = np.abs(self.shifted(weighed @ H)), np.abs(weighed.T @ self.shifted(U))
        none, obeyed = np.empty((0, self.k), np.bool_), (NonNegative(),)
        return max(
            factor_residual(F, slope, [column_squares(size)], none, obeyed)
            for F, slope, size in zip((U, H), slopes, sizes, strict=True)
        )


def lower_contributions(
    problem: Problem, result: Result, depth: float, distance: float, *, tol: float, max_iter: int
) -> None:
    """Go on from a fit with W ≥ 0 to the one with w ≥ −depth · (mean of w), in place.

    Parameters
    ----------
    problem : Problem
        Of `Weighted` data; its factors, W (n, k) and H (m, k), are overwritten.
    result : Result
        Of the fit that ended there; what it says is brought up to date.
    depth : float
        How far a contribution may go below zero, as a share of its factor's mean.
    distance : float
        Huber's threshold for scaled residuals; infinite for the plain Q.
    tol, max_iter
        Of the fit.

    Notes
    -----
    By L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995, SIAM Journal on Scientific Computing 16), whose
    objective never rises. Cost O(n m k) per iteration.
    """
    data: Any = getattr(problem, "given", problem.data)
    W, H = problem.factors["W"], problem.factors["H"]
    objective = _Objective(data, W, H, depth, distance)
    scaled = objective.start
    history, ftol, left = _History(result), FIRST * tol, max_iter
    while True:
        found = minimize(
            objective,
            scaled,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0, np.inf),
            callback=history,
            options={"maxiter": left, "maxfun": 20 * left, "maxcor": 20, "ftol": ftol, "gtol": 0.0},
        )
        scaled, left = found.x, left - int(found.nit)
        result.kkt = objective.kkt(scaled)
        if result.kkt <= tol or left <= 0 or ftol <= LAST:
            break
        ftol = max(ftol / 10, LAST)
    problem.penalties = {**problem.penalties, "W": (Free(),)}
    U, H_now = objective.parts(scaled / objective.scale)
    W[objective.rows] = objective.shifted(U)
    H[...] = H_now
    # Where nothing is left to be had the residual may be that of rounding, as in all fits.
    settled = left > 0 and result.kkt <= max(tol, 10 * float(np.finfo(W.dtype).eps) ** 0.5)
    history.close(float(found.fun), converged=result.kkt <= tol or settled, left=left)


class _History:
    """What the second part of a run adds to the result of the first."""

    def __init__(self, result: Result) -> None:
        self.result, self.begin = result, time.perf_counter() - result.time_history[-1]
        self.values: list[float] = []
        self.seconds: list[float] = []

    def __call__(self, intermediate_result: Any) -> None:
        self.values.append(float(intermediate_result.fun))
        self.seconds.append(time.perf_counter() - self.begin)

    def close(self, objective: float, *, converged: bool, left: int) -> None:
        result = self.result
        result.objective_history = np.append(result.objective_history, self.values)
        result.time_history = np.append(result.time_history, self.seconds)
        result.objective = objective
        result.n_iter = len(result.objective_history) - 1
        result.converged = converged
        why = f"the KKT residual is {result.kkt:.2g}"
        if not converged and left <= 0:
            why = f"max_iter iterations below zero are done and {why}"
        result.stop_reason = f"{result.stop_reason}; with contributions below zero {why}"
