"""Stochastic gradient descent on known entries, in blocks that do not touch each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from partwise import kernels
from partwise._threads import each
from partwise.problem import Entries, Problem
from partwise.solvers.base import Solver, State, tied, unfolded

__all__ = ["StratifiedGradient"]

# After an iteration: what the step is multiplied by where the objective fell, and where it rose.
FASTER, SLOWER = 1.05, 0.5
# Known entries of a block on average, at least: fewer are no work for a thread of its own.
LEAST = 1000


@dataclass
class _Block:
    """Known entries that share no row and no column with others of their stratum."""

    places: tuple[np.ndarray, np.ndarray]
    entries: tuple[np.ndarray, np.ndarray]
    order: np.ndarray


@dataclass(kw_only=True)
class _Descent(State):
    """The strata, what penalties do for each entry, the step, and where to return to."""

    strata: list[list[_Block]]
    shares: tuple[tuple[np.ndarray, np.ndarray], ...]
    slopes: np.ndarray
    step: float
    rng: np.random.Generator
    kept: dict[str, np.ndarray]
    objective: float


class StratifiedGradient(Solver):
    """Distributed stochastic gradient descent (DSGD) on the known entries of X.

    X is cut into ``blocks`` × ``blocks`` blocks, with about as many known entries in each row and
    each column of blocks. An iteration goes through all of them once, a stratum after the other:
    the blocks of a stratum share no row and no column, so that threads work on them side by side,
    each with one gradient step for every known entry, in random order, followed by projection. The
    step grows by 5 % after an iteration that lowered the objective (bold driver); one that did not
    is undone and the step halved, so that the objective never rises.

    Parameters
    ----------
    blocks : int
        Blocks along each side, at most; fewer where there are less than 1,000 entries to each. As
        many threads have work. The answer depends on it, and not on the number of threads.
    step_size : float
        The first step, in units of one over the mean weight times the root mean square of the
        known entries.

    Notes
    -----
    Cost per iteration O(known entries · k), for the steps and once more for the objective. It
    takes more iterations than coordinate descent to a precise answer.

    Source: Gemulla, Nijkamp, Haas & Sismanis (2011), KDD, 69-77; there no iteration is undone.
    """

    name = "dsgd"
    needs = (
        "the squared (Frobenius) loss of X with missing entries or weights, a bilinear model, and "
        "penalties that are linear or quadratic in single entries"
    )

    def __init__(self, blocks: int = 8, step_size: float = 0.1) -> None:
        self.blocks = blocks
        self.step_size = step_size

    def lacks(self, problem: Problem) -> str | None:
        if not problem.loss.quadratic:
            return f"the {problem.loss.name} is not quadratic"
        if problem.data.complete:
            return "every entry of X is known and has no weight"
        if not problem.data.in_memory:
            return "X is outside memory, and its entries are drawn at random"
        product = problem.model.as_product(problem.factors)
        own = [problem.factors[name] for name in problem.model.names]
        if product is None or any(F is not G for F, G in zip(product, own, strict=True)):
            return f"the model {type(problem.model).__name__} is not bilinear"
        if len(problem.free) < 2:
            return f"{problem.free[0]} alone is to be found"
        return tied(problem) or unfolded(problem, signed=True)

    def start(self, problem: Problem, rng: Any) -> _Descent:
        data: Any = problem.data
        rows, columns, values, weights = data.entries()
        shares, slopes = [], []
        for name, places in zip(problem.model.names, (rows, columns), strict=True):
            F = problem.factors[name]
            none = np.zeros((1, F.shape[1]), F.dtype)
            pushed = problem.penalized(name, Entries(data, none, none, 0.0))
            counts = np.bincount(places, minlength=len(F))
            share = np.divide(1.0, counts, out=np.zeros(len(F)), where=counts > 0)
            shares.append((share.astype(F.dtype), (pushed.curve * share).astype(F.dtype)))
            slopes.append(pushed.slope[0])
            if pushed.curve > 0 or pushed.slope.any():
                # No step ever visits these rows, and penalties alone say where they are.
                idle, free = counts == 0, problem.free_entries(name)
                F[idle] = np.where(free[idle], 0, F[idle]) if free.shape[0] else 0
        blocks = max(1, min(self.blocks, int((len(values) / LEAST) ** 0.5), *data.shape))
        size = (data.sum_of_squares() / data.mass) ** 0.5 * weights.mean(dtype=np.float64)
        return _Descent(
            strata=_strata((rows, columns, values, weights), data.shape, blocks),
            shares=tuple(shares),
            slopes=np.array(slopes, data.dtype),
            step=self.step_size / size if size > 0 else 0.0,
            rng=np.random.default_rng(0) if rng is None else rng,
            kept={name: problem.factors[name].copy() for name in problem.free},
            objective=problem.objective(),
        )

    def step(self, problem: Problem, state: _Descent) -> float:
        factors = tuple(problem.factors[name] for name in problem.model.names)
        free = tuple(problem.free_entries(name) for name in problem.model.names)
        kind = problem.data.dtype.type
        signed = [name in problem.signed for name in problem.model.names]
        lowest = np.where(signed, -np.inf, 0.0).astype(kind)
        for number in state.rng.permutation(len(state.strata)):
            stratum = state.strata[number]
            seeds = state.rng.integers(1, 2**62, len(stratum))

            def descend(place: int, stratum: Any = stratum, seeds: Any = seeds) -> None:
                block = stratum[place]
                how = (factors, free, state.shares, state.slopes, kind(state.step), lowest)
                kernels.stochastic_block(
                    block.places, block.entries, block.order, *how, seeds[place]
                )

            each(descend, range(len(stratum)))
        with np.errstate(all="ignore"):  # where the step was far too long
            objective = problem.objective()
        if not objective <= state.objective:
            for name, F in state.kept.items():
                problem.factors[name][...] = F
            state.step *= SLOWER
            return state.objective
        for name, F in state.kept.items():
            F[...] = problem.factors[name]
        state.step *= FASTER
        state.objective = objective
        return objective


def _strata(known: tuple[np.ndarray, ...], shape: Any, count: int) -> list[list[_Block]]:
    # Of each stratum the blocks whose columns are as many blocks away from their rows.
    above, beside = (
        _groups(places, length, count) for places, length in zip(known, shape, strict=False)
    )
    number = (beside - above) % count * count + above
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=count**2))
    found = []
    for chosen in np.split(order, ends[:-1]):
        rows, columns, values, weights = (part[chosen] for part in known)
        found.append(_Block((rows, columns), (values, weights), np.arange(len(chosen))))
    return [found[start : start + count] for start in range(0, count**2, count)]


def _groups(places: np.ndarray, length: int, count: int) -> np.ndarray:
    # Of each entry the number of its row of blocks, which follow each other and have about as
    # many entries.
    counts = np.bincount(places, minlength=length)
    middle = np.cumsum(counts) - 0.5 * counts
    return np.minimum(middle * count // len(places), count - 1).astype(np.intp)[places]
