"""Classic methods for the Kullback–Leibler divergence: coordinate descent and mirror descent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partwise import kernels
from partwise.problem import Entries, Problem, Split
from partwise.solvers.base import Solver, State, unfolded
from partwise.solvers.multiplicative import MultiplicativeUpdate, drop_vanishing, lift_zeros
from partwise.solvers.rational import RationalDescent, floor_of_rows

__all__ = ["CyclicDescent", "MirrorDescent", "NewtonMultiplicative", "ScalarNewton"]

# Iterations of a cycle of the hybrid, of which the last one is multiplicative.
CYCLE = 11


def _other_loss(problem: Problem) -> str | None:
    if problem.loss.rational and problem.loss.degree == 1:
        return None
    return f"the {problem.loss.name} is another loss"


class _NewtonDescent(Solver):
    """Newton steps on one entry after the other."""

    needs = (
        "the Kullback-Leibler divergence, a bilinear model of data in memory, and penalties that "
        "are linear or quadratic"
    )
    damped: bool

    def __init__(self, repeats: int, inner: int) -> None:
        self.repeats = repeats
        self.inner = inner

    def lacks(self, problem: Problem) -> str | None:
        return _other_loss(problem) or RationalDescent().lacks(problem)

    def start(self, problem: Problem, rng: Any) -> State:
        lift_zeros(problem)
        return State()

    def step(self, problem: Problem, state: State) -> float | None:
        floor = floor_of_rows(problem)
        steps = (self.repeats, self.inner, self.damped)

        def update(
            name: str, rows: slice, F: np.ndarray, entries: Entries, free: np.ndarray
        ) -> float:
            data: Any = entries.data
            slope = entries.slope.astype(F.dtype)
            how = (F, entries.design, slope, entries.curve, free, steps, floor)
            if data.is_sparse:
                cost: float = kernels.newton_sparse(data.indptr, data.indices, data.stored, *how)
            else:
                cost = kernels.newton_dense(data.array, *how)
            return cost if entries.of_loss is None else cost + kernels.inner(F, entries.of_loss)

        return problem.sweep(update, "entries")


class CyclicDescent(_NewtonDescent):
    """Cyclic coordinate descent on the Kullback–Leibler divergence by Newton steps (CCD).

    Each entry moves by up to ``inner`` Newton steps, until one is shorter than half of the
    entry. Since the slope is concave a step up never passes the minimum; a step down after
    which the objective may be higher, which its slope there tells, is replaced by one that is
    damped, so that the objective never rises. The source takes every step as it is.

    Parameters
    ----------
    inner : int
        Newton steps on an entry, at most.

    Notes
    -----
    Cost per iteration: O(stored entries · k · inner). Sparse data are held a second time,
    transposed.

    Source: Hsieh & Dhillon (2011), KDD, 1064-1072, section 3.2.
    """

    name = "ccd"
    damped = False

    def __init__(self, inner: int = 2) -> None:
        super().__init__(1, inner)


class ScalarNewton(_NewtonDescent):
    """Cyclic coordinate descent by one damped Newton step per entry (SN).

    The objective of one entry is self-concordant. A step down whose decrement λ is above 0.684
    is divided by 1 + λ, so that the objective never rises. λ is the length of the step in the
    metric of the curvature over the root of the smallest x > 0 of the row, as in the source,
    or the share of the entry that it takes away, whichever is less: each bounds how
    much the curvature can grow along the step.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration, at most; those over a row end when one changes
        it by less than a fifth of the first.

    Notes
    -----
    Cost per iteration: O(stored entries · k · repeats). Sparse data are held a second time,
    transposed.

    Source: Hien & Gillis (2021), Journal of Scientific Computing 87, section 3.2.
    """

    name = "newton"
    damped = True

    def __init__(self, repeats: int = 5) -> None:
        super().__init__(repeats, 1)


@dataclass
class _Count(State):
    iteration: int = 0
    multiplicative: State = field(default_factory=State)


class NewtonMultiplicative(ScalarNewton):
    """Ten iterations of 'newton', then one of 'mu', and so on (SN-MU).

    A multiplicative update moves all entries of a row at once, which can be far better than one
    after the other where they are far off.

    Parameters
    ----------
    repeats : int
        Sweeps over a factor per iteration of 'newton', at most.

    Notes
    -----
    Cost per iteration: O(stored entries · k · repeats). Sparse data are held a second time,
    transposed.

    Source: Hien & Gillis (2021), Journal of Scientific Computing 87.
    """

    name = "newton-mu"

    def start(self, problem: Problem, rng: Any) -> _Count:
        return _Count(multiplicative=MultiplicativeUpdate().start(problem, rng))

    def step(self, problem: Problem, state: Any) -> float | None:
        state.iteration += 1
        if state.iteration % CYCLE == 0:
            return MultiplicativeUpdate().step(problem, state.multiplicative)
        return super().step(problem, state)


@dataclass
class _Sums(State):
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)


class MirrorDescent(Solver):
    """Block mirror descent on the Kullback–Leibler divergence (Bregman, NoLips).

    The divergence is smooth relative to −Σ log f, for each row of a factor with the constant
    L = Σ x over that row's data. The step 1 / L goes to the minimum of the loss's tangent, of
    L Σ (f / f_old − log f) and of the penalties: without penalties it is
    F ← F / (1 + F ∘ (positive − negative) / L). It needs no line search and never raises the
    objective. It is slower than 'mu', which has a constant for each entry, and comes near a
    zero like 1 / iterations.

    Zeros of the start at which the objective falls are lifted, and entries on their way to zero
    are set to zero at the end, as in 'mu'.

    Notes
    -----
    Cost per iteration: three products of the size of X, O(entries · k), for each factor; stored
    entries only for sparse data.

    Sources: Bauschke, Bolte & Teboulle (2017), Mathematics of Operations Research 42, lemma 7;
    Hien & Gillis (2021), Journal of Scientific Computing 87, section 3.3.
    """

    name = "mirror"
    needs = "the Kullback-Leibler divergence and penalties with a slope"

    def lacks(self, problem: Problem) -> str | None:
        return _other_loss(problem) or unfolded(problem)

    def start(self, problem: Problem, rng: Any) -> _Sums:
        lift_zeros(problem)
        eps = float(np.finfo(problem.data.dtype).eps)
        state = _Sums()
        for name in problem.free:
            state.sums[name] = _row_sums(problem, name)
            state.floors[name] = eps * float(problem.factors[name].mean(dtype=np.float64))
        return state

    def step(self, problem: Problem, state: _Sums) -> None:
        def update(name: str, rows: slice, F: np.ndarray, split: Split, free: np.ndarray) -> None:
            assert split.slopes is not None
            total = state.sums[name][rows]
            # The root r = f / f_old > 0 of curved r² + (L + f_old slope) r − L.
            linear, curved = (F * slope if slope.shape[0] else 0.0 for slope in split.slopes)
            middle = total + F * (split.loss_positive - split.negative) + linear
            below = middle + np.sqrt(middle * middle + 4 * curved * total)
            ratio = np.divide(2 * total, below, out=np.zeros(F.shape), where=below > 0)
            new = np.maximum(F * ratio, state.floors[name]).astype(F.dtype)
            F[...] = np.where(free, new, F) if free.shape[0] else new

        problem.sweep(update, "split")

    def finish(self, problem: Problem, objective: float, tol: float) -> float:
        return drop_vanishing(problem, objective, tol)


def _row_sums(problem: Problem, name: str) -> np.ndarray:
    # Of X along one axis, (dimension, 1), in float64.
    ones = {other: np.ones_like(F) for other, F in problem.factors.items()}
    return problem.model.adjoint(problem.data, ones, name)[:, :1].astype(np.float64)
