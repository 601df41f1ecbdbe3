"""Classic methods for the squared loss: one non-negative quadratic program after the other."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Normal, Problem
from partwise.solvers.base import Solver, State, not_quadratic, unfolded
from partwise.solvers.signed import solve_signed

__all__ = [
    "ActiveSet",
    "Alternating",
    "BlockPivoting",
    "ClippedLeastSquares",
    "GreedyDescent",
    "LinMultiplicative",
    "NesterovGradient",
    "ProjectedGradient",
]

# In units of the rounding of the dtype: a slope below that share of its terms is zero.
ROUNDING = 16
# Lin's bound below which an entry does not count as moving, and what keeps his division
# finite: shares of the mean of a component.
LEAST = 1e-8


class Alternating(Solver):
    """A method that moves one factor at a time, seen as a quadratic of its rows.

    A subclass says how in `move`. One iteration moves every factor once.
    """

    needs = "the squared (Frobenius) loss with penalties that are linear or convex quadratic"
    signed = False  # whether it can serve factors of any sign

    def lacks(self, problem: Problem) -> str | None:
        if missing := not_quadratic(problem):
            return missing
        for name in problem.free:
            for penalty in problem.penalties[name]:
                if penalty.shifts and not penalty.convex:
                    return (
                        f"the penalty {penalty.name} of {name} leaves a quadratic that bends down"
                    )
        return unfolded(problem, "normal", signed=self.signed)

    def start(self, problem: Problem, rng: Any) -> State:
        return State()

    def step(self, problem: Problem, state: Any) -> float | None:
        def update(name: str, rows: slice, F: np.ndarray, normal: Normal, free: np.ndarray) -> None:
            # Where a component explains nothing any value is a minimum: not the moment to
            # set it to zero, from where it could not return.
            idle = np.flatnonzero(np.diag(normal.gram) <= 0)
            kept = np.where(normal.cross[:, idle] < 0, 0, F[:, idle])
            if free.shape[0]:
                kept = np.where(free[:, idle], kept, F[:, idle])
            if name in problem.signed:
                solve_signed(F, normal.gram, normal.cross, free)
            else:
                self.move(F, normal, free, state, name)
            F[:, idle] = kept

        return problem.sweep(update, "normal")

    @abstractmethod
    def move(self, F: np.ndarray, normal: Normal, free: np.ndarray, state: Any, name: str) -> None:
        """Lower the quadratic of some rows ``F`` of a factor, in place, over F ≥ 0.

        Rows must not depend on each other; entries where ``free`` is False stay.
        """


def _rounding(F: np.ndarray) -> float:
    return ROUNDING * float(np.finfo(F.dtype).eps)


class ActiveSet(Alternating):
    """Alternating non-negative least squares, each solved exactly by the active set method.

    The last solution is the first guess of which entries are zero.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), and for each row of a factor
    O(k³) plus O(k²) to O(k³) per entry that changes between zero and positive.

    Source: Kim & Park (2008), SIAM Journal on Matrix Analysis and Applications 30, 713-730.
    """

    name = "anls-as"

    def move(self, F: np.ndarray, normal: Normal, free: np.ndarray, state: Any, name: str) -> None:
        kernels.solve_rows(F, normal.gram, normal.cross, free, _rounding(F))


class BlockPivoting(Alternating):
    """Alternating non-negative least squares, each solved exactly by block principal pivoting.

    The last solution is the first guess of which entries are zero; rows with as many positive
    entries are solved side by side.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), and O(k³) for
    each row of a factor, mostly once or twice.

    Source: Kim & Park (2011), SIAM Journal on Scientific Computing 33, 3261-3281.
    """

    name = "anls-bpp"

    def move(self, F: np.ndarray, normal: Normal, free: np.ndarray, state: Any, name: str) -> None:
        kernels.pivot_rows(F, normal.gram, normal.cross, free, _rounding(F))


class _Steps(Alternating):
    """Gradient steps of one kernel, until a row's residual is a part of what it was."""

    kernel: str

    def __init__(self, repeats: int, shrink: float) -> None:
        self.repeats = repeats
        self.shrink = shrink

    def move(self, F: np.ndarray, normal: Normal, free: np.ndarray, state: Any, name: str) -> None:
        stop = (0.0, self.shrink, self.repeats)
        getattr(kernels, self.kernel)(F, normal.gram, normal.cross, free, stop)


class ProjectedGradient(_Steps):
    """Alternating least squares, each solved roughly by projected gradient steps.

    Parameters
    ----------
    repeats : int
        Steps per iteration and row, at most.
    shrink : float
        The steps of a row end when its KKT residual is this part of what it was.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O(steps tried · (n_samples + n_features) · k²).

    Source: Lin (2007), Neural Computation 19, 2756-2779; there all rows share a step size, and the
    first one that is tried is the last one. Here it is that of Barzilai & Borwein (1988), IMA
    Journal of Numerical Analysis 8, 141-148, which mostly is long enough and need not be lowered.
    """

    name = "pg"

    kernel = "projected_gradient"

    def __init__(self, repeats: int = 20, shrink: float = 0.1) -> None:
        super().__init__(repeats, shrink)


class NesterovGradient(_Steps):
    """Alternating least squares, each solved roughly by Nesterov's accelerated gradient (NeNMF).

    Parameters
    ----------
    repeats : int
        Steps per iteration and row, at most.
    shrink : float
        The steps of a row end when its KKT residual is this part of what it was.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O(repeats · (n_samples + n_features) · k²).

    Source: Guan, Tao, Luo & Yuan (2012), IEEE Transactions on Signal Processing 60, 2882-2898.
    A row whose quadratic would rise loses its momentum instead.
    """

    name = "nenmf"

    kernel = "nesterov"

    def __init__(self, repeats: int = 50, shrink: float = 0.1) -> None:
        super().__init__(repeats, shrink)


class GreedyDescent(Alternating):
    """Coordinate descent that moves, in each row, the entry that lowers the objective most.

    Parameters
    ----------
    repeats : int
        Updates of a row per iteration, in units of its length k, at most.
    shrink : float
        The updates of a row end when the best decrease is this part of the first one.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O((n_samples + n_features) · k²) and O(k) per update.

    Source: Hsieh & Dhillon (2011), KDD, 1064-1072; its threshold is that of all rows.
    """

    name = "gcd"

    def __init__(self, repeats: int = 2, shrink: float = 1e-3) -> None:
        self.repeats = repeats
        self.shrink = shrink

    def move(self, F: np.ndarray, normal: Normal, free: np.ndarray, state: Any, name: str) -> None:
        updates = self.repeats * F.shape[1]
        kernels.greedy_updates(F, normal.gram, normal.cross, free, updates, self.shrink)


class ClippedLeastSquares(Alternating):
    """Alternating least squares whose negative entries are set to zero (ALS).

    The projection is not the solution over F ≥ 0: the objective can rise, and where the method
    comes to rest need not be a stationary point. It is here since many results were
    obtained with it; 'anls-bpp' solves the same problems properly.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O((n_samples + n_features) · k²).

    Source: Paatero & Tapper (1994), Environmetrics 5; Berry, Browne, Langville, Pauca &
    Plemmons (2007), Computational Statistics & Data Analysis 52, section 3.3.
    """

    name = "als"
    signed = True
    monotone = False

    def move(self, F: np.ndarray, normal: Normal, free: np.ndarray, state: Any, name: str) -> None:
        kernels.least_squares_rows(F, normal.gram, normal.cross, free, _rounding(F))


@dataclass
class _Least(State):
    least: dict[str, np.ndarray] = field(default_factory=dict)


class LinMultiplicative(Alternating):
    """The multiplicative update of Lin, whose limit points are stationary.

    It is that of Lee & Seung where an entry is not tiny; a tiny one that should grow is moved
    as if it were 1e-8 of the mean of its component at the start, so that zeros are not locked
    in. As long as the factors stay bounded every limit point is stationary.

    Notes
    -----
    Cost per iteration: two products with X, O(stored entries · k), plus
    O((n_samples + n_features) · k²).

    Source: Lin (2007), IEEE Transactions on Neural Networks 18, 1589-1596; without the
    normalization of the factors, which penalties do not allow.
    """

    name = "mu-lin"

    def start(self, problem: Problem, rng: Any) -> _Least:
        least = {}
        for name in problem.free:
            F = problem.factors[name]
            mean = F.mean(axis=0, dtype=np.float64)
            mean = np.where(mean > 0, mean, problem.level)
            least[name] = (LEAST * mean).astype(F.dtype)
        return _Least(least=least)

    def move(
        self, F: np.ndarray, normal: Normal, free: np.ndarray, state: _Least, name: str
    ) -> None:
        least = state.least[name]
        slope = F @ normal.gram - normal.cross
        moving = np.where(slope < 0, np.maximum(F, least), F)
        # Penalties may make entries of the Gram negative: their size keeps the bound valid.
        below = moving @ np.abs(normal.gram) + np.diag(normal.gram) * least * F.dtype.type(LEAST)
        change = np.divide(moving * slope, below, out=np.zeros_like(F), where=below > 0)
        if free.shape[0]:
            change[~free] = 0
        np.maximum(F - change, 0, out=F)
