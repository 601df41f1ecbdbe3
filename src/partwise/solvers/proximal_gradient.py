"""Proximal gradient steps, for every loss and every penalty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise.penalties import Penalty, conflict, joint_start
from partwise.problem import Normal, Problem
from partwise.solvers.base import Solver, State

__all__ = ["ProximalGradient", "enter"]

# A step that proves too long is halved, at most so many times; one that does not is longer by
# this factor the next time.
TRIES, GROWTH = 25, 1.3
# Share of the predicted fall of the objective that a step has to bring, up to a share of itself.
SHARE, ENOUGH = 0.25, 1e-4
# Repeated steps end when one moves by at most this part of the first (Gillis & Glineur, 2012).
SHRINK = 0.1
# For losses that are not quadratic: entries count as at least this share of the mean of their
# component, move by at most so many times their size, and have curvatures that differ by at most
# this ratio.
LOWEST, FARTHEST, SPREAD = 0.05, 10.0, 1e-3
# The longest step, in units of the multiplicative one.
LONGEST = 1e3
# Proximal steps within one step of such a loss, and the change, relative to the first, to stop at.
INNER, CLOSE = 50, 0.02


@dataclass
class _Pace:
    # Of one factor: the length of its steps (0 before the first one), the number a of Nesterov's
    # sequence, and where it was one step ago.
    length: float
    before: np.ndarray
    a: float = 1.0
    lowest: float = 0.0

    def beyond(self, F: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return the extrapolated point, and whether it differs from F."""
        following = (1 + (1 + 4 * self.a**2) ** 0.5) / 2
        weight, self.a = (self.a - 1) / following, following
        if weight == 0:
            return F, False
        return np.maximum(F + F.dtype.type(weight) * (F - self.before), self.lowest), True

    def rest(self, F: np.ndarray) -> None:
        """Begin anew without momentum."""
        self.a, self.before = 1.0, F


@dataclass
class _Paces(State):
    paces: dict[str, _Pace] = field(default_factory=dict)
    objective: float = np.inf


class ProximalGradient(Solver):
    """Proximal gradient steps on one factor after the other, extrapolated.

    A step goes down the gradient of the loss and of all smooth penalties, and then to the
    proximal point of the other penalties together, non-negativity included. Its length is
    found by backtracking. Factors are extrapolated along their last steps (Nesterov); a step
    that raised the objective is undone and taken again without extrapolation, so that it never
    rises. For the squared loss there are up to ``repeats`` steps on a factor for each product
    with X.

    It serves every loss and every penalty, and is slower than the solvers made for some.

    Parameters
    ----------
    repeats : int
        Steps per product with X, at most, for the squared loss.

    Notes
    -----
    Cost per iteration: for the squared loss two products with X and O(repeats · (n_samples +
    n_features) · k²), plus ``repeats`` proximal points; for other losses a gradient and one or
    more objectives for each factor. Those have no one curvature for all entries: the length of
    a step is that of the multiplicative update for each of them, and its proximal point is
    approached by up to 50 plain ones, which do not look at X.

    The start is moved into the constraints. What a component of one factor loses there in scale
    another factor takes over, if its penalties let it.

    Sources: Xu & Yin (2013), SIAM Journal on Imaging Sciences 6 (blocks, extrapolation,
    restart); Bolte, Sabach & Teboulle (2014), Mathematical Programming 146
    (penalties that are not convex); Beck & Teboulle (2009), SIAM Journal on Imaging Sciences 2;
    lengths per entry Bonettini, Zanella & Zanni (2009), Inverse Problems 25.
    """

    name = "pgd"
    needs = "penalties that have a gradient, or a proximal map together"

    def __init__(self, repeats: int = 5) -> None:
        self.repeats = repeats

    def lacks(self, problem: Problem) -> str | None:
        if problem.signed and not problem.quadratic:
            which, loss = problem.signed[0], problem.loss.name
            return f"{which} may have any sign, for which the {loss} is not made"
        for name in problem.free:
            missing = conflict(problem.penalties[name])
            if missing is not None:
                return f"for {name} {missing}"
        return _unbounded(problem)

    def start(self, problem: Problem, rng: Any) -> _Paces:
        for name in problem.free:
            enter(problem, name)
        _enter_domain(problem)
        paces = {
            name: _Pace(0.0, problem.factors[name].copy(), lowest=lowest)
            for name in problem.free
            for lowest in (-np.inf if name in problem.signed else 0.0,)
        }
        return _Paces(paces=paces)

    def step(self, problem: Problem, state: _Paces) -> float:
        if not np.isfinite(state.objective):
            state.objective = problem.objective()
        for name in problem.free:
            if problem.quadratic:
                normal = _descend_quadratic(problem, name, state.paces[name], self.repeats)
            else:
                state.objective = _descend(problem, name, state.paces[name], state.objective)
        if problem.quadratic:
            objective = problem.objective((name, problem.penalized(name, normal)))
            state.objective = min(objective, state.objective)
        return state.objective


def _unbounded(problem: Problem) -> str | None:
    # Which penalties would keep models in the domain of the loss, if these do not, or None.
    most = problem.loss.largest
    if most == np.inf:
        return None
    factors = dict(problem.factors)
    for name in problem.free:
        large = np.full_like(factors[name], 1e6 * most)
        factors[name] = joint_start(problem.penalties[name], large)
    if float(problem.model.forward(factors).max(initial=0.0)) <= 1.001 * most:
        return None
    return (
        f"models can be beyond {most:g}, where the {problem.loss.name} is infinite; "
        f"penalty_W=Simplex(at_most=True) and penalty_H=Box(0, {most:g}) keep them below"
    )


def _enter_domain(problem: Problem) -> None:
    # A loss may be infinite for large models: those of the start are made smaller.
    for name in problem.free if problem.loss.largest < np.inf else ():
        for _ in range(TRIES):
            if np.isfinite(problem.objective()):
                return
            problem.factors[name] *= problem.data.dtype.type(0.5)


def enter(problem: Problem, name: str) -> None:
    """Move a factor into its constraints, and the scale that it loses into another factor."""
    F = problem.factors[name]
    before = kernels.sums_of_columns(F)
    F[...] = joint_start(problem.penalties[name], F)
    after = kernels.sums_of_columns(F)
    ratio = np.divide(before, after, out=np.ones_like(after), where=(after > 0) & (before > 0))
    for other in problem.free:
        if other != name and all(map(_lets_scale, problem.penalties[other])):
            problem.factors[other][...] *= ratio.astype(F.dtype)
            return


def _lets_scale(penalty: Penalty) -> bool:
    # Whether a column of a factor may be multiplied by any number.
    return penalty.smooth or (penalty.cone and penalty.separable in ("entries", "columns"))


def _gradient(problem: Problem, name: str, F: np.ndarray) -> np.ndarray:
    # Of all smooth penalties of a factor.
    total = np.zeros_like(F)
    for penalty in problem.penalties[name]:
        if penalty.smooth:
            total += penalty.gradient(F)
    return total


def _cost(problem: Problem, name: str, F: np.ndarray, smooth: bool = True) -> float:
    # Of the penalties, all or only those that are not smooth.
    return sum(p.value(F) for p in problem.penalties[name] if smooth or not p.smooth)


def _down(problem: Problem, name: str, F: np.ndarray, slope: np.ndarray, t: float) -> np.ndarray:
    return problem.prox(name, t, F - F.dtype.type(t) * slope)


def _descend_quadratic(problem: Problem, name: str, pace: _Pace, repeats: int) -> Normal:
    # Steps on ½ tr(F G Fᵀ) − tr(F Cᵀ) plus penalties; returns that quadratic.
    normal: Normal = problem.statistics(name, "normal")
    F = problem.factors[name].copy()
    if pace.length == 0:
        largest = float(np.linalg.eigvalsh(normal.gram.astype(np.float64))[-1])
        pace.length = 1 / largest if largest > 0 else 1.0

    def loss_slope(Z: np.ndarray) -> np.ndarray:
        return Z @ normal.gram - normal.cross

    slope, cost, first = loss_slope(F), _cost(problem, name, F), 0.0
    for _ in range(repeats):
        Y, ahead = pace.beyond(F)
        at_Y = (loss_slope(Y) if ahead else slope) + _gradient(problem, name, Y)
        Z, there = _step_by_curvature(problem, name, pace, Y, at_Y, loss_slope)
        new_cost = _cost(problem, name, Z)
        # Not as a difference of two values of the quadratic, which cancels.
        rise = kernels.inner((slope + there) / 2, Z - F) + new_cost - cost
        if rise <= 0:
            moved = float(np.linalg.norm(Z - F))
            first = first or moved
            pace.before = F
            F, slope, cost = Z, there, new_cost
            if moved <= SHRINK * first:
                break
        elif ahead:
            pace.rest(F)
        else:
            pace.rest(F)
            pace.length /= 4  # the slope changes within a step more than its ends tell
            break
    problem.factors[name][...] = F
    return normal


def _step_by_curvature(
    problem: Problem, name: str, pace: _Pace, Y: np.ndarray, at_Y: np.ndarray, loss_slope: Any
) -> tuple[np.ndarray, np.ndarray]:
    # A step from Y that is no longer than one over the curvature along itself, and the slope of
    # the loss at its end.
    grown = GROWTH * pace.length
    for number in range(TRIES):
        t = grown if number == 0 else pace.length
        Z = _down(problem, name, Y, at_Y, t)
        move, there = Z - Y, loss_slope(Z)
        curvature = kernels.inner(there + _gradient(problem, name, Z) - at_Y, move)
        if t * curvature <= kernels.inner(move, move):
            pace.length = t
            break
        pace.length = min(pace.length, t / 2)
    return Z, there


def _descend(problem: Problem, name: str, pace: _Pace, objective: float) -> float:
    # One step for any loss; the factor in the problem moves from point to point.
    F = problem.factors[name]
    old = F.copy()
    Y, ahead = pace.beyond(old)
    F[...] = Y
    slope, metric = _slope(problem, name)
    beside = _cost(problem, name, old, smooth=False)
    length = min(GROWTH * pace.length, LONGEST) if pace.length else 1.0
    for _ in range(TRIES):
        weights = metric / metric.dtype.type(length)
        Z = _weighted_prox(problem, name, Y, slope, weights)
        F[...] = Z
        new = problem.objective()
        fall = 0.0
        if not ahead:
            move = Z - old
            model = kernels.inner(slope, move) + kernels.inner(weights * move, move) / 2
            model += _cost(problem, name, Z, smooth=False) - beside
            # The model knows nothing of a misfit with poles: it may promise far too much.
            fall = min(-SHARE * model, ENOUGH * abs(objective))
        if new <= objective - max(fall, 0.0):
            pace.before, pace.length = old, length
            return new
        if ahead:
            pace.rest(old)
            Y, ahead = old, False
            F[...] = old
            slope, metric = _slope(problem, name)
        else:
            length /= 2
    F[...] = old
    pace.rest(old)
    pace.length = 1.0
    return objective


def _slope(problem: Problem, name: str) -> tuple[np.ndarray, np.ndarray]:
    # The gradient of all that is smooth, and the curvature that makes a step without penalties
    # the multiplicative one, F ∘ negative / positive.
    with np.errstate(over="ignore", invalid="ignore"):  # poles, in single precision
        split, F = problem.statistics(name, "split"), problem.factors[name]
    # An empty component counts as a small one, an empty factor as one of the size of the data.
    least = LOWEST * float(F.mean(dtype=np.float64)) or problem.level or 1.0
    mean = np.maximum(F.mean(axis=0), F.dtype.type(least))
    level = np.maximum(F, mean * F.dtype.type(LOWEST))
    metric = split.loss_positive / level
    # At a pole no slope is as long as it says.
    far = FARTHEST * (level + mean)
    slope = np.clip(split.loss_positive - split.negative, -far * metric, far * metric)
    beside = _gradient(problem, name, F)
    if beside.any():
        slope = slope + beside
        metric = np.maximum(metric, np.abs(beside) / far)
        move = np.clip(-slope / np.maximum(metric, np.finfo(F.dtype).tiny), -F, far)
        bend = kernels.inner(_gradient(problem, name, F + move) - beside, move)
        size = kernels.inner(move, move)
        metric = metric + F.dtype.type(max(bend, 0.0) / size if size > 0 else 0.0)
    largest = float(metric.max())
    return slope, np.maximum(metric, F.dtype.type(largest * SPREAD if largest > 0 else 1.0))


def _weighted_prox(
    problem: Problem, name: str, F: np.ndarray, slope: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    # argmin over Z of ⟨slope, Z − F⟩ + ½ Σ weights (Z − F)² + penalties that are not smooth:
    # known where they are constraints of single entries, else approached by proximal steps.
    aim = F - slope / weights
    parts = [p for p in problem.penalties[name] if not p.smooth]
    if all(p.constraint and p.separable == "entries" for p in parts):
        return problem.prox(name, 0.0, aim)
    t = 1 / float(weights.max())
    Z, ahead, a, first = F, F, 1.0, 0.0
    for _ in range(INNER):
        Z, before = _down(problem, name, ahead, weights * (ahead - aim), t), Z
        moved = float(np.linalg.norm(Z - before))
        first = first or moved
        if moved <= CLOSE * first:
            break
        if all(p.convex for p in parts):
            following = (1 + (1 + 4 * a**2) ** 0.5) / 2
            turned = kernels.inner(ahead - Z, Z - before) > 0  # O'Donoghue & Candès (2015)
            weight, a = (0.0, 1.0) if turned else ((a - 1) / following, following)
            ahead = Z + Z.dtype.type(weight) * (Z - before)
        else:
            ahead = Z
    return Z
